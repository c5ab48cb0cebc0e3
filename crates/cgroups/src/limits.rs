//! The one table of limits: where each property of `linux.resources` goes in cgroup v1 and v2, and what is refused.
//!
//! A row is written where its controller lives on this host, so a hybrid host needs no rows of its own: a controller
//! bound to a v1 hierarchy is written there, one that is free is written in the unified hierarchy.
//!
//! Rules for all rows (runtime-spec config-linux.md, and what engines send):
//! - Absent is "leave alone". So is 0 where engines send 0 for "not set"; where 0 is a limit the row says so.
//! - -1 is "no limit".
//! - A limit whose controller the host does not have is refused; a limit that v2 cannot express is refused, except
//!   kernel memory, which is deprecated, and which runc ignores too.
//! - The order of the rows is the order of the writes. Where two depend on each other in both directions (an update may
//!   raise or lower both), [`apply`](crate::CgroupPlan::create) tries a refused one again after the others.

use spec::{Refusal, Resources, ThrottleDevice};

/// One property of `linux.resources` and where it goes.
pub struct Limit {
    /// JSON pointer below `/linux/resources`.
    pub pointer: &'static str,
    /// Where it goes in v1.
    pub v1: Place,
    /// Where it goes in v2.
    pub v2: Place,
}

