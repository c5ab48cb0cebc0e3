//! A Docker daemon of our own, with a containerd of our own: nothing shared with a Docker that may run on this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::command;
use crate::containerd::{self, background};
use crate::docker::Docker;
use crate::ground::Ground;
use crate::network::{ip, subnet};
use crate::runtime::Runtime;
use crate::wait::PATIENCE;

/// The name under which the runtime under test is registered, whichever it is.
pub const RUNTIME_NAME: &str = "lightship";

/// In the daemon's folder, and first in its PATH.
const PROGRAMS: &str = "bin";
const BUILDKIT_CALLS: &str = "buildkit-calls";

/// Daemons started so far by this process: each gets a folder, a subnet and an interface of its own.
static COUNT: AtomicU8 = AtomicU8::new(0);

/// A running dockerd.
#[derive(Debug)]
pub struct Daemon {
    /// Its data root, exec root, sockets, logs and configuration.
    pub folder: PathBuf,
    dockerd: Mutex<Child>,
    containerd: Mutex<Child>,
}

impl Daemon {
    /// Starts a daemon whose runtimes are Docker's own and `runtime`, registered as [`RUNTIME_NAME`].
    ///
    /// `settings` are laid over our daemon.json. The ground's guard stops the daemon.
    pub fn start(ground: &Ground, runtime: &Runtime, settings: Value) -> Daemon {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = ground.folder.join(format!("docker{number}"));
        fs::create_dir_all(folder.join("client")).unwrap();
        let bridge = format!("{}{number}", ground.interface_prefix);
        make_bridge(&bridge, number);
        let mut config = configuration(&folder, &ground.cgroup, &bridge, runtime);
        for (key, value) in settings.as_object().unwrap() {
            config[key] = value.clone();
        }
        fs::write(folder.join("daemon.json"), config.to_string()).unwrap();
        write_runc(&folder, runtime);
        let containerd = Mutex::new(containerd::start(&folder, containerd::WITHOUT_CRI));
        let dockerd = Mutex::new(start_dockerd(&folder));
        let daemon = Daemon { folder, dockerd, containerd };
        daemon.wait_until_ready();
        daemon
    }

    /// A client of this daemon.
    pub fn docker(&self) -> Docker {
        Docker { socket: self.folder.join("docker.sock"), config: self.folder.join("client") }
    }

    /// Ends dockerd alone, as an upgrade of Docker does; containerd and the shims stay.
    pub fn stop(&self) {
        let mut dockerd = self.dockerd.lock().unwrap();
        kill_process(Pid::from_child(&dockerd), Signal::TERM).unwrap();
        let code = command::wait(&mut dockerd, PATIENCE);
        assert_eq!(code, Some(0), "dockerd did not end well\n{}", self.log());
    }

    /// Kills dockerd alone, in whatever it is doing.
    pub fn crash(&self) {
        crash(&mut self.dockerd.lock().unwrap());
    }

    /// Kills containerd alone, in whatever it is doing, and starts it again.
    pub fn crash_containerd(&self) {
        let mut process = self.containerd.lock().unwrap();
        crash(&mut process);
        *process = containerd::start(&self.folder, containerd::WITHOUT_CRI);
    }

    /// Starts dockerd again after [`Daemon::stop`] or [`Daemon::crash`].
    pub fn start_again(&self) {
        *self.dockerd.lock().unwrap() = start_dockerd(&self.folder);
        self.wait_until_ready();
    }

    /// The end of dockerd's and containerd's logs.
    pub fn log(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|line| !line.contains("level=info")).collect();
            format!("--- {name} ---\n{}\n", lines[lines.len().saturating_sub(20)..].join("\n"))
        };
        tail("dockerd.log") + &tail("containerd.log")
    }

    /// Whether containerd was told to run container `id` with `runtime`'s binary.
    pub fn runs_with(&self, id: &str, runtime: &Runtime) -> bool {
        let bundle = self.folder.join("containerd/state/io.containerd.runtime.v2.task/moby").join(id);
        let options = fs::read(bundle.join("options.json")).unwrap_or_default();
        serde_json::from_slice(&options)
            .is_ok_and(|options: Value| options["binary_name"] == runtime.path.to_str().unwrap())
    }

    /// The command lines that BuildKit has run the runtime with.
    pub fn buildkit_calls(&self) -> String {
        fs::read_to_string(self.folder.join(BUILDKIT_CALLS)).unwrap_or_default()
    }

    fn wait_until_ready(&self) {
        let what = "dockerd to answer on its socket";
        let end = std::time::Instant::now() + PATIENCE;
        while !self.docker().answers() {
            let ended = self.dockerd.lock().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && std::time::Instant::now() < end,
                "not within {PATIENCE:?}: {what}\n{}",
                self.log()
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// No iptables and no forwarding: published ports go through docker-proxy, and a Docker that already runs on this
/// machine keeps its own rules (two daemons would flush each other's chains).
fn configuration(folder: &Path, cgroup: &str, bridge: &str, runtime: &Runtime) -> Value {
    json!({
        "runtimes": { RUNTIME_NAME: { "path": runtime.path } },
        "default-runtime": RUNTIME_NAME,
        "hosts": [format!("unix://{}", folder.join("docker.sock").display())],
        "pidfile": folder.join("docker.pid"),
        "data-root": folder.join("data"),
        "exec-root": folder.join("exec"),
        "containerd": folder.join("containerd.sock"),
        "cgroup-parent": cgroup,
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "bridge": bridge,
        "iptables": false,
        "ip6tables": false,
        "ip-forward": false,
        "ip-masq": false,
        "shutdown-timeout": 5,
        "log-level": "error",
    })
}

fn make_bridge(name: &str, number: u8) {
    let address = format!("{}/28", subnet(number, 1));
    ip(&format!("link add {name} type bridge"));
    ip(&format!("address add {address} dev {name}"));
    ip(&format!("link set {name} up"));
}

fn crash(process: &mut Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

/// BuildKit knows nothing of dockerd's runtimes: it takes the first `runc` in PATH.
fn write_runc(folder: &Path, runtime: &Runtime) {
    let program = folder.join(PROGRAMS).join("runc");
    fs::create_dir(folder.join(PROGRAMS)).unwrap();
    let (calls, runtime) = (folder.join(BUILDKIT_CALLS), &runtime.path);
    let script = format!("#!/bin/sh\necho \"$@\" >>'{}'\nexec '{}' \"$@\"\n", calls.display(), runtime.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

fn start_dockerd(folder: &Path) -> Child {
    let path = format!("{}:{}", folder.join(PROGRAMS).display(), std::env::var("PATH").unwrap());
    let mut dockerd = Command::new("dockerd");
    background(dockerd.env("PATH", path).arg("--config-file").arg(folder.join("daemon.json")), folder)
}
