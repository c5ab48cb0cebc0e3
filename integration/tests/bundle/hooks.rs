//! Hooks: all six points, in their order, with the state on standard input.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use integration::bundle::Bundle;
use integration::runtime::Runtime;
use integration::scene;
use integration::scene::Scene;
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let runc = Runtime::under_test().name() == "runc";
    vec![
        scene!(all_points_in_order_with_the_state).peer_cannot_if(runc, "runc 1.1 runs poststart hooks in create"),
        scene!(arguments_and_environment_are_the_hooks_own),
        scene!(failing_hook_fails_create_and_leaves_nothing),
        scene!(failing_poststop_hook_does_not_fail_delete),
        scene!(hook_that_outlives_its_timeout_is_killed),
    ]
}

const POINTS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// An executable script that both the host and, by the same path, the container can run.
fn script(bundle: &mut Bundle, text: &str) -> String {
    let folder = bundle.folder.join("hooks");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("hook");
    fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    // startContainer runs after pivot_root: the folder is mounted at its own path.
    let path = folder.to_str().unwrap();
    fs::create_dir_all(bundle.in_rootfs(path)).unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": path, "type": "bind", "source": path, "options": ["rbind", "rw"] }));
    file.to_str().unwrap().to_owned()
}

fn all_points_in_order_with_the_state(stage: &Stage) {
    let mut bundle = stage.shell("echo process >>\"$0\"");
    let record = bundle.folder.join("hooks/record").to_str().unwrap().to_owned();
    bundle.set("/process/args", json!(["sh", "-c", format!("echo process >>{record}")]));
    let hook = script(&mut bundle, &format!("echo $1 >>{record}; cat >{record}.$1"));
    for point in POINTS {
        bundle.set(&format!("/hooks/{point}"), json!([{ "path": hook, "args": ["hook", point] }]));
    }
    let order = || fs::read_to_string(&record).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    bundle.create();
    let pid = bundle.pid();
    assert_eq!(order(), ["prestart", "createRuntime", "createContainer"]);
    bundle.verb(&["start"]).ok();
    bundle.exit_code(pid);
    bundle.verb(&["delete"]).ok();
    let mut order = order();
    // The process and the poststart hook run side by side.
    order[4..6].sort();
    assert_eq!(order[..4], ["prestart", "createRuntime", "createContainer", "startContainer"]);
    assert_eq!(order[4..], ["poststart", "process", "poststop"]);
    for (point, status) in POINTS.iter().zip(["creating", "creating", "creating", "created", "running", "stopped"]) {
        let state: Value = serde_json::from_slice(&fs::read(format!("{record}.{point}")).unwrap()).unwrap();
        assert_eq!(state["id"], bundle.id, "{point}");
        assert_eq!(state["bundle"], bundle.directory().to_str().unwrap(), "{point}");
        assert!(state["ociVersion"].is_string(), "{point}");
        // A short process may have ended before its poststart hook ran.
        // The hooks of create come after the environment is created (runtime.md, "Lifecycle", steps 2 to 5), which is what
        // "created" means; runc says "creating".
        let status_fits = state["status"] == status || (*status == *"creating" && state["status"] == "created");
        assert!(status_fits || *point == "poststart", "{point}: {state}");
        if ["prestart", "createRuntime"].contains(point) {
            assert_eq!(state["pid"], pid, "{point}");
        }
    }
}

fn arguments_and_environment_are_the_hooks_own(stage: &Stage) {
    let mut bundle = stage.bundle(&["true"]);
    let record = bundle.folder.join("record");
    let line = format!("{{ tr '\\0' '|' </proc/self/cmdline; echo; env | sort; }} >{}", record.display());
    let hook = json!({ "path": "/bin/busybox", "args": ["sh", "-c", line], "env": ["ONLY=this"] });
    bundle.set("/hooks/createRuntime", json!([hook]));
    bundle.create();
    let text = fs::read_to_string(record).unwrap();
    assert!(text.contains("ONLY=this"), "{text}");
    assert!(!text.contains("HOME="), "the caller's environment leaked into the hook: {text}");
}

fn failing_hook_fails_create_and_leaves_nothing(stage: &Stage) {
    for point in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = stage.bundle(&["true"]);
        let hook = script(&mut bundle, "echo why it failed >&2; exit 3");
        bundle.set(&format!("/hooks/{point}"), json!([{ "path": hook }]));
        bundle.create_with(&[]).fails();
        let errors = bundle.logged_errors();
        assert_eq!(errors.len(), 1, "{point}: {errors:?}");
        assert!(errors[0].contains("hook"), "{point}: {errors:?}");
        bundle.is_gone();
    }
}

fn failing_poststop_hook_does_not_fail_delete(stage: &Stage) {
    let mut bundle = stage.bundle(&["true"]);
    bundle.set("/hooks/poststop", json!([{ "path": "/bin/false" }]));
    bundle.start();
    bundle.stops();
    bundle.verb(&["delete"]).ok();
    bundle.is_gone();
}

fn hook_that_outlives_its_timeout_is_killed(stage: &Stage) {
    let mut bundle = stage.bundle(&["true"]);
    let hook = json!({ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 });
    bundle.set("/hooks/createRuntime", json!([hook]));
    bundle.create_with(&[]).fails();
    bundle.is_gone();
}
