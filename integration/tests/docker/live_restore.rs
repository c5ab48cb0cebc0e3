//! Live restore: dockerd goes away and comes back, and the containers never notice.

use integration::container::Container;
use integration::daemon::Daemon;
use integration::host;
use integration::image::{self, BUSYBOX};
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![scene!(containers_outlive_dockerd)]
}

fn containers_outlive_dockerd(stage: &Stage) {
    // A daemon of its own: the other scenes need theirs.
    let daemon = Daemon::start(&stage.ground, &stage.runtime, json!({ "live-restore": true }));
    let docker = daemon.docker();
    image::import_all(&docker, &daemon.folder);
    let (survivor, leaver) = (docker.container("survivor"), docker.container("leaver"));
    let start = |container: &Container, line| {
        container.start_detached(&["--network", "host", BUSYBOX, "sh", "-c", line]);
        container.pid()
    };
    let pid = start(&survivor, "exec sleep 1000");
    let leaver_pid = start(&leaver, "trap 'exit 23' TERM; echo ready; while :; do sleep 1 & wait $!; done");
    leaver.logs_show("ready");

    daemon.stop();
    assert!(host::is_alive(pid), "the container ended with dockerd");
    let leaver_pid = rustix::process::Pid::from_raw(leaver_pid).unwrap();
    rustix::process::kill_process(leaver_pid, rustix::process::Signal::TERM).unwrap();
    eventually(PATIENCE, "the other container to end meanwhile", || {
        (!host::is_alive(leaver_pid.as_raw_pid())).then_some(())
    });
    daemon.start_again();

    assert_eq!((survivor.status().as_str(), survivor.pid()), ("running", pid));
    assert_eq!(survivor.exec(&["echo", "still here"]), "still here");
    eventually(PATIENCE, "the end of the other to be known", || leaver.status().eq("exited").then_some(()));
    assert_eq!(leaver.inspect("/State/ExitCode"), 23);
    survivor.verb(&["stop", "-t", "0"]).ok();
    assert_eq!(survivor.wait(), 137);
}
