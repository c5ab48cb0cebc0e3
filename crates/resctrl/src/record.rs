//! The groups of one container: what is stored with it, and what every later operation works from.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A container's place in resctrl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResctrlRecord {
    /// Where the file system is mounted.
    pub mount: PathBuf,
    /// The control group's folder.
    pub group: PathBuf,
    /// config.json names the group, so others may use it too.
    pub named: bool,
    /// The group was not there before.
    pub made: bool,
    /// The folder of the container's monitoring group, which goes with it too.
    pub monitor: Option<PathBuf>,
}

impl ResctrlRecord {
    /// The folders that are made for this container and go with it, the outermost first. An rmdir(2) is enough, with tasks
    /// in them too. A group that config.json names stays, whoever made it (config-linux.md, "IntelRdt").
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        let group = (self.made && !self.named).then_some(self.group.as_path());
        group.into_iter().chain(self.monitor.as_deref())
    }
}
