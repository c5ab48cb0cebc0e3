//! Podman with storage, locks and settings of its own: nothing shared with a Podman that may be used on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::command::{self, Output};
use crate::daemon::RUNTIME_NAME;
use crate::ground::Ground;
use crate::image;
use crate::runtime::Runtime;
use crate::wait::{PATIENCE, eventually};

static NAMES: AtomicU32 = AtomicU32::new(0);

/// Podman as one user of this machine would have it, with the runtime under test as its default.
#[derive(Debug, Clone)]
pub struct Podman {
    /// Its storage and settings.
    pub folder: PathBuf,
    cgroup: String,
}

impl Podman {
    /// Writes the settings, and imports the image [`image::BUSYBOX`].
    pub fn set_up(ground: &Ground, runtime: &Runtime) -> Podman {
        let folder = ground.folder.join("podman");
        let tree = folder.join("image");
        image::busybox_tree(&tree);
        fs::write(folder.join("containers.conf"), containers_conf(&folder, runtime)).unwrap();
        fs::write(folder.join("storage.conf"), storage_conf(&folder)).unwrap();
        let podman = Podman { folder, cgroup: ground.cgroup.clone() };
        let archive = image::archive(&tree);
        let path = "ENV PATH=/bin:/sbin:/usr/bin:/usr/sbin";
        podman.call(&["import", "--change", path, archive.to_str().unwrap(), image::BUSYBOX]).ok();
        podman
    }

    /// `PROGRAM ARGS...` with our settings as a command not yet started: `podman`, or `buildah`.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.env("CONTAINERS_CONF", self.folder.join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.folder.join("storage.conf"));
        // Else each call of Podman 5 warns.
        command.env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1").args(args);
        command
    }

    /// Runs `podman ARGS...` to its end.
    #[track_caller]
    pub fn call(&self, args: &[&str]) -> Output {
        command::run(&mut self.command("podman", args))
    }

    /// `podman run --rm FLAGS... busybox COMMAND...`
    #[track_caller]
    pub fn run(&self, flags: &[&str], command: &[&str]) -> Output {
        let name = name("run");
        self.call(
            &[&["run", "--rm", "--name", &name, "--cgroup-parent", &self.cgroup], flags, &[image::BUSYBOX], command]
                .concat(),
        )
    }

    /// `podman run -d FLAGS... busybox COMMAND...`, which must succeed.
    #[track_caller]
    pub fn start(&self, flags: &[&str], command: &[&str]) -> PodmanContainer {
        let container = PodmanContainer { podman: self.clone(), name: name("container") };
        let line = ["run", "-d", "--name", &container.name, "--cgroup-parent", &self.cgroup];
        self.call(&[&line, flags, &[image::BUSYBOX], command].concat()).ok();
        container
    }

    /// `podman pod create FLAGS...`, which must succeed.
    #[track_caller]
    pub fn pod(&self, flags: &[&str]) -> Pod {
        let pod = Pod { podman: self.clone(), name: name("pod") };
        self.call(&[&["pod", "create", "--name", &pod.name, "--cgroup-parent", &self.cgroup], flags].concat()).ok();
        pod
    }
}

fn name(like: &str) -> String {
    format!("{like}-{}", NAMES.fetch_add(1, Ordering::Relaxed))
}

/// The entry that docs/engines.md shows, and what keeps this Podman apart from the machine's own. No limit on tasks, as a
/// machine may have no controller for it, and none above the machine's own, as that takes CAP_SYS_RESOURCE.
pub fn containers_conf(folder: &Path, runtime: &Runtime) -> String {
    format!(
        r#"
[containers]
pids_limit = 0
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "{RUNTIME_NAME}"
runtime_supports_json = ["{RUNTIME_NAME}"]
runtime_supports_nocgroup = ["{RUNTIME_NAME}"]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{folder}/tmp"
[network]
network_config_dir = "{folder}/networks"
[engine.runtimes]
{RUNTIME_NAME} = ["{runtime}"]
"#,
        folder = folder.display(),
        runtime = runtime.path.display(),
    )
}

fn storage_conf(folder: &Path) -> String {
    let folder = folder.display();
    format!("[storage]\ndriver = \"overlay\"\ngraphroot = \"{folder}/root\"\nrunroot = \"{folder}/run\"\n")
}

/// A container under Podman, removed when it goes out of scope.
#[derive(Debug)]
pub struct PodmanContainer {
    podman: Podman,
    /// Its name.
    pub name: String,
}

impl PodmanContainer {
    /// `podman VERB FLAGS... NAME`
    #[track_caller]
    pub fn verb(&self, verb: &[&str]) -> Output {
        self.podman.call(&[verb, &[&self.name]].concat())
    }

    /// `podman exec FLAGS... NAME COMMAND...`
    #[track_caller]
    pub fn exec(&self, flags: &[&str], command: &[&str]) -> Output {
        self.podman.call(&[&["exec"], flags, &[&self.name], command].concat())
    }

    /// `podman inspect`, the part at JSON pointer `pointer`.
    #[track_caller]
    pub fn inspect(&self, pointer: &str) -> Value {
        let text = self.podman.call(&["container", "inspect", &self.name]).ok().stdout;
        let all: Value = serde_json::from_str(&text).unwrap();
        all[0].pointer(pointer).unwrap_or_else(|| panic!("podman inspect has no {pointer}")).clone()
    }

    /// Podman's word for what it does.
    #[track_caller]
    pub fn status(&self) -> String {
        self.inspect("/State/Status").as_str().unwrap().to_owned()
    }

    /// The init process, as this machine numbers it.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.inspect("/State/Pid").as_i64().unwrap() as i32
    }

    /// `podman wait`: blocks until the container has ended, and gives its exit code.
    #[track_caller]
    pub fn wait(&self) -> i32 {
        self.verb(&["wait"]).ok().text().parse().unwrap()
    }

    /// Both streams of `podman logs`.
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

impl Drop for PodmanContainer {
    fn drop(&mut self) {
        self.verb(&["rm", "-f", "-t", "0", "-v"]);
    }
}

/// A pod, removed with its containers when it goes out of scope.
#[derive(Debug)]
pub struct Pod {
    podman: Podman,
    /// Its name.
    pub name: String,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.podman.call(&["pod", "rm", "-f", "-t", "0", &self.name]);
    }
}
