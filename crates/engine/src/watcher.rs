//! The watcher: a small process beside a container in the host's network, which ends with it. When a bind(2) of the container
//! fails it runs the runtime's `diagnose`, whose words go to the container's standard error.
//!
//! It stays in the caller's cgroup: what it costs is not the container's, and `kill` and `ps` do not see it. A runtime that stays in front
//! of its container sees to that itself.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use hostnet::programs::Attempts;
use program::WATCHER;
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::process::PidfdGetfdFlags;
use sys::companion::{self, Program};
use sys::memfd::{Raw, sealed};

use crate::{Error, Runtime};

/// Starts the watcher of a container. One with a terminal must be ready, as the terminal is its own.
pub(crate) fn start(attempts: &Attempts, init: BorrowedFd<'_>, terminal: bool, runtime: &Runtime) -> Result<(), Error> {
    // A terminal is in the container, and nobody but its process has it.
    let terminal = terminal.then(|| rustix::process::pidfd_getfd(init, 2, PidfdGetfdFlags::empty()));
    let terminal = terminal.transpose().map_err(Error::call("the container's terminal"))?;
    let stderr = terminal.as_ref().map_or(rustix::stdio::stderr(), AsFd::as_fd);
    let said = rustix::fs::memfd_create("lightship-said", MemfdFlags::CLOEXEC).map_err(Error::call("a memfd"))?;
    let executable = rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::call("/proc/self/exe"))?;
    let program = sealed("lightship-watcher", &[Raw::of(WATCHER)]).map_err(Error::call("an executable memfd"))?;
    // The watcher is in no folder of the caller's.
    let root = std::path::absolute(&runtime.root).map_err(Error::call("the state root"))?;
    let root = CString::new(root.as_os_str().as_bytes()).map_err(Error::call("the state root"))?;
    let words = [c"lightship-watcher", c"lightship", c"--root", &root, c"diagnose"];
    let descriptors = [attempts.records.as_fd(), said.as_fd(), stderr, init, executable.as_fd()];
    companion::spawn(Program::Open(program.as_fd()), &words, &[], &descriptors).map_err(Error::call("clone3"))?;
    Ok(())
}
