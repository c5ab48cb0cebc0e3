//! `events`: what a container uses, once or again and again, and that it ran out of memory.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cgroups::OomWatch;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Error, Runtime, launch, network};

impl Runtime {
    /// What the container's cgroup has counted, in the shape of runc's `events --stats`.
    ///
    /// # Errors
    /// The container has stopped, or its cgroup cannot be read.
    pub fn stats(&self, id: &str) -> Result<Value, Error> {
        let (_, container) = self.find(id)?;
        if container.init.is_none() {
            return Err(Error::NotRunning);
        }
        let mut data = to_value(container.cgroup.stats()?)?;
        if let Some(resctrl) = &container.resctrl {
            data["intel_rdt"] = to_value(resctrl.stats()?)?;
        }
        if let Some(interfaces) = network::statistics(&container)? {
            data["network_interfaces"] = interfaces;
        }
        Ok(json!({ "type": "stats", "id": id, "data": data }))
    }

    /// Calls `event` with statistics every `interval`, and at once when the kernel killed a process for want of memory, until
    /// the container has ended or `event` wants no more.
    ///
    /// # Errors
    /// As [`Runtime::stats`].
    pub fn events(&self, id: &str, interval: Duration, event: &mut dyn FnMut(&Value) -> bool) -> Result<(), Error> {
        let (_, container) = self.find(id)?;
        let Some(init) = container.init else { return Ok(()) };
        let mut oom = container.cgroup.watch_oom()?;
        let mut next = Instant::now();
        loop {
            if Instant::now() >= next {
                match self.stats(id) {
                    Ok(stats) if event(&stats) => {}
                    // It has ended since, and its cgroup may be gone.
                    Err(error) if !wait(init.as_fd(), None, Duration::ZERO)? => return Err(error),
                    _ => return Ok(()),
                }
                next += interval;
            }
            let ended = wait(init.as_fd(), oom.as_ref(), next.saturating_duration_since(Instant::now()))?;
            let kills = oom.as_mut().map_or(0, OomWatch::count);
            if kills > 0 && !event(&json!({ "type": "oom", "id": id })) || ended {
                return Ok(());
            }
        }
    }
}

fn to_value(stats: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(stats).map_err(|error| Error::Other(format!("statistics: {error}")))
}

/// Waits for the process's end, which it answers, for word of the out-of-memory killer, or for the time.
fn wait(init: BorrowedFd<'_>, oom: Option<&OomWatch>, limit: Duration) -> Result<bool, Error> {
    let mut polled = vec![PollFd::from_borrowed_fd(init, PollFlags::IN)];
    polled.extend(oom.map(|oom| PollFd::new(oom, PollFlags::IN)));
    match rustix::event::poll(&mut polled, Some(&launch::timespec(limit))) {
        Ok(_) | Err(Errno::INTR) => Ok(polled.first().is_some_and(|init| !init.revents().is_empty())),
        Err(errno) => Err(Error::call("waiting for events")(errno)),
    }
}
