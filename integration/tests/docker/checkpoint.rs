//! `docker checkpoint`, which takes an experimental daemon.

use std::fs;

use integration::container::Container;
use integration::counter::{self, COUNT};
use integration::host;
use integration::image::BUSYBOX;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let (criu, why) = (!host::has_working_criu(), "no criu in PATH that passes its own check");
    let docker = host::major("dockerd");
    // Its error: bind-mount /proc/0/ns/net.
    let pid = "Docker 28 looks for the network of a process before it has that restored";
    vec![
        scene!(container_in_host_network_goes_on_from_a_checkpoint).skip_if(criu, why),
        scene!(connection_in_host_network_survives)
            .skip_if(criu, why)
            .skip_if(!host::criu_dumps_tcp(), host::NO_TCP)
            .skip_if(docker < 25, "Docker is older than 25 and has no annotations"),
        scene!(container_without_network_goes_on_from_a_checkpoint).skip_if(criu, why).skip_if(docker >= 28, pid),
        scene!(container_on_the_bridge_goes_on_from_a_checkpoint).skip_if(criu, why).skip_if(docker >= 28, pid),
        scene!(checkpoint_leaves_the_container_running).skip_if(criu, why),
    ]
}

fn counter(stage: &Stage, flags: &[&str], line: &str) -> Container {
    let container = stage.docker.container("counter");
    container.start_detached(&[flags, &[BUSYBOX, "sh", "-c", line]].concat());
    counts_beyond(&container, 0);
    container
}

fn count(container: &Container) -> u64 {
    eventually(PATIENCE, "a count", || counter::latest(&container.exec_with(&[], &["cat", "/count"]).stdout))
}

fn counts_beyond(container: &Container, from: u64) {
    eventually(PATIENCE, "the container to count on", || (count(container) > from + 2).then_some(()));
}

fn goes_on(stage: &Stage, flags: &[&str], line: &str) {
    let container = counter(stage, flags, line);
    let before = count(&container);
    stage.docker.call(&["checkpoint", "create", &container.name, "one"]).ok();
    eventually(PATIENCE, "the container to have ended", || (container.status() == "exited").then_some(()));
    stage.docker.call(&["checkpoint", "ls", &container.name]).ok().says("one");
    start_from(stage, &container);
    assert!(count(&container) >= before, "it counts from the beginning");
    counts_beyond(&container, before);
    container.verb(&["stop", "-t", "0"]).ok();
    assert_eq!(container.wait(), 137);
}

/// Docker cannot hand the images to containerd as long as that has them from the checkpoint, and does not wait until they are
/// collected.
fn start_from(stage: &Stage, container: &Container) {
    eventually(PATIENCE, "containerd to let go of the images", || {
        let started = stage.docker.call(&["start", "--checkpoint", "one", &container.name]);
        if started.stderr.contains("already exists") { None } else { Some(started.ok()) }
    });
}

fn container_in_host_network_goes_on_from_a_checkpoint(stage: &Stage) {
    goes_on(stage, &["--network", "host"], COUNT);
}

/// Docker has no flag for it: CRIU reads it from the file that the annotation names.
fn connection_in_host_network_survives(stage: &Stage) {
    let options = stage.ground.folder.join("criu.conf");
    fs::write(&options, "tcp-established\n").unwrap();
    let annotation = format!("org.criu.config={}", options.display());
    let line = counter::over_connection(host::free_port());
    goes_on(stage, &["--network", "host", "--annotation", &annotation], &line);
}

fn container_without_network_goes_on_from_a_checkpoint(stage: &Stage) {
    goes_on(stage, &["--network", "none"], COUNT);
}

fn container_on_the_bridge_goes_on_from_a_checkpoint(stage: &Stage) {
    goes_on(stage, &["--network", "bridge"], COUNT);
}

fn checkpoint_leaves_the_container_running(stage: &Stage) {
    let container = counter(stage, &["--network", "host"], COUNT);
    stage.docker.call(&["checkpoint", "create", "--leave-running", &container.name, "one"]).ok();
    assert_eq!(container.status(), "running");
    counts_beyond(&container, count(&container));
}
