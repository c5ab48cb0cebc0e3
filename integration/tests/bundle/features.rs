//! What `features` lists can be had: each name of it, in a container that runs.

use std::fs;

use integration::scene;
use integration::scene::Scene;
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let scenes = [
        scene!(every_namespace_can_be_new),
        scene!(every_capability_is_known_to_the_kernel),
        scene!(every_part_of_seccomp_can_be_used),
        scene!(every_mount_option_is_the_runtimes_own),
        scene!(every_hook_point_runs_hooks),
    ];
    scenes.into_iter().map(|scene| scene.peer_cannot("features came with runc 1.1 in another form")).collect()
}

/// The names of a list of the document.
fn listed(stage: &Stage, list: &str) -> Vec<String> {
    let output = stage.sleeper().call(&["features"]).ok();
    let features: Value = serde_json::from_str(&output.stdout).unwrap();
    let names: Vec<String> = serde_json::from_value(features.pointer(list).unwrap().clone()).unwrap();
    assert!(!names.is_empty(), "{list}");
    names
}

fn every_namespace_can_be_new(stage: &Stage) {
    let kinds = listed(stage, "/linux/namespaces");
    let mut bundle = stage.shell("for kind in /proc/self/ns/*; do readlink $kind; done");
    let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65_536 }]);
    bundle.set("/linux/namespaces", json!(namespaces));
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let inside = bundle.run().ok().stdout;
    let files = fs::read_dir("/proc/self/ns").unwrap().map(|entry| entry.unwrap().path());
    let ours: Vec<String> = files.map(|file| fs::read_link(file).unwrap().to_str().unwrap().to_owned()).collect();
    let shared: Vec<_> = inside.lines().filter(|namespace| ours.iter().any(|own| own == namespace)).collect();
    assert!(shared.is_empty(), "{kinds:?} leaves {shared:?}");
}

fn every_capability_is_known_to_the_kernel(stage: &Stage) {
    let capabilities = listed(stage, "/linux/capabilities");
    let last: usize = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
    assert!(capabilities.len() <= last + 1, "{capabilities:?}");
    // In a user namespace all of them can be had.
    let mut bundle = stage.shell("grep CapEff /proc/self/status");
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65_536 }]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let sets = ["bounding", "permitted", "effective"].map(|set| (set.to_owned(), json!(capabilities)));
    bundle.set("/process/capabilities", Value::Object(sets.into_iter().collect()));
    let all = u64::MAX >> (64 - capabilities.len());
    assert_eq!(bundle.run().ok().stdout, format!("CapEff:\t{all:016x}\n"));
}

fn every_part_of_seccomp_can_be_used(stage: &Stage) {
    let list = |name: &str| listed(stage, &format!("/linux/seccomp/{name}"));
    // Nobody makes these calls; whom a listener is for, its own scenes have.
    let actions = list("actions").into_iter().filter(|action| action != "SCMP_ACT_NOTIFY");
    let by_action = actions.map(|action| json!({ "names": ["acct"], "action": action }));
    let by_operator = list("operators").into_iter().map(|operator| {
        json!({ "names": ["swapon"], "action": "SCMP_ACT_ERRNO",
                "args": [{ "index": 0, "value": 1, "valueTwo": 1, "op": operator }] })
    });
    let rules: Vec<Value> = by_action.chain(by_operator).collect();
    let mut bundle = stage.shell("grep Seccomp: /proc/self/status");
    bundle.set(
        "/linux/seccomp",
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": list("archs"), "flags": list("knownFlags"),
                "syscalls": rules }),
    );
    assert_eq!(bundle.run().ok().stdout, "Seccomp:\t2\n");
}

/// A tmpfs refuses what it does not know itself, and none of these.
fn every_mount_option_is_the_runtimes_own(stage: &Stage) {
    let mut options = listed(stage, "/mountOptions");
    assert!(!options.iter().any(|option| ["size", "mode", "nosuch"].contains(&option.as_str())), "{options:?}");
    // These are about what is there already.
    options.retain(|option| !["bind", "rbind", "remount", "idmap", "ridmap"].contains(&option.as_str()));
    let mount = |option: &str| json!({ "destination": format!("/{option}"), "type": "tmpfs", "options": [option] });
    let mounts = |bundle: &mut integration::bundle::Bundle, options: &[String]| {
        let list = bundle.config["mounts"].as_array_mut().unwrap();
        list.extend(options.iter().map(|option| mount(option)));
    };
    let mut bundle = stage.shell("grep -c tmpfs /proc/self/mounts");
    mounts(&mut bundle, &options);
    assert!(bundle.run().ok().stdout.trim().parse::<usize>().unwrap() >= options.len());
    let mut unlisted = stage.shell("true");
    mounts(&mut unlisted, &["nosuch".to_owned()]);
    assert_ne!(unlisted.run().code, 0);
}

fn every_hook_point_runs_hooks(stage: &Stage) {
    for point in listed(stage, "/hooks") {
        let mut bundle = stage.shell("true");
        let ran = bundle.in_rootfs("ran");
        // Two of them see the container's root as it will be.
        let path = if point == "startContainer" { "/ran".into() } else { ran.clone() };
        let script = format!("echo {point} > {}", path.display());
        bundle.set("/hooks", json!({ &*point: [{ "path": "/bin/sh", "args": ["sh", "-c", script] }] }));
        bundle.run().ok();
        assert_eq!(fs::read_to_string(&ran).unwrap(), format!("{point}\n"));
    }
}
