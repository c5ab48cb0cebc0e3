//! containerd and its shims die, and the containers are neither lost nor left behind.

use std::fs;

use integration::containerd::Containerd;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, host};
use rustix::process::{Pid, Signal, kill_process};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![scene!(a_killed_shim_leaves_no_container), scene!(containers_outlive_a_killed_containerd)]
}

fn a_killed_shim_leaves_no_container(stage: &Stage) {
    let task = stage.containerd.start_detached(&[], &["sleep", "1000"]);
    let pid = task.pid();
    let shim: i32 = host::status_field(pid, "PPid").unwrap().parse().unwrap();
    let command_line = fs::read_to_string(format!("/proc/{shim}/cmdline")).unwrap();
    assert!(command_line.contains("containerd-shim"), "{command_line}");
    kill_process(Pid::from_raw(shim).unwrap(), Signal::KILL).unwrap();
    // containerd starts `containerd-shim delete`, and that the runtime's `delete --force`.
    let record = stage.containerd.folder.join("runc/scenes").join(&task.name);
    eventually(PATIENCE, "the container, its cgroup and the runtime's record to be gone", || {
        let cgroups = cgroup::directories(&format!("{}/{}", stage.ground.cgroup, task.name));
        (!host::is_alive(pid) && cgroups.is_empty() && !record.exists()).then_some(())
    });
}

fn containers_outlive_a_killed_containerd(stage: &Stage) {
    // One of its own: the other scenes need theirs.
    let containerd = Containerd::start(&stage.ground, &stage.runtime);
    let task = containerd.start_detached(&[], &["sleep", "1000"]);
    let pid = task.pid();
    containerd.crash_and_restart();
    assert_eq!(task.listed(), Some((pid, "RUNNING".to_owned())));
    assert_eq!(task.exec(&[], &["echo", "still here"]).ok().text(), "still here");
    task.kill("SIGKILL").ok();
    task.stops();
}
