//! `docker build`: its RUN lines are containers of the default runtime.

use std::fs;

use integration::scene;
use integration::scene::Scene;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![scene!(from_scratch_with_run_lines), scene!(failing_run_line_fails_the_build)]
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
