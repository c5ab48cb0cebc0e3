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
    /// The container has stopped, or a limit makes no sense or cannot be had.
    pub fn update(&self, id: &str, resources: &Resources, rdt: &IntelRdtUpdate) -> Result<(), Error> {
        resources.validate().map_err(|refusal| Error::Other(refusal.in_document("resources")))?;
        let (entry, container) = self.find_locked(id)?;
        if container.status(&entry)? == Status::Stopped {
            return Err(Error::NotRunning);
        }
        if *rdt != IntelRdtUpdate::default() {
            let problem = "update: the container has no Intel RDT group (give it linux.intelRdt when it is created)";
            let resctrl = container.resctrl.as_ref().ok_or_else(|| Error::Other(problem.to_owned()))?;
            resctrl.update(rdt.l3_cache_schema.as_deref(), rdt.mem_bw_schema.as_deref())?;
        }
        if *resources != Resources::default() {
            container.cgroup.update(resources)?.iter().for_each(|warning| log::warn!("{warning}"));
        }
        Ok(())
    }
}
