//! docker-compose: services of one file, one of them on the host's network, with the runtime named in the file.

use std::fs;

use integration::command::{self, Output};
use integration::host;
use integration::http::first_answer;
use integration::scene;
use integration::scene::Scene;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let none = !host::has_program("docker-compose");
    vec![scene!(two_services).long().skip_if(none, "docker-compose is not installed")]
}

/// A folder with a file of services, taken down when it goes out of scope.
struct Project<'a> {
    stage: &'a Stage,
    file: String,
}

impl Project<'_> {
    fn call(&self, args: &[&str]) -> Output {
        let mut compose = std::process::Command::new("docker-compose");
        compose.env("DOCKER_HOST", format!("unix://{}", self.stage.docker.socket.display()));
        command::run(compose.env("DOCKER_CONFIG", &self.stage.docker.config).args(["-f", &self.file]).args(args))
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        self.call(&["down", "-t", "0"]);
    }
}

fn two_services(stage: &Stage) {
    let folder = stage.ground.folder.join("compose");
    fs::create_dir_all(&folder).unwrap();
    let (file, port) = (folder.join("docker-compose.yml"), host::free_port());
    let service = "image: nginx, runtime: lightship";
    let text = format!(
        "version: '2.4'\nservices:\n  \
           web: {{ {service}, network_mode: host, environment: {{ PORT: '{port}', PAGE: composed }} }}\n  \
           worker: {{ image: busybox, runtime: lightship, network_mode: none, command: [sh, -c, 'echo at work; sleep 1000'] }}\n"
    );
    fs::write(&file, text).unwrap();
    let project = Project { stage, file: file.to_str().unwrap().to_owned() };
    project.call(&["up", "-d"]).ok();
    assert_eq!(first_answer(host::address(), port), "composed");
    let listed = project.call(&["ps"]).ok().stdout;
    assert!(listed.contains("web") && listed.contains("worker"), "{listed}");
    assert_eq!(project.call(&["exec", "-T", "worker", "echo", "inside"]).ok().text(), "inside");
    project.call(&["logs", "worker"]).ok().says("at work");
    let ids = project.call(&["ps", "-q"]).ok().lines();
    assert!(ids.len() == 2 && ids.iter().all(|id| stage.daemon.runs_with(id, &stage.runtime)), "{ids:?}");
    project.call(&["down", "-t", "0"]).ok();
    assert_eq!(stage.docker.call(&["ps", "-aq", "--filter", "label=com.docker.compose.service"]).ok().text(), "");
}
