//! The private mount namespace in which everything is measured.

use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::Result;

const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Leaves the host's mount namespace and hides the cgroup2 mount of the hybrid layout there:
/// crun refuses hybrid, and all runtimes shall see the same.
pub fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)
        .map_err(|errno| format!("cannot unshare the mount namespace: {errno} (run as root)"))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    if std::fs::read_to_string("/proc/self/mounts")?.contains(&format!(" {UNIFIED} ")) {
        umount2(UNIFIED, MntFlags::MNT_DETACH)?;
    }
    Ok(())
}

/// Mounts a tmpfs, as `/run` is one, on a new folder: what the runtimes write down lands on no disk.
pub fn tmpfs(folder: &Path) -> Result<()> {
    std::fs::create_dir(folder)?;
    Ok(mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), None::<&str>)?)
}
