//! Where the resctrl file system is mounted.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// The mount point of resctrl in this mount namespace, most often `/sys/fs/resctrl`; `None` where it is not mounted.
///
/// # Errors
/// The mount table cannot be read.
pub fn mount_point() -> Result<Option<PathBuf>, Error> {
    let table = Path::new("/proc/self/mountinfo");
    let text = std::fs::read(table).map_err(Error::file("read", table, Path::new("/")))?;
    Ok(find(&String::from_utf8_lossy(&text)))
}

/// The fifth field of a line is the mount point, the first one behind the dash the type (proc_pid_mountinfo(5)).
fn find(table: &str) -> Option<PathBuf> {
    let line = table.lines().find(|line| line.contains(" - resctrl "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_decides_and_not_the_name() {
        let table = "30 22 0:26 / /srv/resctrl rw - tmpfs resctrl rw\n\
            31 22 0:27 / /sys/fs/resctrl rw,nosuid shared:9 - resctrl resctrl rw\n";
        assert_eq!(find(table), Some("/sys/fs/resctrl".into()));
        assert_eq!(find("30 22 0:26 / /srv/resctrl rw - tmpfs resctrl rw\n"), None);
    }
}
