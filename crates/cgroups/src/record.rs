//! The directories of one container: what is stored with it, and what every later operation works from.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::layout::Mode;
use crate::systemd::Unit;

/// Which interface a hierarchy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// One hierarchy per controller, `tasks` files.
    V1,
    /// The unified hierarchy.
    V2,
}

/// The container's directory in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dir {
    /// Which files to expect in it.
    pub version: Version,
    /// Controllers whose limits live here: `["cpu", "cpuacct"]`, `["name=systemd"]`; for v2 the available ones.
    pub controllers: Vec<String>,
    /// Where the hierarchy is mounted; nothing above it is ever touched.
    pub mount: PathBuf,
    /// The full path of the container's directory.
    pub path: PathBuf,
    /// Whether this container makes it; one that was there before is used but never removed.
    pub made: bool,
}

impl Dir {
    /// Whether a controller's limits live in this directory.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }
}

/// All directories of a container. Empty for a container without cgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupRecord {
    /// v1 hierarchies first, the unified one (if any) last.
    pub dirs: Vec<Dir>,
    /// The unit that the directories belong to, if systemd made them.
    #[serde(default)]
    pub unit: Option<Unit>,
}

impl CgroupRecord {
    /// Which versions the container uses.
    pub fn mode(&self) -> Mode {
        let v1 = self.dirs.iter().any(|dir| dir.version == Version::V1);
        match (v1, self.unified().is_some()) {
            (false, false) => Mode::None,
            (true, false) => Mode::V1,
            (true, true) => Mode::Hybrid,
            (false, true) => Mode::V2,
        }
    }

    /// The directory in the unified hierarchy: where cgroup-BPF programs are attached.
    pub fn unified(&self) -> Option<&Path> {
        self.unified_dir().map(|dir| dir.path.as_path())
    }

    /// The v1 directory of a controller.
    pub fn v1(&self, controller: &str) -> Option<&Path> {
        self.dirs.iter().find(|dir| dir.version == Version::V1 && dir.has(controller)).map(|dir| dir.path.as_path())
    }

    /// The record with some directories moved down to existing ones below the container's: `exec --cgroup`, whose values are
    /// `PATH` for all hierarchies or `CONTROLLER[,CONTROLLER…]:PATH` for those of v1 that have one of them.
    ///
    /// # Errors
    /// A path leads out of the container's cgroup, or no hierarchy has the controllers.
    pub fn below(&self, wanted: &[String]) -> Result<CgroupRecord, Error> {
        let mut record = self.clone();
        for value in wanted {
            let (controllers, path) = value.split_once(':').map_or((None, value.as_str()), |(c, path)| (Some(c), path));
            let path = path.trim_matches('/');
            let refused = |problem| Error::Below { value: value.clone(), problem };
            if path.split('/').any(|name| name == "..") {
                return Err(refused("leads out of the container's cgroup"));
            }
            let named = |dir: &Dir| controllers.is_none_or(|list| list.split(',').any(|name| dir.has(name)));
            let mut found = false;
            for dir in record.dirs.iter_mut().filter(|dir| named(dir)) {
                dir.path.push(path);
                found = true;
            }
            if !found {
                return Err(refused("names a controller that the container has no cgroup of"));
            }
        }
        Ok(record)
    }

    pub(crate) fn unified_dir(&self) -> Option<&Dir> {
        self.dirs.iter().find(|dir| dir.version == Version::V2)
    }

    /// The directory that holds all of the container's processes and is the best to ask about them.
    pub(crate) fn main_dir(&self) -> Option<&Dir> {
        self.unified_dir().or_else(|| self.dirs.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> CgroupRecord {
        let dir = |controllers: &[&str], mount: &str| Dir {
            version: Version::V1,
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            mount: mount.into(),
            path: Path::new(mount).join("c"),
            made: true,
        };
        let dirs = vec![dir(&["cpu", "cpuacct"], "/cg/cpu"), dir(&["memory"], "/cg/memory")];
        CgroupRecord { dirs, unit: None }
    }

    fn below(values: &[&str]) -> Result<Vec<PathBuf>, Error> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        Ok(record().below(&values)?.dirs.into_iter().map(|dir| dir.path).collect())
    }

    #[test]
    fn a_path_counts_for_all_and_a_controllers_path_for_its_own() {
        assert_eq!(below(&["/a/b"]).unwrap(), [Path::new("/cg/cpu/c/a/b"), Path::new("/cg/memory/c/a/b")]);
        assert_eq!(below(&["cpu:x", "memory:y"]).unwrap(), [Path::new("/cg/cpu/c/x"), Path::new("/cg/memory/c/y")]);
    }

    #[test]
    fn a_way_out_or_an_unknown_controller_is_refused() {
        assert!(below(&["../other"]).unwrap_err().to_string().contains("leads out"));
        assert!(below(&["pids:x"]).unwrap_err().to_string().contains("names a controller"));
    }
}
