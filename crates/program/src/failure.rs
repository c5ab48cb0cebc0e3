//! Turns the eight bytes that init reports into a sentence: which place of the configuration, which call, what went wrong.

use std::fmt;

use crate::builder::Program;
use crate::op::{Failure, Op};

/// What came over the report socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Init waits at this gate.
    Gate(u32),
    /// Init goes on as the process of this id.
    Cloned(i32),
    /// Nanoseconds of CLOCK_REALTIME modulo 2^48 ([`Failure::moment`]).
    Moment(u64),
    /// The descriptor that came along is the filter's listener.
    Listener,
    /// An operation failed.
    Failed(Failure),
    /// The connection ended: the program was executed, or init is dead.
    End,
}

impl Report {
    /// Reads a message of init's; anything but eight bytes is the end of the connection.
    pub fn from_bytes(bytes: &[u8]) -> Report {
        let &[a, b, c, d, e, f, g, h] = bytes else { return Report::End };
        let failure = Failure {
            op: u16::from_ne_bytes([a, b]),
            step: u16::from_ne_bytes([c, d]),
            errno: i32::from_ne_bytes([e, f, g, h]),
        };
        match failure.op {
            Failure::AT_GATE => Report::Gate(failure.errno.unsigned_abs()),
            Failure::AT_LISTENER => Report::Listener,
            Failure::AT_MOMENT => {
                Report::Moment(u64::from(failure.step) << 32 | u64::from(failure.errno.cast_unsigned()))
            }
            Failure::AT_CLONE => Report::Cloned(failure.errno),
            _ => Report::Failed(failure),
        }
    }
}

/// A failed operation with its place and its call, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The place of the configuration, such as `mounts[7] /data`.
    pub place: String,
    /// The system call, or in words what was checked.
    pub call: &'static str,
    /// The error number, unless `call` says in words what was wrong.
    pub errno: Option<i32>,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        match self.errno {
            Some(errno) => write!(f, "{}: {}", self.call, errno_text(errno)),
            None => f.write_str(self.call),
        }
    }
}

impl std::error::Error for CallError {}

impl Program {
    /// The sentence for a failure.
    pub fn explain(&self, failure: &Failure) -> CallError {
        let Some((op, place)) = self.origin(failure) else {
            let call = if failure.op == Failure::AT_LOAD { "start of init" } else { "init" };
            return CallError { place: String::new(), call, errno: Some(failure.errno) };
        };
        match failure.step {
            Failure::CHECK => CallError { place: place.to_owned(), call: check_name(op), errno: None },
            step => CallError { place: place.to_owned(), call: call_name(op, step), errno: Some(failure.errno) },
        }
    }
}

/// The call that an operation is there for, in the words of errors.
pub fn main_call(op: &Op) -> &'static str {
    let step = match op {
        Op::CopyUp { .. } => 3,
        Op::Write { .. } | Op::WriteFile { .. } | Op::MoveRoot { .. } | Op::Hook { .. } => 2,
        Op::LoopbackUp
        | Op::MountPoint { .. }
        | Op::Label { .. }
        | Op::CopyMode { .. }
        | Op::FsMount { .. }
        | Op::MountInFolder { .. }
        | Op::PivotRoot { .. }
        | Op::EnterRoot { .. }
        | Op::OpenPty { .. }
        | Op::SetIds { .. } => 1,
        Op::MakeNode { .. } => 6,
        Op::Symlink { .. } => 5,
        Op::Mask { .. } => 11,
        Op::ReadOnly { .. } => 12,
        _ => 0,
    };
    call_name(op, step)
}

/// What an operation has checked itself, and found otherwise.
fn check_name(op: &Op) -> &'static str {
    match op {
        Op::Open { .. } | Op::WriteFile { .. } => "it is not on the file system that it has to be on",
        Op::MountPoint { .. } => "a symbolic link leads into another file system",
        Op::CheckDevice { .. } => "the host has another file or device there",
        Op::CopyUp { .. } => "the folders are too many levels deep to be copied",
        Op::LandlockScope { .. } => "Landlock is off on this host (add landlock to the kernel parameter lsm=)",
        // Docker recognises the words in brackets, and explains them to the user.
        Op::MoveMount { .. } => "the source is a file and the destination a folder, or the reverse (not a directory)",
        _ => "a check of init's",
    }
}

