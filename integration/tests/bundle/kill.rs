//! `kill`: signals by name and number, to init and to all.

use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{host, leftover};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(signals_by_name_and_number),
        scene!(default_is_term),
        scene!(unknown_signal_is_refused),
        scene!(stopped_container_is_not_running),
        scene!(all_reaches_every_process),
        scene!(all_works_when_init_is_dead),
        scene!(pid_namespace_of_the_host_dies_with_kill),
    ]
}

fn signals_by_name_and_number(stage: &Stage) {
    let bundle = stage.shell("trap 'echo got' USR1; echo ready; while :; do sleep 1 & wait $!; done");
    bundle.start().says("ready");
    for (count, signal) in ["SIGUSR1", "USR1", "10"].iter().enumerate() {
        let output = bundle.kill(signal).ok();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
        bundle.says(&"got\n".repeat(count + 1));
    }
}

fn default_is_term(stage: &Stage) {
    let bundle = stage.shell("trap 'exit 3' TERM; echo ready; while :; do sleep 1 & wait $!; done");
    bundle.start().says("ready");
    let pid = bundle.pid();
    bundle.verb(&["kill"]).ok();
    assert_eq!(bundle.exit_code(pid), 3);
}

fn unknown_signal_is_refused(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    for (count, signal) in ["NOSUCH", "SIG", "999"].iter().enumerate() {
        bundle.kill(signal).fails();
        assert_eq!(bundle.logged_errors().len(), count + 1);
    }
    assert_eq!(bundle.status(), "running");
}

fn stopped_container_is_not_running(stage: &Stage) {
    let bundle = stage.bundle(&["true"]);
    bundle.start();
    bundle.stops();
    bundle.kill("9").fails().says("container not running");
}

/// A container in the host's pid namespace with a child beside its init.
const FAMILY: &str = "sleep 1000 & echo child $!; exec sleep 1000";

fn all_reaches_every_process(stage: &Stage) {
    let mut bundle = stage.shell(FAMILY);
    bundle.share_namespace("pid");
    bundle.start().says("child");
    assert_eq!(leftover::members(&bundle.cgroup).len(), 2);
    bundle.call(&["kill", "--all", &bundle.id, "9"]).ok();
    eventually(PATIENCE, "both processes to end", || leftover::processes(&bundle.folder).is_empty().then_some(()));
}

fn all_works_when_init_is_dead(stage: &Stage) {
    for flag in ["--all", "-a"] {
        let mut bundle = stage.shell("sleep 1000 & exit 0");
        bundle.share_namespace("pid");
        bundle.start();
        bundle.stops();
        assert_eq!(leftover::processes(&bundle.folder).len(), 1, "the child lives on");
        bundle.call(&["kill", flag, &bundle.id, "9"]).ok();
        eventually(PATIENCE, "the child to end", || leftover::processes(&bundle.folder).is_empty().then_some(()));
        bundle.verb(&["delete"]).ok();
        bundle.is_gone();
    }
}

fn pid_namespace_of_the_host_dies_with_kill(stage: &Stage) {
    let mut bundle = stage.shell(FAMILY);
    bundle.share_namespace("pid");
    bundle.start().says("child");
    let pid = bundle.pid();
    bundle.verb(&["delete", "--force"]).ok();
    assert!(!host::is_alive(pid));
    bundle.is_gone();
}
