//! Resource usage, in the shape of `runc events --stats`: times in nanoseconds, sizes in bytes, v2's numbers under v1's
//! names.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::error::Error;
use crate::kernfs;
use crate::record::{CgroupRecord, Dir, Version};

/// The `data` object of a statistics event; network interfaces are the caller's to add.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// CPU time.
    pub cpu: Cpu,
    /// CPUs and memory nodes.
    pub cpuset: Cpuset,
    /// Memory.
    pub memory: Memory,
    /// Tasks.
    pub pids: Pids,
    /// Block I/O.
    pub blkio: Blkio,
    /// Huge pages by size, as in `2MB`.
    pub hugetlb: BTreeMap<String, Hugetlb>,
}

/// CPU time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// Time used.
    pub usage: CpuUsage,
    /// Time withheld by the quota.
    pub throttling: Throttling,
    /// Time lost waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// Time used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuUsage {
    /// Everything.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// By CPU; v1 only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In the kernel, by CPU; v1 only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// In programs, by CPU; v1 only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In programs.
    pub user: u64,
}

/// What the quota withheld.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods that passed.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Periods in which the quota was used up.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds withheld.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Pressure stall information (Documentation/accounting/psi.rst).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Psi {
    /// Some tasks waited.
    pub some: Pressure,
    /// All tasks waited.
    pub full: Pressure,
}

/// A line of a pressure file: shares of the last 10, 60 and 300 seconds in per cent, and microseconds in all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Pressure {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

/// The cpuset controller's files, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// File pages.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// Memory.
    pub usage: MemoryUsage,
    /// Memory and swap together, in v2 too.
    pub swap: MemoryUsage,
    /// Kernel memory; v1 only.
    pub kernel: MemoryUsage,
    /// TCP buffers; v1 only.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryUsage,
    /// Everything in `memory.stat`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// Time lost waiting for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
    /// Everything in `memory.events`; v2 only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub event_count: BTreeMap<String, u64>,
}

/// One kind of memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryUsage {
    /// The limit; 2^64-1 is none.
    pub limit: u64,
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most there was.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pids {
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// The limit; 0 is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block I/O.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blkio {
    /// Bytes, by device and operation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Operations, by device and operation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    /// Time lost waiting for I/O.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One device and operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BlkioEntry {
    /// Major number.
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    /// Minor number.
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, ...
    pub op: String,
    /// Bytes or operations.
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hugetlb {
    /// Bytes now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most there was; v1 only.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl CgroupRecord {
    /// Reads the container's usage. What the kernel or the host does not have stays zero.
    ///
    /// # Errors
    /// None of the container's directories is there any more.
    pub fn stats(&self) -> Result<Stats, Error> {
        let remedy = "give it one with /linux/cgroupsPath; without root's privileges, below a delegated cgroup";
        let main = self.main_dir().ok_or(Error::NoCgroup { action: "measure", remedy })?;
        kernfs::read(&main.path.join("cgroup.procs"))?;
        let mut stats = Stats::default();
        for dir in &self.dirs {
            match dir.version {
                Version::V1 => read_v1(dir, &mut stats),
                Version::V2 => read_v2(dir, &mut stats),
            }
        }
        Ok(stats)
    }
}

fn read_v1(dir: &Dir, stats: &mut Stats) {
    let files = Files(&dir.path);
    if dir.has("cpuacct") {
        stats.cpu.usage = files.cpuacct();
    }
    if dir.has("cpu") {
        stats.cpu.throttling = files.throttling("throttled_time", 1);
    }
    if dir.has("cpuset") {
        stats.cpuset = files.cpuset();
    }
    if dir.has("memory") {
        stats.memory = files.memory_v1();
    }
    if dir.has("pids") {
        stats.pids = files.pids();
    }
    if dir.has("blkio") {
        // The BFQ scheduler's counters where it is in use, else those of throttling.
        let first = |bfq, throttle| {
            Some(files.blkio(bfq)).filter(|list| !list.is_empty()).unwrap_or_else(|| files.blkio(throttle))
        };
        stats.blkio.io_service_bytes_recursive =
            first("blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive");
        stats.blkio.io_serviced_recursive =
            first("blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive");
    }
    if dir.has("hugetlb") {
        stats.hugetlb = files.huge_pages("usage_in_bytes", |files, size| Hugetlb {
            usage: files.number(&format!("hugetlb.{size}.usage_in_bytes")),
            max: files.number(&format!("hugetlb.{size}.max_usage_in_bytes")),
            failcnt: files.number(&format!("hugetlb.{size}.failcnt")),
        });
    }
}

/// On a hybrid host the directory has files without a controller only; those that v1 has read stay.
fn read_v2(dir: &Dir, stats: &mut Stats) {
    let files = Files(&dir.path);
    stats.cpu.psi = files.pressure("cpu.pressure");
    stats.memory.psi = files.pressure("memory.pressure");
    stats.blkio.psi = files.pressure("io.pressure");
    if dir.has("cpu") {
        stats.cpu.usage = files.cpu_v2();
        stats.cpu.throttling = files.throttling("throttled_usec", 1000);
    }
    if dir.has("cpuset") {
        stats.cpuset.cpus = list(&files.text("cpuset.cpus"));
        stats.cpuset.mems = list(&files.text("cpuset.mems"));
    }
    if dir.has("memory") {
        stats.memory = Memory { psi: stats.memory.psi.take(), ..files.memory_v2() };
    }
    if dir.has("pids") {
        stats.pids = files.pids();
    }
    if dir.has("io") {
        let (bytes, operations) = io_stat(&files.text("io.stat"));
        stats.blkio.io_service_bytes_recursive = bytes;
        stats.blkio.io_serviced_recursive = operations;
    }
    if dir.has("hugetlb") {
        stats.hugetlb = files.huge_pages("current", |files, size| Hugetlb {
            usage: files.number(&format!("hugetlb.{size}.current")),
            max: 0,
            failcnt: files.table(&format!("hugetlb.{size}.events")).remove("max").unwrap_or(0),
        });
    }
}

/// The files of a directory; one that is missing reads as empty.
struct Files<'d>(&'d Path);

