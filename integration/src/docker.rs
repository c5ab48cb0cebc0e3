//! The docker command line, talking to one daemon.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::{self, Output};
use crate::container::Container;

static NAMES: AtomicU32 = AtomicU32::new(0);

/// A client of one daemon.
#[derive(Debug, Clone)]
pub struct Docker {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// The client's configuration folder: empty, so that the user's contexts and plug-ins do not matter.
    pub config: PathBuf,
}

impl Docker {
    /// `docker ARGS...` as a command not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_CONFIG", &self.config).env("DOCKER_BUILDKIT", "0");
        command.env_remove("DOCKER_CONTEXT").env_remove("DOCKER_HOST");
        command.arg("-H").arg(format!("unix://{}", self.socket.display())).args(args);
        command
    }

    /// Runs `docker ARGS...` to its end.
    #[track_caller]
    pub fn call(&self, args: &[&str]) -> Output {
        command::run(&mut self.command(args))
    }

    /// Runs `docker ARGS...` with `input` on standard input.
    #[track_caller]
    pub fn call_with_input(&self, args: &[&str], input: &str) -> Output {
        command::run_with_input(&mut self.command(args), input)
    }

    /// Whether the daemon answers.
    pub fn answers(&self) -> bool {
        self.call(&["version", "--format", "{{.Server.Version}}"]).code == 0
    }

    /// A name for a container, which is removed when the value is dropped; `like` tells what it is for.
    pub fn container(&self, like: &str) -> Container {
        let name = format!("{like}-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        Container { docker: self.clone(), name }
    }
}
