//! `lightship features`: what this runtime can do, as the runtime specification's features.md defines the document.
//!
//! A list comes from the table the code itself works by, and whether something is supported is asked of the table of
//! refusals, so the document cannot promise what `create` refuses. What no table answers is left out, which means
//! "unknown".

use std::collections::BTreeMap;

use clap::ArgMatches;
use spec::features::{Cgroup, Enabled, Features, IntelRdt, Linux, MemoryPolicy, MountExtensions, Seccomp};
use spec::seccomp::{Action, Arch, Flag, Operator};
use spec::{Hooks, MemoryPolicyFlag, MemoryPolicyMode, NamespaceType, Spec};

use super::Verb;
use crate::global::Global;
use crate::{Error, output};

pub(super) const VERB: Verb =
    Verb { name: "features", about: "print what this runtime supports", arguments: |command| command, run };

/// The oldest version of the specification whose configurations are read.
const OCI_VERSION_MIN: &str = "1.0.0";

fn run(_: &Global, _: &ArgMatches) -> Result<u8, Error> {
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
        potentially_unsafe_config_annotations: None,
    }
}

fn linux() -> Linux {
    let memory_policy = accepts(r#"{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0"}}"#);
    Linux {
        namespaces: names(NamespaceType::ALL),
        capabilities: names(&confine::capabilities::NAMES),
        // The systemd manager is refused when a container is planned.
        cgroup: Some(Cgroup {
            v1: Some(true),
            v2: Some(true),
            systemd: Some(false),
            systemd_user: Some(false),
            rdma: Some(true),
        }),
        seccomp: Some(seccomp()),
        apparmor: enabled(true),
        // Labels of processes alone are not SELinux support: labels of mounts are refused.
        selinux: enabled(false),
        intel_rdt: Some(intel_rdt(accepts(r#"{"intelRdt":{"closID":"c"}}"#))),
        memory_policy: memory_policy
            .then(|| MemoryPolicy { modes: names(MemoryPolicyMode::ALL), flags: names(MemoryPolicyFlag::ALL) }),
        mount_extensions: Some(MountExtensions { idmap: enabled(idmapped_mounts()) }),
        net_devices: enabled(accepts(r#"{"netDevices":{"eth0":{}}}"#)),
    }
}

fn seccomp() -> Seccomp {
    let usable = |action: &&Action| accepts(&format!(r#"{{"seccomp":{{"defaultAction":"{action}"}}}}"#));
    let actions: Vec<_> = Action::ALL.iter().filter(usable).collect();
    Seccomp {
        enabled: Some(true),
        actions: names(&actions),
        operators: names(Operator::ALL),
        archs: names(Arch::ALL),
        known_flags: names(Flag::ALL),
        supported_flags: None,
    }
}

fn intel_rdt(supported: bool) -> IntelRdt {
    IntelRdt { enabled: Some(supported), schemata: Some(supported), monitoring: Some(supported) }
}

fn idmapped_mounts() -> bool {
    config_accepted(r#"{"ociVersion":"1.0.0","mounts":[{"destination":"/m","options":["idmap"]}]}"#)
}

/// Whether a configuration with this `linux` object would be refused as not supported.
fn accepts(linux: &str) -> bool {
    config_accepted(&format!(r#"{{"ociVersion":"1.0.0","linux":{linux}}}"#))
}

fn config_accepted(config: &str) -> bool {
    Spec::from_bytes(config.as_bytes()).is_ok_and(|spec| spec.refuse_unsupported().is_ok())
}

fn enabled(supported: bool) -> Option<Enabled> {
    Some(Enabled { enabled: Some(supported) })
}

fn names(table: &[impl ToString]) -> Option<Vec<String>> {
    Some(table.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_can_be_read() {
        for linux in [
            "{}",
            r#"{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW"}}"#,
            r#"{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0"}}"#,
        ] {
            assert!(accepts(linux), "{linux}");
        }
        for linux in [r#"{"intelRdt":{"closID":"c"}}"#, r#"{"netDevices":{"eth0":{}}}"#] {
            let config = format!(r#"{{"ociVersion":"1.0.0","linux":{linux}}}"#);
            Spec::from_bytes(config.as_bytes()).unwrap();
        }
    }
}
