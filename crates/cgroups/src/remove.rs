//! Removes the directories that the container made.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use crate::error::Error;
use crate::kernfs;
use crate::record::{CgroupRecord, Dir, Version};
use crate::systemd::Unit;

/// How long the last processes may take to leave after they were killed.
const LIMIT: Duration = Duration::from_secs(2);

impl CgroupRecord {
    /// Stops the container's unit, if there is one, and removes the container's directories and those made below them,
    /// innermost first; those that existed before the container stay, and so does their unit. What is gone already is no
    /// error.
    ///
    /// Processes are not killed: call [`kill_all`](CgroupRecord::kill_all) before.
    ///
    /// # Errors
    /// The first directory that cannot be removed; the others are removed all the same.
    pub fn remove(&self) -> Result<(), Error> {
        let unit = self.unit.as_ref().filter(|_| self.dirs.iter().any(|dir| dir.made));
        // systemd goes first: it would go on watching directories that are gone.
        let mut first = unit.map_or(Ok(()), Unit::stop);
        let deadline = Instant::now() + LIMIT;
        for dir in self.dirs.iter().rev().filter(|dir| dir.made) {
            let result = remove_dir(dir, deadline);
            first = first.and(result);
        }
        first
    }
}

impl CgroupRecord {
    /// Removes the directory that all processes would be in, and no other: as a rule none is left, which is found out in one
    /// call, since a cgroup with processes or others below is not removed (cgroups(7), "Removing cgroups").
    pub fn remove_main_if_empty(&self) -> bool {
        // systemd removes its own.
        let main = self.main_dir().filter(|dir| dir.made && self.unit.is_none());
        main.is_some_and(|dir| rmdir(&dir.path).is_ok())
    }
}

fn remove_dir(dir: &Dir, deadline: Instant) -> Result<(), Error> {
    loop {
        match remove_tree(&dir.path) {
            Err(Error::File { errno: Errno::BUSY, .. }) if Instant::now() < deadline => {}
            result => return result,
        }
        match dir.version {
            Version::V2 => {
                let left = deadline.saturating_duration_since(Instant::now());
                kernfs::wait_for_event(&dir.path, "populated 0", left)?;
                // A dying process may still hold the cgroup for a moment after it stopped counting.
                kernfs::pause();
            }
            Version::V1 => kernfs::pause(),
        }
    }
}

fn remove_tree(path: &Path) -> Result<(), Error> {
    match rmdir(path) {
        Err(Errno::BUSY | Errno::NOTEMPTY) => {}
        result => return result.map_err(|errno| Error::file("remove", path, errno)),
    }
    kernfs::subdirs(path)?.iter().try_for_each(|dir| remove_tree(dir))?;
    rmdir(path).map_err(|errno| Error::file("remove", path, errno))
}

fn rmdir(path: &Path) -> Result<(), Errno> {
    match rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}
