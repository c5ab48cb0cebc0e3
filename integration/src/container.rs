//! A container under Docker, removed when it goes out of scope.

use serde_json::Value;

use crate::command::Output;
use crate::daemon::RUNTIME_NAME;
use crate::docker::Docker;
use crate::wait::{PATIENCE, eventually};

/// A named container; it may not exist yet.
#[derive(Debug)]
pub struct Container {
    /// The client to reach it with.
    pub docker: Docker,
    /// Its name.
    pub name: String,
}

impl Container {
    /// `docker run --name NAME --runtime lightship ARGS...`
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        self.docker.call(&self.run_line(args))
    }

    /// As [`Container::run`], with `input` on standard input.
    #[track_caller]
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        self.docker.call_with_input(&self.run_line(args), input)
    }

    /// The arguments of [`Container::run`], for a client started by other means.
    pub fn run_line<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [&["run", "--name", &self.name, "--runtime", RUNTIME_NAME], args].concat()
    }

    /// `docker run -d`, which must succeed.
    #[track_caller]
    pub fn start_detached(&self, args: &[&str]) -> &Self {
        self.run(&[&["-d"], args].concat()).ok();
        self
    }

    /// `docker exec FLAGS NAME COMMAND...`
    #[track_caller]
    pub fn exec_with(&self, flags: &[&str], command: &[&str]) -> Output {
        self.docker.call(&[&["exec"], flags, &[&self.name], command].concat())
    }

    /// `docker exec NAME COMMAND...`, which must succeed: its trimmed output.
    #[track_caller]
    pub fn exec(&self, command: &[&str]) -> String {
        self.exec_with(&[], command).ok().text()
    }

    /// `docker VERB FLAGS... NAME`
    #[track_caller]
    pub fn verb(&self, verb: &[&str]) -> Output {
        self.docker.call(&[verb, &[&self.name]].concat())
    }

    /// `docker inspect`, the part at JSON pointer `pointer`.
    #[track_caller]
    pub fn inspect(&self, pointer: &str) -> Value {
        let text = self.verb(&["inspect", "--type", "container"]).ok().stdout;
        let all: Value = serde_json::from_str(&text).unwrap();
        all[0].pointer(pointer).unwrap_or_else(|| panic!("docker inspect has no {pointer}")).clone()
    }

    /// Docker's word for what it does: `running`, `exited`, `paused`, ...
    #[track_caller]
    pub fn status(&self) -> String {
        self.inspect("/State/Status").as_str().unwrap().to_owned()
    }

    /// The init process, as this machine numbers it.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.inspect("/State/Pid").as_i64().unwrap() as i32
    }

    /// The full id.
    #[track_caller]
    pub fn id(&self) -> String {
        self.inspect("/Id").as_str().unwrap().to_owned()
    }

    /// `docker wait`: blocks until the container has ended, and gives its exit code.
    #[track_caller]
    pub fn wait(&self) -> i32 {
        self.verb(&["wait"]).ok().text().parse().unwrap()
    }

    /// Both streams of `docker logs`.
    #[track_caller]
    pub fn logs(&self) -> String {
        let output = self.verb(&["logs"]).ok();
        output.stdout + &output.stderr
    }

    /// Waits until the logs contain `text`.
    #[track_caller]
    pub fn logs_show(&self, text: &str) {
        eventually(PATIENCE, &format!("{text:?} in the logs of {}", self.name), || {
            self.logs().contains(text).then_some(())
        });
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.docker.call(&["rm", "-f", "-v", &self.name]);
    }
}
