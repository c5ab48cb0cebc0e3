//! `lightship features`: what this runtime can do, as the runtime specification's features.md defines the document.
//!
//! A list comes from the table the code itself works by. What no table answers is left out, which means "unknown".

use std::collections::BTreeMap;

use spec::features::{Cgroup, Enabled, Features, IntelRdt, Linux, MemoryPolicy, MountExtensions, Seccomp};
use spec::seccomp::{Action, Arch, Flag, Operator};
use spec::{Hooks, MemoryPolicyFlag, MemoryPolicyMode, NamespaceType};

use super::Verb;
use crate::args::Arguments;
use crate::global::Global;
use crate::{Error, output};

pub(super) const VERB: Verb = Verb { name: "features", about: "print what this runtime supports", arguments: &[], run };

/// The oldest version of the specification whose configurations are read.
const OCI_VERSION_MIN: &str = "1.0.0";

fn run(_: &Global, _: &Arguments) -> Result<u8, Error> {
    output::print_json(&features())?;
    Ok(0)
}

fn features() -> Features {
    Features {
        oci_version_min: OCI_VERSION_MIN.to_owned(),
        oci_version_max: spec::OCI_VERSION.to_owned(),
        hooks: names(&Hooks::NAMES),
        mount_options: Some(rootfs::MOUNT_OPTIONS.iter().map(|option| option.name.to_owned()).collect()),
        linux: Some(linux()),
        annotations: BTreeMap::from([
            ("lightship.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("lightship.commit".to_owned(), env!("LIGHTSHIP_COMMIT").to_owned()),
        ]),
        potentially_unsafe_config_annotations: Some(vec!["org.systemd.property.".to_owned()]),
    }
}

fn linux() -> Linux {
    Linux {
        namespaces: names(NamespaceType::ALL),
        capabilities: names(&confine::capabilities::NAMES),
        cgroup: Some(Cgroup {
            v1: Some(true),
            v2: Some(true),
            systemd: Some(true),
            systemd_user: Some(true),
            rdma: Some(true),
        }),
        seccomp: Some(seccomp()),
        apparmor: enabled(true),
        selinux: enabled(true),
        intel_rdt: Some(IntelRdt { enabled: Some(true), schemata: Some(true), monitoring: Some(true) }),
        memory_policy: Some(MemoryPolicy { modes: names(MemoryPolicyMode::ALL), flags: names(MemoryPolicyFlag::ALL) }),
        mount_extensions: Some(MountExtensions { idmap: enabled(true) }),
        net_devices: enabled(true),
    }
}

fn seccomp() -> Seccomp {
    Seccomp {
        enabled: Some(true),
        actions: names(Action::ALL),
        operators: names(Operator::ALL),
        archs: names(Arch::ALL),
        known_flags: names(Flag::ALL),
        supported_flags: None,
    }
}

fn enabled(supported: bool) -> Option<Enabled> {
    Some(Enabled { enabled: Some(supported) })
}

fn names(table: &[impl ToString]) -> Option<Vec<String>> {
    Some(table.iter().map(ToString::to_string).collect())
}
