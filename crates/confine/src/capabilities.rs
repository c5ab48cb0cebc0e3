//! Capabilities (capabilities(7)): names, numbers, and the five sets of a process.

use spec::Process;

/// Every capability that lightship knows, at the index that is its number (linux/capability.h).
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

pub(crate) const SYS_ADMIN: u64 = 1 << 21;
pub(crate) const SYS_RESOURCE: u64 = 1 << 24;

/// The sets a process ends up with, bit n for capability n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// What execve can give at most.
    pub bounding: u64,
    /// What counts now.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What an execve of a file with capabilities keeps.
    pub inheritable: u64,
    /// What an execve of any file keeps.
    pub ambient: u64,
}

impl Sets {
    /// Takes capabilities out of every set.
    pub fn remove(&mut self, capabilities: u64) {
        let Sets { bounding, effective, permitted, inheritable, ambient } = self;
        for set in [bounding, effective, permitted, inheritable, ambient] {
            *set &= !capabilities;
        }
    }
}

/// The number of a capability, by its name with or without `CAP_`, in any case.
pub fn number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let position = NAMES.iter().position(|known| *known == upper || known.strip_prefix("CAP_") == Some(upper.as_str()));
    position.and_then(|position| u32::try_from(position).ok())
}

/// The sets that a process asks for, within what is available. What is unknown or not available is left out with a warning
/// (config.md, "capabilities": a runtime MUST log a warning and SHOULD NOT fail).
pub(crate) fn sets(process: &Process, available: u64, warnings: &mut Vec<String>) -> Sets {
    let Some(wanted) = &process.capabilities else { return Sets::default() };
    let mut left_out = Vec::new();
    let mut mask = |names: &[String]| {
        names.iter().fold(0, |mask, name| match number(name).map(|number| 1 << number) {
            Some(bit) if available & bit != 0 => mask | bit,
            _ => {
                if !left_out.contains(name) {
                    left_out.push(name.clone());
                }
                mask
            }
        })
    };
    let (bounding, permitted, inheritable) =
        (mask(&wanted.bounding), mask(&wanted.permitted), mask(&wanted.inheritable));
    let (effective, ambient) = (mask(&wanted.effective), mask(&wanted.ambient));
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        warnings.push(format!("/process/capabilities: left out, unknown or not available to the runtime: {names}"));
    }
    // The kernel takes an effective capability only if it is permitted, an ambient one only if it is inheritable too.
    Sets {
        bounding,
        effective: effective & permitted,
        permitted,
        inheritable,
        ambient: ambient & permitted & inheritable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(json: &str) -> Process {
        Process::from_bytes(format!(r#"{{"cwd":"/","args":["a"],"capabilities":{json}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn names_come_with_and_without_prefix_in_any_case() {
        assert_eq!(number("CAP_CHOWN"), Some(0));
        assert_eq!(number("sys_admin"), Some(21));
        assert_eq!(number("cap_checkpoint_restore"), Some(40));
        assert_eq!(number("CAP_"), None);
        assert_eq!(number("CAP_CAP_CHOWN"), None);
    }

    #[test]
    fn unknown_and_unavailable_ones_are_left_out_with_one_warning() {
        let mut warnings = Vec::new();
        let process = process(r#"{"bounding":["CAP_KILL","CAP_NEW"],"permitted":["CAP_KILL","CAP_NEW","CAP_CHOWN"]}"#);
        let sets = sets(&process, 1 << 5, &mut warnings);
        assert_eq!((sets.bounding, sets.permitted), (1 << 5, 1 << 5));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].ends_with("CAP_NEW, CAP_CHOWN"), "{warnings:?}");
    }

    #[test]
    fn the_kernels_rules_between_sets_hold() {
        let process = process(
            r#"{"effective":["CAP_KILL","CAP_CHOWN"],"permitted":["CAP_KILL"],"inheritable":["CAP_CHOWN"],"ambient":["CAP_KILL","CAP_CHOWN"]}"#,
        );
        let sets = sets(&process, u64::MAX, &mut Vec::new());
        assert_eq!((sets.effective, sets.ambient), (1 << 5, 0));
    }
}
