//! The docker command line, talking to one daemon.

use std::net::Ipv4Addr;
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

    /// Makes the daemon the manager of a new swarm, known by an address of its host: the word that others join with.
    #[track_caller]
    pub fn found_swarm(&self, address: Ipv4Addr) -> String {
        let address = address.to_string();
        self.call(&["swarm", "init", "--advertise-addr", &address, "--listen-addr", &address]).ok();
        self.call(&["swarm", "join-token", "-q", "worker"]).ok().text()
    }

    /// Joins the swarm of the manager at `manager`, known by an address of its own host.
    #[track_caller]
    pub fn join_swarm(&self, token: &str, address: Ipv4Addr, manager: Ipv4Addr) {
        let (address, manager) = (address.to_string(), format!("{manager}:2377"));
        let own = ["--advertise-addr", &address, "--listen-addr", &address];
        self.call(&[&["swarm", "join", "--token", token], &own[..], &[&manager]].concat()).ok();
    }

    /// A name for a container, which is removed when the value is dropped; `like` tells what it is for.
    pub fn container(&self, like: &str) -> Container {
        let name = format!("{like}-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        Container { docker: self.clone(), name }
    }
}
