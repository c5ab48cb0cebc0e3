//! `podman container checkpoint` and `restore`.

use integration::counter::{self, COUNT};
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
        scene!(connection_in_host_network_survives).skip_if(criu, why).skip_if(!host::criu_dumps_tcp(), host::NO_TCP),
        scene!(container_without_network_goes_on_from_a_checkpoint).skip_if(criu, why),
    ]
}

fn count(container: &PodmanContainer) -> u64 {
    eventually(PATIENCE, "a count", || counter::latest(&container.exec(&[], &["cat", "/count"]).stdout))
}

fn goes_on(stage: &Stage, network: &str, line: &str, flags: &[&str]) {
    let container = stage.podman.start(&["--network", network], &["sh", "-c", line]);
    let before = count(&container);
    container.verb(&[&["container", "checkpoint"], flags].concat()).ok();
    assert_eq!(container.status(), "exited");
    container.verb(&[&["container", "restore"], flags].concat()).ok();
    assert!(count(&container) >= before, "it counts from the beginning");
    eventually(PATIENCE, "the container to count on", || (count(&container) > before + 2).then_some(()));
    container.verb(&["stop", "-t", "0"]).ok();
    assert_eq!(container.wait(), 137);
}

fn container_in_host_network_goes_on_from_a_checkpoint(stage: &Stage) {
    goes_on(stage, "host", COUNT, &[]);
}

fn connection_in_host_network_survives(stage: &Stage) {
    goes_on(stage, "host", &counter::over_connection(host::free_port()), &["--tcp-established"]);
}

fn container_without_network_goes_on_from_a_checkpoint(stage: &Stage) {
    goes_on(stage, "none", COUNT, &[]);
}
