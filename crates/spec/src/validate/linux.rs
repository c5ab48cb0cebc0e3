//! `linux`: namespaces and what only makes sense inside one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::process::INVALID_ID;
use super::{Checked, absolute, id_mappings, resources, scheduling};
use crate::refusal::token;
use crate::{Device, DeviceType, IntelRdt, Linux, NamespaceType, Refusal, sysctl};

/// The largest device numbers (`MKDEV`: 12 and 20 bits).
pub(super) const MAJOR_MAX: i64 = (1 << 12) - 1;
pub(super) const MINOR_MAX: i64 = (1 << 20) - 1;

/// The longest offset of a time namespace in seconds, half of what the kernel counts in nanoseconds (timens_set_offset in
/// kernel/time/namespace.c).
const OFFSET_MAX: i64 = i64::MAX / 1_000_000_000 / 2;

pub(super) fn check(linux: &Linux) -> Checked {
    user_namespace(linux)?;
    sysctls(linux)?;
    linux.resources.as_ref().map_or(Ok(()), |limits| resources::check(limits, "/linux/resources"))?;
    cgroups_path(linux)?;
    namespaces(linux)?;
    for (i, entry) in linux.devices.iter().enumerate() {
        let pointer = format!("/linux/devices/{i}");
        device(entry, &pointer)?;
        if let Some(j) = linux.devices.iter().take(i).position(|other| other.path == entry.path && !same(other, entry))
        {
            let problem = format!("device {j} has the same path, and is another one");
            return Err(Refusal::new(pointer, problem, "keep one of them, or change a path"));
        }
    }
    restricted_paths(linux, "maskedPaths", &linux.masked_paths)?;
    restricted_paths(linux, "readonlyPaths", &linux.readonly_paths)?;
    linux.intel_rdt.as_ref().map_or(Ok(()), intel_rdt)?;
    if let Some(policy) = &linux.memory_policy {
        scheduling::memory_policy(policy, "/linux/memoryPolicy")?;
    }
    if linux.personality.as_ref().is_some_and(|personality| !personality.flags.is_empty()) {
        let problem = "the specification defines no flags";
        return Err(Refusal::new("/linux/personality/flags", problem, "remove them"));
    }
    time_offsets(linux)
}

fn user_namespace(linux: &Linux) -> Checked {
    let namespace = linux.namespace(NamespaceType::User);
    for (list, mappings) in [("uidMappings", &linux.uid_mappings), ("gidMappings", &linux.gid_mappings)] {
        let pointer = format!("/linux/{list}");
        id_mappings::check(mappings, &pointer)?;
        match namespace {
            None if !mappings.is_empty() => {
                let remedy = "add {\"type\": \"user\"} to linux.namespaces, or remove the mappings";
                return Err(Refusal::new(pointer, "there is no user namespace to map ids in", remedy));
            }
            Some(namespace) if namespace.path.is_none() && mappings.is_empty() => {
                let remedy = "map at least the ids that the container uses";
                return Err(Refusal::new(pointer, "a new user namespace has no ids without it", remedy));
            }
            _ => {}
        }
    }
    Ok(())
}

fn sysctls(linux: &Linux) -> Checked {
    let mut seen = BTreeMap::new();
    for (key, value) in &linux.sysctl {
        let pointer = format!("/linux/sysctl/{}", token(key));
        let Some(file) = sysctl::file(key) else {
            return Err(Refusal::new(pointer, "does not name a file of /proc/sys", "write it like net.core.somaxconn"));
        };
        let Some(namespace) = sysctl::namespace(&file) else {
            let problem = "the parameter belongs to no namespace: setting it would change the host";
            return Err(Refusal::new(pointer, problem, "set it on the host, not in the container"));
        };
        if linux.namespace(namespace).is_none() {
            let problem =
                format!("the container shares the host's {namespace} namespace: setting it would change the host");
            let remedy = format!("set it on the host, or add {{\"type\": \"{namespace}\"}} to linux.namespaces");
            return Err(Refusal::new(pointer, problem, remedy));
        }
        if let Some((other, first)) = seen.insert(file, (key, value))
            && first != value
        {
            let problem = format!("`{other}` is the same parameter, with another value");
            return Err(Refusal::new(pointer, problem, "keep one of them"));
        }
    }
    Ok(())
}

fn cgroups_path(linux: &Linux) -> Checked {
    match &linux.cgroups_path {
        Some(path) if Path::new(path).components().any(|part| part == Component::ParentDir) => {
            Err(Refusal::new("/linux/cgroupsPath", format!("`{path}` has a `..` in it"), "write the path without"))
        }
        _ => Ok(()),
    }
}

