//! What is refused, and what the plan makes of single entries.

use std::path::Path;

use program::Resolve;
use serde_json::{Value, json};

use super::{CgroupMounts, MountKind, MountPlan, PROC_SUPER_MAGIC, PlanInput, RootfsPlan, Source, UserNamespace, plan};

fn input() -> PlanInput<'static> {
    PlanInput {
        bundle: Path::new("/bundle"),
        rootfs: Path::new("/bundle/rootfs"),
        user_namespace: false,
        privileged: true,
        can_mknod: true,
        kernel: (6, 18),
        cgroups: CgroupMounts::None,
        no_pivot: false,
        mount_label: None,
    }
}

fn planned(mut config: Value, input: &PlanInput<'_>) -> Result<RootfsPlan, String> {
    config["ociVersion"] = json!("1.3.0");
    if config["linux"]["namespaces"].is_null() {
        config["linux"]["namespaces"] = json!([{"type": "mount"}]);
    }
    let spec = spec::Spec::from_bytes(config.to_string().as_bytes()).unwrap();
    plan(&spec, input).map_err(|refusal| refusal.pointer)
}

fn mount(entry: Value) -> Result<MountPlan, String> {
    planned(json!({"mounts": [entry]}), &input()).map(|mut plan| plan.mounts.remove(0))
}

#[test]
fn what_may_be_at_proc() {
    let tmpfs = |destination: &str| mount(json!({"destination": destination, "type": "tmpfs"}));
    for destination in
        ["/proc", "/proc/", "/../proc", "proc", "/x/../proc/sys", "/proc/self", "/proc/sys/kernel", "/proc/1/attr"]
    {
        assert_eq!(tmpfs(destination).unwrap_err(), "/mounts/0/destination", "{destination}");
    }
    let bind = |destination: &str| {
        mount(json!({"destination": destination, "type": "bind", "source": "/x", "options": ["bind"]}))
    };
    for file in
        ["cpuinfo", "meminfo", "stat", "uptime", "loadavg", "swaps", "slabinfo", "diskstats", "sys/kernel/ns_last_pid"]
    {
        let plan = bind(&format!("/proc/{file}")).unwrap();
        assert_eq!((plan.resolve, plan.avoid), (Resolve::NoLinks, 0), "{file}");
    }
    for destination in ["/proc/self/attr", "/proc/cpuinfo/x", "/proc/sys"] {
        assert!(bind(destination).is_err(), "{destination}");
    }
    assert!(matches!(bind("/proc").unwrap().kind, MountKind::Bind { procfs: true, .. }));
    assert!(mount(json!({"destination": "/proc", "type": "proc"})).is_ok());
    for destination in ["/procfs", "/data/proc"] {
        let plan = tmpfs(destination).unwrap();
        assert_eq!((plan.resolve, plan.avoid), (Resolve::InRoot, PROC_SUPER_MAGIC), "{destination}");
    }
}

#[test]
fn what_lacks_something_is_refused() {
    for (entry, pointer) in [
        (json!({"destination": "/x"}), "/mounts/0/type"),
        (json!({"destination": "/x", "type": "none"}), "/mounts/0/type"),
        (json!({"destination": "/x", "type": "bind"}), "/mounts/0/source"),
        (json!({"destination": "/x", "options": ["rbind"]}), "/mounts/0/source"),
        (json!({"destination": "/x", "type": "bind", "source": "/x", "options": ["tmpcopyup"]}), "/mounts/0/options"),
        (json!({"destination": "/x", "type": "bind", "source": "/x", "options": ["idmap"]}), "/mounts/0"),
        (
            json!({"destination": "/x", "type": "bind", "source": "/x", "options": ["ridmap=uids=0-1-1"]}),
            "/mounts/0/options",
        ),
        (json!({"destination": "/", "type": "tmpfs"}), "/mounts/0/destination"),
        (json!({"destination": "/x/..", "type": "tmpfs"}), "/mounts/0/destination"),
        (json!({"destination": "/sys/fs/cgroup", "type": "cgroup"}), "/mounts/0/type"),
        (json!({"destination": "/x", "type": "tmpfs", "source": "x".repeat(256)}), "/mounts/0/source"),
        (json!({"destination": "/x", "type": "tmpfs", "options": ["x".repeat(256)]}), "/mounts/0/options"),
        (
            json!({"destination": "/x", "type": "overlay", "options": [format!("lowerdir={}", "x".repeat(256))]}),
            "/mounts/0/options",
        ),
        (json!({"destination": "/x", "options": ["remount", "x".repeat(256)]}), "/mounts/0/options"),
    ] {
        assert_eq!(mount(entry.clone()).unwrap_err(), pointer, "{entry}");
    }
    let refused = |config: Value| planned(config, &input()).unwrap_err();
    let user = PlanInput { user_namespace: true, ..input() };
    let config = json!({"linux": {"namespaces": [{"type": "user"}]}});
    assert_eq!(planned(config, &user).unwrap_err(), "/linux/namespaces");
    assert_eq!(refused(json!({"linux": {"maskedPaths": ["/x", "/"]}})), "/linux/maskedPaths/1");
    assert_eq!(refused(json!({"linux": {"readonlyPaths": ["/.."]}})), "/linux/readonlyPaths/0");
    for path in ["/", "/dev", "/dev/../proc/kcore", "/proc"] {
        let device = json!([{"path": path, "type": "c", "major": 1, "minor": 3}]);
        assert_eq!(refused(json!({"linux": {"devices": device}})), "/linux/devices/0/path", "{path}");
    }
    assert_eq!(planned(json!({}), &PlanInput { rootfs: Path::new("/"), ..input() }).unwrap_err(), "/root/path");
    let entry = json!({"destination": "/x", "source": "/x", "options": ["rbind", "shared"]});
    assert_eq!(refused(json!({"mounts": vec![entry; 129]})), "/mounts");
}