impl Files<'_> {
    fn text(&self, name: &str) -> String {
        kernfs::try_read(&self.0.join(name)).unwrap_or_default()
    }

    /// A single number; `max` is 2^64-1.
    fn number(&self, name: &str) -> u64 {
        let text = self.text(name);
        if text.trim() == "max" { u64::MAX } else { text.trim().parse().unwrap_or(0) }
    }

    /// Lines of `KEY VALUE`.
    fn table(&self, name: &str) -> BTreeMap<String, u64> {
        let text = self.text(name);
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?))).collect()
    }

    fn cpuacct(&self) -> CpuUsage {
        // USER_HZ is 100 on every architecture that Linux runs containers on.
        const NANOSECONDS_PER_TICK: u64 = 10_000_000;
        let stat = self.table("cpuacct.stat");
        let ticks = |key| stat.get(key).copied().unwrap_or(0).saturating_mul(NANOSECONDS_PER_TICK);
        let all = self.text("cpuacct.usage_all");
        // cpu user system
        let column = |index| all.lines().skip(1).filter_map(|line| line.split(' ').nth(index)?.parse().ok()).collect();
        CpuUsage {
            total: self.number("cpuacct.usage"),
            percpu: self.text("cpuacct.usage_percpu").split_whitespace().filter_map(|cpu| cpu.parse().ok()).collect(),
            percpu_user: column(1),
            percpu_kernel: column(2),
            kernel: ticks("system"),
            user: ticks("user"),
        }
    }

    fn cpu_v2(&self) -> CpuUsage {
        let stat = self.table("cpu.stat");
        let nanoseconds = |key| stat.get(key).copied().unwrap_or(0).saturating_mul(1000);
        CpuUsage {
            total: nanoseconds("usage_usec"),
            kernel: nanoseconds("system_usec"),
            user: nanoseconds("user_usec"),
            ..CpuUsage::default()
        }
    }

    fn throttling(&self, time: &str, nanoseconds: u64) -> Throttling {
        let stat = self.table("cpu.stat");
        let value = |key| stat.get(key).copied().unwrap_or(0);
        Throttling {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_time: value(time).saturating_mul(nanoseconds),
        }
    }

    fn cpuset(&self) -> Cpuset {
        Cpuset {
            cpus: list(&self.text("cpuset.cpus")),
            cpu_exclusive: self.number("cpuset.cpu_exclusive"),
            mems: list(&self.text("cpuset.mems")),
            mem_hardwall: self.number("cpuset.mem_hardwall"),
            mem_exclusive: self.number("cpuset.mem_exclusive"),
            memory_migrate: self.number("cpuset.memory_migrate"),
            memory_spread_page: self.number("cpuset.memory_spread_page"),
            memory_spread_slab: self.number("cpuset.memory_spread_slab"),
            memory_pressure: self.number("cpuset.memory_pressure"),
            sched_load_balance: self.number("cpuset.sched_load_balance"),
            sched_relax_domain_level: self.text("cpuset.sched_relax_domain_level").trim().parse().unwrap_or(0),
        }
    }

    fn memory_v1(&self) -> Memory {
        let raw = self.table("memory.stat");
        let kind = |name: &str| MemoryUsage {
            limit: self.number(&format!("memory.{name}limit_in_bytes")),
            usage: self.number(&format!("memory.{name}usage_in_bytes")),
            max: self.number(&format!("memory.{name}max_usage_in_bytes")),
            failcnt: self.number(&format!("memory.{name}failcnt")),
        };
        Memory {
            cache: raw.get("cache").copied().unwrap_or(0),
            usage: kind(""),
            swap: kind("memsw."),
            kernel: kind("kmem."),
            kernel_tcp: kind("kmem.tcp."),
            raw,
            ..Memory::default()
        }
    }

    fn memory_v2(&self) -> Memory {
        let raw = self.table("memory.stat");
        let event_count = self.table("memory.events");
        let usage = MemoryUsage {
            limit: self.number("memory.max"),
            usage: self.number("memory.current"),
            max: self.number("memory.peak"),
            failcnt: event_count.get("max").copied().unwrap_or(0),
        };
        // v2 counts swap alone, v1 and this document memory and swap together.
        let swap = MemoryUsage {
            limit: self.number("memory.swap.max").saturating_add(usage.limit),
            usage: self.number("memory.swap.current").saturating_add(usage.usage),
            ..MemoryUsage::default()
        };
        Memory { cache: raw.get("file").copied().unwrap_or(0), usage, swap, raw, event_count, ..Memory::default() }
    }

    fn pids(&self) -> Pids {
        let limit = self.number("pids.max");
        Pids { current: self.number("pids.current"), limit: if limit == u64::MAX { 0 } else { limit } }
    }

    /// Lines of `MAJOR:MINOR OPERATION VALUE`, and a sum at the end that is left out.
    fn blkio(&self, name: &str) -> Vec<BlkioEntry> {
        let text = self.text(name);
        let entries = text.lines().filter_map(|line| {
            let mut words = line.split(' ');
            let (major, minor) = device(words.next()?)?;
            Some(BlkioEntry { major, minor, op: words.next()?.to_owned(), value: words.next()?.parse().ok()? })
        });
        entries.collect()
    }

    fn huge_pages(&self, file: &str, read: fn(&Self, &str) -> Hugetlb) -> BTreeMap<String, Hugetlb> {
        let Ok(entries) = std::fs::read_dir(self.0) else { return BTreeMap::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let sizes = names.filter_map(|name| {
            let size = name.strip_prefix("hugetlb.")?.strip_suffix(file)?.strip_suffix('.')?;
            // hugetlb.2MB.rsvd.current is about reservations.
            (!size.contains('.')).then(|| size.to_owned())
        });
        sizes.map(|size| (size.clone(), read(self, &size))).collect()
    }

    /// A pressure file; `None` on a kernel that does not keep them.
    fn pressure(&self, name: &str) -> Option<Psi> {
        let text = kernfs::try_read(&self.0.join(name)).ok()?;
        let line = |kind| {
            let line = text.lines().find_map(|line| line.strip_prefix(kind)).unwrap_or_default();
            let value = |key| line.split_whitespace().find_map(|word| word.strip_prefix(key)).unwrap_or_default();
            let share = |key| value(key).parse().unwrap_or(0.0);
            Pressure {
                avg10: share("avg10="),
                avg60: share("avg60="),
                avg300: share("avg300="),
                total: value("total=").parse().unwrap_or(0),
            }
        };
        Some(Psi { some: line("some"), full: line("full") })
    }
}

