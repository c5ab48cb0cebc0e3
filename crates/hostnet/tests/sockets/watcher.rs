//! The watcher, with a shell in the runtime's place.

use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use hostnet::NetPlan;
use hostnet::programs::{Attempt, Attempts};
use program::WATCHER;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use sys::companion::{self, Program};
use sys::memfd::{Raw, sealed};

use crate::contained::{ANY4, contained};

/// What the watcher of one container may cost, in pages of memory that it shares with nobody.
const PAGES: u64 = 75;

#[test]
fn a_failure_is_explained_and_the_containers_end_is_the_watchers() {
    let plan = NetPlan { diagnose: true, ..NetPlan::default() };
    contained("watcher::a_failure_is_explained_and_the_containers_end_is_the_watchers", &plan, |door| {
        let _taken = TcpListener::bind((ANY4, 2161)).unwrap();
        let cgroup = File::open(door.enter()).unwrap();
        let failed = Attempts::find_records(&cgroup).unwrap().unwrap();
        let mut container = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&container), PidfdFlags::empty()).unwrap();
        let (mut log, stderr) = std::io::pipe().unwrap();
        let (said, done) = std::io::pipe().unwrap();
        let shell = File::open("/bin/sh").unwrap();
        let program = sealed("watcher", &[Raw::of(WATCHER)]).unwrap();
        let words = [c"watcher", c"sh", c"-c", c"echo explained >&2; read line <&1"];
        let descriptors = [failed.as_fd(), said.as_fd(), stderr.as_fd(), pidfd.as_fd(), shell.as_fd()];
        let watcher = companion::spawn(Program::Open(program.as_fd()), &words, &[], &descriptors).unwrap();
        drop(stderr);

        // Successes are none of its business, however many of them it finds halfway.
        for number in 0..100_000u32 {
            UdpSocket::bind((ANY4, 3000 + (number % 30_000) as u16)).unwrap();
        }
        assert!(TcpListener::bind((ANY4, 2161)).is_err());
        let mut line = [0; 10];
        log.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"explained\n");
        let memory = private_memory(watcher);
        assert!(memory * 1024 <= PAGES * sys::bpf::page_size() as u64, "{memory} KiB");

        // What the runtime would have read is not explained again.
        assert_eq!(Attempt::take(&failed).unwrap().len(), 1);
        drop(done);
        // A failure just before the container's end is.
        let signal = |signal| kill_process(Pid::from_raw(watcher).unwrap(), signal).unwrap();
        signal(Signal::STOP);
        assert!(TcpListener::bind((ANY4, 2161)).is_err());
        drop(container.stdin.take());
        container.wait().unwrap();
        signal(Signal::CONT);
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "explained\n", "explained once");
    });
}

/// KiB that are this process's alone (proc_pid_smaps_rollup(5)).
fn private_memory(pid: i32) -> u64 {
    let memory = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let private = memory.lines().filter(|line| line.starts_with("Private_"));
    private.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
}
