//! `ctr tasks`: exec, signals, pause, and removal.

use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, host, leftover};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(exec_in_it),
        scene!(exec_that_cannot_be_run),
        scene!(kill_sends_the_named_signal),
        scene!(kill_reaches_an_exec),
        scene!(pause_and_resume),
        scene!(ps_lists_the_processes),
        scene!(only_a_stopped_task_can_be_deleted),
        scene!(nothing_is_left_after_removal),
    ]
}

fn exec_in_it(stage: &Stage) {
    let task = stage.containerd.start_detached(&[], &["sleep", "1000"]);
    let output = task.exec(&["--cwd", "/tmp", "--user", "1000"], &["sh", "-c", "pwd; id -u; echo err >&2; exit 9"]);
    let output = output.code_is(9);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("/tmp\n1000\n", "err\n"));
}

fn exec_that_cannot_be_run(stage: &Stage) {
    let task = stage.containerd.start_detached(&[], &["sleep", "1000"]);
    task.exec(&[], &["nosuch"]).fails().says("exec: \"nosuch\": executable file not found in $PATH");
    assert_eq!(task.listed().unwrap().1, "RUNNING");
}

fn kill_sends_the_named_signal(stage: &Stage) {
    let line = "trap 'echo got-usr1' USR1; trap 'exit 8' HUP; echo ready; while :; do sleep 1 & wait $!; done";
    let task = stage.containerd.start_detached(&[], &["sh", "-c", line]);
    task.output_shows("ready");
    task.kill("SIGUSR1").ok();
    task.output_shows("got-usr1");
    task.kill("SIGHUP").ok();
    task.stops();
    task.verb(&["delete"], &[]).ok().says("exit code 8");
}

fn kill_reaches_an_exec(stage: &Stage) {
    let task = stage.containerd.start_detached(&[], &["sleep", "1000"]);
    task.verb(&["exec", "--exec-id", "asleep", "--detach"], &["sleep", "2000"]).ok();
    task.verb(&["kill", "--exec-id", "asleep", "--signal", "SIGKILL"], &[]).ok();
    eventually(PATIENCE, "the exec's process to be gone", || {
        let cgroup = format!("{}/{}", stage.ground.cgroup, task.name);
        (leftover::members(&cgroup) == [task.pid()]).then_some(())
    });
}

fn pause_and_resume(stage: &Stage) {
    let task = stage.containerd.start_detached(&[], &["sleep", "1000"]);
    task.verb(&["pause"], &[]).ok();
    assert_eq!(task.listed().unwrap().1, "PAUSED");
    task.verb(&["resume"], &[]).ok();
    assert_eq!(task.listed().unwrap().1, "RUNNING");
    assert_eq!(task.exec(&[], &["echo", "on"]).ok().text(), "on");
}

fn ps_lists_the_processes(stage: &Stage) {
    let task = stage.containerd.start_detached(&[], &["sh", "-c", "sleep 1111 & sleep 2222 & wait"]);
    let all = || task.verb(&["ps"], &[]).ok().lines().len();
    eventually(PATIENCE, "the shell and its two children in the list", || (all() == 1 + 3).then_some(()));
}

fn only_a_stopped_task_can_be_deleted(stage: &Stage) {
    let task = stage.containerd.start_detached(&[], &["sleep", "1000"]);
    task.verb(&["delete"], &[]).fails().says("must be stopped");
    task.kill("SIGKILL").ok();
    task.stops();
    task.kill("SIGKILL").fails().says("process already finished");
    task.verb(&["delete"], &[]).ok().says("exit code 137");
}

fn nothing_is_left_after_removal(stage: &Stage) {
    let task = stage.containerd.start_detached(&[], &["sleep", "1000"]);
    let (pid, name, bundle) = (task.pid(), task.name.clone(), task.bundle());
    let state = stage.containerd.folder.join("runc/scenes").join(&name);
    assert!(state.exists() && leftover::mounts(&bundle).len() == 1);
    drop(task);
    eventually(PATIENCE, "process, cgroup, mount, state and bundle to be gone", || {
        let cgroups = cgroup::directories(&format!("{}/{name}", stage.ground.cgroup));
        let gone = !host::is_alive(pid) && cgroups.is_empty() && leftover::mounts(&bundle).is_empty();
        (gone && !state.exists() && !bundle.exists()).then_some(())
    });
}
