//! Where a caller without root's privileges can make a container's cgroup: below directories that root has delegated.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::kernfs;
use crate::layout::{Hierarchy, Layout};

const NO_PATH: &str = "name a cgroup below one that root has delegated to you in /linux/cgroupsPath, or drop the limit";
const NOT_OWNED: &str =
    "have root delegate the cgroup above /linux/cgroupsPath to you, or name one that is yours, or drop the limit";
const OUTSIDE: &str = "run lightship from inside the delegated part of the cgroup tree, as `systemd-run --user --scope` does, or drop the limit";

impl Layout {
    /// What is left for a caller who may not write everywhere: the hierarchies in which it may make the cgroup `path`
    /// (`/linux/cgroupsPath`) and move its own processes there. Without a path there are none, since nothing says where such
    /// a caller has a place.
    pub fn delegated(&self, path: Option<&str>) -> Layout {
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Layout { withheld: Some(NO_PATH), ..Layout::default() };
        };
        let path = path.trim_start_matches('/');
        let v1 = self
            .v1
            .iter()
            .filter(|hierarchy| is_writable(&hierarchy.mount, path, "tasks") && has_cpus(hierarchy, path));
        let unified = self.unified.as_ref().filter(|unified| is_writable(&unified.mount, path, "cgroup.procs"));
        let reachable = unified.filter(|unified| is_reachable(&unified.mount, path));
        let withheld = if unified.is_some() && reachable.is_none() { OUTSIDE } else { NOT_OWNED };
        Layout { v1: v1.cloned().collect(), unified: reachable.cloned(), withheld: Some(withheld), systemd: None }
    }
}

/// Whether the cgroup is there for the caller to enter through `members`, or can be made by it.
fn is_writable(mount: &Path, path: &str, members: &str) -> bool {
    let target = mount.join(path);
    if may_write(&target.join(members)) {
        return true;
    }
    let parent = nearest(mount, &target);
    parent != target && may_write(&parent)
}

/// The deepest directory on the way to `target` that exists.
fn nearest(mount: &Path, target: &Path) -> PathBuf {
    let mut ways = target.ancestors().take_while(|path| path.starts_with(mount));
    ways.find(|path| access(*path, Access::EXISTS).is_ok()).unwrap_or(mount).to_owned()
}

fn may_write(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

/// A v1 cpuset without CPUs takes no process, and only its owner can give it some (cpuset(7)).
fn has_cpus(hierarchy: &Hierarchy, path: &str) -> bool {
    let above = nearest(&hierarchy.mount, &hierarchy.mount.join(path));
    let is_set = |file: &str| {
        may_write(&above.join(file)) || kernfs::read_line(&above.join(file)).is_ok_and(|line| !line.is_empty())
    };
    !hierarchy.controllers.iter().any(|name| name == "cpuset") || (is_set("cpuset.cpus") && is_set("cpuset.mems"))
}

/// A process moves only where the caller may write to the members of the cgroup that the old and the new place have in common
/// (cgroups(7), "Cgroups delegation: Delegation containment").
fn is_reachable(mount: &Path, path: &str) -> bool {
    let own = kernfs::read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::/")) else { return false };
    may_write(&mount.join(common(own, path)).join("cgroup.procs"))
}

fn common(one: &str, other: &str) -> PathBuf {
    let names = one.split('/').zip(other.split('/'));
    names.take_while(|(one, other)| one == other && *one != "..").map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cgroups_have_the_beginning_of_their_paths_in_common() {
        assert_eq!(
            common("user.slice/user-1.slice/a.scope", "user.slice/user-1.slice/user@1/c"),
            Path::new("user.slice/user-1.slice")
        );
        assert_eq!(common("a", "ab"), Path::new(""));
        assert_eq!(common("../x", "../x"), Path::new(""));
    }

    #[test]
    fn without_a_path_there_is_no_place() {
        let none = Layout::probe().unwrap().delegated(None);
        assert!(none.v1.is_empty() && none.unified.is_none() && none.withheld.is_some());
    }
}
