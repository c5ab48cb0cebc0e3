//! Which container a process or a cgroup belongs to, of whatever runtime, and what Docker calls it.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

/// A container, as its cgroup names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// Its id, whole.
    pub id: String,
    /// Docker's name for it, where Docker's own record of it can be read.
    pub name: Option<String>,
}

impl Container {
    /// With Docker's name for it. Where Docker's record is, if it is not at the usual place, the file may tell that Docker has mounted
    /// at its `/etc/hostname`.
    #[must_use]
    pub fn named(id: String, hostname: impl FnOnce() -> Option<PathBuf>) -> Container {
        Container { name: docker_name(&id, hostname), id }
    }

    /// The id as `docker ps` shows it: the first 12 digits, or all of a name that somebody chose.
    #[must_use]
    pub fn short_id(&self) -> &str {
        if is_id(&self.id) { self.id.get(..12).unwrap_or(&self.id) } else { &self.id }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_id())
    }
}

/// The ids of the containers in a cgroup's path, from the outermost on. That one counts: what is below it a container can have
/// made itself, and named as it liked.
///
/// Engines make ids of 64 hexadecimal digits and name the cgroup `ID`, or `ENGINE-ID.scope` under systemd (`docker-`,
/// `cri-containerd-`, `crio-`, `libpod-`), or `SLICE:ENGINE:ID` where systemd's way is asked of a manager that makes plain
/// directories. LXC has `lxc.payload.NAME`.
pub(crate) fn ids_in(path: &str) -> impl Iterator<Item = &str> {
    let above = std::iter::once("").chain(path.split('/'));
    above.zip(path.split('/')).filter_map(|(above, name)| {
        let name = name.strip_suffix(".scope").unwrap_or(name);
        if let Some(name) = name.strip_prefix("lxc.payload.") {
            return Some(name);
        }
        let (engine, id) = name.split_at_checked(name.len().checked_sub(64)?)?;
        let is_container = match engine {
            // Podman's pods, beside its containers that are in none.
            "" => above != "libpod_parent",
            // The monitors of Podman and CRI-O are beside the container, not in it.
            engine => engine.ends_with(['-', ':']) && !engine.ends_with("conmon-"),
        };
        (is_container && is_id(id)).then_some(id)
    })
}

/// The id of the container of a process, by every hierarchy that it is in: runc makes no directory in the unified one where
/// that has no controllers.
pub(crate) fn id_of_process(pid: i32) -> Option<String> {
    let hierarchies = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let (theirs, own) = (hierarchies(&pid.to_string()), hierarchies("self"));
    // In a container without a cgroup namespace (Docker in Docker) all paths begin with that container's.
    let own: Vec<&str> = own.lines().flat_map(ids_of_line).collect();
    theirs.lines().flat_map(ids_of_line).find(|id| !own.contains(id)).map(str::to_owned)
}

/// `2:cpu,cpuacct:/docker/ID`
fn ids_of_line(line: &str) -> impl Iterator<Item = &str> {
    ids_in(line.splitn(3, ':').nth(2).unwrap_or_default())
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Docker's name of a container. Only Docker's own record has it, in the daemon's data-root, in a folder with the container's id.
fn docker_name(id: &str, hostname: impl FnOnce() -> Option<PathBuf>) -> Option<String> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "Name")]
        name: String,
    }
    let usual = Path::new("/var/lib/docker/containers").join(id);
    let config =
        read_config(&usual).or_else(|| read_config(hostname()?.parent().filter(|folder| folder.ends_with(id))?))?;
    let config: Config = serde_json::from_slice(&config).ok()?;
    let name = config.name.trim_start_matches('/');
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    (is_plain && !name.is_empty()).then(|| name.to_owned())
}

/// A container can mount what it likes at its /etc/hostname, so the file may be anything.
fn read_config(folder: &Path) -> Option<Vec<u8>> {
    const MOST: u64 = 1 << 20;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(folder.join("config.v2.json"), flags, Mode::empty()).ok()?);
    let mut config = Vec::new();
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    file.take(MOST).read_to_end(&mut config).ok()?;
    Some(config)
}

/// The file that a process has at its /etc/hostname, as this process sees it. What it tells of is to be shown and no more: a container
/// that can mount, if only in a user namespace of its own, may have another file there.
pub(crate) fn hostname_of_process(pid: i32) -> Option<PathBuf> {
    let mounts = |pid: &str| fs::read_to_string(format!("/proc/{pid}/mountinfo"));
    let inside = mounts(&pid.to_string()).ok()?;
    let file = inside.lines().filter_map(Mount::parse).find(|mount| mount.point == "/etc/hostname")?;
    let folder = file.root.strip_suffix("/hostname")?;
    let on_host = mounts("self").ok()?;
    let place = |mount: Mount<'_>| {
        let below = Path::new(folder).strip_prefix(mount.root).ok()?;
        (mount.device == file.device).then(|| Path::new(mount.point).join(below))
    };
    let folder = on_host.lines().filter_map(Mount::parse).filter_map(place).find(|folder| folder.is_dir())?;
    Some(folder.join("hostname"))
}

/// One line of a process's mountinfo (proc_pid_mountinfo(5)); a path with blanks in it is written with escapes, and is then
/// not found.
struct Mount<'a> {
    device: &'a str,
    root: &'a str,
    point: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let mut fields = line.split(' ').skip(2);
        Some(Mount { device: fields.next()?, root: fields.next()?, point: fields.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3d3718e30a4e5b6c7d8e9f00112233445566778899aabbccddeeff0011223344";

    #[test]
    fn every_engines_path_leads_to_its_container() {
        for path in [
            "/docker/ID",
            "/system.slice/docker-ID.scope",
            "/system.slice/docker-ID.scope/init.scope",
            "/kubepods/burstable/pod6f3c/ID",
            "/kubepods.slice/kubepods-pod6f3c.slice/cri-containerd-ID.scope",
            "/kubepods.slice/kubepods-besteffort.slice/crio-ID.scope/container",
            "/system.slice/kubepods-pod6f3c.slice:cri-containerd:ID",
            "/machine.slice/libpod-ID.scope/container",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
            "/libpod_parent/libpod-ID",
            "/default/ID",
        ] {
            assert_eq!(ids_in(&path.replace("ID", ID)).collect::<Vec<_>>(), [ID], "{path}");
        }
        assert_eq!(ids_in("/lxc.payload.web/system.slice/nginx.service").next(), Some("web"));
        let (outer, inner) = (ID.replace('3', "4"), ID);
        assert!(ids_in(&format!("/docker/{outer}/docker/{inner}")).eq([outer.as_str(), inner]));
        assert!(ids_in(&format!("/libpod_parent/{outer}/libpod-{inner}")).eq([inner]));
    }

    #[test]
    fn other_paths_are_no_container() {
        for path in [
            "",
            "/",
            "/system.slice/docker.service",
            "/machine.slice/libpod-conmon-ID.scope",
            "/libpod_parent/ID/libpod-conmon-ID",
            "/kubepods/pod6f3c",
            "/docker/xID",
            "/docker/xxxxID",
            "/docker/3d3718e30a4e",
            "/é/ééééééééééééééééééééééééééééééééééééééééééééé",
        ] {
            assert_eq!(ids_in(&path.replace("ID", ID)).next(), None, "{path}");
        }
    }

    #[test]
    fn an_id_is_shortened_and_a_name_is_not() {
        let container = |id: &str| Container { id: id.to_owned(), name: None }.to_string();
        assert_eq!(container(ID), "3d3718e30a4e");
        assert_eq!(container("a-name-that-somebody-chose"), "a-name-that-somebody-chose");
    }
}
