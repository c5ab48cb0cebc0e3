//! A plain OCI bundle, and the runtime's own command line on it: no Docker in between.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::{Value, json};

use crate::command::{self, Output};
use crate::ground::Ground;
use crate::runtime::Runtime;
use crate::wait::{PATIENCE, eventually};
use crate::{cgroup, host, image, leftover};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A bundle with a container id, a state root and a log of its own; all of it goes when the value is dropped.
#[derive(Debug)]
pub struct Bundle {
    /// The container's id.
    pub id: String,
    /// Everything of this bundle; every process of the container holds its stdio open in here.
    pub folder: PathBuf,
    /// The content of config.json, written by [`Bundle::write`] and by all that creates a container.
    pub config: Value,
    /// The path in `linux.cgroupsPath`.
    pub cgroup: String,
    runtime: Runtime,
}

impl Bundle {
    /// A bundle with busybox as its root filesystem, whose process is `args`.
    pub fn new(ground: &Ground, runtime: &Runtime, args: &[&str]) -> Bundle {
        let id = format!("c{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = ground.folder.join(&id);
        image::busybox_tree(&folder.join("bundle/rootfs"));
        let cgroup = format!("{}/{id}", ground.cgroup);
        let config = configuration(args, &cgroup);
        Bundle { id, folder, config, cgroup, runtime: runtime.clone() }
    }

    /// The bundle's directory, with config.json and rootfs.
    pub fn directory(&self) -> PathBuf {
        self.folder.join("bundle")
    }

    /// A path inside the container, as this machine sees it before the container mounts anything.
    pub fn in_rootfs(&self, path: &str) -> PathBuf {
        self.directory().join("rootfs").join(path.trim_start_matches('/'))
    }

    /// The state root given to the runtime.
    pub fn root(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The JSON log given to the runtime.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log.json")
    }

    /// Changes config.json at JSON pointer `pointer`, creating what lies on the way.
    pub fn set(&mut self, pointer: &str, value: Value) -> &mut Self {
        let mut place = &mut self.config;
        for key in pointer.split('/').skip(1) {
            place = match place {
                Value::Array(items) => &mut items[key.parse::<usize>().unwrap()],
                other => &mut other[key],
            };
        }
        *place = value;
        self
    }

    /// Removes the namespace of type `kind`: the container shares the host's.
    pub fn share_namespace(&mut self, kind: &str) -> &mut Self {
        self.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|entry| entry["type"] != kind);
        self
    }

    /// Writes config.json.
    pub fn write(&self) {
        fs::write(self.directory().join("config.json"), self.config.to_string()).unwrap();
    }

