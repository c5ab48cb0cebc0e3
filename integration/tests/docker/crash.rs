//! Docker, containerd and their shims die in the middle of their work, and no container is lost or left behind.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use integration::container::Container;
use integration::daemon::Daemon;
use integration::image::{self, BUSYBOX};
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, command, host, leftover, scene};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(a_killed_shim_ends_its_container),
        scene!(containers_outlive_a_killed_containerd),
        scene!(dockerd_killed_while_containers_come_and_go),
    ]
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

fn a_killed_shim_ends_its_container(stage: &Stage) {
    let container = stage.docker.container("shim");
    container.start_detached(&["--network", "host", BUSYBOX, "sleep", "1000"]);
    let (id, pid) = (container.id(), container.pid());
    let cgroups = || cgroup::directories(&format!("{}/{id}", stage.ground.cgroup));
    assert!(!cgroups().is_empty());
    kill(host::status_field(pid, "PPid").unwrap().parse().unwrap());
    eventually(PATIENCE, "Docker to see that it ended", || container.status().eq("exited").then_some(()));
    eventually(PATIENCE, "its process and its cgroups to be gone", || {
        (!host::is_alive(pid) && cgroups().is_empty()).then_some(())
    });
    container.verb(&["start"]).ok();
    assert_eq!(container.exec(&["echo", "again"]), "again");
}

/// A daemon of its own, whose containers go on without it: the other scenes need theirs.
fn daemon(stage: &Stage) -> Daemon {
    let daemon = Daemon::start(&stage.ground, &stage.runtime, json!({ "live-restore": true }));
    image::import_all(&daemon.docker(), &daemon.folder);
    daemon
}

fn containers_outlive_a_killed_containerd(stage: &Stage) {
    let daemon = daemon(stage);
    let container = daemon.docker().container("outlives");
    container.start_detached(&["--network", "host", BUSYBOX, "sleep", "1000"]);
    let pid = container.pid();
    daemon.crash_containerd();
    eventually(PATIENCE, "an exec to go through containerd again", || {
        container.exec_with(&[], &["echo", "still here"]).code.eq(&0).then_some(())
    });
    assert_eq!((container.status().as_str(), container.pid()), ("running", pid));
    container.verb(&["kill"]).ok();
    assert_eq!(container.wait(), 137);
}

fn dockerd_killed_while_containers_come_and_go(stage: &Stage) {
    let daemon = daemon(stage);
    let docker = daemon.docker();
    let records = daemon.folder.join("exec/runtime-runc/moby");
    let recorded =
        || -> Vec<String> { leftover::tree(&records).iter().filter_map(|path| container_id(path)).collect() };
    for started in [1, 2] {
        let containers: Vec<Container> = (0..6).map(|_| docker.container("storm")).collect();
        let lines = ["true", "sleep 0.2", "exec sleep 1000"].into_iter().cycle();
        let mut calls: Vec<Child> = containers
            .iter()
            .zip(lines)
            .map(|(container, line)| {
                let run = ["--network", "host", BUSYBOX, "sh", "-c", line];
                let mut run = docker.command(&container.run_line(&run));
                run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect();
        // These are with the runtime, or have been, when it dies; the others are anywhere on their way.
        eventually(PATIENCE, "the first to be there", || (recorded().len() >= started).then_some(()));
        daemon.crash();
        for call in &mut calls {
            command::wait(call, PATIENCE).expect("a client of the dead daemon hangs");
        }
        daemon.start_again();
        eventually(PATIENCE, "every container that it knows to be removed", || {
            for container in &containers {
                container.verb(&["rm", "-f"]);
            }
            docker.call(&["ps", "-aq"]).ok().text().is_empty().then_some(())
        });
    }
    // dockerd may forget a container that it was starting when it died. Its record tells all that it takes to remove it.
    eventually(PATIENCE, "every record to be removed", || {
        let forgotten = recorded();
        for id in &forgotten {
            let mut runtime = Command::new(&stage.runtime.path);
            command::run(runtime.arg("--root").arg(&records).args(["delete", "--force", id]));
        }
        forgotten.is_empty().then_some(())
    });
}

/// The container whose directory `path` is.
fn container_id(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    (name.len() == 64).then(|| name.to_owned())
}
