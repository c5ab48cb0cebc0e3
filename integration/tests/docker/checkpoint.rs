//! `docker checkpoint`, which takes an experimental daemon.

use integration::container::Container;
use integration::host;
use integration::image::BUSYBOX;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let (criu, why) = (!host::has_working_criu(), "no criu in PATH that passes its own check");
    vec![
        scene!(container_in_host_network_goes_on_from_a_checkpoint).skip_if(criu, why),
        scene!(container_without_network_goes_on_from_a_checkpoint).skip_if(criu, why),
        scene!(container_on_the_bridge_goes_on_from_a_checkpoint).skip_if(criu, why),
        scene!(checkpoint_leaves_the_container_running).skip_if(criu, why),
    ]
}

const COUNT: &str = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done";

fn counter(stage: &Stage, network: &str) -> Container {
    let container = stage.docker.container("counter");
    container.start_detached(&["--network", network, BUSYBOX, "sh", "-c", COUNT]);
    counts_beyond(&container, 0);
    container
}

fn count(container: &Container) -> u64 {
    // It is empty while it is written.
    eventually(PATIENCE, "a count", || container.exec(&["cat", "/count"]).trim().parse().ok())
}

fn counts_beyond(container: &Container, from: u64) {
    eventually(PATIENCE, "the container to count on", || (count(container) > from + 2).then_some(()));
}

fn goes_on(stage: &Stage, network: &str) {
    let container = counter(stage, network);
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
    goes_on(stage, "host");
}

fn container_without_network_goes_on_from_a_checkpoint(stage: &Stage) {
    goes_on(stage, "none");
}

fn container_on_the_bridge_goes_on_from_a_checkpoint(stage: &Stage) {
    goes_on(stage, "bridge");
}

fn checkpoint_leaves_the_container_running(stage: &Stage) {
    let container = counter(stage, "host");
    stage.docker.call(&["checkpoint", "create", "--leave-running", &container.name, "one"]).ok();
    assert_eq!(container.status(), "running");
    counts_beyond(&container, count(&container));
}
