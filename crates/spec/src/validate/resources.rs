//! `linux.resources`: the words and names in it, and the ranges that are the same on every kernel and in both versions of
//! cgroups. 0 is what engines send for "not set".

use std::ops::RangeInclusive;

use super::Checked;
use super::linux::{MAJOR_MAX, MINOR_MAX};
use crate::refusal::token;
use crate::{BlockIo, Cpu, DeviceRule, Refusal, Resources};

impl Resources {
    /// Checks the resources document of `update`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Checked {
        check(self, "")
    }
}

pub(super) fn check(resources: &Resources, pointer: &str) -> Checked {
    for (i, rule) in resources.devices.iter().enumerate() {
        device_rule(rule, &format!("{pointer}/devices/{i}"))?;
    }
    if let Some(limits) = &resources.cpu {
        cpu(limits, &format!("{pointer}/cpu"))?;
    }
    if let Some(limits) = &resources.block_io {
        block_io(limits, &format!("{pointer}/blockIO"))?;
    }
    for (i, limit) in resources.hugepage_limits.iter().enumerate() {
        file_name(&limit.page_size, "2MB", || format!("{pointer}/hugepageLimits/{i}/pageSize"))?;
    }
    for (device, limit) in &resources.rdma {
        let pointer = format!("{pointer}/rdma/{}", token(device));
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(Refusal::new(pointer, "not the name of an RDMA device", "use a name such as mlx5_1"));
        }
        if limit.hca_handles.is_none() && limit.hca_objects.is_none() {
            return Err(Refusal::new(pointer, "there is no limit in it", "set hcaHandles, hcaObjects or both"));
        }
    }
    for file in resources.unified.keys() {
        file_name(file, "memory.high", || format!("{pointer}/unified/{}", token(file)))?;
    }
    Ok(())
}

fn device_rule(rule: &DeviceRule, pointer: &str) -> Checked {
    if let Some(access) = rule.access.as_ref().filter(|access| access.contains(|c| !matches!(c, 'r' | 'w' | 'm'))) {
        let problem = format!("`{access}` is not an access");
        return Err(Refusal::new(format!("{pointer}/access"), problem, "use some of the letters r, w and m"));
    }
    for (name, number) in [("major", rule.major), ("minor", rule.minor)] {
        if let Some(number) = number.filter(|number| !(-1..=i64::from(u32::MAX)).contains(number)) {
            let problem = format!("{number} is not a device number");
            return Err(Refusal::new(format!("{pointer}/{name}"), problem, "use 0 or more, or -1 for any"));
        }
    }
    Ok(())
}

/// Refuses what becomes part of a file's name in the cgroup and would name something elsewhere.
fn file_name(name: &str, example: &str, pointer: impl FnOnce() -> String) -> Checked {
    if matches!(name, "" | "." | "..") || name.contains('/') {
        let problem = format!("`{name}` cannot be part of a file's name");
        return Err(Refusal::new(pointer(), problem, format!("write it like {example}")));
    }
    Ok(())
}

/// The bounds of kernel/sched/core.c (tg_set_bandwidth and what it calls).
fn cpu(cpu: &Cpu, pointer: &str) -> Checked {
    const QUOTA_MAX: i128 = (1 << 44) - 1;
    let place = |property: &str| format!("{pointer}/{property}");
    within(cpu.period.filter(|period| *period != 0), 1_000..=1_000_000, || place("period"))?;
    within(cpu.quota.filter(|quota| *quota > 0), 1_000..=QUOTA_MAX, || place("quota"))?;
    within(cpu.idle, 0..=1, || place("idle"))?;
    let positive =
        |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
    at_most(cpu.burst, positive(cpu.quota), "quota", || place("burst"))?;
    let period = cpu.realtime_period.filter(|period| *period != 0);
    at_most(positive(cpu.realtime_runtime), period, "realtimePeriod", || place("realtimeRuntime"))?;
    number_list(cpu.cpus.as_deref(), || place("cpus"))?;
    number_list(cpu.mems.as_deref(), || place("mems"))
}

