//! `linux.intelRdt`. Few machines have a processor with resctrl, so it is a folder with a group's files, and the runtime is
//! shown a mount table that has it in; what a new group takes of the kernel is in the tests of the crate.

use std::fs;
use std::path::PathBuf;

use integration::bundle::Bundle;
use integration::scene;
use integration::scene::Scene;
use serde_json::{Value, json};

use crate::Stage;

const LINES: &str = "    L3:0=fffff\n    MB:0= 100\n";

pub fn scenes() -> Vec<Scene<Stage>> {
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - resctrl ");
    let fake = "peers ask for more of resctrl's files than the folder has";
    vec![
        scene!(a_host_without_it_refuses)
            .skip_if(mounted, "resctrl is mounted here")
            .peer_cannot("runc 1.1 starts the container all the same"),
        scene!(processes_are_in_the_named_group).peer_cannot(fake),
        scene!(a_group_with_other_lines_is_refused).peer_cannot(fake),
    ]
}

fn a_host_without_it_refuses(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/linux/intelRdt", json!({ "closID": "gold" }));
    bundle.create_with(&[]).fails().says("ntelRdt");
    bundle.is_gone();
}

/// A bundle that asks for the group `gold`, and the folder of that group.
fn with_group(stage: &Stage, rdt: Value) -> (Bundle, PathBuf) {
    let mut bundle = stage.sleeper();
    bundle.set("/linux/intelRdt", rdt);
    let group = bundle.directory().join("resctrl/gold");
    fs::create_dir_all(&group).unwrap();
    for folder in [&group, group.parent().unwrap()] {
        fs::write(folder.join("schemata"), LINES).unwrap();
        fs::write(folder.join("tasks"), "").unwrap();
    }
    (bundle, group)
}

/// Creates the container with a mount table that has the folder as a resctrl.
fn create(bundle: &Bundle) -> integration::command::Output {
    let folder = bundle.directory();
    let table = folder.join("mountinfo");
    let line = format!("1 1 0:1 / {}/resctrl rw - resctrl resctrl rw", folder.display());
    fs::write(&table, fs::read_to_string("/proc/self/mountinfo").unwrap() + &line + "\n").unwrap();
    let show = format!("mount --bind {} /proc/$$/mountinfo && exec \"$@\"", table.display());
    bundle.call_after(&format!("unshare --mount bash -c '{show}' bash"), &bundle.create_line("create", &[]))
}

fn processes_are_in_the_named_group(stage: &Stage) {
    let (bundle, group) = with_group(stage, json!({ "closID": "gold", "memBwSchema": "MB:0=100" }));
    create(&bundle).ok();
    let tasks = || fs::read_to_string(group.join("tasks")).unwrap();
    assert_eq!(tasks(), bundle.pid().to_string());
    bundle.verb(&["start"]).ok();
    let file = bundle.directory().join("exec.pid");
    bundle.call(&["exec", "--pid-file", file.to_str().unwrap(), &bundle.id, "true"]).ok();
    // A file keeps what is behind the end of a write, and a later pid is not shorter.
    assert_eq!(tasks(), fs::read_to_string(file).unwrap());

    bundle.call(&["update", "--l3-cache-schema", "L3:0=ff", &bundle.id]).ok();
    assert!(fs::read_to_string(group.join("schemata")).unwrap().starts_with("L3:0=ff\n"));
    let event: Value = serde_json::from_str(&bundle.verb(&["events", "--stats"]).ok().stdout).unwrap();
    assert_eq!(event["data"]["intel_rdt"]["l3_cache_schema"], "L3:0=ff");

    bundle.call(&["delete", "--force", &bundle.id]).ok();
    assert!(group.exists(), "config.json names the group, so it is not the container's to remove");
}

fn a_group_with_other_lines_is_refused(stage: &Stage) {
    let (bundle, group) = with_group(stage, json!({ "closID": "gold", "schemata": ["L3:0=f"] }));
    create(&bundle).fails().says("/linux/intelRdt/closID").says("L3:0=f");
    assert_eq!(fs::read_to_string(group.join("tasks")).unwrap(), "");
    bundle.is_gone();
}
