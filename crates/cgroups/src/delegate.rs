//! Hands the container's cgroup to its root user, so that an init system inside can make cgroups of its own.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, Uid};
use rustix::io::Errno;

use crate::error::Error;
use crate::kernfs;
use crate::record::CgroupRecord;

/// The files that say so are those of Linux 4.15 on; older kernels have no list and these.
const DEFAULT_FILES: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

impl CgroupRecord {
    /// Makes `uid`, the host's number of the container's root user, the owner of the cgroup v2 directory and of the files
    /// in it that the kernel lists as safe to delegate; the limits stay the host's. v1 cannot be delegated.
    ///
    /// For the caller to check: the container has a cgroup namespace of its own and a writable cgroup mount
    /// (config-linux.md, Cgroup ownership).
    pub fn delegate(&self, uid: u32) -> Result<(), Error> {
        let Some(dir) = self.unified() else { return Ok(()) };
        let files = match kernfs::try_read(Path::new("/sys/kernel/cgroup/delegate")) {
            Ok(files) => files,
            Err(_) => DEFAULT_FILES.to_owned(),
        };
        change_owner(dir, uid)?;
        files.lines().try_for_each(|file| change_owner(&dir.join(file), uid))
    }
}

/// A file of a controller that is not enabled is not there.
fn change_owner(path: &Path, uid: u32) -> Result<(), Error> {
    match rustix::fs::chownat(CWD, path, Some(Uid::from_raw(uid)), None, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::file("change the owner of", path, errno)),
    }
}