fn block_io(limits: &BlockIo, pointer: &str) -> Checked {
    // Of BFQ; CFQ's start at 10.
    const WEIGHTS: RangeInclusive<i128> = 1..=1000;
    let weight = |weight: Option<u16>, place: String| within(weight.filter(|weight| *weight != 0), WEIGHTS, || place);
    weight(limits.weight, format!("{pointer}/weight"))?;
    weight(limits.leaf_weight, format!("{pointer}/leafWeight"))?;
    for (i, device) in limits.weight_device.iter().enumerate() {
        let pointer = format!("{pointer}/weightDevice/{i}");
        device_numbers(device.major, device.minor, &pointer)?;
        weight(device.weight, format!("{pointer}/weight"))?;
        weight(device.leaf_weight, format!("{pointer}/leafWeight"))?;
        if device.weight.is_none() && device.leaf_weight.is_none() {
            return Err(Refusal::new(pointer, "there is no weight in it", "set weight, leafWeight or both"));
        }
    }
    for (list, devices) in [
        ("throttleReadBpsDevice", &limits.throttle_read_bps_device),
        ("throttleWriteBpsDevice", &limits.throttle_write_bps_device),
        ("throttleReadIOPSDevice", &limits.throttle_read_iops_device),
        ("throttleWriteIOPSDevice", &limits.throttle_write_iops_device),
    ] {
        for (i, device) in devices.iter().enumerate() {
            device_numbers(device.major, device.minor, &format!("{pointer}/{list}/{i}"))?;
        }
    }
    Ok(())
}

fn device_numbers(major: i64, minor: i64, pointer: &str) -> Checked {
    within(Some(major), 0..=MAJOR_MAX.into(), || format!("{pointer}/major"))?;
    within(Some(minor), 0..=MINOR_MAX.into(), || format!("{pointer}/minor"))
}

fn within(value: Option<impl Into<i128>>, range: RangeInclusive<i128>, pointer: impl FnOnce() -> String) -> Checked {
    match value.map(Into::into) {
        Some(value) if !range.contains(&value) => {
            let remedy = format!("use {} to {}", range.start(), range.end());
            Err(Refusal::new(pointer(), format!("{value} is out of range"), remedy))
        }
        _ => Ok(()),
    }
}

fn at_most(value: Option<u64>, most: Option<u64>, property: &str, pointer: impl FnOnce() -> String) -> Checked {
    match (value, most) {
        (Some(value), Some(most)) if value > most => {
            let problem = format!("{value} is above {property}, {most}");
            Err(Refusal::new(pointer(), problem, format!("lower it, or raise {property}")))
        }
        _ => Ok(()),
    }
}

/// Refuses what bitmap_parselist (lib/bitmap-str.c of the kernel) would.
fn number_list(list: Option<&str>, pointer: impl FnOnce() -> String) -> Checked {
    let Some(list) = list else { return Ok(()) };
    let mut parts = list.split([',', ' ', '\t', '\n']).filter(|part| !part.is_empty()).peekable();
    if parts.peek().is_some() && parts.all(is_range) {
        return Ok(());
    }
    Err(Refusal::new(pointer(), format!("`{list}` is not a list of numbers"), "write it like 0-3,7"))
}

/// `0`, `0-3`, `0-31:2/4`, where `N` is the last number that there is; or `all`.
fn is_range(part: &str) -> bool {
    let number = |text: &str| match text {
        "N" => Some(u32::MAX),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    let pair = |(one, other): (&str, &str)| Some((number(one)?, number(other)?));
    let (range, pattern) = part.split_once(':').map_or((part, None), |(range, pattern)| (range, Some(pattern)));
    let runs = match range.split_once('-').map(pair) {
        Some(ends) => ends.is_some_and(|(first, last)| first <= last),
        None => range == "all" || number(range).is_some(),
    };
    let repeats = |pattern: &str| pattern.split_once('/').and_then(pair).is_some_and(|(used, of)| used <= of && of > 0);
    runs && pattern.is_none_or(repeats)
}
