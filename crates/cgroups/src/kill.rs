//! Signals to all processes of a container.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::error::Error;
use crate::kernfs;
use crate::record::CgroupRecord;

impl CgroupRecord {
    /// Kills every process of the container, paused or not, and waits until none is left.
    ///
    /// # Errors
    /// [`Error::Timeout`] when some are left after `limit`: they wait in the kernel, for a device most likely.
    pub fn kill_all(&self, limit: Duration) -> Result<(), Error> {
        let Some(main) = self.main_dir() else { return Ok(()) };
        let is_empty = match self.unified() {
            Some(unified) if cgroup_kill(unified)? => {
                self.thaw_v1()?;
                kernfs::wait_for_event(unified, "populated 0", limit)?
            }
            _ => self.kill_each(limit)?,
        };
        if is_empty {
            return Ok(());
        }
        Err(Error::Timeout { path: main.path.clone(), state: "empty", millis: limit.as_millis() as u64 })
    }

    /// Sends a signal to every process of the container (`kill --all`); returns how many there were.
    pub fn signal_all(&self, signal: Signal) -> Result<usize, Error> {
        let was_frozen = self.is_frozen()?;
        // Frozen processes do not fork, so none is missed. Where freezing fails, the signal goes to those that are seen.
        let is_frozen = was_frozen || self.freeze().is_ok();
        let result = self.signal_members(signal);
        if is_frozen && (!was_frozen || signal == Signal::KILL) {
            self.thaw()?;
        }
        Ok(result?.len())
    }

    /// Without `cgroup.kill` (Linux 5.14): round after round, because processes fork.
    fn kill_each(&self, limit: Duration) -> Result<bool, Error> {
        let deadline = Instant::now() + limit;
        loop {
            if self.processes()?.is_empty() {
                return Ok(true);
            }
            // What cannot be frozen is caught in the next round.
            let is_frozen = self.freeze().is_ok();
            let signalled = self.signal_members(Signal::KILL);
            if is_frozen {
                self.thaw()?;
            }
            let signalled = signalled?;
            if signalled.is_empty() {
                kernfs::pause();
            }
            for pidfd in &signalled {
                wait_for_exit(pidfd, deadline.saturating_duration_since(Instant::now()));
            }
            if Instant::now() >= deadline {
                return Ok(self.processes()?.is_empty());
            }
        }
    }

    /// Signals the processes that are members both before and after a pidfd of theirs was opened: a pid that was reused in
    /// between is not ours any more.
    fn signal_members(&self, signal: Signal) -> Result<Vec<OwnedFd>, Error> {
        let mut open = Vec::new();
        for pid in self.processes()? {
            match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
                Ok(pidfd) => open.push((pid, pidfd)),
                Err(Errno::SRCH | Errno::INVAL) => {}
                Err(errno) => return Err(Error::file("open", proc_path(pid), errno)),
            }
        }
        let members = self.processes()?;
        let mut signalled = Vec::new();
        for (pid, pidfd) in open.into_iter().filter(|(pid, _)| members.contains(pid)) {
            match rustix::process::pidfd_send_signal(&pidfd, signal) {
                Ok(()) => signalled.push(pidfd),
                Err(Errno::SRCH) => {}
                Err(errno) => return Err(Error::file("signal", proc_path(pid), errno)),
            }
        }
        Ok(signalled)
    }
}

/// `false` if the kernel does not have the file.
fn cgroup_kill(unified: &std::path::Path) -> Result<bool, Error> {
    let path = unified.join("cgroup.kill");
    match kernfs::write(&path, "1") {
        Ok(()) => Ok(true),
        // The whole cgroup may be gone as well; then the way without finds no process.
        Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(Error::file("write", path, errno)),
    }
}

fn proc_path(pid: Pid) -> String {
    format!("/proc/{}", pid.as_raw_nonzero())
}

fn wait_for_exit(pidfd: &OwnedFd, limit: Duration) {
    let mut watched = [PollFd::new(pidfd, PollFlags::IN)];
    // Interrupted or failed, the caller looks at the members again.
    let _ = rustix::event::poll(&mut watched, Some(&kernfs::timespec(limit)));
}
