//! The directories of one container: what is stored with it, and what every later operation works from.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::layout::Mode;

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

    pub(crate) fn unified_dir(&self) -> Option<&Dir> {
        self.dirs.iter().find(|dir| dir.version == Version::V2)
    }

    /// The directory that holds all of the container's processes and is the best to ask about them.
    pub(crate) fn main_dir(&self) -> Option<&Dir> {
        self.unified_dir().or_else(|| self.dirs.first())
    }
}
