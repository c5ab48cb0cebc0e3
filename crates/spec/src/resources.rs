//! `linux.resources`: cgroup limits (config-linux.md, Control groups); also the document that `update` reads.
//!
//! Every limit is an `Option`: absent means "leave alone", zero is a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json;
use crate::named::named;

/// The limits of a container's cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// The device allow and deny list, in order; the last rule that matches wins.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceRule>,
    /// Memory.
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// CPU time and CPU sets.
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// The number of tasks.
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub pids: Option<Pids>,
    /// Block I/O.
    #[serde(rename = "blockIO", default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub block_io: Option<BlockIo>,
    /// Huge pages, one limit for each size.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub hugepage_limits: Vec<HugepageLimit>,
    /// Network class and priorities (cgroup v1 only).
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// RDMA limits by device name.
    #[serde(default, deserialize_with = "json::unique_objects", skip_serializing_if = "BTreeMap::is_empty")]
    pub rdma: BTreeMap<String, Rdma>,
    /// Cgroup v2 files and what to write to them.
    #[serde(default, deserialize_with = "json::unique_keys", skip_serializing_if = "BTreeMap::is_empty")]
    pub unified: BTreeMap<String, String>,
}

/// One rule of the device list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct DeviceRule {
    /// Allow or deny.
    #[serde(deserialize_with = "json::null_as_default")]
    pub allow: bool,
    /// Which devices; absent means all.
    #[serde(
        rename = "type",
        default,
        deserialize_with = "json::empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub kind: Option<DeviceRuleType>,
    /// Major number; absent or -1 means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major: Option<i64>,
    /// Minor number; absent or -1 means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<i64>,
    /// Some of `r`, `w`, `m`; absent means all.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
}

named! {
    /// Which devices a rule is about.
    pub enum DeviceRuleType {
        /// (all devices)
        All = "a",
        Char = "c",
        Block = "b",
    }
}

/// Memory limits in bytes; -1 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The hard limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// The soft limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<i64>,
    /// Memory and swap together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<i64>,
    /// Kernel memory; deprecated, the kernel dropped it in 5.4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<i64>,
    /// Kernel memory of TCP buffers (cgroup v1 only).
    #[serde(rename = "kernelTCP", default, skip_serializing_if = "Option::is_none")]
    pub kernel_tcp: Option<i64>,
    /// How eagerly the kernel swaps, 0 to 100 (cgroup v1 only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swappiness: Option<u64>,
    /// Whether tasks wait rather than die when memory is out (cgroup v1 only).
    #[serde(rename = "disableOOMKiller", default, skip_serializing_if = "Option::is_none")]
    pub disable_oom_killer: Option<bool>,
    /// Hierarchical accounting (cgroup v1 only; deprecated).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_hierarchy: Option<bool>,
    /// Whether an update refuses a limit below what is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_before_update: Option<bool>,
}

/// CPU limits; times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    /// The weight against other cgroups, 2 to 262144 in the manner of cgroup v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<u64>,
    /// CPU time in each period; -1 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<i64>,
    /// Unused time that may be saved up for bursts (Linux 5.14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// The period of `quota`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
    /// Realtime CPU time in each realtime period (cgroup v1 only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realtime_runtime: Option<i64>,
    /// The realtime period (cgroup v1 only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realtime_period: Option<u64>,
    /// The CPU list, such as `0-3,7`.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// The memory node list.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub mems: Option<String>,
    /// 1 gives the cgroup the lowest weight, as `SCHED_IDLE` (Linux 5.15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<i64>,
}

/// The limit on tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Pids {
    /// -1 is no limit, 0 is a limit, absent leaves it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// Block I/O weights and limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    /// The weight of the cgroup, 10 to 1000; 0 leaves it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// The weight against child cgroups (CFQ, cgroup v1 only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf_weight: Option<u16>,
    /// Weights for single devices.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub weight_device: Vec<WeightDevice>,
    /// Bytes read per second.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub throttle_read_bps_device: Vec<ThrottleDevice>,
    /// Bytes written per second.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub throttle_write_bps_device: Vec<ThrottleDevice>,
    /// Reads per second.
    #[serde(
        rename = "throttleReadIOPSDevice",
        default,
        deserialize_with = "json::objects",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub throttle_read_iops_device: Vec<ThrottleDevice>,
    /// Writes per second.
    #[serde(
        rename = "throttleWriteIOPSDevice",
        default,
        deserialize_with = "json::objects",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub throttle_write_iops_device: Vec<ThrottleDevice>,
}

/// The weight of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightDevice {
    /// Major number.
    #[serde(deserialize_with = "json::null_as_default")]
    pub major: i64,
    /// Minor number.
    #[serde(deserialize_with = "json::null_as_default")]
    pub minor: i64,
    /// The weight, 10 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// The weight against child cgroups (CFQ, cgroup v1 only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf_weight: Option<u16>,
}

/// The rate limit of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ThrottleDevice {
    /// Major number.
    #[serde(deserialize_with = "json::null_as_default")]
    pub major: i64,
    /// Minor number.
    #[serde(deserialize_with = "json::null_as_default")]
    pub minor: i64,
    /// Bytes or operations per second.
    #[serde(deserialize_with = "json::null_as_default")]
    pub rate: u64,
}

/// The limit on huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HugepageLimit {
    /// The page size as the kernel's files spell it: `64KB`, `2MB`, `1GB`.
    #[serde(deserialize_with = "json::null_as_default")]
    pub page_size: String,
    /// Bytes.
    #[serde(deserialize_with = "json::null_as_default")]
    pub limit: u64,
}

/// Network class and priorities (cgroup v1 only).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Network {
    /// The class that packets are tagged with (net_cls).
    #[serde(rename = "classID", default, skip_serializing_if = "Option::is_none")]
    pub class_id: Option<u32>,
    /// Priorities by interface (net_prio).
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub priorities: Vec<InterfacePriority>,
}

/// The priority of traffic through one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct InterfacePriority {
    /// The interface, named as in the runtime's network namespace.
    #[serde(deserialize_with = "json::null_as_default")]
    pub name: String,
    /// The priority.
    #[serde(deserialize_with = "json::null_as_default")]
    pub priority: u32,
}

/// The limits of one RDMA device (Linux 4.11).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rdma {
    /// How many handles may be open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hca_handles: Option<u32>,
    /// How many objects may exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hca_objects: Option<u32>,
}