fn namespaces(linux: &Linux) -> Checked {
    let mut seen = BTreeSet::new();
    for (i, namespace) in linux.namespaces.iter().enumerate() {
        let pointer = format!("/linux/namespaces/{i}");
        if !seen.insert(namespace.kind) {
            let problem = format!("the {} namespace is named twice", namespace.kind);
            return Err(Refusal::new(pointer, problem, "keep one entry for each type"));
        }
        if let Some(path) = &namespace.path {
            absolute(path, || format!("{pointer}/path"))?;
        }
    }
    Ok(())
}

/// Whether two entries ask for the same node.
fn same(one: &Device, other: &Device) -> bool {
    let number = |device: &Device| (device.kind != DeviceType::Fifo).then_some((device.major, device.minor));
    one.kind == other.kind && number(one) == number(other)
}

fn device(device: &Device, pointer: &str) -> Checked {
    absolute(&device.path, || format!("{pointer}/path"))?;
    for (name, id) in [("uid", device.uid), ("gid", device.gid)] {
        if id == Some(INVALID_ID) {
            let problem = format!("{INVALID_ID} is not an id: the kernel reads it as \"no change\"");
            return Err(Refusal::new(format!("{pointer}/{name}"), problem, "use another id"));
        }
    }
    if device.kind == DeviceType::Fifo {
        return Ok(());
    }
    for (name, number, max) in [("major", device.major, MAJOR_MAX), ("minor", device.minor, MINOR_MAX)] {
        if !number.is_some_and(|number| (0..=max).contains(&number)) {
            let problem = number.map_or_else(|| "missing".into(), |number| format!("{number} is not a device number"));
            return Err(Refusal::new(format!("{pointer}/{name}"), problem, format!("use 0 to {max}")));
        }
    }
    Ok(())
}

fn restricted_paths(linux: &Linux, list: &str, paths: &[PathBuf]) -> Checked {
    for (i, path) in paths.iter().enumerate() {
        absolute(path, || format!("/linux/{list}/{i}"))?;
    }
    if !paths.is_empty() && linux.namespace(NamespaceType::Mount).is_none() {
        let problem = "the container shares the host's mount namespace: these mounts would be the host's";
        let remedy = "remove the paths, or add {\"type\": \"mount\"} to linux.namespaces";
        return Err(Refusal::new(format!("/linux/{list}"), problem, remedy));
    }
    Ok(())
}

fn intel_rdt(rdt: &IntelRdt) -> Checked {
    let refuse = |property: &str, problem: &str, remedy: &str| {
        Err(Refusal::new(format!("/linux/intelRdt/{property}"), problem, remedy))
    };
    match rdt.clos_id.as_deref() {
        None | Some("/") => {}
        Some(name) if matches!(name, "." | "..") || name.contains(['/', '\n']) => {
            return refuse("closID", "not a name of a folder", "use a plain name, or `/` for the default group");
        }
        Some(_) => {}
    }
    let one_line = "a line of its own for each value is needed, and this has a line break";
    match rdt.mem_bw_schema.as_deref() {
        Some(line) if !line.starts_with("MB:") => refuse("memBwSchema", "no line that starts with `MB:`", "add it"),
        Some(line) if line.contains('\n') => refuse("memBwSchema", one_line, "use schemata"),
        _ => Ok(()),
    }?;
    match rdt.schemata.iter().position(|line| line.contains('\n')) {
        Some(i) => refuse(&format!("schemata/{i}"), one_line, "split it into several"),
        None => Ok(()),
    }
}

fn time_offsets(linux: &Linux) -> Checked {
    for (clock, offset) in &linux.time_offsets {
        let pointer = format!("/linux/timeOffsets/{}", token(clock));
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Refusal::new(pointer, "no such clock", "use monotonic or boottime"));
        }
        if offset.nanosecs >= 1_000_000_000 {
            let problem = format!("{} nanoseconds are a second or more", offset.nanosecs);
            return Err(Refusal::new(format!("{pointer}/nanosecs"), problem, "carry them over to secs"));
        }
        if !(-OFFSET_MAX..OFFSET_MAX).contains(&offset.secs) {
            let problem = format!("{} seconds are more than the kernel's clocks count", offset.secs);
            return Err(Refusal::new(format!("{pointer}/secs"), problem, format!("use less than {OFFSET_MAX}")));
        }
    }
    // The offsets of a time namespace are fixed once a process is in it (time_namespaces(7)).
    let new = linux.namespace(NamespaceType::Time).is_some_and(|namespace| namespace.path.is_none());
    if linux.time_offsets.is_empty() || new {
        return Ok(());
    }
    let remedy = "add {\"type\": \"time\"} without a path to linux.namespaces, or remove the offsets";
    Err(Refusal::new("/linux/timeOffsets", "only a new time namespace can have offsets", remedy))
}
