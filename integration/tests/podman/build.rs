//! `podman build` and `buildah`: the RUN lines are containers of the runtime under test.

use std::fs;

use integration::command;
use integration::scene;
use integration::scene::Scene;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![scene!(podman_builds), scene!(buildah_runs)]
}

fn podman_builds(stage: &Stage) {
    let folder = stage.ground.folder.join("context");
    fs::create_dir_all(&folder).unwrap();
    let lines = "FROM localhost/busybox\nRUN echo made >/made\nUSER 1000:1000\nRUN id -u >/tmp/uid\n";
    fs::write(folder.join("Containerfile"), lines).unwrap();
    let (runtime, context) = (stage.runtime.path.to_str().unwrap(), folder.to_str().unwrap());
    let cgroup = format!("{}/build", stage.ground.cgroup); // Buildah takes it for the container's own
    let common = ["build", "--runtime", runtime, "--isolation", "oci", "--network", "none", "--cgroup-parent", &cgroup];
    stage.podman.call(&[&common[..], &["-t", "built", context]].concat()).ok();
    let line = ["run", "--rm", "--network", "none", "built", "cat", "/made", "/tmp/uid"];
    assert_eq!(stage.podman.call(&line).ok().text(), "made\n1000");
    fs::write(folder.join("Containerfile"), "FROM localhost/busybox\nRUN exit 12\n").unwrap();
    stage.podman.call(&[&common[..], &[context]].concat()).fails().says("12");
}

fn buildah_runs(stage: &Stage) {
    let buildah = |args: &[&str]| command::run(&mut stage.podman.command("buildah", args));
    let name = buildah(&["from", "localhost/busybox"]).ok().text();
    let runtime = stage.runtime.path.to_str().unwrap();
    let run = ["run", "--runtime", runtime, "--isolation", "oci", "--network", "none", &name, "--"];
    let said = buildah(&[&run[..], &["sh", "-c", "echo inside; exit 3"]].concat()).fails();
    assert_eq!(said.text(), "inside");
    buildah(&["rm", &name]).ok();
}
