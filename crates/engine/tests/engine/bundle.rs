//! A bundle with busybox in it and a runtime with a state root of its own; everything goes when it is dropped.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use engine::{CreateOptions, Error, ExecOptions, Runtime, StateDocument};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use serde_json::{Value, json};
use spec::Status;

static COUNT: AtomicU32 = AtomicU32::new(0);

pub struct Bundle {
    pub id: String,
    pub folder: PathBuf,
    pub config: Value,
    pub runtime: Runtime,
}

/// What a process waits with for ever, without a child that a signal would leave behind.
pub const FOREVER: &str = "exec sleep 100000";

impl Bundle {
    /// A container that runs a shell script.
    pub fn new(script: &str) -> Bundle {
        let id = format!("e{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("lightship-engine-{id}"));
        fs::create_dir_all(folder.join("rootfs/bin")).unwrap();
        fs::write(folder.join("rootfs/bin/busybox"), "").unwrap();
        for name in ["sh", "sleep", "cat", "grep", "id", "readlink", "true"] {
            std::os::unix::fs::symlink("busybox", folder.join("rootfs/bin").join(name)).unwrap();
        }
        let config = configuration(script, &format!("/lightship-{id}"));
        let runtime = Runtime { root: folder.join("state"), ..Runtime::default() };
        Bundle { id, folder, config, runtime }
    }

    /// Another container of the same rootfs and state root.
    pub fn sibling(&self, script: &str) -> Bundle {
        let mut sibling = Bundle::new(script);
        sibling.runtime = self.runtime.clone();
        sibling
    }

    pub fn namespace(&mut self, kind: &str, path: Option<String>) -> &mut Bundle {
        let namespaces = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != kind);
        namespaces.push(match path {
            Some(path) => json!({"type": kind, "path": path}),
            None => json!({"type": kind}),
        });
        self
    }

    pub fn options(&self) -> CreateOptions {
        fs::write(self.folder.join("config.json"), self.config.to_string()).unwrap();
        CreateOptions { bundle: self.folder.clone(), ..CreateOptions::default() }
    }

    pub fn try_create(&self) -> Result<(), Error> {
        self.runtime.create(&self.id, &self.options())
    }

    #[track_caller]
    pub fn create(&self) -> &Bundle {
        self.try_create().unwrap();
        self
    }

    #[track_caller]
    pub fn start(&self) -> &Bundle {
        self.create().runtime.start(&self.id).unwrap();
        self
    }

    #[track_caller]
    pub fn state(&self) -> StateDocument {
        self.runtime.state(&self.id).unwrap()
    }

    #[track_caller]
    pub fn is(&self, status: Status) -> &Bundle {
        assert_eq!(self.state().status, status);
        self
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub fn run(&self) -> &Bundle {
        let init = self.create().state().pid;
        let pidfd = pidfd(init);
        self.runtime.start(&self.id).unwrap();
        ended(&pidfd);
        self
    }

    /// What the container has written to a file in its root.
    #[track_caller]
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join("rootfs").join(name)).unwrap()
    }

    /// Runs a script in the container; its status.
    pub fn exec(&self, script: &str) -> Result<u8, Error> {
        self.runtime.exec(&self.id, &exec_options(script))
    }

    /// A file in the container's folder in the state root.
    pub fn recorded(&self, name: &str) -> PathBuf {
        self.runtime.root.join(&self.id).join(name)
    }

    /// Deletes it by force and checks that nothing is left.
    #[track_caller]
    pub fn delete_all(&self) {
        self.delete();
        assert!(!self.recorded("").exists());
        let left: Vec<PathBuf> = self.cgroups().into_iter().filter(|path| path.exists()).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Deletes it by force. Its init is a child of this process, as it would be of a shim: as long as nobody waits for it, a
    /// PID namespace that it has joined cannot end.
    #[track_caller]
    fn delete(&self) {
        let init = self.runtime.state(&self.id).ok().filter(|state| state.pid > 0).map(|state| pidfd(state.pid));
        self.runtime.delete(&self.id, true).unwrap();
        if let Some(init) = init {
            let _ = rustix::process::waitid(WaitId::PidFd(init.as_fd()), WaitIdOptions::EXITED);
        }
    }

    /// Where its cgroups are, in each hierarchy of this host.
    fn cgroups(&self) -> Vec<PathBuf> {
        let Some(name) = self.config["linux"]["cgroupsPath"].as_str() else { return Vec::new() };
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
        hierarchies.chain([root.to_owned()]).map(|folder| folder.join(name.trim_start_matches('/'))).collect()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.runtime.delete(&self.id, true);
        } else {
            self.delete();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn configuration(script: &str, cgroup: &str) -> Value {
    let kinds = ["mount", "uts", "pid", "ipc"];
    json!({
        "ociVersion": "1.3.0",
        "process": {
            "args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
            "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            // Bound, not copied: another thread's child might have the copy open for writing, and it could not be executed.
            {"destination": "/bin/busybox", "type": "bind", "source": "/bin/busybox", "options": ["bind"]},
        ],
        "linux": {"cgroupsPath": cgroup, "namespaces": kinds.map(|kind| json!({"type": kind}))},
    })
}

pub fn exec_options(script: &str) -> ExecOptions {
    ExecOptions { args: ["sh", "-c", script].map(Into::into).into(), ..ExecOptions::default() }
}

pub fn pidfd(pid: i32) -> std::os::fd::OwnedFd {
    rustix::process::pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap()
}

/// Waits until a process has ended.
#[track_caller]
pub fn ended(pidfd: &std::os::fd::OwnedFd) {
    let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    assert!(rustix::event::poll(&mut polled, Some(&patience)).unwrap() > 0, "the process does not end");
}

pub fn alive(pidfd: &std::os::fd::OwnedFd) -> bool {
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 0
}