    /// `RUNTIME --root R --log L --log-format json ARGS...`, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.runtime.path);
        command.arg("--root").arg(self.root()).arg("--log").arg(self.log()).args(["--log-format", "json"]).args(args);
        command
    }

    /// Runs the runtime with `ARGS...` to its end.
    #[track_caller]
    pub fn call(&self, args: &[&str]) -> Output {
        command::run(&mut self.command(args))
    }

    /// `VERB FLAGS... ID`
    #[track_caller]
    pub fn verb(&self, verb: &[&str]) -> Output {
        self.call(&[verb, &[&self.id]].concat())
    }

    /// `kill ID SIGNAL`
    #[track_caller]
    pub fn kill(&self, signal: &str) -> Output {
        self.call(&["kill", &self.id, signal])
    }

    /// `create --bundle B FLAGS... ID`; the container's streams are files of this bundle.
    #[track_caller]
    pub fn create_with(&self, flags: &[&str]) -> Output {
        self.write();
        self.on_own_streams(&mut self.command(&self.create_line("create", flags)))
    }

    /// `create`, which must succeed.
    #[track_caller]
    pub fn create(&self) -> &Self {
        self.create_with(&[]).ok();
        self
    }

    /// `create` and `start`, which must succeed.
    #[track_caller]
    pub fn start(&self) -> &Self {
        self.create();
        self.verb(&["start"]).ok();
        self
    }

    /// `run --bundle B FLAGS... ID`, in the foreground.
    #[track_caller]
    pub fn run_with(&self, flags: &[&str]) -> Output {
        self.write();
        self.on_own_streams(&mut self.command(&self.create_line("run", flags)))
    }

    /// `run`, in the foreground.
    #[track_caller]
    pub fn run(&self) -> Output {
        self.run_with(&[])
    }

    /// Runs the runtime from a shell that first executes `prelude`, which thus decides what the runtime inherits.
    #[track_caller]
    pub fn call_after(&self, prelude: &str, args: &[&str]) -> Output {
        self.write();
        let wrapped = self.command(args);
        let mut shell = Command::new("bash");
        shell
            .arg("-c")
            .arg(format!("{prelude} \"$@\""))
            .arg("bash")
            .arg(wrapped.get_program())
            .args(wrapped.get_args());
        self.on_own_streams(&mut shell)
    }

    /// The arguments of `create` and `run`.
    pub fn create_line<'a>(&'a self, verb: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
        // The path is leaked: a few bytes per call of a test.
        let directory: &'static str = self.directory().to_str().unwrap().to_owned().leak();
        [&[verb, "--bundle", directory], flags, &[&self.id]].concat()
    }

    /// Runs `command` to its end with this bundle's files as its streams; the container keeps them.
    #[track_caller]
    pub fn on_own_streams(&self, command: &mut Command) -> Output {
        let file =
            |name: &str| File::options().create(true).write(true).truncate(true).open(self.folder.join(name)).unwrap();
        let text = command::spell(command);
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {text}: {error}"));
        let code = command::wait(&mut child, PATIENCE * 2);
        let output = Output { command: text, code: code.unwrap_or(-1), stdout: self.stdout(), stderr: self.stderr() };
        assert!(code.is_some(), "did not end in time\n{output}");
        output
    }

    /// What the container, and the runtime that created it, wrote to standard output.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.join("stdout")).unwrap_or_default()
    }

    /// What the container, and the runtime that created it, wrote to standard error.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// Waits until the container has written `text` to standard output.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        eventually(PATIENCE, &format!("{text:?} on standard output"), || self.stdout().contains(text).then_some(()));
        self
    }

    /// The answer of `state`.
    #[track_caller]
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.verb(&["state"]).ok().stdout).unwrap()
    }

    /// The status in the answer of `state`.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// The init process, as `state` tells it.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.state()["pid"].as_i64().unwrap() as i32
    }

    /// Waits for the end of the init process; its exit code, 128 + signal when killed.
    ///
    /// The test is a child subreaper, so the init process is its child once the runtime has exited.
    #[track_caller]
    pub fn exit_code(&self, pid: i32) -> i32 {
        assert!(command::ends_within(pid, PATIENCE), "process {pid} did not end; stdout: {}", self.stdout());
        let (_, status) = waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap().unwrap();
        status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0))
    }

    /// Waits until `state` says `stopped`.
    #[track_caller]
    pub fn stops(&self) {
        eventually(PATIENCE, "the container to stop", || (self.status() == "stopped").then_some(()));
    }

    /// The messages of level error in the log, which must hold nothing but JSON objects.
    #[track_caller]
    pub fn logged_errors(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let parse = |line: &str| -> Value {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON in the log: {line:?}: {error}"))
        };
        let errors = text.lines().map(parse).filter(|entry| entry["level"] == "error");
        errors.map(|entry| entry["msg"].as_str().unwrap().to_owned()).collect()
    }

    /// All that still exists of the container: records, cgroups, processes, mounts.
    pub fn leftovers(&self) -> Vec<String> {
        let records = fs::read_dir(self.root()).into_iter().flatten().flatten();
        let mut found: Vec<String> = records
            .filter(|entry| entry.file_name().to_string_lossy().contains(&self.id))
            .map(|entry| format!("record {}", entry.path().display()))
            .collect();
        found.extend(cgroup::directories(&self.cgroup).iter().map(|path| format!("cgroup {}", path.display())));
        found.extend(leftover::processes(&self.folder).iter().map(|pid| format!("process {}", describe(*pid))));
        found.extend(leftover::mounts(&self.folder).iter().map(|path| format!("mount {}", path.display())));
        found
    }

    /// Fails the test if anything of the container still exists.
    #[track_caller]
    pub fn is_gone(&self) {
        // A killed process takes a moment to let go of its files.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
        loop {
            let left = self.leftovers();
            if left.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < end, "left behind: {left:#?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.verb(&["delete", "--force"]);
        for pid in leftover::processes(&self.folder) {
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).ok();
            command::ends_within(pid, PATIENCE);
        }
    }
}

fn describe(pid: i32) -> String {
    let name = host::status_field(pid, "Name").unwrap_or_default();
    format!("{pid} ({name}, {})", host::status_field(pid, "State").unwrap_or_default())
}

/// A child subreaper adopts the init processes whose runtime has exited, as a containerd shim does.
pub fn adopt_containers() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
}

/// Whether `folder` is empty or absent.
pub fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

fn configuration(args: &[&str], cgroup: &str) -> Value {
    let capabilities = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "bundle",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] },
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }
            ],
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": ["/proc/kcore", "/proc/keys"],
            "readonlyPaths": ["/proc/sys", "/proc/bus"],
        },
    })
}
