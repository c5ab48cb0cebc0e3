//! Freezing and thawing all processes of a container.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::error::Error;
use crate::kernfs;
use crate::record::{CgroupRecord, Dir, Version};

/// How long processes may take to stop. Those that wait in the kernel for a device may never do.
const LIMIT: Duration = Duration::from_secs(2);

impl CgroupRecord {
    /// Stops all processes of the container and waits until they have stopped.
    ///
    /// # Errors
    /// [`Error::Timeout`] when some did not stop; all run again then.
    pub fn freeze(&self) -> Result<(), Error> {
        let dir = self.freezer().ok_or(NO_FREEZER)?;
        let is_frozen = match dir.version {
            Version::V1 => freeze_v1(dir)?,
            Version::V2 => {
                set(dir, true)?;
                kernfs::wait_for_event(&dir.path, "frozen 1", LIMIT)?
            }
        };
        if is_frozen {
            return Ok(());
        }
        set(dir, false)?;
        Err(Error::Timeout { path: dir.path.clone(), state: "frozen", millis: LIMIT.as_millis() as u64 })
    }

    /// Lets the processes run again.
    pub fn thaw(&self) -> Result<(), Error> {
        set(self.freezer().ok_or(NO_FREEZER)?, false)
    }

    /// Whether the container is paused. One without cgroups, or whose cgroups are gone, is not.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        self.freezer().map_or(Ok(false), is_frozen)
    }

    /// The directory by which all processes of the container are stopped.
    pub fn freezer_path(&self) -> Option<&Path> {
        self.freezer().map(|dir| dir.path.as_path())
    }

    /// v1's freezer where it is bound to v1, else the unified hierarchy.
    fn freezer(&self) -> Option<&Dir> {
        let v1 = self.dirs.iter().find(|dir| dir.version == Version::V1 && dir.has("freezer"));
        v1.or_else(|| self.unified_dir())
    }

    /// Thaws v1's freezer, if there is one: unlike v2's, it keeps even a killed process from dying.
    pub(crate) fn thaw_v1(&self) -> Result<(), Error> {
        match self.freezer().filter(|dir| dir.version == Version::V1) {
            Some(dir) => set(dir, false),
            None => Ok(()),
        }
    }
}

const NO_FREEZER: Error = Error::NoCgroup {
    action: "pause",
    remedy: "give it one with /linux/cgroupsPath, on a host with a freezer; without root's privileges, below a delegated cgroup",
};

/// Whether a directory is frozen, itself or by an ancestor, or about to be.
pub(crate) fn is_frozen(dir: &Dir) -> Result<bool, Error> {
    let (file, thawed) = match dir.version {
        Version::V1 if !dir.has("freezer") => return Ok(false),
        Version::V1 => ("freezer.state", "THAWED"),
        Version::V2 => ("cgroup.freeze", "0"),
    };
    let path = dir.path.join(file);
    match kernfs::try_read_line(&path) {
        Ok(state) => Ok(state != thawed),
        Err(Errno::NOENT | Errno::NODEV) => Ok(false),
        Err(errno) => Err(Error::file("read", path, errno)),
    }
}

/// Thawing a cgroup that is gone is no error.
fn set(dir: &Dir, frozen: bool) -> Result<(), Error> {
    let (file, value) = match (dir.version, frozen) {
        (Version::V1, true) => ("freezer.state", "FROZEN"),
        (Version::V1, false) => ("freezer.state", "THAWED"),
        (Version::V2, true) => ("cgroup.freeze", "1"),
        (Version::V2, false) => ("cgroup.freeze", "0"),
    };
    let path = dir.path.join(file);
    match kernfs::write(&path, value) {
        Err(Errno::NOENT | Errno::NODEV) if !frozen => Ok(()),
        result => result.map_err(|errno| Error::file("write", path, errno)),
    }
}

/// v1 stays at FREEZING while a process forks faster than it is caught; asking again catches the new ones. It notifies
/// nobody: each read of the state makes the kernel look.
fn freeze_v1(dir: &Dir) -> Result<bool, Error> {
    let deadline = Instant::now() + LIMIT;
    loop {
        set(dir, true)?;
        if kernfs::read_line(&dir.path.join("freezer.state"))? == "FROZEN" {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        kernfs::pause();
    }
}
