//! `linux`: namespaces, id mappings, devices and the rest of what only Linux has (config-linux.md).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json;
use crate::named::named;
use crate::number_list::NumberList;
use crate::resources::Resources;

/// The Linux part of the configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// User ids of a new user namespace.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids of a new user namespace.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
    /// Kernel parameters set inside the container's namespaces.
    #[serde(default, deserialize_with = "json::unique_keys", skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    /// Cgroup limits.
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The cgroup: absolute below the hierarchy's root, relative to where the runtime chooses, or with the systemd
    /// manager `slice:prefix:name`.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub cgroups_path: Option<String>,
    /// The namespaces that the container does not share with the runtime.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Namespace>,
    /// Device nodes made in the container beyond the default ones.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Network devices moved into the container, by their name on the host.
    #[serde(default, deserialize_with = "json::unique_objects", skip_serializing_if = "BTreeMap::is_empty")]
    pub net_devices: BTreeMap<String, NetDevice>,
    /// The seccomp profile as it stands in the file, so that a compiled filter can be found by its hash without
    /// parsing it; see [`Linux::seccomp_profile`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Box<RawValue>>,
    /// How mounts propagate between the root mount and the host.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub rootfs_propagation: Option<RootfsPropagation>,
    /// Absolute paths inside the container that cannot be read.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub masked_paths: Vec<PathBuf>,
    /// Absolute paths inside the container that cannot be written.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub readonly_paths: Vec<PathBuf>,
    /// The SELinux context of the mounts.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub mount_label: Option<String>,
    /// Intel Resource Director Technology (resctrl).
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdt>,
    /// set_mempolicy(2).
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicy>,
    /// personality(2).
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    /// Clock offsets of a new time namespace; the keys are `monotonic` and `boottime`.
    #[serde(default, deserialize_with = "json::unique_objects", skip_serializing_if = "BTreeMap::is_empty")]
    pub time_offsets: BTreeMap<String, TimeOffset>,
}

impl Linux {
    /// The namespace entry of that type, if there is one.
    pub fn namespace(&self, kind: NamespaceType) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| namespace.kind == kind)
    }
}

/// One namespace: new, or an existing one to join (namespaces(7)).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Namespace {
    /// Which kind.
    #[serde(rename = "type")]
    pub kind: NamespaceType,
    /// The absolute path of the namespace to join; absent makes a new one.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

named! {
    /// The namespaces of namespaces(7), by their names in config.json.
    pub enum NamespaceType {
        Pid = "pid",
        Network = "network",
        Mount = "mount",
        Ipc = "ipc",
        Uts = "uts",
        User = "user",
        Cgroup = "cgroup",
        Time = "time",
    }
}

/// One range of ids, a line of `/proc/<pid>/uid_map` (user_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct IdMapping {
    /// The first id in the container.
    #[serde(rename = "containerID", deserialize_with = "json::null_as_default")]
    pub container_id: u32,
    /// The id on the host it stands for.
    #[serde(rename = "hostID", deserialize_with = "json::null_as_default")]
    pub host_id: u32,
    /// How many ids; greater than zero.
    #[serde(deserialize_with = "json::null_as_default")]
    pub size: u32,
}

/// One device node, mknod(2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Absolute path inside the container.
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub path: PathBuf,
    /// Which kind of node.
    #[serde(rename = "type")]
    pub kind: DeviceType,
    /// Major number; means nothing for a FIFO, and is there for every other kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major: Option<i64>,
    /// Minor number; means nothing for a FIFO, and is there for every other kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<i64>,
    /// Permission bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<u32>,
    /// Owner, in the container's ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group, in the container's ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

named! {
    /// The kinds of nodes of mknod(1).
    pub enum DeviceType {
        Char = "c",
        /// (unbuffered; the same as `c` on Linux)
        UnbufferedChar = "u",
        Block = "b",
        Fifo = "p",
    }
}

/// What a moved network device is called in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NetDevice {
    /// The new name; absent keeps the host's.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

named! {
    /// The propagation of the root mount (mount_namespaces(7)).
    ///
    /// The specification names the plain words; Docker also writes the recursive ones, which mean the same here.
    pub enum RootfsPropagation {
        #[serde(alias = "rshared")]
        Shared = "shared",
        #[serde(alias = "rslave")]
        Slave = "slave",
        #[serde(alias = "rprivate")]
        Private = "private",
        #[serde(alias = "runbindable")]
        Unbindable = "unbindable",
    }
}

/// Intel RDT: cache and memory bandwidth allocation by resctrl.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IntelRdt {
    /// The class of service; `/` is the default class.
    #[serde(
        rename = "closID",
        default,
        deserialize_with = "json::empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub clos_id: Option<String>,
    /// Lines written to `schemata` as they are.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub schemata: Vec<String>,
    /// The `L3:` line.
    #[serde(
        rename = "l3CacheSchema",
        default,
        deserialize_with = "json::empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub l3_cache_schema: Option<String>,
    /// The `MB:` line.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema: Option<String>,
    /// Whether the container gets a monitoring group of its own.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "json::is_false")]
    pub enable_monitoring: bool,
    /// Cache monitoring; replaced by `enableMonitoring` in 1.3.
    #[serde(
        rename = "enableCMT",
        default,
        deserialize_with = "json::null_as_default",
        skip_serializing_if = "json::is_false"
    )]
    pub enable_cmt: bool,
    /// Bandwidth monitoring; replaced by `enableMonitoring` in 1.3.
    #[serde(
        rename = "enableMBM",
        default,
        deserialize_with = "json::null_as_default",
        skip_serializing_if = "json::is_false"
    )]
    pub enable_mbm: bool,
}

/// NUMA memory policy, set_mempolicy(2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct MemoryPolicy {
    /// The mode.
    pub mode: MemoryPolicyMode,
    /// A node list such as `0-3,7`.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NumberList>,
    /// Mode flags.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<MemoryPolicyFlag>,
}

named! {
    /// The modes of set_mempolicy(2).
    pub enum MemoryPolicyMode {
        Default = "MPOL_DEFAULT",
        Bind = "MPOL_BIND",
        Interleave = "MPOL_INTERLEAVE",
        WeightedInterleave = "MPOL_WEIGHTED_INTERLEAVE",
        Preferred = "MPOL_PREFERRED",
        PreferredMany = "MPOL_PREFERRED_MANY",
        Local = "MPOL_LOCAL",
    }
}

named! {
    /// The mode flags of set_mempolicy(2).
    pub enum MemoryPolicyFlag {
        NumaBalancing = "MPOL_F_NUMA_BALANCING",
        RelativeNodes = "MPOL_F_RELATIVE_NODES",
        StaticNodes = "MPOL_F_STATIC_NODES",
    }
}

/// The execution domain, personality(2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Personality {
    /// The domain.
    pub domain: PersonalityDomain,
    /// Additional flags; the specification defines none.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

named! {
    /// The domains that the specification names.
    pub enum PersonalityDomain {
        Linux = "LINUX",
        Linux32 = "LINUX32",
    }
}

/// The offset of one clock in a time namespace (time_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct TimeOffset {
    /// Seconds.
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub secs: i64,
    /// Nanoseconds on top, below 1,000,000,000.
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub nanosecs: u32,
}
