//! The groups on the host: looked at, made, given their lines, joined.

use std::io::Write as _;
use std::path::Path;

use spec::Refusal;

use crate::error::Error;
use crate::plan::{self, ResctrlPlan};
use crate::record::ResctrlRecord;
use crate::schemata;

impl ResctrlPlan {
    /// Looks at the groups there are, and says which the container will have. Nothing is made.
    ///
    /// # Errors
    /// The configuration names a group that is missing or whose lines are others; a monitoring group of the container's name is
    /// there already.
    pub fn record(&self) -> Result<ResctrlRecord, Error> {
        let exists = self.group.exists();
        if self.named {
            match exists {
                true => self.compare()?,
                false => self.may_be_made()?,
            }
        }
        if self.monitor.as_ref().is_some_and(|monitor| monitor.exists()) {
            let problem = "there is a monitoring group of the container's name already";
            let remedy = format!("remove it below {}, or choose another id", self.group.join("mon_groups").display());
            return Err(Refusal::new("/linux/intelRdt/enableMonitoring", problem, remedy).into());
        }
        Ok(ResctrlRecord {
            mount: self.mount.clone(),
            group: self.group.clone(),
            named: self.named,
            made: !exists,
            monitor: self.monitor.clone(),
        })
    }

    /// Without lines of its own the group is one that somebody has prepared.
    fn may_be_made(&self) -> Result<(), Refusal> {
        if !self.lines.is_empty() || !self.last_lines.is_empty() {
            return Ok(());
        }
        let problem = format!("there is no group {}, and nothing that it should be made with", self.group.display());
        let remedy = "make it, or set l3CacheSchema, memBwSchema or schemata";
        Err(Refusal::new("/linux/intelRdt/closID", problem, remedy))
    }

    /// A group that is there has to have what is asked for, as it may be others' as well.
    fn compare(&self) -> Result<(), Error> {
        let file = self.group.join("schemata");
        let text = std::fs::read_to_string(&file).map_err(Error::file("read", &file, &self.mount))?;
        let granularity = std::fs::read_to_string(self.mount.join("info/MB/bandwidth_gran")).unwrap_or_default();
        let wanted = self.lines.iter().chain(&self.last_lines);
        match schemata::missing(wanted, &text, granularity.trim().parse().unwrap_or(1)) {
            None => Ok(()),
            Some(missing) => {
                let problem = format!("{} has not `{missing}`", file.display());
                let remedy = "choose another closID, or take the lines from there";
                Err(Refusal::new("/linux/intelRdt/closID", problem, remedy).into())
            }
        }
    }

    /// Makes the control group, if it is not there.
    ///
    /// # Errors
    /// The kernel has no class of service left, or the caller may not make one.
    pub fn make_group(&self) -> Result<(), Error> {
        make(&self.group, &self.mount).or_else(|error| if self.group.exists() { Ok(()) } else { Err(error) })
    }

    /// Writes the lines and makes the monitoring group.
    ///
    /// # Errors
    /// The kernel does not take a line, or has no monitoring group left.
    pub fn configure(&self, record: &ResctrlRecord) -> Result<(), Error> {
        // What a named group has was compared: it is in force.
        if record.made || !record.named {
            self.write_all_lines(record)?;
        }
        self.monitor.as_ref().map_or(Ok(()), |monitor| make(monitor, &self.mount))
    }

    fn write_all_lines(&self, record: &ResctrlRecord) -> Result<(), Error> {
        let written = [&self.lines, &self.last_lines].into_iter().try_for_each(|lines| write_lines(record, lines));
        if written.is_err() && record.named {
            // It would stay, and the next container to name it would find other lines than it asks for.
            let _ = std::fs::remove_dir(&record.group);
        }
        written
    }
}

impl ResctrlRecord {
    /// Moves a process of one thread into the groups; what it forks later will be there too.
    ///
    /// # Errors
    /// A group is gone, or the process.
    pub fn join(&self, pid: i32) -> Result<(), Error> {
        // First the control group: a monitoring group takes only tasks of the one that it is below.
        [Some(&self.group), self.monitor.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|group| write(&group.join("tasks"), &pid.to_string(), &self.mount))
    }

    /// Gives the control group new lines. It may be others' as well, as in runc.
    ///
    /// # Errors
    /// The kernel does not take a line.
    pub fn update(&self, l3_cache: Option<&str>, mem_bw: Option<&str>) -> Result<(), Error> {
        write_lines(self, &plan::lines(l3_cache, mem_bw))
    }
}

fn make(group: &Path, mount: &Path) -> Result<(), Error> {
    std::fs::create_dir(group).map_err(Error::file("make", group, mount))
}

/// All lines at once: the kernel takes all of them or none.
fn write_lines(record: &ResctrlRecord, lines: &[String]) -> Result<(), Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    write(&record.group.join("schemata"), &text, &record.mount)
}

/// One write(2), and never a new file: they are the kernel's.
fn write(path: &Path, text: &str, mount: &Path) -> Result<(), Error> {
    let action = format!("write {:?} to", text.trim_end());
    std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::file(&action, path, mount))
}
