//! A container that exists: its record, its configuration as it was at create, and its status, which is derived and never
//! stored.

use std::os::fd::OwnedFd;
use std::time::Duration;

use cgroups::CgroupRecord;
use hostnet::NetRecord;
use resctrl::ResctrlRecord;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use spec::{Hooks, ReadError, Spec, State, Status};
use state::{CONFIG, ContainerId, Entry, JOURNAL, Locked, Part, Record, StateRoot};

use crate::{Error, Runtime, socket};

/// How long a command waits for another one that changes the same container.
pub(crate) const LOCK_WAIT: Duration = Duration::from_millis(500);

/// What is recorded of a container, and its init.
pub(crate) struct Container {
    pub(crate) record: Record,
    pub(crate) cgroup: CgroupRecord,
    /// Its resctrl groups.
    pub(crate) resctrl: Option<ResctrlRecord>,
    /// What is in force in the host's network, if it shares that.
    pub(crate) network: Option<NetRecord>,
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
        self.trace.step("lock and record", || {
            let entry = self.entry(id)?.lock(LOCK_WAIT)?;
            let container = Container::of(&entry)?;
            Ok((entry, container))
        })
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
            let id = entry.id().to_string();
            // The journal is made first and goes before the record: without both, this is a folder on its way out (or in).
            return Err(match entry.read(JOURNAL)? {
                Some(_) => Error::Status { action: "use", id, status: Status::Creating },
                None => state::Error::NotFound { id }.into(),
            });
        };
        let damaged = |part: &'static str| {
            let id = record.id.to_string();
            move |error| Error::Other(format!("record of container {id:?}: {part}: {error}"))
        };
        let cgroup = record.cgroup.read().map_err(damaged("cgroup"))?;
        let resctrl = record.resctrl.as_ref().map(Part::read).transpose().map_err(damaged("resctrl"))?;
        let network = record.network.as_ref().map(Part::read).transpose().map_err(damaged("network"))?;
        let init = match &record.init {
            Some(init) => init.alive()?,
            None => None,
        };
        Ok(Container { record, cgroup, resctrl, network, init })
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
        configuration(entry, Spec::from_bytes)
    }

    /// The hooks of the configuration, for a command that has no use for the rest.
    pub(crate) fn hooks(&self, entry: &Entry) -> Result<Hooks, Error> {
        configuration(entry, Hooks::of_config)
    }

    /// All processes, by their ids in the runtime's PID namespace: those in the container's cgroup, without one those in its PID
    /// namespace, and where that is the runtime's, init alone.
    pub(crate) fn processes(&self) -> Result<Vec<Pid>, Error> {
        if !self.cgroup.dirs.is_empty() {
            return Ok(self.cgroup.processes()?);
        }
        let Some(init) = self.init.as_ref().and(self.record.init.as_ref()).and_then(|init| Pid::from_raw(init.pid))
        else {
            return Ok(Vec::new());
        };
        let namespace =
            |pid: Pid| rustix::fs::readlink(format!("/proc/{}/ns/pid", pid.as_raw_nonzero()), Vec::new()).ok();
        let theirs = namespace(init);
        if theirs.is_none() || theirs == namespace(rustix::process::getpid()) {
            return Ok(vec![init]);
        }
        let proc = std::fs::read_dir("/proc").map_err(Error::file("processes", "/proc"))?;
        let pids = proc.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        Ok(pids.filter(|&pid| namespace(pid) == theirs).collect())
    }

    /// Sends a signal to all processes.
    pub(crate) fn signal_all(&self, signal: Signal) -> Result<(), Error> {
        if !self.cgroup.dirs.is_empty() {
            self.cgroup.signal_all(signal)?;
            return Ok(());
        }
        let pidfds =
            self.processes()?.into_iter().filter_map(|pid| Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?)));
        let pidfds: Vec<_> = pidfds.collect();
        // An id that was given to another process before it was opened is not among them any more.
        let still = self.processes()?;
        for (_, pidfd) in pidfds.iter().filter(|(pid, _)| still.contains(pid)) {
            match rustix::process::pidfd_send_signal(pidfd, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(Error::call("signalling a process of the container")(errno)),
            }
        }
        Ok(())
    }

    /// The state document as hooks and seccomp agents get it.
    pub(crate) fn state(&self, status: Status) -> State {
        let pid = self.record.init.as_ref().filter(|_| status != Status::Stopped).map(|init| init.pid);
        state_of(&self.record, status, pid)
    }
}

fn configuration<T>(entry: &Entry, read: fn(&[u8]) -> Result<T, ReadError>) -> Result<T, Error> {
    let bytes = entry.read(CONFIG)?.unwrap_or_default();
    read(&bytes).map_err(|error| Error::Unreadable { path: entry.path().join(CONFIG), error })
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
