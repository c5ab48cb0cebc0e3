//! The parent's side: opens the namespaces to be joined, and makes the child.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use spec::{NamespaceType, NetworkMode};
use sys::spawn::{Spawn, Spawned};

use crate::idmap;
use crate::plan::{Join, NamespacePlan, Strategy, kind_flag};

/// Why a namespace cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path cannot be opened.
    #[error(
        "/linux/namespaces/{index}/path: {path}: cannot be opened: {error} (is the process it belongs to still alive?)"
    )]
    Open {
        /// Index in `linux.namespaces`.
        index: usize,
        /// The path.
        path: PathBuf,
        /// open(2)'s error.
        error: program::ErrnoText,
    },
    /// The path is of another kind.
    #[error("/linux/namespaces/{index}: {path} is not a {kind} namespace")]
    Kind {
        /// Index in `linux.namespaces`.
        index: usize,
        /// The path.
        path: PathBuf,
        /// The kind it should be.
        kind: NamespaceType,
    },
    /// A network device of the host could not be moved.
    #[error("/linux/netDevices/{name}: {action}: {error}")]
    NetDevice {
        /// Its name on the host.
        name: String,
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        error: program::ErrnoText,
    },
    /// The process could not be made.
    #[error("the container's process cannot be made: {0}")]
    Spawn(program::ErrnoText),
}

/// An opened namespace to be joined.
#[derive(Debug)]
pub struct Joined {
    /// Its kind.
    pub kind: NamespaceType,
    /// Its descriptor.
    pub fd: OwnedFd,
    /// It is the runtime's own: nothing has to be joined. Docker up to 26 asks for the host's network this way.
    pub own: bool,
}

/// Opens what the plan joins and checks its kind, before anything of the container exists.
///
/// # Errors
/// [`Error::Open`], [`Error::Kind`].
pub fn open_joins(plan: &NamespacePlan) -> Result<Vec<Joined>, Error> {
    plan.joins.iter().map(open_join).collect()
}

fn open_join(join: &Join) -> Result<Joined, Error> {
    let failed = |error: rustix::io::Errno| Error::Open {
        index: join.index,
        path: join.path.clone(),
        error: program::ErrnoText(error.raw_os_error()),
    };
    // Not blocking: the path may be a FIFO or a device.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(&join.path, flags, Mode::empty()).map_err(failed)?;
    let wrong_kind = || Error::Kind { index: join.index, path: join.path.clone(), kind: join.kind };
    if sys::process::namespace_kind(fd.as_fd()).map_err(|_| wrong_kind())? != kind_flag(join.kind) {
        return Err(wrong_kind());
    }
    let theirs = rustix::fs::fstat(&fd).map_err(failed)?;
    let own = own_namespace(join.kind).is_ok_and(|own| (own.st_dev, own.st_ino) == (theirs.st_dev, theirs.st_ino));
    Ok(Joined { kind: join.kind, fd, own })
}

fn own_namespace(kind: NamespaceType) -> rustix::io::Result<rustix::fs::Stat> {
    let name = match kind {
        NamespaceType::Pid => "pid",
        NamespaceType::Network => "net",
        NamespaceType::Mount => "mnt",
        NamespaceType::Ipc => "ipc",
        NamespaceType::Uts => "uts",
        NamespaceType::User => "user",
        NamespaceType::Cgroup => "cgroup",
        NamespaceType::Time => "time",
    };
    rustix::fs::stat(format!("/proc/self/ns/{name}"))
}

impl NamespacePlan {
    /// Whether the container shares the host's network: it has no entry, or one that names the host's own namespace.
    pub fn host_network(&self, joined: &[Joined]) -> bool {
        match self.network {
            NetworkMode::Host => true,
            NetworkMode::New => false,
            NetworkMode::Join(_) => joined.iter().any(|joined| joined.kind == NamespaceType::Network && joined.own),
        }
    }
}

/// Makes the child, in the way the plan says.
///
/// # Errors
/// [`Error::Spawn`].
pub fn spawn(plan: &NamespacePlan, joined: &[Joined], child: &Spawn<'_>) -> Result<Spawned, Error> {
    let made = match plan.strategy {
        Strategy::Direct => child.spawn(),
        Strategy::Launcher => in_thread(|| {
            enter_for_child(plan, joined)?;
            child.spawn()
        }),
    };
    made.map_err(|error| Error::Spawn(error.into()))
}

/// Runs `launch` in a thread that ends with it: a thread that has changed its namespaces is never used again.
pub(crate) fn in_thread<T: Send>(launch: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, launch)?.join() {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::other("the launcher thread panicked")),
    })
}

fn enter_for_child(plan: &NamespacePlan, joined: &[Joined]) -> io::Result<()> {
    if plan.new_time {
        sys::process::unshare(kind_flag(NamespaceType::Time))?;
        if !plan.time_offsets.is_empty() {
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            idmap::write(thread, "timens_offsets", &plan.time_offsets)?;
        }
    }
    let from_here = |kind| plan.id_maps.is_some() || (kind == NamespaceType::Pid && !plan.join_pid_inside);
    for joined in joined.iter().filter(|joined| !joined.own && from_here(joined.kind)) {
        if joined.kind == NamespaceType::Mount {
            // The kernel moves only a thread that shares its root and current directory with nobody (setns(2)).
            const CLONE_FS: u64 = 0x200;
            sys::process::unshare(CLONE_FS)?;
        }
        sys::process::setns(joined.fd.as_fd(), kind_flag(joined.kind))?;
    }
    Ok(())
}

/// The kinds that a process has to join to be where `pid` is: not the user namespace, if that is the caller's own, which the
/// kernel would refuse (setns(2), EINVAL).
pub fn without_own_user(kinds: u64, pid: i32) -> u64 {
    let user = kind_flag(NamespaceType::User);
    if kinds & user == 0 {
        return kinds;
    }
    let theirs = rustix::fs::stat(format!("/proc/{pid}/ns/user")).map(|stat| (stat.st_dev, stat.st_ino));
    let own = own_namespace(NamespaceType::User).map(|stat| (stat.st_dev, stat.st_ino));
    if theirs.is_ok() && theirs == own { kinds & !user } else { kinds }
}

/// Makes a process of an existing container: in its PID namespace where it has one, the rest being up to the child.
///
/// # Errors
/// [`Error::Spawn`].
pub fn spawn_into(init: std::os::fd::BorrowedFd<'_>, join_pid: bool, child: &Spawn<'_>) -> Result<Spawned, Error> {
    let made = if join_pid {
        in_thread(|| {
            sys::process::setns(init, kind_flag(NamespaceType::Pid))?;
            child.spawn()
        })
    } else {
        child.spawn()
    };
    made.map_err(|error| Error::Spawn(error.into()))
}
