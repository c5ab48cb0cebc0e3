//! `--trace` as an argument of the runtime in daemon.json.

use std::fs;

use integration::daemon::Daemon;
use integration::image::{self, BUSYBOX};
use integration::runtime::Runtime;
use integration::scene;
use integration::scene::Scene;
use integration::trace::Trace;
use integration::wait::{PATIENCE, eventually};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let peer = Runtime::under_test().is_peer();
    vec![scene!(every_container_leaves_its_traces).needs_unified().peer_cannot_if(peer, "--trace is lightship's own")]
}

fn every_container_leaves_its_traces(stage: &Stage) {
    let folder = stage.ground.folder.join("traces");
    fs::create_dir(&folder).unwrap();
    let trace = format!("--trace={}/%id-%command.json", folder.display());
    let runtimes = json!({ "lightship": { "path": stage.runtime.path, "runtimeArgs": [trace] } });
    let daemon = Daemon::start(&stage.ground, &stage.runtime, json!({ "runtimes": runtimes }));
    let docker = daemon.docker();
    image::import_all(&docker, &daemon.folder);
    let container = docker.container("traced");
    container.start_detached(&["--network", "host", BUSYBOX, "sleep", "1000"]);
    assert_eq!(container.exec(&["echo", "inside"]), "inside");
    let id = container.id();
    let read = |command: &str| Trace::read(&folder.join(format!("{id}-{command}.json")));
    let create = read("create");
    for name in ["cgroup", "mounts[", "pivot_root", "programs of the host's network (BPF)", "wait for init: ready"] {
        create.event(name);
    }
    let (_, init) = read("start").by_process();
    assert!(init.last().unwrap().name.ends_with("execve"), "{init:#?}");
    read("exec").event("wait for init: execve");
    container.verb(&["rm", "-f"]).ok();
    let deleted = folder.join(format!("{id}-delete.json"));
    eventually(PATIENCE, "the trace of delete", || fs::metadata(&deleted).ok().filter(|file| file.len() > 0));
    read("delete").event("removal of the cgroup");
}
