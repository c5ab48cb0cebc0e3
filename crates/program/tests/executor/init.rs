//! A running init for one test: a program laid out, init started on it, and the runtime's end of the conversation.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use program::{Failure, Op, Program, ProgramBuilder, Report, Slot, Start};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use sys::spawn::{Spawn, Spawned};

pub const NEW_MOUNT: u64 = 0x0002_0000;
const BUSYBOX: &str = "/bin/busybox";

/// How long anything here may take before the test fails instead of hanging.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// How init is started.
#[derive(Clone, Copy, Default)]
pub struct Way {
    pub namespaces: u64,
    pub start: Start,
}

/// A child that runs init, killed when dropped.
pub struct Child {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub program: Program,
    pub report: Option<OwnedFd>,
}

/// How a child ended: its status, or minus the number of the signal.
pub type End = i32;

pub fn start(b: ProgramBuilder) -> Child {
    start_as(b, Way::default())
}

pub fn start_as(b: ProgramBuilder, way: Way) -> Child {
    let (report, childs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let mut program = b.finish(Start { report: childs.as_raw_fd(), ..way.start });
    let (init, program_in_init) = program.to_file().unwrap();
    let inherited: Vec<BorrowedFd<'_>> = program.inherited.iter().map(AsFd::as_fd).collect();
    let Spawned { pid, pidfd } = Spawn {
        namespaces: way.namespaces,
        cgroup: None,
        init: init.as_fd(),
        program: program_in_init,
        report: childs.as_fd(),
        failed: [0; 4],
        inherited: &inherited,
        first_private_fd: way.start.preserve_fds + 3,
        wait_for_ids: false,
        own_memory: false,
    }
    .spawn()
    .unwrap();
    // Ours would keep pipes and sockets from ending.
    program.inherited.clear();
    Child { pid, pidfd, program, report: Some(report) }
}

impl Child {
    /// The next thing init says.
    pub fn report(&self) -> Report {
        let mut message = [0u8; 8];
        let len = self.receive(&mut message);
        Report::from_bytes(&message[..len])
    }

    /// The next message of init's, 0 at the end.
    pub fn receive(&self, message: &mut [u8]) -> usize {
        let report = self.report.as_ref().unwrap();
        wait_readable(report.as_fd(), "init says nothing");
        rustix::net::recv(report, message, RecvFlags::empty()).map_or(0, |(_, len)| len)
    }

    #[track_caller]
    pub fn failure(&self) -> Failure {
        match self.report() {
            Report::Failed(failure) => failure,
            other => panic!("no failure: {other:?}"),
        }
    }

    /// Opens the gate.
    pub fn go(&self) {
        rustix::net::send(self.report.as_ref().unwrap(), &[1], SendFlags::NOSIGNAL).unwrap();
    }

    /// The runtime is gone.
    pub fn hang_up(&mut self) {
        self.report = None;
    }

    /// Waits for the end.
    pub fn end(&self) -> End {
        wait_readable(self.pidfd.as_fd(), "init does not end");
        let status =
            rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
        status.exit_status().unwrap_or_else(|| -status.terminating_signal().unwrap())
    }

    pub fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.pid)).unwrap()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

pub fn wait_readable(fd: BorrowedFd<'_>, otherwise: &str) {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let ready = rustix::event::poll(&mut polled, Some(&PATIENCE)).unwrap();
    assert!(ready > 0, "{otherwise}");
}

/// Lets the program's stdout and stderr be read here.
pub fn output(b: &mut ProgramBuilder) -> OwnedFd {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let write = b.inherit(write);
    for to in [1, 2] {
        b.push(Op::Dup { fd: write, to });
    }
    read
}

pub fn read(from: OwnedFd) -> String {
    let mut text = String::new();
    File::from(from).read_to_string(&mut text).unwrap();
    text
}

/// The last operations: a shell that runs `script`.
pub fn shell(b: &mut ProgramBuilder, script: &str) {
    execute(b, BUSYBOX, &["sh", "-c", script]);
}

pub fn execute(b: &mut ProgramBuilder, path: &str, args: &[&str]) {
    let candidates = b.list([path]);
    b.push(Op::FindProgram { candidates });
    let (args, env) = (b.list(args), b.list(["PATH=/bin"]));
    b.push(Op::Exec { args, env });
}

/// Operations that make a folder the root, in a mount namespace of its own.
pub fn enter_root(b: &mut ProgramBuilder, folder: &std::path::Path) {
    const MS_PRIVATE: u64 = 1 << 18;
    let (slash, root) = (b.slot(), b.slot());
    let path = b.text("/");
    let flags = rustix::fs::OFlags::PATH.bits();
    b.push(Op::Open { dir: Slot::NONE, resolve: program::Resolve::Host, out: slash, flags, magic: 0, path });
    b.push(Op::SetAttr { mount: slash, userns: Slot::NONE, recursive: 1, set: 0, clear: 0, propagation: MS_PRIVATE });
    b.push(Op::Close { fd: slash });
    let path = b.text(folder.to_str().unwrap());
    b.push(Op::OpenTree { dir: Slot::NONE, out: root, flags: 1, path });
    b.push(Op::MoveRoot { root });
    b.push(Op::Close { fd: root });
}

/// A folder of one test's, removed when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lightship-init-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// One with busybox at `/bin/busybox`.
    pub fn root() -> Folder {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("bin")).unwrap();
        std::fs::create_dir_all(folder.0.join("etc")).unwrap();
        std::fs::copy(BUSYBOX, folder.0.join("bin/busybox")).unwrap();
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a file of a mode.
    pub fn file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
