//! `delete`: refuses what runs, forces when told, leaves nothing.

use integration::scene;
use integration::scene::Scene;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(running_container_is_refused),
        scene!(created_container_can_be_deleted_by_force),
        scene!(force_kills_and_leaves_nothing),
        scene!(force_of_an_unknown_id_is_silent),
        scene!(unknown_id_does_not_exist),
        scene!(paused_container_is_forced),
        scene!(id_can_be_used_again),
    ]
}

fn running_container_is_refused(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    bundle.verb(&["delete"]).fails().says("that is not stopped: running").says(&bundle.id);
    assert_eq!(bundle.status(), "running");
}

fn created_container_can_be_deleted_by_force(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.create();
    bundle.verb(&["delete", "-f"]).ok();
    bundle.is_gone();
}

fn force_kills_and_leaves_nothing(stage: &Stage) {
    let bundle = stage.shell("sleep 1000 & sleep 1000 & trap '' TERM; echo ready; wait");
    bundle.start().says("ready");
    let output = bundle.verb(&["delete", "--force"]).ok();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    bundle.is_gone();
}

fn force_of_an_unknown_id_is_silent(stage: &Stage) {
    let bundle = stage.sleeper();
    for id in ["unknown", &bundle.id] {
        let output = bundle.call(&["delete", "--force", id]).ok();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    }
    assert!(bundle.logged_errors().is_empty());
}

fn unknown_id_does_not_exist(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.call(&["delete", "unknown"]).fails().says("does not exist");
    assert_eq!(bundle.logged_errors().len(), 1);
}

fn paused_container_is_forced(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    bundle.verb(&["pause"]).ok();
    bundle.verb(&["delete", "--force"]).ok();
    bundle.is_gone();
}

fn id_can_be_used_again(stage: &Stage) {
    let bundle = stage.bundle(&["true"]);
    for _ in 0..3 {
        assert_eq!(bundle.run().ok().code, 0);
        bundle.is_gone();
    }
}
