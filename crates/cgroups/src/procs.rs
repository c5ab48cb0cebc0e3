//! Which processes are in a cgroup and below it.

use std::path::Path;

use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::Error;
use crate::kernfs;
use crate::record::CgroupRecord;

impl CgroupRecord {
    /// All processes of the container, those in cgroups it made below its own included; pids as in the caller's PID
    /// namespace, ascending.
    pub fn processes(&self) -> Result<Vec<Pid>, Error> {
        self.main_dir().map_or(Ok(Vec::new()), |dir| below(&dir.path))
    }
}

/// The processes in a directory and below it. A directory that vanishes meanwhile has none.
pub(crate) fn below(path: &Path) -> Result<Vec<Pid>, Error> {
    let mut found = Vec::new();
    collect(path, &mut found)?;
    found.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
    found.dedup();
    Ok(found)
}

fn collect(path: &Path, found: &mut Vec<Pid>) -> Result<(), Error> {
    match kernfs::try_read(&path.join("cgroup.procs")) {
        // A pid of 0 is a process outside of our PID namespace.
        Ok(text) => found.extend(text.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw)),
        // The directory was removed before or during the read; a threaded one has no list of processes.
        Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => {}
        Err(errno) => return Err(Error::file("read", path.join("cgroup.procs"), errno)),
    }
    kernfs::subdirs(path)?.iter().try_for_each(|dir| collect(dir, found))
}
