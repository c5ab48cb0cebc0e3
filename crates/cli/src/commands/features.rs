//! `lightship features`: what this runtime can do, as the runtime specification's features.md defines the document.
//!
//! Every list comes from the table the code itself works by, so the document cannot promise what is not there.
//! What no table answers is left out, which means "unknown".

use std::collections::BTreeMap;

use clap::ArgMatches;
use spec::features::{Cgroup, Enabled, Features, IntelRdt, Linux, MemoryPolicy, MountExtensions, Seccomp};
use spec::seccomp::{Action, Arch, Flag, Operator};
use spec::{MemoryPolicyFlag, MemoryPolicyMode, NamespaceType};

use super::Verb;
use crate::global::Global;
use crate::{Error, output};

pub(super) const VERB: Verb =
    Verb { name: "features", about: "print what this runtime supports", arguments: |command| command, run };

/// The oldest version of the specification whose configurations are read.
const OCI_VERSION_MIN: &str = "1.0.0";

const BUILT_IN: Option<Enabled> = Some(Enabled { enabled: Some(true) });

fn run(_: &Global, _: &ArgMatches) -> Result<u8, Error> {
    output::print_json(&features())?;
    Ok(0)
}

fn features() -> Features {
    Features {
        oci_version_min: OCI_VERSION_MIN.to_owned(),
        oci_version_max: spec::OCI_VERSION.to_owned(),
        hooks: None,
        mount_options: None,
        linux: Some(linux()),
        annotations: BTreeMap::from([
            ("lightship.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("lightship.commit".to_owned(), env!("LIGHTSHIP_COMMIT").to_owned()),
        ]),
        potentially_unsafe_config_annotations: None,
    }
}

fn linux() -> Linux {
    let yes = Some(true);
    Linux {
        namespaces: names(NamespaceType::ALL),
        capabilities: None,
        cgroup: Some(Cgroup { v1: yes, v2: yes, systemd: yes, systemd_user: yes, rdma: yes }),
        seccomp: Some(Seccomp {
            enabled: yes,
            actions: names(Action::ALL),
            operators: names(Operator::ALL),
            archs: names(Arch::ALL),
            known_flags: names(Flag::ALL),
            supported_flags: None,
        }),
        apparmor: BUILT_IN,
        selinux: BUILT_IN,
        intel_rdt: Some(IntelRdt { enabled: yes, schemata: yes, monitoring: yes }),
        memory_policy: Some(MemoryPolicy { modes: names(MemoryPolicyMode::ALL), flags: names(MemoryPolicyFlag::ALL) }),
        mount_extensions: Some(MountExtensions { idmap: BUILT_IN }),
        net_devices: BUILT_IN,
    }
}

fn names(table: &[impl ToString]) -> Option<Vec<String>> {
    Some(table.iter().map(ToString::to_string).collect())
}
