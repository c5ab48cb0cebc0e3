//! Changes the limits of a running container.

use spec::Resources;

use crate::error::Error;
use crate::record::{CgroupRecord, Dir, Version};
use crate::{apply, kernfs, writes};

const RESOURCES: &str = "/linux/resources";

impl CgroupRecord {
    /// Sets the limits given and leaves all others as they are; returns warnings. Device rules are not changed, as in
    /// runc.
    ///
    /// # Errors
    /// A limit that is refused, with its JSON pointer below `/linux/resources`. Limits before it may have been set.
    pub fn update(&self, resources: &Resources) -> Result<Vec<String>, Error> {
        if self.dirs.is_empty() {
            return Err(Error::NoCgroup { action: "update", remedy: "run the container with a cgroup manager" });
        }
        let resources = self.completed(resources)?;
        self.check_usage(&resources)?;
        let lowered = writes::lower(&resources, &self.dirs, RESOURCES)?;
        if let Some(unit) = &self.unit {
            unit.set_limits(&lowered.writes, self.cpu_period())?;
        }
        apply::write_limits(&self.dirs, &lowered.writes)?;
        Ok(lowered.warnings)
    }

    /// v2 has single files for what config.json has two properties for. The one that is not given is what is set now.
    fn completed(&self, resources: &Resources) -> Result<Resources, Error> {
        let mut resources = resources.clone();
        if let (Some(dir), Some(cpu)) = (self.v2("cpu"), resources.cpu.as_mut())
            && cpu.period.unwrap_or(0) != 0
            && cpu.quota.unwrap_or(0) == 0
        {
            cpu.quota = current(dir, "cpu.max")?;
        }
        if let (Some(dir), Some(memory)) = (self.v2("memory"), resources.memory.as_mut())
            && memory.swap.unwrap_or(0) > 0
            && memory.limit.unwrap_or(0) == 0
        {
            memory.limit = current(dir, "memory.max")?;
        }
        Ok(resources)
    }

    /// The period of the CPU quota as it is now, in microseconds.
    fn cpu_period(&self) -> Option<u64> {
        let (dir, file) = match self.v1("cpu") {
            Some(dir) => (dir, "cpu.cfs_period_us"),
            None => (self.unified()?, "cpu.max"),
        };
        kernfs::try_read_line(&dir.join(file)).ok()?.split_ascii_whitespace().last()?.parse().ok()
    }

    /// The unified directory, if it is where that controller's limits are.
    fn v2(&self, controller: &str) -> Option<&Dir> {
        self.unified_dir().filter(|dir| dir.has(controller) && self.v1(controller).is_none())
    }

    /// `checkBeforeUpdate`: a limit below the usage would make the kernel reclaim, swap and kill.
    fn check_usage(&self, resources: &Resources) -> Result<(), Error> {
        let Some(memory) = resources.memory.as_ref().filter(|memory| memory.check_before_update == Some(true)) else {
            return Ok(());
        };
        let Some(dir) = self.dirs.iter().find(|dir| dir.has("memory")) else { return Ok(()) };
        let file = match dir.version {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        };
        let Some(used) = current(dir, file)? else { return Ok(()) };
        match memory.limit {
            Some(wanted) if wanted > 0 && wanted < used => {
                Err(Error::BelowUsage { pointer: format!("{RESOURCES}/memory/limit"), wanted, used })
            }
            _ => Ok(()),
        }
    }
}

/// The first number in a file; -1 for `max`.
fn current(dir: &Dir, file: &str) -> Result<Option<i64>, Error> {
    let text = kernfs::read_line(&dir.path.join(file))?;
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    Ok(if word == "max" { Some(-1) } else { word.parse().ok() })
}
