//! The record: what later commands must know about a container and cannot find out from the kernel.

use crate::{ContainerId, InitProcess, Part};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The version of the record's format that this crate writes, and the highest that it reads.
pub const RECORD_VERSION: u32 = 1;

/// `record.json`. Unknown members are ignored, so that members can be added without a new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// `ociVersion` of the container's config.json.
    pub oci_version: String,
    /// The container's id, which is also the name of the directory.
    pub id: ContainerId,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root file system.
    pub rootfs: PathBuf,
    /// When the container was created, as [`crate::rfc3339`] writes it.
    pub created: String,
    /// The user id that created the container.
    pub owner: u32,
    /// `annotations` of the config.json.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The init process, once there is one.
    pub init: Option<InitProcess>,
    /// What the cgroups crate wrote down about the container's cgroup. Opaque here.
    pub cgroup: Part,
    /// What the resctrl crate wrote down about the container's groups, if it has any. Opaque here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resctrl: Option<Part>,
    /// What the hostnet crate wrote down, of a container in the host's network. Opaque here.
    #[serde(default)]
    pub network: Option<Part>,
    /// The name of the container's session keyring; without one it shares its creator's.
    #[serde(default)]
    pub keyring: Option<String>,
}