#[test]
fn sources_are_cloned_in_time() {
    let from = |options: Value, propagation: &str, input: &PlanInput<'_>| {
        let linux = match propagation {
            "none" => json!({"namespaces": []}),
            _ => json!({"rootfsPropagation": propagation}),
        };
        let config = json!({"mounts": [{"destination": "/x", "source": "y", "options": options}], "linux": linux});
        match planned(config, input).unwrap().mounts.remove(0).kind {
            MountKind::Bind { source, from, .. } => {
                assert_eq!(source, Path::new("/bundle/y"));
                from
            }
            kind => panic!("{kind:?}"),
        }
    };
    assert_eq!(from(json!(["bind", "ro"]), "", &input()), Source::Late);
    assert_eq!(from(json!(["rbind", "rslave"]), "slave", &input()), Source::Late);
    assert_eq!(from(json!(["rbind", "rslave"]), "private", &input()), Source::Early);
    assert_eq!(from(json!(["rbind", "shared"]), "", &input()), Source::Early);
    assert_eq!(from(json!(["rbind"]), "none", &input()), Source::Host);
    assert_eq!(from(json!(["rbind", "rshared"]), "none", &input()), Source::Late);
    let user = PlanInput { user_namespace: true, ..input() };
    assert_eq!(from(json!(["rbind", "shared"]), "", &user), Source::Inherited);
    // Without privileges the runtime has no more to give than init.
    let unprivileged = PlanInput { user_namespace: true, privileged: false, ..input() };
    assert_eq!(from(json!(["rbind"]), "", &unprivileged), Source::Late);
}

#[test]
fn idmapped_mounts_have_their_own_maps_or_the_containers() {
    let map = |host: u32| json!([{"containerID": 0, "hostID": host, "size": 10}]);
    let idmap = |mut entry: Value, user: Value| {
        entry["destination"] = json!("/x");
        let linux = json!({"namespaces": [{"type": "mount"}, user], "uidMappings": map(7), "gidMappings": map(8)});
        let config = json!({"mounts": [entry], "linux": linux});
        let plan = planned(config, &PlanInput { user_namespace: true, ..input() }).unwrap();
        let idmap = plan.mounts[0].idmap.clone().unwrap();
        match idmap.user_namespace {
            UserNamespace::Maps { uids, gids } => (idmap.recursive, format!("{} {}", uids[0].host_id, gids[0].host_id)),
            UserNamespace::Joined(path) => (idmap.recursive, path.display().to_string()),
        }
    };
    let own = json!({"type": "tmpfs", "uidMappings": map(1), "gidMappings": map(2)});
    assert_eq!(idmap(own, json!({"type": "user"})), (false, "1 2".to_owned()));
    let bind = |option: &str| json!({"source": "/s", "options": ["rbind", option]});
    assert_eq!(idmap(bind("ridmap"), json!({"type": "user"})), (true, "7 8".to_owned()));
    assert_eq!(idmap(bind("idmap"), json!({"type": "user", "path": "/u"})), (false, "/u".to_owned()));
}

#[test]
fn labels_go_to_file_systems_that_take_them() {
    let input = PlanInput { mount_label: Some("u:r:t:s0:c1,c2"), ..input() };
    for (kind, labelled) in [("tmpfs", true), ("devpts", true), ("proc", false), ("sysfs", false), ("mqueue", false)] {
        let plan = planned(json!({"mounts": [{"destination": "/x", "type": kind}]}), &input).unwrap();
        let MountKind::FileSystem { config, .. } = &plan.mounts[0].kind else { panic!("{kind}") };
        assert_eq!(config.iter().any(|(key, _)| key == "context"), labelled, "{kind}");
        assert_eq!(plan.mounts[0].label.is_some(), kind == "mqueue");
    }
    let own = json!({"destination": "/x", "type": "tmpfs", "options": ["context=\"own\""]});
    let plan = planned(json!({"mounts": [own]}), &input).unwrap();
    let MountKind::FileSystem { config, .. } = &plan.mounts[0].kind else { panic!("{plan:?}") };
    assert_eq!(*config, [("context".to_owned(), Some("own".to_owned()))]);
}

#[test]
fn devices_that_are_not_made() {
    let devices = |config: Value, input: &PlanInput<'_>| -> Vec<(String, bool)> {
        let nodes = planned(config, input).unwrap().devices.nodes;
        nodes.into_iter().map(|node| (node.target.to_string_lossy().into_owned(), node.bind)).collect()
    };
    let listed = json!([{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}, {"path": "/dev/null", "type": "c", "major": 1, "minor": 3},
                        {"path": "/x/y", "type": "b", "major": 8, "minor": 0}, {"path": "/dev/p", "type": "p"}]);
    let config = json!({"linux": {"devices": listed}});
    let names = ["dev/zero", "dev/full", "dev/random", "dev/urandom", "dev/tty", "dev/null", "x/y", "dev/p"];
    assert_eq!(devices(config.clone(), &input()), names.map(|name| (name.to_owned(), false)));
    let bound = PlanInput { can_mknod: false, ..input() };
    assert_eq!(devices(config, &bound), names.map(|name| (name.to_owned(), name != "dev/p")));
    for dev in [
        json!({"destination": "/dev", "type": "bind", "source": "/dev"}),
        json!({"destination": "/dev/", "source": "/dev", "options": ["rbind"]}),
    ] {
        let config = json!({"mounts": [dev], "linux": {"devices": listed}});
        assert_eq!(devices(config, &input()), [("x/y".to_owned(), false)]);
    }
}
