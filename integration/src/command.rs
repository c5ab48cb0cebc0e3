//! Running a program to its end: output captured in files, never longer than a deadline.
//!
//! Files and not pipes, because a container that outlives its runtime keeps the runtime's stdout open: a reader of a
//! pipe would wait for the container.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// No command of these tests takes this long, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a finished program left.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// Exit status; 128 + signal when killed.
    pub code: i32,
    /// Everything written to standard output.
    pub stdout: String,
    /// Everything written to standard error.
    pub stderr: String,
}

impl Output {
    /// Fails the test unless the program succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code_is(0)
    }

    /// Fails the test unless the program exited with `code`.
    #[track_caller]
    pub fn code_is(self, code: i32) -> Self {
        assert!(self.code == code, "expected exit {code}\n{self}");
        self
    }

    /// Fails the test unless the program failed.
    #[track_caller]
    pub fn fails(self) -> Self {
        assert!(self.code != 0, "expected a failure\n{self}");
        self
    }

    /// Fails the test unless standard error or standard output contains `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text) || self.stdout.contains(text), "expected the text {text:?}\n{self}");
        self
    }

    /// Standard output without surrounding white space.
    pub fn text(&self) -> String {
        self.stdout.trim().to_owned()
    }

    /// The lines of standard output.
    pub fn lines(&self) -> Vec<String> {
        self.stdout.lines().map(str::to_owned).collect()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "$ {}\nexit {}\nstdout: {}\nstderr: {}",
            self.command,
            self.code,
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }
}

/// A command line for messages.
pub fn spell(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// An anonymous file for a program to write to and the test to read afterwards.
pub fn scratch() -> File {
    use rustix::fs::{MemfdFlags, memfd_create};
    File::from(memfd_create("integration", MemfdFlags::CLOEXEC).unwrap())
}

/// Everything in `file`, from its beginning.
pub fn content(mut file: &File) -> String {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs `command` with nothing on standard input.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null());
    run_as_set(command)
}

/// Runs `command` with `input` on standard input, closed after it.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &str) -> Output {
    let mut file = scratch();
    file.write_all(input.as_bytes()).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    command.stdin(file);
    run_as_set(command)
}

/// Runs `command` with the standard input it was given.
#[track_caller]
pub fn run_as_set(command: &mut Command) -> Output {
    let (stdout, stderr) = (scratch(), scratch());
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let text = spell(command);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {text}: {error}"));
    let code = wait(&mut child, DEADLINE);
    let output = Output { command: text, code: code.unwrap_or(-1), stdout: content(&stdout), stderr: content(&stderr) };
    assert!(code.is_some(), "did not end within {DEADLINE:?}\n{output}");
    output
}

/// Waits for `child`; `None` if it had to be killed at the deadline.
pub fn wait(child: &mut Child, deadline: Duration) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    let ended = ends_within(child.id() as i32, deadline);
    if !ended {
        child.kill().ok();
    }
    let status = child.wait().unwrap();
    ended.then(|| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// Whether process `pid` ends, or has ended, before the deadline.
pub fn ends_within(pid: i32, deadline: Duration) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return true };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let timeout = Timespec { tv_sec: deadline.as_secs() as i64, tv_nsec: i64::from(deadline.subsec_nanos()) };
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    loop {
        match poll(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.is_ok_and(|ready| ready > 0),
        }
    }
}
