//! The reader of an OCI runtime bundle's `config.json` (runtime-spec 1.3): bytes in, a typed and validated view out.
//!
//! Pure: no system call, no file, no clock. [`Spec::from_bytes`] reads, [`Spec::validate`] checks everything that
//! can be checked without looking at a host. Unknown properties are ignored, as the specification asks (config.md, Extensibility).

pub mod features;
mod hooks;
mod json;
mod linux;
mod named;
mod network;
mod number_list;
mod process;
mod read;
mod refusal;
mod resources;
pub mod seccomp;
mod state;
pub mod sysctl;
mod validate;
mod version;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use hooks::{Hook, Hooks};
pub use linux::{
    Device, DeviceType, IdMapping, IntelRdt, Linux, MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode, Namespace,
    NamespaceType, NetDevice, Personality, PersonalityDomain, RootfsPropagation, TimeOffset,
};
pub use network::NetworkMode;
pub use number_list::NumberList;
pub use process::{
    Capabilities, ConsoleSize, CpuAffinity, IoPriority, IoPriorityClass, Process, Rlimit, RlimitType, Scheduler,
    SchedulerFlag, SchedulerPolicy, User,
};
pub use read::{MAX_SIZE, ReadError};
pub use refusal::{Refusal, token};
pub use resources::{
    BlockIo, Cpu, DeviceRule, DeviceRuleType, HugepageLimit, InterfacePriority, Memory, Network, Pids, Rdma, Resources,
    ThrottleDevice, WeightDevice,
};
pub use state::{ContainerProcessState, SECCOMP_FD_NAME, State, Status};

/// The version of the runtime specification that this crate models.
pub const OCI_VERSION: &str = "1.3.0";

/// The whole configuration of a container (config.md).
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The specification version the bundle is written for, a semantic version; any 1.x is accepted.
    pub oci_version: String,
    /// What runs in the container; may be absent at create, must be there at start.
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The root filesystem; required on Linux.
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// The container's host name, set in its UTS namespace.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The container's NIS domain name, set in its UTS namespace.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// The mounts beyond the root, made in this order.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Programs run at points of the container's life.
    #[serde(default, deserialize_with = "json::object_or_default", skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// Free metadata, handed back by `state`.
    #[serde(default, deserialize_with = "json::unique_keys", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything that only exists on Linux.
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// The root filesystem of the container (config.md, Root).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub path: PathBuf,
    /// Whether the root is read-only inside the container.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "json::is_false")]
    pub readonly: bool,
}

/// One mount (config.md, Mounts).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where it goes, inside the container. A relative path (deprecated) is taken from `/`.
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub destination: PathBuf,
    /// The filesystem type; `bind` or `none` goes with the options `bind` and `rbind`.
    #[serde(
        rename = "type",
        default,
        deserialize_with = "json::empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub kind: Option<String>,
    /// A device, a name, or for bind mounts a path: absolute, or relative to the bundle.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub source: Option<PathBuf>,
    /// Options in the manner of fstab; words the runtime does not know go to the filesystem.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The user id mapping of an idmapped mount.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// The group id mapping of an idmapped mount.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

impl Spec {
    /// The namespace entry of that type, if `linux.namespaces` has one.
    pub fn namespace(&self, kind: NamespaceType) -> Option<&Namespace> {
        self.linux.as_ref().and_then(|linux| linux.namespace(kind))
    }
}
