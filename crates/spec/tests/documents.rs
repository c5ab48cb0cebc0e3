//! Configurations as engines write them, and one that sets every property of the specification.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use serde_json::Value;
use spec::features::Features;
use spec::{Hooks, NamespaceType, NetworkMode, Process, Resources, Spec, State, Status};

const HOST_20: &str = include_str!("data/docker-20.10-host.json");
const BRIDGE_20: &str = include_str!("data/docker-20.10-bridge.json");
const HOST_28: &str = include_str!("data/docker-28-host.json");
const PODMAN: &str = include_str!("data/podman.json");
const FULL: &str = include_str!("data/full.json");

fn read(text: &str) -> Spec {
    Spec::from_bytes(text.as_bytes()).unwrap()
}

#[test]
fn every_engine_is_understood() {
    for text in [HOST_20, BRIDGE_20, HOST_28, PODMAN] {
        let spec = read(text);
        assert_eq!(spec.validate(), Ok(()));
        let profile = spec.linux.as_ref().unwrap().seccomp_profile().unwrap().unwrap();
        assert_eq!(profile.validate(), Ok(()));
    }
}

#[test]
fn hooks_alone_are_those_of_the_whole() {
    for text in [HOST_20, BRIDGE_20, HOST_28, PODMAN, FULL] {
        assert_eq!(Hooks::of_config(text.as_bytes()).unwrap(), read(text).hooks);
    }
    assert!(!Hooks::of_config(FULL.as_bytes()).unwrap().is_empty());
    let error = Hooks::of_config(br#"{"hooks": {"poststop": [{"path": 1}]}}"#).unwrap_err();
    assert_eq!(error.pointer, "/hooks/poststop/0/path");
}

#[test]
fn network_modes() {
    let network = |namespaces: &str| {
        let linux = format!(r#"{{"ociVersion": "1.0.2", "linux": {{"namespaces": {namespaces}}}}}"#);
        read(&linux).network_mode()
    };
    for (mode, expected) in [
        (read(HOST_20).network_mode(), NetworkMode::Join("/proc/1/ns/net".into())),
        (read(BRIDGE_20).network_mode(), NetworkMode::New),
        (read(HOST_28).network_mode(), NetworkMode::Host),
        (read(PODMAN).network_mode(), NetworkMode::Join("/run/netns/netns-6f0e".into())),
        (read(r#"{"ociVersion": "1.0.2"}"#).network_mode(), NetworkMode::Host),
        (network("null"), NetworkMode::Host),
        (network(r#"[{"type": "pid", "path": "/x"}]"#), NetworkMode::Host),
        (network(r#"[{"type": "network", "path": ""}]"#), NetworkMode::New),
        (network(r#"[{"type": "network", "path": null}]"#), NetworkMode::New),
        (network(r#"[{"type": "pid"}, {"type": "network", "path": "/n"}]"#), NetworkMode::Join("/n".into())),
    ] {
        assert_eq!(mode, expected);
    }
}

#[test]
fn zero_and_absent_differ() {
    let spec = read(HOST_20);
    let resources = spec.linux.unwrap().resources.unwrap();
    assert_eq!(resources.cpu.as_ref().unwrap().shares, Some(0));
    assert_eq!(resources.cpu.unwrap().quota, None);
    assert_eq!(resources.pids.unwrap().limit, None);
    assert_eq!(resources.memory.unwrap().disable_oom_killer, Some(false));
    assert_eq!(spec.process.unwrap().user.umask, None);
}

#[test]
fn docker_reads_as_written() {
    let bridge = read(BRIDGE_20);
    assert_eq!(bridge.hooks.prestart.len(), 1);
    assert_eq!(bridge.hooks.prestart[0].args[0], "libnetwork-setkey");
    assert_eq!(bridge.hooks.prestart[0].timeout, None);
    let host = read(HOST_28);
    assert!(host.hooks.is_empty());
    assert!(host.namespace(NamespaceType::Cgroup).is_some());
    assert_eq!(host.process.unwrap().user.additional_gids, [0, 10]);
    assert_eq!(host.mounts[4].kind.as_deref(), Some("cgroup"));
}

/// The property test of the model: what it does not know would be lost on the way through it.
#[test]
fn no_property_is_unknown() {
    let spec = read(FULL);
    let original: Value = serde_json::from_str(FULL).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), original);
    assert_eq!(spec.validate(), Ok(()));
    let linux = spec.linux.unwrap();
    let profile = serde_json::to_value(linux.seccomp_profile().unwrap().unwrap()).unwrap();
    assert_eq!(profile, original["linux"]["seccomp"]);
}

#[test]
fn hook_points_have_the_names_of_the_document() {
    let names = Hooks::default().points().map(|(name, _)| name);
    let original: Value = serde_json::from_str(FULL).unwrap();
    assert_eq!(names, Hooks::NAMES);
    assert!(names.iter().all(|name| original["hooks"][name].is_array()));
}

#[test]
fn what_is_read_can_be_written_and_read_again() {
    for text in [HOST_20, BRIDGE_20, HOST_28, PODMAN, FULL] {
        let once = serde_json::to_string(&read(text)).unwrap();
        let twice = serde_json::to_string(&read(&once)).unwrap();
        assert_eq!(once, twice);
    }
}

#[test]
fn the_seccomp_profile_keeps_its_bytes() {
    let text = r#"{"ociVersion": "1.0.2", "linux": {"seccomp": {"defaultAction":   "SCMP_ACT_ALLOW" }}}"#;
    let linux = read(text).linux.unwrap();
    assert_eq!(linux.seccomp.unwrap().get(), r#"{"defaultAction":   "SCMP_ACT_ALLOW" }"#);
}

/// Replaces every value of a document by `null`, one at a time: Go's encoder writes `null` for whatever is not there.
#[test]
fn null_is_absent_everywhere() {
    let original: Value = serde_json::from_str(FULL).unwrap();
    let mut pointers = Vec::new();
    pointers_of(&original, String::new(), &mut pointers);
    let mut accepted = 0;
    for pointer in &pointers {
        let mut document = original.clone();
        *document.pointer_mut(pointer).unwrap() = Value::Null;
        match Spec::from_bytes(document.to_string().as_bytes()) {
            Ok(_) => accepted += 1,
            Err(error) => {
                // An array's item, a map's value and what is required are never null in Go's output.
                let required = ["ociVersion", "type", "policy", "class", "mode", "domain", "height", "width"];
                let last = pointer.rsplit('/').next().unwrap();
                let in_map = ["annotations", "sysctl", "unified", "rdma", "netDevices", "timeOffsets"];
                let parent = pointer.rsplit('/').nth(1).unwrap();
                let item = last.parse::<u32>().is_ok();
                assert!(required.contains(&last) || in_map.contains(&parent) || item, "{pointer}: {error}");
            }
        }
    }
    assert!(accepted > 100, "{accepted}");
}

fn pointers_of(value: &Value, pointer: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| pointers_of(value, format!("{pointer}/{key}"), pointers));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| pointers_of(value, format!("{pointer}/{i}"), pointers));
        }
        _ => {}
    }
    if !pointer.is_empty() {
        pointers.push(pointer);
    }
}

#[test]
fn unknown_properties_and_capabilities_are_no_errors() {
    let text = r#"{"ociVersion": "1.0.2", "future": {"a": [[[]]]}, "windows": {"layerFolders": []},
        "process": {"args": ["a"], "cwd": "/", "commandLine": "x", "capabilities": {"bounding": ["CAP_NO_SUCH"]}}}"#;
    let process = read(text).process.unwrap();
    assert_eq!(process.capabilities.unwrap().bounding, ["CAP_NO_SUCH"]);
    // What is not known is not descended into, however deep.
    let deep = format!(r#"{{"ociVersion": "1.0.2", "future": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    read(&deep);
}

#[test]
fn process_and_resources_are_documents_of_their_own() {
    let process = Process::from_bytes(br#"{"args": ["id"], "cwd": "/", "env": null}"#).unwrap();
    assert_eq!(process.validate(""), Ok(()));
    let refusal = Process::default().validate("").unwrap_err();
    assert_eq!(refusal.in_document("process.json"), "process.json: /args: missing or empty (name the program to run)");

    let resources = Resources::from_bytes(br#"{"memory": {"limit": 0}, "pids": {"limit": -1}}"#).unwrap();
    assert_eq!(resources.memory.unwrap().limit, Some(0));
    assert_eq!(resources.pids.unwrap().limit, Some(-1));
    assert_eq!(Resources::from_bytes(b"{}").unwrap(), Resources::default());
}

#[test]
fn a_features_document_holds_what_is_known() {
    let text = r#"{
        "ociVersionMin": "1.0.0", "ociVersionMax": "1.3.0", "hooks": ["prestart"], "mountOptions": [],
        "linux": {
            "namespaces": ["pid"], "capabilities": ["CAP_CHOWN"],
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true},
            "seccomp": {"enabled": true, "actions": ["SCMP_ACT_ALLOW"], "operators": ["SCMP_CMP_EQ"],
                "archs": ["SCMP_ARCH_X32"], "knownFlags": [], "supportedFlags": []},
            "apparmor": {"enabled": true}, "selinux": {"enabled": false},
            "intelRdt": {"enabled": false, "schemata": false, "monitoring": false},
            "memoryPolicy": {"modes": [], "flags": []}, "mountExtensions": {"idmap": {"enabled": false}},
            "netDevices": {"enabled": false}
        },
        "annotations": {"com.example.version": "1"}, "potentiallyUnsafeConfigAnnotations": ["com.example."]
    }"#;
    let document: Value = serde_json::from_str(text).unwrap();
    let features: Features = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(features).unwrap(), document);
    let unknown =
        Features { oci_version_min: "1.0.0".to_owned(), linux: Some(Default::default()), ..Default::default() };
    assert_eq!(serde_json::to_string(&unknown).unwrap(), r#"{"ociVersionMin":"1.0.0","ociVersionMax":"","linux":{}}"#);
}

#[test]
fn a_state_is_what_hooks_expect() {
    let state = State {
        oci_version: spec::OCI_VERSION.to_owned(),
        id: "c1".to_owned(),
        status: Status::Creating,
        pid: Some(42),
        bundle: "/b".into(),
        annotations: Default::default(),
    };
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(text, r#"{"ociVersion":"1.3.0","id":"c1","status":"creating","pid":42,"bundle":"/b"}"#);
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
}
