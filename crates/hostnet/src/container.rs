//! Which container a process or a cgroup belongs to, of whatever runtime, and what Docker calls it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

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

/// The id of the container in a cgroup's path: the innermost one.
///
/// Engines make ids of 64 hexadecimal digits and name the cgroup `ID`, or `ENGINE-ID.scope` under systemd (`docker-`,
/// `cri-containerd-`, `crio-`, `libpod-`), or `SLICE:ENGINE:ID` where systemd's way is asked of a manager that makes plain
/// directories. LXC has `lxc.payload.NAME`.
pub(crate) fn id_in(path: &str) -> Option<&str> {
    for name in path.rsplit('/') {
        let name = name.strip_suffix(".scope").unwrap_or(name);
        if let Some(name) = name.strip_prefix("lxc.payload.") {
            return Some(name);
        }
        let Some((engine, id)) = name.len().checked_sub(64).and_then(|at| name.split_at_checked(at)) else { continue };
        if is_id(id) && (engine.is_empty() || engine.ends_with(['-', ':'])) {
            // Podman's and CRI-O's monitors are beside the container, not in it.
            return (!engine.ends_with("conmon-")).then_some(id);
        }
    }
    None
}

/// The id of the container of a process, by every hierarchy that it is in: runc makes no directory in the unified one where
/// that has no controllers.
pub(crate) fn id_of_process(pid: i32) -> Option<String> {
    let hierarchies = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    hierarchies.lines().find_map(|line| id_in(line.splitn(3, ':').nth(2)?).map(str::to_owned))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Docker's name of a container. Only Docker's own record has it, in the daemon's data-root; one of the container's processes
/// tells where that is, as its /etc/hostname is a file there.
pub(crate) fn docker_name(id: &str, pid: Option<i32>) -> Option<String> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "Name")]
        name: String,
    }
    let usual = Path::new("/var/lib/docker/containers").join(id);
    let read = |folder: &Path| fs::read(folder.join("config.v2.json")).ok();
    let config = read(&usual).or_else(|| read(&folder_of_hostname(id, pid?)?))?;
    let config: Config = serde_json::from_slice(&config).ok()?;
    Some(config.name.trim_start_matches('/').to_owned())
}

fn folder_of_hostname(id: &str, pid: i32) -> Option<PathBuf> {
    let mounts = |pid: &str| fs::read_to_string(format!("/proc/{pid}/mountinfo"));
    let inside = mounts(&pid.to_string()).ok()?;
    let file = inside.lines().filter_map(Mount::parse).find(|mount| mount.point == "/etc/hostname")?;
    let folder = file.root.strip_suffix("/hostname").filter(|folder| folder.ends_with(id))?;
    let on_host = mounts("self").ok()?;
    let place = |mount: Mount<'_>| {
        let below = Path::new(folder).strip_prefix(mount.root).ok()?;
        (mount.device == file.device).then(|| Path::new(mount.point).join(below))
    };
    on_host.lines().filter_map(Mount::parse).filter_map(place).find(|folder| folder.is_dir())
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
            assert_eq!(id_in(&path.replace("ID", ID)), Some(ID), "{path}");
        }
        assert_eq!(id_in("/lxc.payload.web/system.slice/nginx.service"), Some("web"));
        let (outer, inner) = (ID.replace('3', "4"), ID);
        assert_eq!(id_in(&format!("/docker/{outer}/docker/{inner}")), Some(inner));
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
            assert_eq!(id_in(&path.replace("ID", ID)), None, "{path}");
        }
    }

    #[test]
    fn an_id_is_shortened_and_a_name_is_not() {
        let container = |id: &str| Container { id: id.to_owned(), name: None }.to_string();
        assert_eq!(container(ID), "3d3718e30a4e");
        assert_eq!(container("a-name-that-somebody-chose"), "a-name-that-somebody-chose");
    }
}
