//! Gates and the wait for `start`: who waits for whom, and what happens when the other one is gone.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use program::{Failure, Op, ProgramBuilder, Report};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use crate::init::{Child, Folder, output, read, shell, start};

const NEW_PID: u32 = 0x2000_0000;

fn gated() -> ProgramBuilder {
    let mut b = ProgramBuilder::new();
    b.push(Op::Gate { number: 3 });
    b
}

#[test]
fn a_gate_is_announced_and_waits_for_one_byte() {
    let mut b = gated();
    let out = output(&mut b);
    b.push(Op::Gate { number: 4 });
    shell(&mut b, "echo through");
    let child = start(b);
    assert_eq!(child.report(), Report::Gate(3));
    child.go();
    assert_eq!(child.report(), Report::Gate(4));
    child.go();
    assert_eq!(child.report(), Report::End);
    assert_eq!(read(out), "through\n");
    assert_eq!(child.end(), 0);
}

#[test]
fn without_a_runtime_init_ends_at_a_gate() {
    // While it waits there.
    let mut child = start(gated());
    assert_eq!(child.report(), Report::Gate(3));
    child.hang_up();
    assert_eq!(child.end(), 1);
    // Before it comes there: the message finds nobody, which may be told by SIGPIPE as well.
    let mut child = start(gated());
    child.hang_up();
    assert!([1, -13].contains(&child.end()));
}

/// Init waiting at `start`, with a program behind that says so.
pub fn waiting(folder: &Folder, behind: impl FnOnce(&mut ProgramBuilder)) -> (Child, PathBuf) {
    let path = folder.path("start");
    let mut b = gated();
    let listener = b.inherit(UnixListener::bind(&path).unwrap().into());
    b.push(Op::WaitStart { listener });
    behind(&mut b);
    let child = start(b);
    assert_eq!(child.report(), Report::Gate(3));
    child.go();
    assert_eq!(child.report(), Report::End);
    (child, path)
}

pub fn connect(path: &PathBuf) -> UnixStream {
    let connection = UnixStream::connect(path).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection
}

pub fn answer(mut connection: UnixStream) -> Vec<u8> {
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn it_outlives_the_runtime_and_starts_at_the_first_byte() {
    let folder = Folder::new();
    let (mut child, path) = waiting(&folder, |b| shell(b, "exit 5"));
    child.hang_up();
    // Somebody who goes away again without a word.
    drop(connect(&path));
    let mut starter = connect(&path);
    starter.write_all(&[1]).unwrap();
    assert!(answer(starter).is_empty());
    assert_eq!(child.end(), 5);
}

#[test]
fn only_one_starter_is_served() {
    let folder = Folder::new();
    let (_child, path) = waiting(&folder, |b| shell(b, "read forever < /dev/zero"));
    let (mut first, second) = (connect(&path), connect(&path));
    first.write_all(&[1]).unwrap();
    assert!(answer(first).is_empty());
    // In the queue when the listener went: reset, or ended, but not left waiting.
    let mut rest = Vec::new();
    let end = { second }.read_to_end(&mut rest);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    assert!(rest.is_empty());
    assert!(UnixStream::connect(&path).is_err());
}

#[test]
fn the_starter_is_told_what_failed_counted_from_the_wait() {
    let folder = Folder::new();
    let (child, path) = waiting(&folder, |b| {
        b.push(Op::Umask { mask: 0o22 });
        let candidates = b.list(["/missing"]);
        b.push(Op::FindProgram { candidates });
    });
    let mut starter = connect(&path);
    starter.write_all(&[1]).unwrap();
    let answer = answer(starter);
    assert_eq!(Report::from_bytes(&answer), Report::Failed(Failure { op: 1, step: 0, errno: 2 }));
    assert_eq!(child.end(), 1);
}

#[test]
fn a_clone_takes_inits_place_and_waits_to_be_known() {
    let mut b = ProgramBuilder::new();
    let out = output(&mut b);
    b.push(Op::Clone { flags: NEW_PID });
    shell(&mut b, "echo $$; exit 6");
    let child = start(b);
    let Report::Cloned(pid) = child.report() else { panic!("no clone") };
    assert_ne!(pid, child.pid);
    let clone = rustix::process::pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    assert_eq!(child.end(), 0);
    child.go();
    assert_eq!(read(out), "1\n");
    // It is a child of the runtime, so the runtime can wait for it.
    let status = rustix::process::waitid(WaitId::PidFd(clone.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(6));
}

#[test]
fn a_clone_that_nobody_knows_ends() {
    let mut b = ProgramBuilder::new();
    let out = output(&mut b);
    b.push(Op::Clone { flags: NEW_PID });
    shell(&mut b, "echo run");
    let mut child = start(b);
    let Report::Cloned(pid) = child.report() else { panic!("no clone") };
    let clone = rustix::process::pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    child.hang_up();
    assert_eq!(read(out), "");
    let status = rustix::process::waitid(WaitId::PidFd(clone.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(1));
}
