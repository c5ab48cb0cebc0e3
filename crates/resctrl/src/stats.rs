//! What a container's groups allow and have counted, in the shape of `intel_rdt` in runc's `events --stats`.

use std::path::Path;

use serde::Serialize;

use crate::error::Error;
use crate::record::ResctrlRecord;

/// The `intel_rdt` object of a statistics event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// What the processor offers for L3 caches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_info: Option<CacheInfo>,
    /// The `L3:` line of the default group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema_root: Option<String>,
    /// The `L3:` line of the container's group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema: Option<String>,
    /// What the processor offers for memory bandwidth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_info: Option<BandwidthInfo>,
    /// The `MB:` line of the default group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema_root: Option<String>,
    /// The `MB:` line of the container's group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema: Option<String>,
    /// All lines of the container's group.
    pub schemata: Vec<String>,
    /// Memory traffic, by L3 cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mbm_stats: Vec<Traffic>,
    /// Cache use, by L3 cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmt_stats: Vec<Occupancy>,
}

/// `info/L3`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheInfo {
    /// The bits of a whole cache, hexadecimal.
    pub cbm_mask: String,
    /// The fewest bits a group can have.
    pub min_cbm_bits: u64,
    /// How many groups there can be.
    pub num_closids: u64,
}

/// `info/MB`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BandwidthInfo {
    /// The step between values, in per cent.
    pub bandwidth_gran: u64,
    /// Whether the delay grows with the value in a line.
    pub delay_linear: u64,
    /// The least that can be given, in per cent.
    pub min_bandwidth: u64,
    /// How many groups there can be.
    pub num_closids: u64,
}

/// Memory traffic through one L3 cache, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// To all memory.
    pub mbm_total_bytes: u64,
    /// To the memory of the same node.
    pub mbm_local_bytes: u64,
}

/// What is held in one L3 cache, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Occupancy {
    /// Of this group's tasks.
    pub llc_occupancy: u64,
}

impl ResctrlRecord {
    /// Reads the groups. Without a monitoring group of its own, the counters are those of the control group, which may be
    /// others' as well.
    ///
    /// # Errors
    /// The control group is gone.
    pub fn stats(&self) -> Result<Stats, Error> {
        let root = self.lines(&self.mount)?;
        let schemata = self.lines(&self.group)?;
        let monitored = self.monitor.as_ref().unwrap_or(&self.group).join("mon_data");
        Ok(Stats {
            l3_cache_info: self.cache_info(),
            l3_cache_schema_root: line(&root, "L3:"),
            l3_cache_schema: line(&schemata, "L3:"),
            mem_bw_info: self.bandwidth_info(),
            mem_bw_schema_root: line(&root, "MB:"),
            mem_bw_schema: line(&schemata, "MB:"),
            mbm_stats: domains(&monitored, |domain| {
                Some(Traffic {
                    mbm_total_bytes: number(&domain.join("mbm_total_bytes"))?,
                    mbm_local_bytes: number(&domain.join("mbm_local_bytes")).unwrap_or_default(),
                })
            }),
            cmt_stats: domains(&monitored, |domain| {
                Some(Occupancy { llc_occupancy: number(&domain.join("llc_occupancy"))? })
            }),
            schemata,
        })
    }

    fn lines(&self, group: &Path) -> Result<Vec<String>, Error> {
        let file = group.join("schemata");
        let text = std::fs::read_to_string(&file).map_err(Error::file("read", &file, &self.mount))?;
        Ok(text.lines().map(|line| line.trim().to_owned()).collect())
    }

    fn cache_info(&self) -> Option<CacheInfo> {
        let info = self.mount.join("info/L3");
        Some(CacheInfo {
            cbm_mask: word(&info.join("cbm_mask"))?,
            min_cbm_bits: number(&info.join("min_cbm_bits"))?,
            num_closids: number(&info.join("num_closids"))?,
        })
    }

    fn bandwidth_info(&self) -> Option<BandwidthInfo> {
        let info = self.mount.join("info/MB");
        Some(BandwidthInfo {
            bandwidth_gran: number(&info.join("bandwidth_gran"))?,
            delay_linear: number(&info.join("delay_linear"))?,
            min_bandwidth: number(&info.join("min_bandwidth"))?,
            num_closids: number(&info.join("num_closids"))?,
        })
    }
}

fn line(lines: &[String], resource: &str) -> Option<String> {
    lines.iter().find(|line| line.starts_with(resource)).cloned()
}

/// Reads each folder of `mon_data`, in the order of their names; what the processor does not count is left out.
fn domains<T>(folder: &Path, read: impl Fn(&Path) -> Option<T>) -> Vec<T> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|domain| read(domain)).collect()
}

fn word(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

/// A counter may also read `Unavailable`.
fn number(file: &Path) -> Option<u64> {
    word(file)?.parse().ok()
}
