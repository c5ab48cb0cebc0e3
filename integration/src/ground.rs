//! The ground a run stands on: one folder, one cgroup, one prefix for network interfaces, and the guard that clears them.
//!
//! The guard is this same program started a second time, waiting on a pipe whose other end the run holds. When the run
//! ends - by its end, a panic, Ctrl-C or SIGKILL - the kernel closes that end, and the guard removes everything.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;
use crate::{cgroup, command, host, leftover};

/// Tells the second copy of this program that it is the guard, and of what folder.
const GUARDED: &str = "INTEGRATION_GUARDED_FOLDER";

/// Where everything of one run lies.
#[derive(Debug)]
pub struct Ground {
    /// All files of the run.
    pub folder: PathBuf,
    /// Parent of all cgroups of the run, from the root of every hierarchy: `/integration-PID`.
    pub cgroup: String,
    /// All interfaces of the run that Docker does not name itself start with this.
    pub interface_prefix: String,
    guard: Mutex<Child>,
}

impl Ground {
    /// If this process is the guard of a run, does the guard's work and does not return.
    pub fn guard_if_asked() {
        if let Some(folder) = std::env::var_os(GUARDED) {
            wait_and_clear(Path::new(&folder));
            std::process::exit(0);
        }
    }

    /// Takes the ground for this run.
    pub fn take() -> Ground {
        assert!(rustix::process::geteuid().is_root(), "these tests make containers: run them as root");
        let folder = std::env::temp_dir().join(format!("integration-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let guard = Command::new(std::env::current_exe().unwrap())
            .env(GUARDED, &folder)
            .stdin(Stdio::piped())
            .process_group(0) // Ctrl-C goes to the group of the run: the guard must survive it
            .spawn()
            .unwrap();
        let (cgroup, interface_prefix) = names(&folder);
        Ground { folder, cgroup, interface_prefix, guard: Mutex::new(guard) }
    }

    /// Clears the ground, and waits until that is done.
    pub fn leave(&self) {
        let mut guard = self.guard.lock().unwrap();
        drop(guard.stdin.take());
        guard.wait().unwrap();
    }
}

/// The cgroup and the interface prefix that belong to `folder`.
fn names(folder: &Path) -> (String, String) {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let number = name.rsplit('-').next().unwrap().to_owned();
    (format!("/{name}"), format!("it{number}x"))
}

fn wait_and_clear(folder: &Path) {
    let mut nothing = Vec::new();
    std::io::stdin().read_to_end(&mut nothing).ok();
    let (cgroup, interface_prefix) = names(folder);
    // Containers first, so that daemon and shims see them end and clean up after them themselves.
    kill_until_none(|| leftover::members(&cgroup));
    stop(folder, "dockerd");
    stop(folder, "containerd");
    kill_until_none(|| leftover::processes(folder));
    for point in leftover::mounts(folder) {
        unmount(&point, UnmountFlags::DETACH).ok();
    }
    for top in cgroup::directories(&cgroup) {
        for directory in leftover::tree(&top) {
            fs::remove_dir(directory).ok();
        }
    }
    remove_interfaces(&interface_prefix);
    if let Err(error) = fs::remove_dir_all(folder) {
        eprintln!("integration: {}: {error}", folder.display());
    }
}

fn kill_until_none(list: impl Fn() -> Vec<i32>) {
    eventually(Duration::from_secs(30), "all processes of the run to be gone", || {
        let pids: Vec<i32> = list().into_iter().filter(|&pid| host::is_alive(pid)).collect();
        for pid in &pids {
            signal(*pid, Signal::KILL);
        }
        pids.is_empty().then_some(())
    });
}

/// Asks the daemons called `name` that work in `folder` to end, and gives them time for it.
fn stop(folder: &Path, name: &str) {
    for pid in leftover::processes(folder) {
        let called = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if called.trim() == name {
            signal(pid, Signal::TERM);
            command::ends_within(pid, Duration::from_secs(15));
        }
    }
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        kill_process(pid, signal).ok();
    }
}

fn remove_interfaces(prefix: &str) {
    for entry in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            Command::new("ip").args(["link", "delete", &name]).status().ok();
        }
    }
}
