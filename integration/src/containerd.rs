//! A containerd of our own, and `ctr` talking to it: for a Docker daemon, or alone.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::command::{self, Output};
use crate::ground::Ground;
use crate::image;
use crate::runtime::Runtime;
use crate::wait::{PATIENCE, eventually};

/// The image of busybox, by the name that containerd gives it.
const IMAGE: &str = "docker.io/library/busybox:latest";

static NAMES: AtomicU32 = AtomicU32::new(0);

/// A running containerd, which has the image of busybox.
#[derive(Debug)]
pub struct Containerd {
    /// Its root, state, socket and log.
    pub folder: PathBuf,
    cgroup: String,
    runtime: Runtime,
    process: Mutex<Child>,
}

impl Containerd {
    /// Starts it. The ground's guard stops it.
    pub fn start(ground: &Ground, runtime: &Runtime) -> Containerd {
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        let folder = ground.folder.join(format!("containerd{number}"));
        fs::create_dir_all(&folder).unwrap();
        let process = Mutex::new(start(&folder, WITHOUT_CRI));
        let containerd = Containerd { folder, cgroup: ground.cgroup.clone(), runtime: runtime.clone(), process };
        let archive = image::docker_archive(&containerd.folder.join("image"));
        containerd.ctr(&["images", "import", archive.to_str().unwrap()]).ok();
        containerd
    }

    /// Runs `ctr ARGS...` to its end.
    #[track_caller]
    pub fn ctr(&self, args: &[&str]) -> Output {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.folder.join("containerd.sock")).args(["--namespace", "scenes"]).args(args);
        command::run(&mut command)
    }

    /// `ctr run --rm FLAGS... IMAGE NAME COMMAND...`
    #[track_caller]
    pub fn run(&self, flags: &[&str], command: &[&str]) -> Output {
        let task = self.task();
        self.ctr(
            &[&["run", "--rm"], &self.options(&task.name).each()[..], flags, &[IMAGE, &task.name], command].concat(),
        )
    }

    /// `ctr run --detach FLAGS... IMAGE NAME COMMAND...`, which must succeed; its streams go to [`Task::output`].
    #[track_caller]
    pub fn start_detached(&self, flags: &[&str], command: &[&str]) -> Task<'_> {
        let task = self.task();
        let log = format!("file://{}", task.log().display());
        let line = ["run", "--detach", "--log-uri", &log];
        self.ctr(&[&line, &self.options(&task.name).each()[..], flags, &[IMAGE, &task.name], command].concat()).ok();
        task
    }

    /// Ends containerd alone, in whatever it is doing, and starts it again; the shims stay.
    pub fn crash_and_restart(&self) {
        let mut process = self.process.lock().unwrap();
        kill_process(Pid::from_child(&process), Signal::KILL).unwrap();
        process.wait().unwrap();
        *process = start(&self.folder, WITHOUT_CRI);
    }

    /// The name of a task that is still to be made, by whatever call.
    pub fn task(&self) -> Task<'_> {
        Task { containerd: self, name: format!("task-{}", NAMES.fetch_add(1, Ordering::Relaxed)) }
    }

    fn options(&self, name: &str) -> Options {
        Options([
            "--runc-binary".to_owned(),
            self.runtime.path.display().to_string(),
            "--runc-root".to_owned(),
            self.folder.join("runc").display().to_string(),
            "--cgroup".to_owned(),
            format!("{}/{name}", self.cgroup),
        ])
    }
}

/// What every container is started with.
struct Options([String; 6]);

impl Options {
    fn each(&self) -> [&str; 6] {
        self.0.each_ref().map(String::as_str)
    }
}

/// A container with its task, killed and removed when it goes out of scope.
#[derive(Debug)]
pub struct Task<'a> {
    containerd: &'a Containerd,
    /// The container's name.
    pub name: String,
}

impl Task<'_> {
    /// `ctr tasks VERB FLAGS... NAME ARGS...`
    #[track_caller]
    pub fn verb(&self, verb: &[&str], args: &[&str]) -> Output {
        self.containerd.ctr(&[&["tasks"], verb, &[&self.name], args].concat())
    }

    /// `ctr tasks exec`
    #[track_caller]
    pub fn exec(&self, flags: &[&str], command: &[&str]) -> Output {
        let id = format!("exec-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        self.verb(&[&["exec", "--exec-id", &id], flags].concat(), command)
    }

    /// `ctr tasks kill --signal SIGNAL`
    #[track_caller]
    pub fn kill(&self, signal: &str) -> Output {
        self.verb(&["kill", "--signal", signal], &[])
    }

    /// Its pid and containerd's word for what it does, as `ctr tasks list` shows them.
    #[track_caller]
    pub fn listed(&self) -> Option<(i32, String)> {
        let list = self.containerd.ctr(&["tasks", "list"]).ok();
        let row = list.lines().into_iter().find(|row| row.split_whitespace().next() == Some(&self.name))?;
        let cells: Vec<&str> = row.split_whitespace().collect();
        Some((cells[1].parse().unwrap(), cells[2].to_owned()))
    }

    /// The init process, as this machine numbers it.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.listed().expect("the task is not listed").0
    }

    /// What a detached task has written so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Waits until [`Task::output`] contains `text`.
    #[track_caller]
    pub fn output_shows(&self, text: &str) {
        eventually(PATIENCE, &format!("{text:?} in the output of {}", self.name), || {
            self.output().contains(text).then_some(())
        });
    }

    /// Waits until it has stopped.
    #[track_caller]
    pub fn stops(&self) {
        eventually(PATIENCE, "the task to stop", || (self.listed()?.1 == "STOPPED").then_some(()));
    }

    /// The bundle that containerd made for it.
    pub fn bundle(&self) -> PathBuf {
        self.containerd.folder.join("containerd/state/io.containerd.runtime.v2.task/scenes").join(&self.name)
    }

    fn log(&self) -> PathBuf {
        self.containerd.folder.join(&self.name).with_extension("log")
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.verb(&["delete", "--force"], &[]);
        self.containerd.ctr(&["containers", "delete", &self.name]);
    }
}

/// The configuration of a containerd that no Kubernetes calls: the version of the file's format, and what is set.
pub(crate) const WITHOUT_CRI: &str = "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n";

/// Starts containerd on `folder`, and waits until it listens on `containerd.sock` there. `settings` begin its configuration.
pub(crate) fn start(folder: &Path, settings: &str) -> Child {
    let state = folder.join("containerd");
    fs::create_dir_all(&state).unwrap();
    let socket = folder.join("containerd.sock");
    let places = format!("root = {:?}\nstate = {:?}\n", state.join("root"), state.join("state"));
    let config = format!("{places}{settings}[debug]\nlevel = \"error\"\n[grpc]\naddress = {socket:?}\n");
    fs::write(folder.join("containerd.toml"), config).unwrap();
    let mut command = Command::new("containerd");
    command.arg("--config").arg(folder.join("containerd.toml"));
    // A shim that is put into `bin` is taken instead of this machine's.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [folder.join("bin")].into_iter().chain(std::env::split_paths(&path));
    let child = background(command.env("PATH", std::env::join_paths(folders).unwrap()), folder);
    eventually(PATIENCE, "containerd to listen", || UnixStream::connect(&socket).ok());
    child
}

/// Starts a daemon that logs to `<its name>.log`, out of reach of the terminal's Ctrl-C: the guard stops it in order.
pub(crate) fn background(command: &mut Command, folder: &Path) -> Child {
    let name = format!("{}.log", command.get_program().to_string_lossy());
    let log = File::options().create(true).append(true).open(folder.join(name)).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", command::spell(command)))
}
