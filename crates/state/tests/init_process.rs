//! Telling a process from another that has got its pid, with real processes.
#![allow(clippy::disallowed_methods, reason = "the process under test has to be another one")]

use rustix::event::{PollFd, PollFlags, poll};
use state::InitProcess;
use std::process::{Command, Stdio};

#[test]
fn a_living_process_is_alive_and_another_start_time_is_another_process() {
    let this = InitProcess::of(std::process::id() as i32).unwrap();
    assert!(this.alive().unwrap().is_some());
    for start_time in [0, this.start_time - 1, this.start_time + 1, u64::MAX] {
        assert!(InitProcess { start_time, ..this }.alive().unwrap().is_none(), "{start_time}");
    }
}

#[test]
fn a_pid_that_none_can_have_is_dead() {
    for pid in [0, -1, i32::MIN, i32::MAX] {
        assert!(InitProcess { pid, start_time: 0 }.alive().unwrap().is_none(), "{pid}");
    }
}

#[test]
fn a_zombie_is_dead() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let process = InitProcess::of(child.id() as i32).unwrap();
    let pidfd = process.alive().unwrap().unwrap();
    drop(child.stdin.take());
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
    assert!(process.alive().unwrap().is_none(), "ended, not reaped");
    child.wait().unwrap();
    assert!(process.alive().unwrap().is_none(), "reaped");
}
