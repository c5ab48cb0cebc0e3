//! Resource limits (getrlimit(2)).

use rustix::process::Resource;
use spec::{Process, RlimitType};

use crate::host::HostFacts;

/// A limit that is set with prlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name.
    pub kind: RlimitType,
    /// `RLIMIT_*`.
    pub resource: u32,
    /// What the kernel enforces.
    pub soft: u64,
    /// What the process may raise it to.
    pub hard: u64,
}

/// The number of a resource (asm-generic/resource.h).
pub(crate) fn number(kind: RlimitType) -> u32 {
    match kind {
        RlimitType::Cpu => 0,
        RlimitType::Fsize => 1,
        RlimitType::Data => 2,
        RlimitType::Stack => 3,
        RlimitType::Core => 4,
        RlimitType::Rss => 5,
        RlimitType::Nproc => 6,
        RlimitType::Nofile => 7,
        RlimitType::Memlock => 8,
        RlimitType::As => 9,
        RlimitType::Locks => 10,
        RlimitType::Sigpending => 11,
        RlimitType::Msgqueue => 12,
        RlimitType::Nice => 13,
        RlimitType::Rtprio => 14,
        RlimitType::Rttime => 15,
    }
}

/// The same, as rustix names it.
pub(crate) fn resource(kind: RlimitType) -> Resource {
    match kind {
        RlimitType::Cpu => Resource::Cpu,
        RlimitType::Fsize => Resource::Fsize,
        RlimitType::Data => Resource::Data,
        RlimitType::Stack => Resource::Stack,
        RlimitType::Core => Resource::Core,
        RlimitType::Rss => Resource::Rss,
        RlimitType::Nproc => Resource::Nproc,
        RlimitType::Nofile => Resource::Nofile,
        RlimitType::Memlock => Resource::Memlock,
        RlimitType::As => Resource::As,
        RlimitType::Locks => Resource::Locks,
        RlimitType::Sigpending => Resource::Sigpending,
        RlimitType::Msgqueue => Resource::Msgqueue,
        RlimitType::Nice => Resource::Nice,
        RlimitType::Rtprio => Resource::Rtprio,
        RlimitType::Rttime => Resource::Rttime,
    }
}

/// The limits to be set. Without CAP_SYS_RESOURCE none can be raised above the runtime's own: it is lowered to that, with a
/// warning (config.md, "rlimits").
pub(crate) fn limits(process: &Process, host: &HostFacts, warnings: &mut Vec<String>) -> Vec<Limit> {
    let lowered = |(index, limit): (usize, &spec::Rlimit)| {
        let resource = number(limit.kind);
        let ceiling = host.hard_limits.get(resource as usize).copied().unwrap_or(u64::MAX);
        if limit.hard > ceiling {
            let kind = limit.kind;
            warnings.push(format!(
                "/process/rlimits/{index}: {kind}: lowered to the runtime's own {ceiling}, as it lacks CAP_SYS_RESOURCE"
            ));
        }
        let hard = limit.hard.min(ceiling);
        Limit { kind: limit.kind, resource, soft: limit.soft.min(hard), hard }
    };
    process.rlimits.iter().enumerate().map(lowered).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_above_the_runtimes_own_is_lowered_with_a_warning() {
        let process = Process::from_bytes(
            br#"{"cwd":"/","args":["a"],"rlimits":[{"type":"RLIMIT_NOFILE","hard":2000,"soft":1500}]}"#,
        )
        .unwrap();
        let mut host = HostFacts { hard_limits: vec![u64::MAX; 16], ..HostFacts::default() };
        let mut warnings = Vec::new();
        assert_eq!(limits(&process, &host, &mut warnings)[0].hard, 2000);
        assert!(warnings.is_empty());
        host.hard_limits[7] = 1024;
        let limit = limits(&process, &host, &mut warnings)[0];
        assert_eq!((limit.soft, limit.hard, warnings.len()), (1024, 1024, 1));
    }
}
