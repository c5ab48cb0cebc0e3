//! Reading a container's cgroup from the outside, on cgroup v1, hybrid and v2.

use std::fs;
use std::path::{Path, PathBuf};

/// A mounted cgroup hierarchy.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// Its v1 controllers (`cpu`, `memory`, ..., `name=systemd`); empty for cgroup2.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// All hierarchies of this machine.
pub fn hierarchies() -> Vec<Hierarchy> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut found = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (mount, kind, options) = (PathBuf::from(fields[1]), fields[2], fields[3]);
        let flags = ["rw", "ro", "nosuid", "nodev", "noexec", "relatime", "xattr"];
        let controllers = options.split(',').filter(|option| !flags.contains(option)).map(str::to_owned).collect();
        match kind {
            "cgroup" => found.push(Hierarchy { controllers, mount }),
            "cgroup2" => found.push(Hierarchy { controllers: Vec::new(), mount }),
            _ => {}
        }
    }
    found
}

/// Whether the unified hierarchy is mounted, alone or beside others.
pub fn has_unified() -> bool {
    hierarchies().iter().any(|hierarchy| hierarchy.controllers.is_empty())
}

/// Whether the unified hierarchy is the only one of this machine.
pub fn is_v2() -> bool {
    hierarchies().iter().all(|hierarchy| hierarchy.controllers.is_empty())
}

/// The directories called `path` (absolute from the hierarchy's root) that exist in any hierarchy.
pub fn directories(path: &str) -> Vec<PathBuf> {
    let all = hierarchies().into_iter().map(|hierarchy| hierarchy.mount.join(path.trim_start_matches('/')));
    all.filter(|directory| directory.is_dir()).collect()
}

/// The directory of process `pid` for `controller`: its v1 hierarchy, or cgroup2.
pub fn directory_of(pid: i32, controller: &str) -> PathBuf {
    let memberships = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let hierarchies = hierarchies();
    let v1 = hierarchies.iter().find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller));
    let hierarchy = v1.or_else(|| hierarchies.iter().find(|hierarchy| hierarchy.controllers.is_empty()));
    let hierarchy = hierarchy.unwrap_or_else(|| panic!("no cgroup hierarchy has {controller}"));
    let path = memberships.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let same = match v1 {
            Some(_) => controllers.split(',').any(|name| name == controller),
            None => controllers.is_empty(),
        };
        same.then(|| path.trim_start_matches('/').to_owned())
    });
    hierarchy.mount.join(path.unwrap())
}

/// Whether some hierarchy has the controller.
pub fn has_controller(name: &str) -> bool {
    hierarchies().iter().any(|hierarchy| match hierarchy.controllers.as_slice() {
        [] => read(&hierarchy.mount.join("cgroup.controllers")).split(' ').any(|offered| offered == name),
        controllers => controllers.iter().any(|own| own == name),
    })
}

/// The value of a control file of process `pid`: `v1` or `v2` is its name, by the hierarchy that has `controller`.
pub fn value(pid: i32, controller: &str, v1: &str, v2: &str) -> String {
    let directory = directory_of(pid, controller);
    let name = if directory.join(v1).exists() { v1 } else { v2 };
    read(&directory.join(name))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}
