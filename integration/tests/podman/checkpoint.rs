//! `podman container checkpoint` and `restore`.

use integration::host;
use integration::podman::PodmanContainer;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let (criu, why) = (!host::has_working_criu(), "no criu in PATH that passes its own check");
    vec![
        scene!(container_in_host_network_goes_on_from_a_checkpoint).skip_if(criu, why),
        scene!(container_without_network_goes_on_from_a_checkpoint).skip_if(criu, why),
    ]
}

fn count(container: &PodmanContainer) -> u64 {
    // It is empty while it is written.
    eventually(PATIENCE, "a count", || container.exec(&[], &["cat", "/count"]).ok().text().parse().ok())
}

fn goes_on(stage: &Stage, network: &str) {
    let line = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done";
    let container = stage.podman.start(&["--network", network], &["sh", "-c", line]);
    eventually(PATIENCE, "a count", || (container.exec(&[], &["cat", "/count"]).code == 0).then_some(()));
    let before = count(&container);
    container.verb(&["container", "checkpoint"]).ok();
    assert_eq!(container.status(), "exited");
    container.verb(&["container", "restore"]).ok();
    assert!(count(&container) >= before, "it counts from the beginning");
    eventually(PATIENCE, "the container to count on", || (count(&container) > before + 2).then_some(()));
    container.verb(&["stop", "-t", "0"]).ok();
    assert_eq!(container.wait(), 137);
}

fn container_in_host_network_goes_on_from_a_checkpoint(stage: &Stage) {
    goes_on(stage, "host");
}

fn container_without_network_goes_on_from_a_checkpoint(stage: &Stage) {
    goes_on(stage, "none");
}
