//! `update`: new limits for a container that exists.

use spec::{Resources, Status};

use crate::{Error, Runtime};

/// The part of `update` for Intel RDT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntelRdtUpdate {
    /// `--l3-cache-schema`.
    pub l3_cache_schema: Option<String>,
    /// `--mem-bw-schema`.
    pub mem_bw_schema: Option<String>,
}

impl Runtime {
    /// Changes limits; what is absent or 0 stays as it is.
    ///
    /// # Errors
    /// The container has stopped, or a limit cannot be had.
    pub fn update(&self, id: &str, resources: &Resources, rdt: &IntelRdtUpdate) -> Result<(), Error> {
        if *rdt != IntelRdtUpdate::default() {
            return Err(Error::Other(
                "update: Intel RDT is not supported yet; leave out --l3-cache-schema and --mem-bw-schema".to_owned(),
            ));
        }
        let (entry, container) = self.find_locked(id)?;
        if container.status(&entry)? == Status::Stopped {
            return Err(Error::NotRunning);
        }
        for warning in container.cgroup.update(resources)? {
            log::warn!("{warning}");
        }
        Ok(())
    }
}
