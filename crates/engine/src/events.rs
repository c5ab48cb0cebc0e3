//! `events`: what a container uses, once or again and again, and that it ran out of memory.

use std::os::fd::AsFd;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Error, Runtime, launch};

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
        let stats = container.cgroup.stats()?;
        let data = serde_json::to_value(stats).map_err(|error| Error::Other(format!("statistics: {error}")))?;
        Ok(json!({ "type": "stats", "id": id, "data": data }))
    }

    /// Calls `event` with statistics every `interval` until the container has ended or `event` wants no more.
    ///
    /// # Errors
    /// As [`Runtime::stats`].
    pub fn events(&self, id: &str, interval: Duration, event: &mut dyn FnMut(&Value) -> bool) -> Result<(), Error> {
        loop {
            let (_, container) = self.find(id)?;
            let Some(init) = container.init else { return Ok(()) };
            if !event(&self.stats(id)?) || launch::wait_ended(init.as_fd(), interval) {
                return Ok(());
            }
        }
    }
}
