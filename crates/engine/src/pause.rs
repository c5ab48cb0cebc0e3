//! `pause` and `resume`: the freezer.

use spec::Status;

use crate::{Error, Runtime};

impl Runtime {
    /// Freezes every process of the container.
    ///
    /// # Errors
    /// The container is not running.
    pub fn pause(&self, id: &str) -> Result<(), Error> {
        let (entry, container) = self.find(id)?;
        match container.status(&entry)? {
            Status::Running | Status::Created => Ok(container.cgroup.freeze()?),
            Status::Paused => Err(Error::Status { action: "pause", id: id.to_owned(), status: Status::Paused }),
            _ => Err(Error::NotRunning),
        }
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// The container is not paused.
    pub fn resume(&self, id: &str) -> Result<(), Error> {
        let (entry, container) = self.find(id)?;
        match container.status(&entry)? {
            Status::Paused => Ok(container.cgroup.thaw()?),
            Status::Stopped => Err(Error::NotRunning),
            status => Err(Error::Status { action: "resume", id: id.to_owned(), status }),
        }
    }
}
