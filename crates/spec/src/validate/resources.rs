//! `linux.resources`: the words and names in it. What a number may be depends on the host's cgroups.

use super::Checked;
use crate::refusal::token;
use crate::{DeviceRule, Refusal, Resources};

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
    for (i, limit) in resources.hugepage_limits.iter().enumerate() {
        file_name(&limit.page_size, "2MB", || format!("{pointer}/hugepageLimits/{i}/pageSize"))?;
    }
    for device in resources.rdma.keys() {
        if device.is_empty() || device.contains(char::is_whitespace) {
            let pointer = format!("{pointer}/rdma/{}", token(device));
            return Err(Refusal::new(pointer, "not the name of an RDMA device", "use a name such as mlx5_1"));
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
