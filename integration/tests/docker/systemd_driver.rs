//! Docker with `native.cgroupdriver=systemd`, its default on a machine that systemd runs with cgroup v2.

use std::process::Command;

use integration::daemon::Daemon;
use integration::docker::Docker;
use integration::http::first_answer;
use integration::image::{self, BUSYBOX, NGINX};
use integration::scene;
use integration::scene::Scene;
use integration::{cgroup, command, host};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![scene!(containers_are_units).skip_if(!host::has_systemd(), "systemd does not run it")]
}

fn show(unit: &str, property: &str) -> String {
    command::run(Command::new("systemctl").args(["show", "--value", "-p", property, unit])).text()
}

fn containers_are_units(stage: &Stage) {
    let slice = format!("{}.slice", stage.ground.cgroup.trim_start_matches('/'));
    // A daemon of its own: the driver is the daemon's.
    let settings = json!({ "exec-opts": ["native.cgroupdriver=systemd"], "cgroup-parent": slice });
    let daemon = Daemon::start(&stage.ground, &stage.runtime, settings);
    let docker = daemon.docker();
    image::import_all(&docker, &daemon.folder);
    let container = docker.container("unit");
    container.start_detached(&["--network", "none", "-m", "64m", "--pids-limit", "50", BUSYBOX, "sleep", "1000"]);
    let unit = format!("docker-{}.scope", container.inspect("/Id").as_str().unwrap());
    assert_eq!((show(&unit, "ActiveState"), show(&unit, "Slice")), ("active".to_owned(), slice));
    assert_eq!(show(&unit, "TasksMax"), "50");
    assert_eq!(cgroup::value(container.pid(), "memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    assert_eq!(container.exec(&["echo", "in it"]), "in it");
    container.verb(&["update", "-m", "32m", "--memory-swap", "32m"]).ok();
    command::run(Command::new("systemctl").arg("daemon-reload")).ok();
    assert_eq!(cgroup::value(container.pid(), "memory", "memory.limit_in_bytes", "memory.max"), "33554432");
    container.verb(&["pause"]).ok();
    container.verb(&["unpause"]).ok();
    container.verb(&["stop", "-t", "0"]).ok();
    container.verb(&["rm"]).ok();
    assert_eq!(show(&unit, "LoadState"), "not-found");
    if !stage.runtime.is_peer() {
        publish_works_in_units(&docker);
    }
    daemon.stop();
}

/// systemd makes the cgroup, and only once there is a process for it.
fn publish_works_in_units(docker: &Docker) {
    let (web, port) = (docker.container("published"), host::free_port());
    let setting = format!("LIGHTSHIP_NET_PUBLISH={port}:80");
    web.start_detached(&["--network", "host", "-e", &setting, "-e", "PAGE=unit", NGINX]);
    assert_eq!(first_answer(host::address(), port), "unit");
}