/// The name of the call number `step` within an operation; the numbers are those the executor gives.
fn call_name(op: &Op, step: u16) -> &'static str {
    // Shared by the operations that walk inside the rootfs.
    let in_rootfs = |step| match step {
        0 => "path",
        1 => "openat2",
        2 => "mkdirat",
        3 => "create file",
        4 => "readlinkat",
        5 => "symbolic link",
        6 => "make node",
        7 => "chown",
        8 => "another file is there",
        9 => "stat",
        10 => "open_tree",
        11 => "move_mount",
        _ => "statfs",
    };
    let nth = |names: &[&'static str]| names.get(step as usize).copied().unwrap_or("call");
    match op {
        Op::Open { .. } => nth(&["open", "statfs"]),
        Op::Close { .. } => "close",
        Op::Write { .. } | Op::WriteFile { .. } => nth(&["open", "statfs", "write"]),
        Op::Dup { .. } => "dup3",
        Op::SendFd { .. } => "sendmsg",
        Op::Setns { .. } => "setns",
        Op::Unshare { .. } => "unshare",
        Op::Clone { .. } => nth(&["clone3", "wait for the runtime"]),
        Op::NewSession => "setsid",
        Op::SetHostname { .. } => "sethostname",
        Op::SetDomainname { .. } => "setdomainname",
        Op::LoopbackUp => nth(&["socket", "ioctl SIOCSIFFLAGS"]),
        Op::Keyring { .. } => "keyctl",
        Op::MountPoint { .. } | Op::MakeNode { .. } | Op::Symlink { .. } | Op::Mask { .. } | Op::ReadOnly { .. } => {
            in_rootfs(step)
        }
        Op::Label { .. } => nth(&["openat2", "fsetxattr"]),
        Op::CopyMode { .. } => nth(&["stat", "fchmodat"]),
        Op::CheckDevice { .. } => "stat",
        Op::CopyUp { .. } => nth(&[
            "open",
            "stat",
            "getdents64",
            "make a copy",
            "sendfile",
            "chown",
            "chmod",
            "copy extended attributes",
            "utimensat",
        ]),
        Op::OpenTree { .. } => "open_tree",
        Op::FsOpen { .. } => "fsopen",
        Op::FsConfig { .. } => "fsconfig",
        Op::FsPick { .. } => "fspick",
        Op::FsReconfigure { .. } => "reconfigure superblock",
        Op::FsMount { .. } => nth(&["create superblock", "fsmount"]),
        Op::SetAttr { .. } => "mount_setattr",
        Op::MoveMount { .. } => "move_mount",
        Op::MountInFolder { .. } => nth(&["mkdirat", "move_mount"]),
        Op::PivotRoot { .. } => nth(&["fchdir", "pivot_root", "umount"]),
        Op::MoveRoot { .. } => nth(&["fchdir", "open", "move_mount", "chroot", "chdir"]),
        Op::EnterRoot { .. } => nth(&["fchdir", "chroot", "chdir"]),
        Op::OpenPty { .. } => nth(&["ioctl TIOCSPTLCK", "ioctl TIOCGPTPEER", "ioctl TIOCSWINSZ"]),
        Op::ControllingTerminal { .. } => "ioctl TIOCSCTTY",
        Op::Chown { .. } => "chown",
        Op::Umask { .. } => "umask",
        Op::SetRlimit { .. } => "setrlimit",
        Op::Personality { .. } => "personality",
        Op::Scheduler { .. } => "sched_setattr",
        Op::IoPriority { .. } => "ioprio_set",
        Op::Affinity { .. } => "sched_setaffinity",
        Op::MemoryPolicy { .. } => "set_mempolicy",
        Op::Prctl { .. } => "prctl",
        Op::LandlockScope { .. } => nth(&["landlock_create_ruleset", "landlock_restrict_self"]),
        Op::DropBounding { .. } => "prctl PR_CAPBSET_DROP",
        Op::SetCaps { .. } => "capset",
        Op::SetAmbient { .. } => "prctl PR_CAP_AMBIENT",
        Op::SetGroups { .. } => "setgroups",
        Op::SetIds { .. } => nth(&["setresgid", "setresuid"]),
        Op::Seccomp { .. } => "seccomp",
        Op::Chdir { .. } => nth(&["chdir", "getcwd"]),
        Op::FindProgram { .. } => "find program",
        Op::FindHome { .. } => "passwd",
        Op::Hook { .. } => nth(&["rewind", "fork", "wait", "poll"]),
        Op::Gate { .. } => "gate",
        Op::WaitStart { .. } => "wait for start",
        Op::Exec { .. } => "execve",
    }
}

/// What an error number means, in lower case.
///
/// Docker reads the texts of a runtime's errors and takes "no such file or directory", "permission denied" and the like
/// to be about the container's program (exit code 126 or 127), so those four are worded otherwise here.
pub fn errno_text(errno: i32) -> String {
    match errno {
        libc_errno::ENOENT => "missing (ENOENT)".to_owned(),
        libc_errno::EACCES => "refused (EACCES)".to_owned(),
        libc_errno::ENOTDIR => "not a folder (ENOTDIR)".to_owned(),
        libc_errno::EISDIR => "is a folder (EISDIR)".to_owned(),
        _ => {
            let text = std::io::Error::from_raw_os_error(errno).to_string();
            text.split(" (os error").next().unwrap_or(&text).to_lowercase()
        }
    }
}

/// An error number that is shown as [`errno_text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrnoText(pub i32);

impl fmt::Display for ErrnoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&errno_text(self.0))
    }
}

impl From<std::io::Error> for ErrnoText {
    fn from(error: std::io::Error) -> ErrnoText {
        ErrnoText(error.raw_os_error().unwrap_or(libc_errno::EIO))
    }
}

mod libc_errno {
    pub(super) const EIO: i32 = 5;
    pub(super) const ENOENT: i32 = 2;
    pub(super) const EACCES: i32 = 13;
    pub(super) const ENOTDIR: i32 = 20;
    pub(super) const EISDIR: i32 = 21;
}