fn device(word: &str) -> Option<(u64, u64)> {
    let (major, minor) = word.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `io.stat`: bytes and operations.
fn io_stat(text: &str) -> (Vec<BlkioEntry>, Vec<BlkioEntry>) {
    let (mut bytes, mut operations) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words.next().and_then(device) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut bytes, "Read"),
                "wbytes" => (&mut bytes, "Write"),
                "dbytes" => (&mut bytes, "Discard"),
                "rios" => (&mut operations, "Read"),
                "wios" => (&mut operations, "Write"),
                "dios" => (&mut operations, "Discard"),
                _ => continue,
            };
            list.push(BlkioEntry { major, minor, op: op.to_owned(), value: value.parse().unwrap_or(0) });
        }
    }
    (bytes, operations)
}

/// `0-2,7` as numbers.
fn list(text: &str) -> Vec<u16> {
    let parts = text.trim().split(',').filter(|part| !part.is_empty());
    let ranges = parts.filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_expanded() {
        assert_eq!(list("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(list("\n"), [0u16; 0]);
        assert_eq!(list("x,3-2,5-,4"), [4]);
    }

    #[test]
    fn io_stat_becomes_blkio_entries() {
        let (bytes, operations) = io_stat("8:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\nodd\n");
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 16, op: op.into(), value };
        assert_eq!(bytes, [entry("Read", 10), entry("Write", 20), entry("Discard", 0)]);
        assert_eq!(operations, [entry("Read", 1), entry("Write", 2), entry("Discard", 0)]);
    }

    #[test]
    fn names_are_those_of_runc() {
        let mut stats = Stats::default();
        stats.cpu.throttling.throttled_time = 1;
        stats.memory.kernel_tcp.failcnt = 2;
        stats.blkio.io_serviced_recursive.push(BlkioEntry { op: "Read".into(), ..BlkioEntry::default() });
        let json = serde_json::to_value(&stats).unwrap();
        assert_eq!(json["cpu"]["throttling"]["throttledTime"], 1);
        assert_eq!(json["memory"]["kernelTCP"]["failcnt"], 2);
        assert_eq!(json["blkio"]["ioServicedRecursive"][0]["op"], "Read");
        assert_eq!(json["hugetlb"], serde_json::json!({}));
    }
}
