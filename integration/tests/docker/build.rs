//! `docker build`: its RUN lines are containers of the default runtime.

use std::fs;
use std::process::Command;

use integration::command::{self, Output};
use integration::host;
use integration::scene;
use integration::scene::Scene;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let buildkit = |scene: Scene<Stage>| scene.skip_if(!has_buildkit(), "the package docker-buildx is not installed");
    vec![
        scene!(from_scratch_with_run_lines),
        scene!(failing_run_line_fails_the_build),
        buildkit(scene!(by_buildkit)),
        buildkit(scene!(failing_run_line_fails_buildkit)),
    ]
}

/// Docker's client had it built in before version 23.
fn has_buildkit() -> bool {
    let major: u32 = host::version("docker").split('.').next().unwrap().parse().unwrap();
    major < 23 || command::run(Command::new("docker").args(["buildx", "version"])).code == 0
}

/// A build context with busybox in it and this Dockerfile.
fn context(stage: &Stage, name: &str, dockerfile: &str) -> String {
    let folder = stage.ground.folder.join(name);
    integration::image::busybox_tree(&folder.join("root"));
    fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    folder.to_str().unwrap().to_owned()
}

fn from_scratch_with_run_lines(stage: &Stage) {
    let dockerfile = "FROM scratch\nCOPY root /\nENV WHO=builder\nRUN echo \"made by $WHO\" >/made && mkdir /data\n\
                      WORKDIR /data\nUSER 1000:1000\nRUN id -u >/tmp/uid\nCMD [\"cat\", \"/made\", \"/tmp/uid\"]\n";
    let context = context(stage, "build", dockerfile);
    stage.docker.call(&["build", "-t", "built", &context]).ok();
    let container = stage.docker.container("built");
    assert_eq!(container.run(&["--network", "none", "built"]).ok().text(), "made by builder\n1000");
    drop(container);
    stage.docker.call(&["rmi", "-f", "built"]).ok();
}

fn failing_run_line_fails_the_build(stage: &Stage) {
    let context = context(stage, "failing", "FROM scratch\nCOPY root /\nRUN exit 12\n");
    stage.docker.call(&["build", &context]).fails().says("returned a non-zero code: 12");
}

fn buildkit(stage: &Stage, args: &[&str]) -> Output {
    let mut docker = stage.docker.command(&[&["build", "--progress", "plain"], args].concat());
    command::run(docker.env("DOCKER_BUILDKIT", "1"))
}

fn by_buildkit(stage: &Stage) {
    let dockerfile = "FROM scratch\nCOPY root /\nENV WHO=builder\nRUN echo \"made by $WHO\" >/made\n\
                      RUN --mount=type=cache,target=/cache readlink /proc/self/ns/net >/network && touch /cache/file\n\
                      USER 1000:1000\nRUN id -u >/tmp/uid\nCMD [\"cat\", \"/made\", \"/network\", \"/tmp/uid\"]\n";
    let context = context(stage, "buildkit", dockerfile);
    buildkit(stage, &["--network", "host", "-t", "by-buildkit", &context]).ok();
    let container = stage.docker.container("by-buildkit");
    let printed = container.run(&["--network", "none", "by-buildkit"]).ok().text();
    assert_eq!(printed, format!("made by builder\n{}\n1000", host::namespace("self", "net")));
    let runs = stage.daemon.buildkit_calls().lines().filter(|call| call.contains(" run --bundle ")).count();
    assert!(runs >= 3, "{}", stage.daemon.buildkit_calls());
    drop(container);
    stage.docker.call(&["rmi", "-f", "by-buildkit"]).ok();
}

fn failing_run_line_fails_buildkit(stage: &Stage) {
    let context = context(stage, "buildkit-failing", "FROM scratch\nCOPY root /\nRUN exit 12\n");
    buildkit(stage, &["--network", "host", &context]).fails().says("exit code: 12");
}
