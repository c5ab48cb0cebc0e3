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

/// Who can write the maps of a new user namespace (user_namespaces(7), "Defining user and group ID mappings").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapWriter {
    /// The caller, being root.
    Root,
    /// The caller, since it maps nothing but its own two ids; setgroups(2) is denied for that.
    Owner,
    /// newuidmap(1) and newgidmap(1), which give a user the ids that `/etc/subuid` and `/etc/subgid` grant.
    Helpers,
}

impl IdMaps {
    /// Who can write these maps for the caller with these effective ids.
    pub fn writer(&self, uid: u32, gid: u32) -> MapWriter {
        let is_own = |lines: &str, id: u32| lines.split_whitespace().skip(1).eq([id.to_string().as_str(), "1"]);
        match uid {
            0 => MapWriter::Root,
            _ if is_own(&self.uids, uid) && is_own(&self.gids, gid) => MapWriter::Owner,
            _ => MapWriter::Helpers,
        }
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
/// Without privilege over the parent namespace (`deny_setgroups`), setgroups(2) has to be denied before the kernel accepts a
/// group map: else a user could leave a group that a file denies access to (CVE-2014-8989).
///
/// # Errors
/// Those of open(2) and write(2); `EPERM` where the caller may not map those ids.
pub fn write_maps(pid: i32, maps: &IdMaps, deny_setgroups: bool) -> io::Result<()> {
    if deny_setgroups {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_writes_its_own_ids_and_has_helpers_write_others() {
        let map = |host_id, size| IdMapping { container_id: 0, host_id, size };
        let writer = |uids: &[IdMapping], gids: &[IdMapping]| IdMaps::new(uids, gids).unwrap().writer(1000, 100);
        assert_eq!(writer(&[map(1000, 1)], &[map(100, 1)]), MapWriter::Owner);
        assert_eq!(writer(&[map(1000, 2)], &[map(100, 1)]), MapWriter::Helpers);
        assert_eq!(writer(&[map(1000, 1)], &[map(101, 1)]), MapWriter::Helpers);
        let two = [map(1000, 1), IdMapping { container_id: 1, host_id: 1, size: 1 }];
        assert_eq!(writer(&two, &[map(100, 1)]), MapWriter::Helpers);
        assert_eq!(IdMaps::new(&two, &two).unwrap().writer(0, 0), MapWriter::Root);
    }
}
