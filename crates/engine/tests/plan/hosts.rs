//! From the bytes of a configuration to its plan on several kinds of host. The fuzz target uses this file too.

use cgroups::{Hierarchy, Layout, Manager, Unified};
use confine::HostFacts as ConfineFacts;
use confine::seccomp::{Filter, native};
use engine::{HostFacts, PlanOptions, plan};
use spec::{Refusal, Spec};

/// A host, and what the caller's command says.
pub(crate) struct Host {
    facts: HostFacts,
    options: PlanOptions,
}

/// Both versions of cgroups and neither, with and without root's privileges and security modules.
pub(crate) fn hosts() -> Vec<Host> {
    let kinds = [(Layout::default(), Manager::Disabled), (v1(), Manager::Cgroupfs), (v2(), Manager::Cgroupfs)];
    let kinds = kinds.into_iter().chain([(v2(), Manager::Systemd)]);
    kinds.flat_map(|(cgroups, manager)| [true, false].map(|root| host(cgroups.clone(), manager, root))).collect()
}

fn host(cgroups: Layout, cgroup_manager: Manager, root: bool) -> Host {
    let confine = ConfineFacts {
        available: if root { u64::MAX >> 23 } else { 0 },
        last_capability: 40,
        raises_limits: root,
        hard_limits: if root { vec![] } else { vec![1024; 16] },
        umask: 0o022,
        ids: if root { (0, 0) } else { (1000, 1000) },
        apparmor: root,
        keyrings: true,
        ..ConfineFacts::default()
    };
    let facts = HostFacts {
        kernel: (6, 1),
        cgroups,
        resctrl: root.then(|| "/sys/fs/resctrl".into()),
        confine,
        rootless: !root,
        privileged: root,
        ..HostFacts::default()
    };
    let options = PlanOptions {
        id: "c".to_owned(),
        bundle: "/bundle".into(),
        rootfs: "/bundle/rootfs".into(),
        cgroup_manager,
        no_pivot: !root,
        ..PlanOptions::default()
    };
    Host { facts, options }
}

fn v1() -> Layout {
    let hierarchy = |names: &str| Hierarchy {
        controllers: names.split(',').map(str::to_owned).collect(),
        mount: format!("/sys/fs/cgroup/{names}").into(),
    };
    let names =
        ["cpu,cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls", "rdma"];
    Layout { v1: names.map(hierarchy).into(), ..Layout::default() }
}

fn v2() -> Layout {
    let controllers = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"].map(str::to_owned).into();
    Layout { unified: Some(Unified { controllers, mount: "/sys/fs/cgroup".into() }), ..Layout::default() }
}

/// Everything that is decided about a configuration before anything is made: why not, or how often it was planned.
///
/// # Errors
/// The text of the first refusal that does not depend on the host, or of a seccomp profile.
pub(crate) fn plan_on(hosts: &[Host], config: &[u8]) -> Result<usize, String> {
    let spec = Spec::from_bytes(config).map_err(|error| error.to_string())?;
    let filter = filter(&spec).map_err(|refusal| refusal.to_string())?;
    let plans = hosts.iter().map(|host| {
        let options = PlanOptions { filter: filter.clone(), ..host.options.clone() };
        plan(&spec, &host.facts, &options)
    });
    let plans: Vec<_> = plans.collect();
    match plans.iter().filter(|plan| plan.is_ok()).count() {
        0 => Err(plans.into_iter().find_map(Result::err).map(|refusal| refusal.to_string()).unwrap_or_default()),
        planned => Ok(planned),
    }
}

/// As `create` compiles it, without the cache.
fn filter(spec: &Spec) -> Result<Option<Filter>, Refusal> {
    let profile = spec.linux.as_ref().map(|linux| linux.seccomp_profile()).transpose()?.flatten();
    let (Some(profile), Some(native)) = (profile, native()) else { return Ok(None) };
    profile.validate()?;
    Filter::compile(&profile, native).map(Some)
}
