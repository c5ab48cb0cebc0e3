//! What Docker asks of a runtime since version 25: its features, annotations, and roots that containerd's snapshotter mounts.

use integration::daemon::Daemon;
use integration::image::{self, BUSYBOX};
use integration::scene;
use integration::scene::Scene;
use integration::{command, host};
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let major = host::major("dockerd");
    let newer = |scene: Scene<Stage>| scene.skip_if(major < 25, "Docker is older than 25");
    vec![
        newer(scene!(info_shows_the_features)),
        newer(scene!(annotations_reach_the_runtime)),
        newer(scene!(containerds_image_store)),
    ]
}

fn info_shows_the_features(stage: &Stage) {
    let runtimes = stage.docker.call(&["info", "--format", "{{json .Runtimes}}"]).ok().stdout;
    let runtimes: Value = serde_json::from_str(&runtimes).unwrap();
    let features = runtimes["lightship"]["status"]["org.opencontainers.runtime-spec.features"].as_str().unwrap();
    let features: Value = serde_json::from_str(features).unwrap();
    assert!(features["ociVersionMax"].is_string(), "{features}");
}

fn annotations_reach_the_runtime(stage: &Stage) {
    let container = stage.docker.container("annotated");
    container.start_detached(&["--network", "none", "--annotation", "com.example.key=value", BUSYBOX, "sleep", "1000"]);
    let root = stage.daemon.folder.join("exec/runtime-runc/moby");
    let mut state = std::process::Command::new(&stage.runtime.path);
    let state = command::run(state.arg("--root").arg(root).args(["state", &container.id()])).ok().stdout;
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["annotations"]["com.example.key"], "value");
}

fn containerds_image_store(stage: &Stage) {
    // A daemon of its own: the store is the daemon's.
    let settings = json!({ "features": { "containerd-snapshotter": true } });
    let daemon = Daemon::start(&stage.ground, &stage.runtime, settings);
    let docker = daemon.docker();
    image::import_all(&docker, &daemon.folder);
    let store = docker.call(&["info", "--format", "{{.DriverStatus}}"]).ok().text();
    assert!(store.contains("io.containerd.snapshotter"), "{store}");
    let container = docker.container("stored");
    container.start_detached(&["--network", "none", BUSYBOX, "sleep", "1000"]);
    assert_eq!(container.exec(&["sh", "-c", "echo written >/file; cat /file"]), "written");
    container.verb(&["restart", "-t", "0"]).ok();
    assert_eq!(container.exec(&["cat", "/file"]), "written");
    drop(container);
    daemon.stop();
}
