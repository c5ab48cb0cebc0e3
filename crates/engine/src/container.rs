//! A container that exists: its record, its configuration as it was at create, and its status, which is derived and never
//! stored.

use std::os::fd::OwnedFd;
use std::time::Duration;

use cgroups::CgroupRecord;
use resctrl::ResctrlRecord;
use spec::{Spec, State, Status};
use state::{CONFIG, ContainerId, Entry, Locked, Record, StateRoot};

use crate::{Error, Runtime, socket};

/// How long a command waits for another one that changes the same container.
pub(crate) const LOCK_WAIT: Duration = Duration::from_millis(500);

/// What is recorded of a container, and its init.
pub(crate) struct Container {
    pub(crate) record: Record,
    pub(crate) cgroup: CgroupRecord,
    /// Its resctrl groups.
    pub(crate) resctrl: Option<ResctrlRecord>,
    /// The init process, if it is alive.
    pub(crate) init: Option<OwnedFd>,
}

impl Runtime {
    /// The container of that id, to be looked at.
    pub(crate) fn find(&self, id: &str) -> Result<(Entry, Container), Error> {
        let entry = self.entry(id)?;
        let container = Container::of(&entry)?;
        Ok((entry, container))
    }

    /// The container of that id, to be changed: no other command changes it meanwhile.
    pub(crate) fn find_locked(&self, id: &str) -> Result<(Locked, Container), Error> {
        let entry = self.entry(id)?.lock(LOCK_WAIT)?;
        let container = Container::of(&entry)?;
        Ok((entry, container))
    }

    /// The folder of the container of that id, recorded or half-made.
    pub(crate) fn entry(&self, id: &str) -> Result<Entry, Error> {
        let id = ContainerId::parse(id)?;
        Ok(StateRoot::open(&self.root)?.find(&id)?)
    }
}

impl Container {
    /// Reads what is recorded. A container that is still being made has no record, and is none for other commands yet.
    pub(crate) fn of(entry: &Entry) -> Result<Container, Error> {
        let Some(record) = entry.record()? else {
            return Err(Error::Status { action: "use", id: entry.id().to_string(), status: Status::Creating });
        };
        let damaged = |part: &'static str| {
            let id = record.id.to_string();
            move |error| Error::Other(format!("record of container {id:?}: {part}: {error}"))
        };
        let cgroup = serde_json::from_value(record.cgroup.clone()).map_err(damaged("cgroup"))?;
        let resctrl = record.resctrl.clone().map(serde_json::from_value).transpose().map_err(damaged("resctrl"))?;
        let init = match &record.init {
            Some(init) => init.alive()?,
            None => None,
        };
        Ok(Container { record, cgroup, resctrl, init })
    }

    /// Derived from the process, its start time, the program it executes, and its cgroup.
    pub(crate) fn status(&self, entry: &Entry) -> Result<Status, Error> {
        if self.init.is_none() {
            return Ok(Status::Stopped);
        }
        // A `start` that was killed before it removed the socket leaves one that nobody listens on: the process executes
        // something else than init then.
        if socket::exists(entry) && self.executes_init() {
            return Ok(Status::Created);
        }
        Ok(if self.cgroup.is_frozen()? { Status::Paused } else { Status::Running })
    }

    fn executes_init(&self) -> bool {
        let Some(init) = &self.record.init else { return false };
        // Unreadable is what it is for a caller with fewer rights than the container's process: the socket must do then.
        rustix::fs::readlink(format!("/proc/{}/exe", init.pid), Vec::new())
            .map_or(true, |target| target.to_bytes().starts_with(b"/memfd:lightship-init"))
    }

    /// The configuration as it was at create.
    pub(crate) fn spec(&self, entry: &Entry) -> Result<Spec, Error> {
        let bytes = entry.read(CONFIG)?.unwrap_or_default();
        let path = entry.path().join(CONFIG);
        Spec::from_bytes(&bytes).map_err(|error| Error::Unreadable { path, error })
    }

    /// The state document as hooks and seccomp agents get it.
    pub(crate) fn state(&self, status: Status) -> State {
        let pid = self.record.init.as_ref().filter(|_| status != Status::Stopped).map(|init| init.pid);
        state_of(&self.record, status, pid)
    }
}

/// The state document of a record.
pub(crate) fn state_of(record: &Record, status: Status, pid: Option<i32>) -> State {
    State {
        oci_version: record.oci_version.clone(),
        id: record.id.to_string(),
        status,
        pid,
        bundle: record.bundle.clone(),
        annotations: record.annotations.clone(),
    }
}
