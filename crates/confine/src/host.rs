//! What a plan must know of the calling process and of the host's security modules.

use std::path::Path;

use spec::RlimitType;

use crate::capabilities::SYS_RESOURCE;
use crate::rlimits;

/// The caller's own privileges, and what the kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Capabilities that the caller can give: both in its bounding and its permitted set.
    pub available: u64,
    /// The highest capability of the kernel.
    pub last_capability: u32,
    /// The caller has CAP_SYS_RESOURCE, and over the host.
    pub raises_limits: bool,
    /// The caller's hard limits, by number of the resource; empty where they can be raised, or nobody has asked ([`hard_limits`]).
    pub hard_limits: Vec<u64>,
    /// The caller's umask.
    pub umask: u32,
    /// The caller's effective user and group.
    pub ids: (u32, u32),
    /// The `oom_score_adj` that a caller without CAP_SYS_RESOURCE does not go below: a user's own, since root may have set it.
    pub oom_score: i32,
    /// AppArmor is on.
    pub apparmor: bool,
    /// The loaded AppArmor profiles, one on a line; nothing where that is not known ([`apparmor_profiles`]).
    pub apparmor_profiles: Option<String>,
    /// SELinux is on, and has a policy.
    pub selinux: bool,
    /// The kernel has keyrings.
    pub keyrings: bool,
}

impl HostFacts {
    /// Reads the text of `/proc/self/status` and asks for the rest. In a user namespace no capability is one over the host.
    pub fn probe(status: &str, in_user_namespace: bool) -> HostFacts {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim).unwrap_or_default()
        };
        let mask = |name: &str| u64::from_str_radix(field(name), 16).unwrap_or_default();
        let available = mask("CapBnd") & mask("CapPrm");
        let uid = rustix::process::geteuid();
        HostFacts {
            available,
            last_capability: last_capability(mask("CapBnd")),
            raises_limits: mask("CapEff") & SYS_RESOURCE != 0 && !in_user_namespace,
            hard_limits: Vec::new(),
            umask: u32::from_str_radix(field("Umask"), 8).unwrap_or(0o022),
            ids: (uid.as_raw(), rustix::process::getegid().as_raw()),
            oom_score: if uid.is_root() { 0 } else { oom_score() },
            // The module's parameter is there, and "N", on a kernel that has AppArmor but does not use it.
            apparmor: std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y")),
            apparmor_profiles: None,
            selinux: exists("/sys/fs/selinux/status") && has_policy(),
            keyrings: exists("/proc/keys"),
        }
    }
}

/// The AppArmor profiles that are loaded, each as `NAME (MODE)`. Who may not read the list learns of a missing profile from
/// the kernel, when the process starts.
pub fn apparmor_profiles() -> Option<String> {
    std::fs::read_to_string("/sys/kernel/security/apparmor/profiles").ok()
}

fn exists(path: &str) -> bool {
    rustix::fs::access(Path::new(path), rustix::fs::Access::EXISTS).is_ok()
}

/// Without a policy every process is called `kernel`, and there are no other labels to give.
fn has_policy() -> bool {
    std::fs::read("/proc/self/attr/current").is_ok_and(|label| !matches!(&*label, b"kernel" | b"kernel\0"))
}

/// The bounding set of an unconfined process names every capability of the kernel; of a confined one it may not.
fn last_capability(bounding: u64) -> u32 {
    let known = crate::capabilities::NAMES.len() as u32 - 1;
    let highest = 63u32.saturating_sub(bounding.leading_zeros());
    if highest >= known {
        return highest;
    }
    let text = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
    text.trim().parse().unwrap_or(highest)
}

fn oom_score() -> i32 {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// The caller's own hard limits, by number of the resource.
pub fn hard_limits() -> Vec<u64> {
    let mut limits = vec![u64::MAX; RlimitType::ALL.len()];
    for &kind in RlimitType::ALL {
        if let Some(limit) = limits.get_mut(rlimits::number(kind) as usize) {
            *limit = rustix::process::getrlimit(rlimits::resource(kind)).maximum.unwrap_or(u64::MAX);
        }
    }
    limits
}
