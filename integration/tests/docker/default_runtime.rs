//! The runtime under test as Docker's default: nobody names it, and it runs everything.

use integration::image::BUSYBOX;
use integration::scene;
use integration::scene::Scene;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![scene!(info_names_it), scene!(runs_what_names_no_runtime), scene!(version_is_asked_and_answered)]
}

fn info_names_it(stage: &Stage) {
    let format = "{{.DefaultRuntime}} {{range $name, $_ := .Runtimes}}{{$name}} {{end}}";
    let info = stage.docker.call(&["info", "--format", format]).ok().text();
    assert!(info.starts_with("lightship ") && info.matches("lightship").count() == 2, "{info}");
}

fn runs_what_names_no_runtime(stage: &Stage) {
    let container = stage.docker.container("default");
    stage.docker.call(&["run", "-d", "--name", &container.name, "--network", "host", BUSYBOX, "sleep", "1000"]).ok();
    assert_eq!(container.inspect("/HostConfig/Runtime"), "lightship");
    assert!(stage.daemon.runs_with(&container.id(), &stage.runtime), "another runtime ran it");
    assert_eq!(container.exec(&["echo", "inside"]), "inside");
}

fn version_is_asked_and_answered(stage: &Stage) {
    // dockerd asks the default runtime for its version, and shows the commit it was told.
    let commit = stage.docker.call(&["info", "--format", "{{.RuncCommit.ID}}"]).ok().text();
    assert!(!commit.is_empty() && commit != "N/A", "docker info: {commit:?}");
}
