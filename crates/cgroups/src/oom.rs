//! Word of the out-of-memory killer at work in a container.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::EventfdFlags;
use rustix::fs::inotify;

use crate::error::Error;
use crate::kernfs;
use crate::record::CgroupRecord;

/// Becomes readable when the killer may have been at work; [`OomWatch::count`] says whether it was.
#[derive(Debug)]
pub struct OomWatch {
    source: Source,
    seen: u64,
}

#[derive(Debug)]
enum Source {
    /// An eventfd that the kernel counts up (cgroup-v1/memory.txt, "OOM Control"), and the file it is registered with.
    V1 { count: OwnedFd, _control: OwnedFd },
    /// inotify on `memory.events`, whose `oom_kill` line is the count (cgroup-v2.rst).
    V2 { changes: OwnedFd, events: PathBuf },
}

impl CgroupRecord {
    /// Watches the container's memory cgroup; `None` if it has none.
    ///
    /// # Errors
    /// The kernel refuses the registration.
    pub fn watch_oom(&self) -> Result<Option<OomWatch>, Error> {
        if let Some(dir) = self.v1("memory") {
            let control = dir.join("memory.oom_control");
            let control_fd = kernfs::open_read(&control).map_err(|errno| Error::file("open", &control, errno))?;
            let count = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|errno| Error::file("watch", &control, errno))?;
            let register = dir.join("cgroup.event_control");
            kernfs::write(&register, &format!("{} {}", count.as_raw_fd(), control_fd.as_raw_fd()))
                .map_err(|errno| Error::file("write", register, errno))?;
            return Ok(Some(OomWatch { source: Source::V1 { count, _control: control_fd }, seen: 0 }));
        }
        let Some(events) = self.unified().map(|dir| dir.join("memory.events")).filter(|file| file.exists()) else {
            return Ok(None);
        };
        let failed = |errno| Error::file("watch", &events, errno);
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(failed)?;
        inotify::add_watch(&changes, &events, inotify::WatchFlags::MODIFY).map_err(failed)?;
        let seen = kills(&events);
        Ok(Some(OomWatch { source: Source::V2 { changes, events }, seen }))
    }
}

impl OomWatch {
    /// How many times the killer has been at work since the last call.
    pub fn count(&mut self) -> u64 {
        let mut buffer = [0u8; 4096];
        match &self.source {
            Source::V1 { count, .. } => match rustix::io::read(count, &mut buffer[..8]) {
                Ok(8) => u64::from_ne_bytes(buffer.first_chunk().copied().unwrap_or_default()),
                _ => 0,
            },
            Source::V2 { changes, events } => {
                let _ = rustix::io::read(changes, &mut buffer[..]);
                let now = kills(events);
                let new = now.saturating_sub(self.seen);
                self.seen = now;
                new
            }
        }
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::V1 { count, .. } => count.as_fd(),
            Source::V2 { changes, .. } => changes.as_fd(),
        }
    }
}

/// The `oom_kill` line of `memory.events`.
fn kills(events: &std::path::Path) -> u64 {
    let text = kernfs::try_read(events).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or_default()
}
