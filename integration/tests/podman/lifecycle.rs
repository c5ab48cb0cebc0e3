//! From start to removal: exec, signals, pause, logs, and what is left.

use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, host, leftover};

use crate::Stage;

const WAITS: &str = "echo ready; while :; do sleep 1 & wait $!; done";

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(exec_in_it),
        scene!(exec_that_cannot_be_run),
        scene!(logs_of_both_streams),
        scene!(stop_sends_term_then_kill),
        scene!(kill_sends_the_named_signal),
        scene!(restart_makes_a_new_process),
        scene!(pause_and_unpause),
        scene!(top_and_stats),
        scene!(healthcheck_is_run),
        scene!(nothing_is_left_after_removal),
    ]
}

fn exec_in_it(stage: &Stage) {
    let container = stage.podman.start(&["--network", "none"], &["sleep", "1000"]);
    let output =
        container.exec(&["-u", "1000", "-w", "/tmp", "-e", "A=b"], &["sh", "-c", "id -u; pwd; echo $A; exit 9"]);
    assert_eq!(output.code_is(9).stdout, "1000\n/tmp\nb\n");
    container.exec(&["-t"], &["test", "-t", "1"]).ok();
    container.exec(&["-d"], &["touch", "/made"]).ok();
    eventually(PATIENCE, "the detached exec's file", || {
        (container.exec(&[], &["ls", "/made"]).code == 0).then_some(())
    });
}

fn exec_that_cannot_be_run(stage: &Stage) {
    let container = stage.podman.start(&["--network", "none"], &["sleep", "1000"]);
    container.exec(&[], &["nosuch"]).code_is(127).says("executable file not found");
    container.exec(&[], &["/etc/passwd"]).code_is(126).says("permission denied");
    assert_eq!(container.status(), "running");
}

fn logs_of_both_streams(stage: &Stage) {
    let container = stage.podman.start(&["--network", "none"], &["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(container.wait(), 0);
    let followed = container.verb(&["logs", "-f"]).ok();
    assert_eq!((followed.stdout.as_str(), followed.stderr.as_str()), ("out\n", "err\n"));
}

fn stop_sends_term_then_kill(stage: &Stage) {
    let polite = stage.podman.start(&["--network", "none"], &["sh", "-c", &format!("trap 'exit 4' TERM; {WAITS}")]);
    polite.logs_show("ready");
    polite.verb(&["stop"]).ok();
    assert_eq!(polite.wait(), 4);
    let stubborn = stage.podman.start(&["--network", "none"], &["sh", "-c", &format!("trap '' TERM; {WAITS}")]);
    stubborn.logs_show("ready");
    stubborn.verb(&["stop", "-t", "1"]).ok();
    assert_eq!(stubborn.wait(), 137);
}

fn kill_sends_the_named_signal(stage: &Stage) {
    let line = format!("trap 'echo got-usr1' USR1; trap 'exit 8' HUP; {WAITS}");
    let container = stage.podman.start(&["--network", "none"], &["sh", "-c", &line]);
    container.logs_show("ready");
    container.verb(&["kill", "-s", "USR1"]).ok();
    container.logs_show("got-usr1");
    container.verb(&["kill", "-s", "HUP"]).ok();
    assert_eq!(container.wait(), 8);
    container.verb(&["kill"]).fails();
}

fn restart_makes_a_new_process(stage: &Stage) {
    let container = stage.podman.start(&["--network", "none"], &["sleep", "1000"]);
    let before = container.pid();
    container.verb(&["restart", "-t", "0"]).ok();
    assert_ne!(container.pid(), before);
    assert_eq!(container.exec(&[], &["echo", "again"]).ok().text(), "again");
}

fn pause_and_unpause(stage: &Stage) {
    let container = stage.podman.start(&["--network", "none"], &["sleep", "1000"]);
    container.verb(&["pause"]).ok();
    assert_eq!(container.status(), "paused");
    container.exec(&[], &["true"]).fails();
    container.verb(&["unpause"]).ok();
    assert_eq!((container.status(), container.exec(&[], &["echo", "on"]).ok().text()), ("running".into(), "on".into()));
}

fn top_and_stats(stage: &Stage) {
    let container = stage.podman.start(&["--network", "none"], &["sleep", "1000"]);
    assert!(container.verb(&["top"]).ok().stdout.contains("sleep 1000"));
    if cgroup::has_controller("memory") {
        assert!(container.verb(&["stats", "--no-stream"]).ok().stdout.contains(&container.name));
    }
}

fn healthcheck_is_run(stage: &Stage) {
    let flags = ["--network", "none", "--health-cmd", "test -e /healthy", "--health-interval", "disable"];
    let container = stage.podman.start(&flags, &["sleep", "1000"]);
    container.verb(&["healthcheck", "run"]).fails();
    container.exec(&[], &["touch", "/healthy"]).ok();
    container.verb(&["healthcheck", "run"]).ok();
}

fn nothing_is_left_after_removal(stage: &Stage) {
    let container = stage.podman.start(&["--network", "none"], &["sleep", "1000"]);
    let (pid, id) = (container.pid(), container.inspect("/Id").as_str().unwrap().to_owned());
    container.verb(&["rm", "-f", "-t", "0"]).ok();
    let cgroup = format!("{}/libpod-{id}", stage.ground.cgroup);
    eventually(PATIENCE, "process, conmon, cgroup and mounts to be gone", || {
        let mounted = leftover::mounts(&stage.podman.folder).iter().any(|point| point.to_string_lossy().contains(&id));
        let conmon = leftover::processes(&stage.podman.folder.join("root/overlay-containers").join(&id));
        let gone = !host::is_alive(pid) && conmon.is_empty() && cgroup::directories(&cgroup).is_empty() && !mounted;
        gone.then_some(())
    });
}
