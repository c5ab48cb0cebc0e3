//! Hooks that init runs itself.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;

use program::{Failure, Op, ProgramBuilder, Report, Slot};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal};

use crate::init::{Child, shell, start};

const STATE: &[u8] = br#"{"ociVersion":"1.3.0"}"#;

fn memory_file() -> File {
    rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC).unwrap().into()
}

/// A program with hooks that are shell scripts, and what they print.
struct Hooks {
    b: ProgramBuilder,
    stdio: [Slot; 2],
    output: File,
}

impl Hooks {
    fn new() -> Hooks {
        let mut b = ProgramBuilder::new();
        let (mut state, output) = (memory_file(), memory_file());
        state.write_all(STATE).unwrap();
        let stdio = [b.inherit(OwnedFd::from(state)), b.inherit(OwnedFd::from(output.try_clone().unwrap()))];
        Hooks { b, stdio, output }
    }

    fn hook(&mut self, path: &str, args: &[&str], timeout: u32) {
        let [stdin, output] = self.stdio;
        let (path, args, env) = (self.b.text(path), self.b.list(args), self.b.list(["A=b"]));
        self.b.push(Op::Hook { stdin, output, timeout, path, args, env });
    }

    fn script(&mut self, script: &str, timeout: u32) {
        self.hook("/bin/busybox", &["sh", "-c", script], timeout);
    }

    fn run(mut self) -> (Child, Report, String) {
        shell(&mut self.b, "exit 0");
        let child = start(self.b);
        let report = child.report();
        let mut text = String::new();
        self.output.rewind().unwrap();
        self.output.read_to_string(&mut text).unwrap();
        (child, report, text)
    }
}

#[test]
fn each_gets_the_whole_state_and_its_own_arguments_and_environment() {
    let mut hooks = Hooks::new();
    hooks.script("cat; echo; echo $0 $A", 0);
    hooks.hook("/bin/busybox", &["echo", "second"], 5);
    hooks.script("cat >&2", 0);
    let (child, report, text) = hooks.run();
    assert_eq!(report, Report::End);
    let state = str::from_utf8(STATE).unwrap();
    assert_eq!(text, format!("{state}\nsh b\nsecond\n{state}"));
    assert_eq!(child.end(), 0);
}

#[test]
fn the_first_that_fails_is_the_last() {
    let mut hooks = Hooks::new();
    hooks.script("echo oh; exit 3", 0);
    hooks.script("echo never", 0);
    let (_child, report, text) = hooks.run();
    assert_eq!(report, Report::Failed(Failure { op: 0, step: Failure::CHECK + 1, errno: 3 << 8 }));
    assert_eq!(text, "oh\n");
}

#[test]
fn a_signal_and_a_missing_file_are_told_apart() {
    let status = |emit: &dyn Fn(&mut Hooks)| {
        let mut hooks = Hooks::new();
        emit(&mut hooks);
        let (_child, report, text) = hooks.run();
        let Report::Failed(Failure { op: 0, step, errno }) = report else { panic!("{report:?}") };
        assert_eq!(step, Failure::CHECK + 1);
        (errno, text)
    };
    assert_eq!(status(&|hooks| hooks.script("kill -9 $$", 0)).0, 9);
    let (missing, text) = status(&|hooks| hooks.hook("/missing", &["x"], 0));
    assert_eq!((missing, text.as_str()), (127 << 8, "the hook cannot be executed"));
    assert_eq!(status(&|hooks| hooks.hook("/etc", &["x"], 0)).0, 126 << 8);
}

#[test]
fn a_timeout_kills() {
    let mut hooks = Hooks::new();
    hooks.script("echo $$; exec sleep 1000", 1);
    let (_child, report, text) = hooks.run();
    assert_eq!(report, Report::Failed(Failure { op: 0, step: Failure::CHECK, errno: 110 }));
    let pid = Pid::from_raw(text.trim().parse().unwrap()).unwrap();
    assert!(rustix::process::test_kill_process(pid).is_err(), "the hook lives");
}

#[test]
fn a_grandchild_that_keeps_the_descriptors_keeps_nobody_waiting() {
    let mut hooks = Hooks::new();
    hooks.script("sleep 1000 & echo $!", 30);
    let (child, report, text) = hooks.run();
    let grandchild = Pid::from_raw(text.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(grandchild, Signal::KILL).unwrap();
    assert_eq!(report, Report::End);
    assert_eq!(child.end(), 0);
}