/// Where one version of cgroups has a limit.
#[derive(Clone, Copy)]
pub enum Place {
    /// Controller, file, and the values to write to it.
    File(&'static str, &'static str, Values),
    /// Nothing to write: it is part of the row named, or the only behaviour there is.
    Implied(&'static str),
    /// There is no such limit, and it is left out with a warning: why.
    Ignored(&'static str),
    /// There is no such limit, and asking for it is refused: what to do instead.
    Refused(&'static str),
}

/// The values that a configuration asks for; none if it does not.
pub type Values = fn(&Resources) -> Result<Vec<Setting>, Refusal>;

/// One value for one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// What comes after the row's pointer: `/0/rate`, or nothing.
    pub sub: String,
    /// The file, if it is not the row's own.
    pub file: Option<String>,
    /// The text to write.
    pub value: String,
    /// File and value to use on a kernel that does not have the file.
    pub or: Option<(String, String)>,
    /// Whether a kernel that does not take it is no error.
    pub optional: bool,
}

const NO_REALTIME: &str = "cgroup v2 has no realtime scheduling limits; drop the property or use a cgroup v1 host";
const NO_LEAF: &str = "cgroup v2 has no leaf weights; use weight";
const NO_TAGS: &str = "cgroup v2 does not tag or prioritise packets; use a tc or eBPF filter on the host";

/// Every limit there is.
#[rustfmt::skip]
pub const TABLE: &[Limit] = &[
    Limit {
        pointer: "/memory/useHierarchy",
        v1: Place::File("memory", "memory.use_hierarchy", |r| flag(memory(r, |m| m.use_hierarchy))),
        v2: Place::Implied("cgroup v2 is always hierarchical"),
    },
    Limit {
        pointer: "/memory/limit",
        v1: Place::File("memory", "memory.limit_in_bytes", |r| number(memory(r, |m| m.limit), "-1")),
        v2: Place::File("memory", "memory.max", |r| number(memory(r, |m| m.limit), "max")),
    },
    Limit {
        pointer: "/memory/swap",
        v1: Place::File("memory", "memory.memsw.limit_in_bytes", memory_and_swap),
        v2: Place::File("memory", "memory.swap.max", swap_alone),
    },
    Limit {
        pointer: "/memory/reservation",
        v1: Place::File("memory", "memory.soft_limit_in_bytes", |r| number(memory(r, |m| m.reservation), "-1")),
        v2: Place::File("memory", "memory.low", |r| number(memory(r, |m| m.reservation), "max")),
    },
    Limit {
        pointer: "/memory/kernel",
        // Linux 5.16 accepts and ignores it, later ones may drop the file.
        v1: Place::File("memory", "memory.kmem.limit_in_bytes", |r| optional(number(memory(r, |m| m.kernel), "-1"))),
        v2: Place::Ignored("deprecated: kernel memory is part of memory.limit"),
    },
    Limit {
        pointer: "/memory/kernelTCP",
        v1: Place::File("memory", "memory.kmem.tcp.limit_in_bytes", |r| number(memory(r, |m| m.kernel_tcp), "-1")),
        v2: Place::Ignored("deprecated: TCP buffers are part of memory.limit"),
    },
    Limit {
        pointer: "/memory/swappiness",
        v1: Place::File("memory", "memory.swappiness", swappiness),
        v2: Place::Refused("cgroup v2 has no swappiness; set memory.swap"),
    },
    Limit {
        pointer: "/memory/disableOOMKiller",
        v1: Place::File("memory", "memory.oom_control", |r| flag(memory(r, |m| m.disable_oom_killer))),
        v2: Place::Refused("cgroup v2 cannot disable the OOM killer; set unified memory.high to throttle instead"),
    },
    Limit {
        pointer: "/cpu/shares",
        v1: Place::File("cpu", "cpu.shares", |r| one(nonzero(cpu(r, |c| c.shares)))),
        v2: Place::File("cpu", "cpu.weight", |r| one(nonzero(cpu(r, |c| c.shares)).map(weight_from_shares))),
    },
    Limit {
        pointer: "/cpu/idle",
        v1: Place::File("cpu", "cpu.idle", |r| zero_is_optional(cpu(r, |c| c.idle))),
        v2: Place::File("cpu", "cpu.idle", |r| zero_is_optional(cpu(r, |c| c.idle))),
    },
    Limit {
        pointer: "/cpu/period",
        v1: Place::File("cpu", "cpu.cfs_period_us", |r| one(nonzero(cpu(r, |c| c.period)))),
        v2: Place::Implied("/cpu/quota"),
    },
    Limit {
        pointer: "/cpu/quota",
        v1: Place::File("cpu", "cpu.cfs_quota_us", |r| one(nonzero(cpu(r, |c| c.quota)).map(|quota| quota.max(-1)))),
        v2: Place::File("cpu", "cpu.max", cpu_max),
    },
    Limit {
        pointer: "/cpu/burst",
        v1: Place::File("cpu", "cpu.cfs_burst_us", |r| zero_is_optional(cpu(r, |c| c.burst))),
        v2: Place::File("cpu", "cpu.max.burst", |r| zero_is_optional(cpu(r, |c| c.burst))),
    },
    Limit {
        pointer: "/cpu/realtimePeriod",
        v1: Place::File("cpu", "cpu.rt_period_us", |r| one(nonzero(cpu(r, |c| c.realtime_period)))),
        v2: Place::Refused(NO_REALTIME),
    },
    Limit {
        pointer: "/cpu/realtimeRuntime",
        v1: Place::File("cpu", "cpu.rt_runtime_us", |r| one(nonzero(cpu(r, |c| c.realtime_runtime)))),
        v2: Place::Refused(NO_REALTIME),
    },
    Limit {
        pointer: "/cpu/cpus",
        v1: Place::File("cpuset", "cpuset.cpus", |r| one(r.cpu.as_ref().and_then(|c| c.cpus.as_ref()))),
        v2: Place::File("cpuset", "cpuset.cpus", |r| one(r.cpu.as_ref().and_then(|c| c.cpus.as_ref()))),
    },
    Limit {
        pointer: "/cpu/mems",
        v1: Place::File("cpuset", "cpuset.mems", |r| one(r.cpu.as_ref().and_then(|c| c.mems.as_ref()))),
        v2: Place::File("cpuset", "cpuset.mems", |r| one(r.cpu.as_ref().and_then(|c| c.mems.as_ref()))),
    },
    Limit {
        // 0 is a limit here.
        pointer: "/pids/limit",
        v1: Place::File("pids", "pids.max", pids),
        v2: Place::File("pids", "pids.max", pids),
    },
    Limit {
        pointer: "/blockIO/weight",
        v1: Place::File("blkio", "blkio.weight", |r| weight(r, |w| Some(("blkio.bfq.weight", w.to_string())))),
        v2: Place::File("io", "io.bfq.weight", |r| weight(r, |w| Some(("io.weight", io_weight(w).to_string())))),
    },
    Limit {
        pointer: "/blockIO/leafWeight",
        v1: Place::File("blkio", "blkio.leaf_weight", |r| one(nonzero(r.block_io.as_ref().and_then(|b| b.leaf_weight)))),
        v2: Place::Refused(NO_LEAF),
    },
    Limit {
        pointer: "/blockIO/weightDevice",
        v1: Place::File("blkio", "blkio.weight_device", |r| device_weights(r, "blkio.bfq.weight_device", |w| w)),
        v2: Place::File("io", "io.bfq.weight", |r| device_weights(r, "io.weight", io_weight)),
    },
    Limit {
        pointer: "/blockIO/weightDevice",
        v1: Place::File("blkio", "blkio.leaf_weight_device", device_leaf_weights),
        v2: Place::Refused(NO_LEAF),
    },
    Limit {
        pointer: "/blockIO/throttleReadBpsDevice",
        v1: Place::File("blkio", "blkio.throttle.read_bps_device", |r| throttle(r, "", |b| &b.throttle_read_bps_device)),
        v2: Place::File("io", "io.max", |r| throttle(r, "rbps=", |b| &b.throttle_read_bps_device)),
    },
    Limit {
        pointer: "/blockIO/throttleWriteBpsDevice",
        v1: Place::File("blkio", "blkio.throttle.write_bps_device", |r| throttle(r, "", |b| &b.throttle_write_bps_device)),
        v2: Place::File("io", "io.max", |r| throttle(r, "wbps=", |b| &b.throttle_write_bps_device)),
    },
    Limit {
        pointer: "/blockIO/throttleReadIOPSDevice",
        v1: Place::File("blkio", "blkio.throttle.read_iops_device", |r| throttle(r, "", |b| &b.throttle_read_iops_device)),
        v2: Place::File("io", "io.max", |r| throttle(r, "riops=", |b| &b.throttle_read_iops_device)),
    },
    Limit {
        pointer: "/blockIO/throttleWriteIOPSDevice",
        v1: Place::File("blkio", "blkio.throttle.write_iops_device", |r| throttle(r, "", |b| &b.throttle_write_iops_device)),
        v2: Place::File("io", "io.max", |r| throttle(r, "wiops=", |b| &b.throttle_write_iops_device)),
    },
    Limit {
        pointer: "/hugepageLimits",
        v1: Place::File("hugetlb", "hugetlb.<size>.limit_in_bytes", |r| huge_pages(r, "limit_in_bytes")),
        v2: Place::File("hugetlb", "hugetlb.<size>.max", |r| huge_pages(r, "max")),
    },
    Limit {
        pointer: "/network/classID",
        v1: Place::File("net_cls", "net_cls.classid", |r| one(nonzero(r.network.as_ref().and_then(|n| n.class_id)))),
        v2: Place::Refused(NO_TAGS),
    },
    Limit {
        pointer: "/network/priorities",
        v1: Place::File("net_prio", "net_prio.ifpriomap", priorities),
        v2: Place::Refused(NO_TAGS),
    },
    Limit {
        pointer: "/rdma",
        v1: Place::File("rdma", "rdma.max", rdma),
        v2: Place::File("rdma", "rdma.max", rdma),
    },
];

/// Completes the pointer of a refusal.
pub(crate) fn below(base: &str, refusal: Refusal) -> Refusal {
    Refusal { pointer: format!("{base}{}", refusal.pointer), ..refusal }
}

fn memory<T>(resources: &Resources, field: fn(&spec::Memory) -> Option<T>) -> Option<T> {
    resources.memory.as_ref().and_then(field)
}

fn cpu<T>(resources: &Resources, field: fn(&spec::Cpu) -> Option<T>) -> Option<T> {
    resources.cpu.as_ref().and_then(field)
}

/// Engines send 0 for "not set".
fn nonzero<T: PartialEq + Default>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

fn setting(value: impl ToString) -> Setting {
    Setting { value: value.to_string(), ..Setting::default() }
}

fn one(value: Option<impl ToString>) -> Result<Vec<Setting>, Refusal> {
    Ok(value.map(setting).into_iter().collect())
}

/// `false` is what engines send for "not set", and the kernel's default.
fn flag(value: Option<bool>) -> Result<Vec<Setting>, Refusal> {
    one(value.filter(|on| *on).map(|_| 1))
}

/// A number of bytes, with the kernel's word for "no limit".
fn number(value: Option<i64>, unlimited: &str) -> Result<Vec<Setting>, Refusal> {
    match nonzero(value) {
        Some(-1) => one(Some(unlimited)),
        Some(bytes) if bytes < 0 => Err(Refusal::new("", format!("{bytes} is no limit"), "use -1 for no limit")),
        value => one(value),
    }
}

fn optional(settings: Result<Vec<Setting>, Refusal>) -> Result<Vec<Setting>, Refusal> {
    Ok(settings?.into_iter().map(|setting| Setting { optional: true, ..setting }).collect())
}

/// v1 limits the sum of memory and swap, as config.json does.
fn memory_and_swap(resources: &Resources) -> Result<Vec<Setting>, Refusal> {
    let (limit, swap) = (nonzero(memory(resources, |m| m.limit)), nonzero(memory(resources, |m| m.swap)));
    match (limit, swap) {
        // Without a memory limit, one that was set on the sum before would go on limiting.
        (Some(-1), None) => optional(number(Some(-1), "-1")),
        // A kernel without swap accounting has no file, and no limit.
        (_, Some(-1)) => optional(number(swap, "-1")),
        (Some(limit), Some(swap)) if swap < limit => Err(swap_below_limit(limit, swap)),
        _ => number(swap, "-1"),
    }
}

/// v2 limits swap alone.
fn swap_alone(resources: &Resources) -> Result<Vec<Setting>, Refusal> {
    let (limit, swap) = (nonzero(memory(resources, |m| m.limit)), nonzero(memory(resources, |m| m.swap)));
    match (limit, swap) {
        (Some(-1), None) | (_, Some(-1)) => optional(one(Some("max"))),
        (_, None) => Ok(Vec::new()),
        (_, Some(swap)) if swap < 0 => number(Some(swap), "max"),
        (None | Some(-1), Some(_)) => Err(Refusal::new(
            "",
            "memory and swap together cannot be limited without a limit on memory",
            "set memory.limit as well",
        )),
        (Some(limit), Some(swap)) if swap < limit => Err(swap_below_limit(limit, swap)),
        // A kernel without swap has no file, and no swap.
        (Some(limit), Some(swap)) if swap == limit => optional(one(Some(0))),
        (Some(limit), Some(swap)) => one(Some(swap.saturating_sub(limit))),
    }
}

fn swap_below_limit(limit: i64, swap: i64) -> Refusal {
    Refusal::new(
        "",
        format!("{swap} is below memory.limit, {limit}"),
        "swap is the sum of memory and swap: make it at least memory.limit",
    )
}

fn swappiness(resources: &Resources) -> Result<Vec<Setting>, Refusal> {
    match memory(resources, |m| m.swappiness) {
        // -1, as an unsigned number: engines' "not set".
        None | Some(u64::MAX) => Ok(Vec::new()),
        Some(value) if value > 100 => Err(Refusal::new("", format!("{value} is above 100"), "use 0 to 100")),
        value => one(value),
    }
}

/// The v2 weight for v1 shares: a curve through (2, 1), (1024, 100) and (262144, 10000), so that both defaults and both
/// ends meet (opencontainers/cgroups `ConvertCPUSharesToCgroupV2Value`, since runc 1.4 and crun 1.23).
fn weight_from_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    10f64.powf(exponent).ceil() as u64
}

/// `cpu.max` is quota and period in one.
fn cpu_max(resources: &Resources) -> Result<Vec<Setting>, Refusal> {
    let (quota, period) = (nonzero(cpu(resources, |c| c.quota)), nonzero(cpu(resources, |c| c.period)));
    let quota_text = quota.filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
    Ok(match (quota, period) {
        (None, None) => Vec::new(),
        // Without a period the kernel keeps the one it has.
        (_, None) => vec![setting(quota_text)],
        (_, Some(period)) => vec![setting(format!("{quota_text} {period}"))],
    })
}

/// For limits of newer kernels: 0 is what a kernel without the file does.
fn zero_is_optional<T: ToString + PartialEq + Default>(value: Option<T>) -> Result<Vec<Setting>, Refusal> {
    if value == Some(T::default()) { optional(one(value)) } else { one(value) }
}

fn pids(resources: &Resources) -> Result<Vec<Setting>, Refusal> {
    let limit = resources.pids.as_ref().and_then(|pids| pids.limit);
    Ok(limit
        .map(|limit| match limit {
            ..0 => setting("max"),
            // The init process counts: at 0 the kernel would refuse to clone it into the cgroup. Nothing more may be
            // started at 1, which is what 0 asks for.
            0 => setting(1),
            limit => setting(limit),
        })
        .into_iter()
        .collect())
}

fn weight(resources: &Resources, or: fn(u16) -> Option<(&'static str, String)>) -> Result<Vec<Setting>, Refusal> {
    let weight = nonzero(resources.block_io.as_ref().and_then(|block| block.weight));
    let or = weight.and_then(or).map(|(file, value)| (file.to_owned(), value));
    Ok(weight.map(|weight| Setting { or, ..setting(weight) }).into_iter().collect())
}

/// From the range of `blkio.weight`, 10 to 1000, to that of `io.weight`, 1 to 10000.
fn io_weight(weight: u16) -> u16 {
    let above_least = u32::from(weight.clamp(10, 1000)) - 10;
    (1 + above_least * 9999 / 990) as u16
}

fn device_weights(resources: &Resources, or: &str, convert: fn(u16) -> u16) -> Result<Vec<Setting>, Refusal> {
    let devices = resources.block_io.iter().flat_map(|block| &block.weight_device).enumerate();
    Ok(devices
        .filter_map(|(index, device)| {
            let weight = nonzero(device.weight)?;
            let node = format!("{}:{}", device.major, device.minor);
            Some(Setting {
                sub: format!("/{index}/weight"),
                or: Some((or.to_owned(), format!("{node} {}", convert(weight)))),
                ..setting(format!("{node} {weight}"))
            })
        })
        .collect())
}

fn device_leaf_weights(resources: &Resources) -> Result<Vec<Setting>, Refusal> {
    let devices = resources.block_io.iter().flat_map(|block| &block.weight_device).enumerate();
    Ok(devices
        .filter_map(|(index, device)| {
            let weight = nonzero(device.leaf_weight)?;
            let value = format!("{}:{} {weight}", device.major, device.minor);
            Some(Setting { sub: format!("/{index}/leafWeight"), ..setting(value) })
        })
        .collect())
}

/// Rates: `MAJOR:MINOR RATE` in v1, `MAJOR:MINOR KEY=RATE` in v2. A rate of 0 takes the limit away.
fn throttle(
    resources: &Resources,
    key: &str,
    list: fn(&spec::BlockIo) -> &Vec<ThrottleDevice>,
) -> Result<Vec<Setting>, Refusal> {
    let devices = resources.block_io.iter().flat_map(list).enumerate();
    Ok(devices
        .map(|(index, device)| {
            let rate = if device.rate == 0 && !key.is_empty() { "max".to_owned() } else { device.rate.to_string() };
            let value = format!("{}:{} {key}{rate}", device.major, device.minor);
            Setting { sub: format!("/{index}"), ..setting(value) }
        })
        .collect())
}

/// Used and reserved pages alike; the reservation limit is newer (Linux 5.7).
fn huge_pages(resources: &Resources, file: &str) -> Result<Vec<Setting>, Refusal> {
    let mut settings = Vec::new();
    for (index, page) in resources.hugepage_limits.iter().enumerate() {
        let size = &page.page_size;
        let digits = size.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
        let is_size = digits.len() + 2 == size.len()
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
            && digits.parse().is_ok_and(u64::is_power_of_two);
        if !is_size {
            return Err(Refusal::new(
                format!("/{index}/pageSize"),
                format!("\"{}\" is no huge page size", size.escape_default()),
                "write it as in 64KB, 2MB or 1GB",
            ));
        }
        let sub = format!("/{index}/limit");
        let named =
            |name: String, optional| Setting { sub: sub.clone(), file: Some(name), optional, ..setting(page.limit) };
        settings.push(named(format!("hugetlb.{size}.{file}"), false));
        settings.push(named(format!("hugetlb.{size}.rsvd.{file}"), true));
    }
    Ok(settings)
}

fn priorities(resources: &Resources) -> Result<Vec<Setting>, Refusal> {
    let list = resources.network.iter().flat_map(|network| &network.priorities).enumerate();
    list.map(|(index, entry)| {
        check_name(&entry.name).map_err(|refusal| below(&format!("/{index}/name"), refusal))?;
        let value = format!("{} {}", entry.name, entry.priority);
        Ok(Setting { sub: format!("/{index}"), ..setting(value) })
    })
    .collect()
}

fn rdma(resources: &Resources) -> Result<Vec<Setting>, Refusal> {
    let list = resources.rdma.iter();
    list.map(|(device, limit)| {
        check_name(device)?;
        let handles = limit.hca_handles.map_or(String::new(), |count| format!(" hca_handle={count}"));
        let objects = limit.hca_objects.map_or(String::new(), |count| format!(" hca_object={count}"));
        Ok(Setting { sub: format!("/{device}"), ..setting(format!("{device}{handles}{objects}")) })
    })
    .collect()
}

/// A name that goes into a line of a cgroup file must not end the word or the line.
fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
        let problem = format!("\"{}\" is no device name", name.escape_default());
        return Err(Refusal::new("", problem, "name a device of this host"));
    }
    Ok(())
}
