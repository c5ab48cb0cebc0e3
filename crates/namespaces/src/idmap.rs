//! The id maps of a new user namespace (user_namespaces(7)).

use std::fmt::Write;
use std::io;

use rustix::fs::{Mode, OFlags};
use spec::{IdMapping, Refusal};

/// The contents of a user namespace's map files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMaps {
    /// `/proc/<pid>/uid_map`.
    pub uids: String,
    /// `/proc/<pid>/gid_map`.
    pub gids: String,
}

impl IdMaps {
    /// The lines for `linux.uidMappings` and `linux.gidMappings`.
    ///
    /// # Errors
    /// Refuses an empty map: nobody could be root in the container.
    pub fn new(uids: &[IdMapping], gids: &[IdMapping]) -> Result<IdMaps, Refusal> {
        for (mappings, pointer) in [(uids, "/linux/uidMappings"), (gids, "/linux/gidMappings")] {
            if mappings.is_empty() {
                let problem = "a new user namespace has no id mapping";
                return Err(Refusal::new(pointer, problem, "map at least the container's id 0"));
            }
        }
        Ok(IdMaps { uids: lines(uids), gids: lines(gids) })
    }
}

fn lines(mappings: &[IdMapping]) -> String {
    mappings.iter().fold(String::new(), |mut lines, map| {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{} {} {}", map.container_id, map.host_id, map.size);
        lines
    })
}

/// Gives the process's user namespace its maps, each in the one write that the kernel allows.
///
/// Without privilege over the parent namespace, setgroups(2) has to be denied before the kernel accepts a group map: else a
/// user could leave a group that a file denies access to (CVE-2014-8989).
///
/// # Errors
/// Those of open(2) and write(2); `EPERM` where the caller may not map those ids.
pub fn write_maps(pid: i32, maps: &IdMaps, privileged: bool) -> io::Result<()> {
    if !privileged {
        write(pid, "setgroups", "deny")?;
    }
    write(pid, "gid_map", &maps.gids)?;
    write(pid, "uid_map", &maps.uids)
}

pub(crate) fn write(pid: i32, file: &str, text: &str) -> io::Result<()> {
    let path = format!("/proc/{pid}/{file}");
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    match rustix::io::write(&file, text.as_bytes())? {
        written if written == text.len() => Ok(()),
        _ => Err(rustix::io::Errno::INVAL.into()),
    }
}
