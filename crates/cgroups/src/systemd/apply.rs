//! What systemd is asked to do: start a unit around a process, change it, stop it.

use rustix::fs::{Access, access};
use rustix::io::Errno;
use trace::Trace;

use super::bus::{Connection, Failure};
use super::properties::{self, DEFAULT_PERIOD, Property};
use super::wire::Value;
use super::{Unit, version};
use crate::error::Error;
use crate::kernfs;
use crate::plan::CgroupPlan;
use crate::record::{CgroupRecord, Dir, Version};
use crate::writes::Write;

impl CgroupPlan {
    /// Starts the unit around the process `pid`, and sets in the files what systemd has no properties for. To be used in place
    /// of [`create`](CgroupPlan::create), with a process that waits and holds nothing yet.
    ///
    /// # Errors
    /// systemd refuses, a limit cannot be had.
    pub fn start_unit(&self, record: &CgroupRecord, pid: i32, trace: &Trace) -> Result<(), Error> {
        let Some(plan) = &self.unit else { return Ok(()) };
        let mut properties = plan.properties.clone();
        if plan.unit.is_scope() {
            properties.push(("PIDs".to_owned(), pids(pid)));
        }
        trace.step("StartTransientUnit", || plan.unit.start(properties))?;
        if let Some(dir) = record.unified().filter(|dir| access(*dir, Access::EXISTS).is_err()) {
            let problem = format!("it has put it elsewhere than in {}", dir.display());
            return Err(Error::Systemd { action: "start", unit: plan.unit.name.clone(), problem });
        }
        self.create(record, trace)?;
        record.dirs.iter().filter(|dir| dir.version == Version::V1 || !plan.unit.is_scope()).try_for_each(|dir| {
            // Not all v1 hierarchies are systemd's, and it moves no process into a slice.
            move_into(dir, pid)
        })
    }
}

impl CgroupRecord {
    /// Has systemd move a process into the unit, where the caller may not do so itself, or below it as in
    /// [`below`](CgroupRecord::below) (`AttachProcessesToUnit`, systemd 238).
    ///
    /// # Errors
    /// There is no unit; systemd refuses.
    pub fn attach(&self, wanted: &[String], pid: i32) -> Result<(), Error> {
        let unit = self.unit.as_ref().ok_or(Error::NoCgroup { action: "enter", remedy: "create it with systemd" })?;
        let moved = self.below(wanted)?;
        let below = moved.unified().zip(self.unified()).and_then(|(to, from)| to.strip_prefix(from).ok());
        let below = below.map_or_else(|| "/".to_owned(), |below| format!("/{}", below.display()));
        let arguments = [unit.name.as_str().into(), below.as_str().into(), pids(pid)];
        let attached = unit.connect("enter")?.manager("AttachProcessesToUnit", &arguments);
        attached.map(drop).map_err(unit.failed("enter"))
    }
}

fn move_into(dir: &Dir, pid: i32) -> Result<(), Error> {
    let file = dir.path.join("cgroup.procs");
    kernfs::write(&file, &pid.to_string()).map_err(|errno| Error::file("write", file, errno))
}

impl Unit {
    fn start(&self, properties: Vec<Property>) -> Result<(), Error> {
        let mut connection = self.connect("start")?;
        let auxiliary = Value::Array("(sa(sv))".to_owned(), Vec::new());
        let arguments = [self.name.as_str().into(), "fail".into(), listed(properties), auxiliary];
        let mut result = connection.job("StartTransientUnit", &arguments);
        if result.as_ref().is_err_and(Failure::is_unit_exists) {
            // One that has failed is kept to be looked at, and goes when it is reset.
            let _ = connection.manager("ResetFailedUnit", &[self.name.as_str().into()]);
            result = connection.job("StartTransientUnit", &arguments);
        }
        self.done("start", result)
    }

    /// Sets limits on the running unit.
    ///
    /// # Errors
    /// systemd refuses.
    pub(crate) fn set_limits(&self, writes: &[Write], period: Option<u64>) -> Result<(), Error> {
        let mut connection = self.connect("change")?;
        let version = version(&connection.manager_text("Version").map_err(self.failed("change"))?);
        let properties = properties::of(writes, version, period.unwrap_or(DEFAULT_PERIOD));
        if properties.is_empty() {
            return Ok(());
        }
        let until_reboot = Value::Bool(true);
        let arguments = [self.name.as_str().into(), until_reboot, listed(properties)];
        connection.manager("SetUnitProperties", &arguments).map(drop).map_err(self.failed("change"))
    }

    /// Stops the unit, and waits until it has; one that is not there is no error.
    ///
    /// # Errors
    /// systemd refuses, or does not answer.
    pub(crate) fn stop(&self) -> Result<(), Error> {
        let mut connection = match Connection::open(self.user) {
            Ok(connection) => connection,
            // With systemd its units are gone.
            Err(Failure::Io(Errno::NOENT | Errno::CONNREFUSED)) => return Ok(()),
            Err(failure) => return Err(self.failed("stop")(failure)),
        };
        let name = || Value::from(self.name.as_str());
        match connection.job("StopUnit", &[name(), "replace".into()]) {
            Err(failure) if failure.is_no_unit() => return Ok(()),
            result => self.done("stop", result)?,
        }
        match connection.manager("ResetFailedUnit", &[name()]) {
            Err(failure) if !failure.is_no_unit() => Err(self.failed("reset")(failure)),
            _ => Ok(()),
        }
    }

    fn connect(&self, action: &'static str) -> Result<Connection, Error> {
        Connection::open(self.user).map_err(self.failed(action))
    }

    fn done(&self, action: &'static str, result: Result<String, Failure>) -> Result<(), Error> {
        let ended = result.map_err(self.failed(action))?;
        if ended == "done" {
            return Ok(());
        }
        let problem = format!("the job ended as \"{ended}\"; see journalctl");
        Err(Error::Systemd { action, unit: self.name.clone(), problem })
    }
}

fn pids(pid: i32) -> Value {
    Value::Array("u".to_owned(), vec![Value::Uint32(pid.unsigned_abs())])
}

/// Properties as systemd takes them, `a(sv)`.
fn listed(properties: Vec<Property>) -> Value {
    let pair = |(name, value)| Value::Struct(vec![Value::String(name), Value::Variant(Box::new(value))]);
    Value::Array("(sv)".to_owned(), properties.into_iter().map(pair).collect())
}
