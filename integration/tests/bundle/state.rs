//! `state` and `list`: the status follows the process, from created to deleted.

use integration::scene;
use integration::scene::Scene;
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(follows_the_life_of_the_container),
        scene!(tells_what_the_specification_asks),
        scene!(stopped_until_deleted),
        scene!(init_killed_before_start_is_stopped),
        scene!(unknown_id_does_not_exist),
        scene!(list_in_its_formats),
    ]
}

fn follows_the_life_of_the_container(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.create();
    assert_eq!(bundle.status(), "created");
    bundle.verb(&["start"]).ok();
    assert_eq!(bundle.status(), "running");
    bundle.verb(&["pause"]).ok();
    assert_eq!(bundle.status(), "paused");
    bundle.verb(&["resume"]).ok();
    assert_eq!(bundle.status(), "running");
    bundle.kill("KILL").ok();
    bundle.stops();
    bundle.verb(&["delete"]).ok();
    bundle.verb(&["state"]).fails().says("does not exist");
}

fn tells_what_the_specification_asks(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/annotations", json!({ "org.example.key": "value" }));
    bundle.create();
    let state = bundle.state();
    assert_eq!(state["id"], bundle.id);
    assert_eq!(state["bundle"], bundle.directory().to_str().unwrap());
    assert_eq!(state["rootfs"], bundle.in_rootfs("").to_str().unwrap().trim_end_matches('/'));
    assert_eq!(state["annotations"]["org.example.key"], "value");
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
    assert!(state["pid"].as_i64().unwrap() > 1);
    assert!(state["created"].as_str().unwrap().contains('T'));
    assert!(state["owner"].is_string());
}

fn stopped_until_deleted(stage: &Stage) {
    let bundle = stage.bundle(&["true"]);
    bundle.create();
    let pid = bundle.pid();
    bundle.verb(&["start"]).ok();
    // Stopped both as a zombie that nobody has reaped yet, and when it is gone.
    bundle.stops();
    assert_eq!(bundle.exit_code(pid), 0);
    assert_eq!(bundle.status(), "stopped");
    assert_eq!(bundle.state()["pid"], 0);
    bundle.verb(&["delete"]).ok();
    bundle.is_gone();
}

fn init_killed_before_start_is_stopped(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.create();
    bundle.kill("9").ok();
    bundle.stops();
    bundle.verb(&["start"]).fails();
    bundle.verb(&["delete"]).ok();
    bundle.is_gone();
}

fn unknown_id_does_not_exist(stage: &Stage) {
    let bundle = stage.sleeper();
    for verb in ["state", "start", "pause", "resume", "ps", "kill", "delete"] {
        bundle.call(&[verb, "nosuch"]).fails().says("does not exist");
    }
}

fn list_in_its_formats(stage: &Stage) {
    let bundle = stage.sleeper();
    assert_eq!(bundle.call(&["list", "-q"]).ok().stdout, "");
    bundle.create();
    assert_eq!(bundle.call(&["list", "--quiet"]).ok().lines(), [bundle.id.as_str()]);
    let table = bundle.call(&["list"]).ok().lines();
    assert!(
        table[0].starts_with("ID") && table[1].starts_with(&bundle.id) && table[1].contains("created"),
        "{table:?}"
    );
    for form in [&["list", "--format", "json"][..], &["list", "--format=json"], &["list", "-f", "json"]] {
        let listed: Value = serde_json::from_str(&bundle.call(form).ok().stdout).unwrap();
        assert_eq!(listed[0]["id"], bundle.id);
        assert_eq!(listed[0]["status"], "created");
        assert_eq!(listed[0]["pid"], bundle.pid());
    }
}
