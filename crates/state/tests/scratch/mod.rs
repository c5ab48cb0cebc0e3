//! A directory of its own for each test, and the test binary run again as a process that can be killed or confined.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what cannot be made is a failed test, or a skipped one that says so"
)]

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use state::{ContainerId, InitProcess, RECORD_VERSION, Record, StateRoot};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// For a lock that nobody holds. Another test of this process may be starting a program just then, and a child has the lock
/// up to its execve.
pub const SOON: Duration = Duration::from_secs(5);

/// A new directory, which goes with this.
pub struct Scratch {
    path: PathBuf,
    mounted: bool,
}

impl Scratch {
    pub fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lightship-state-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Scratch { path, mounted: false }
    }

    /// A directory that is a tmpfs of its own, or nothing (with a word why) for a user who may not mount.
    pub fn tmpfs(options: &str) -> Option<Scratch> {
        let mut scratch = Scratch::new();
        let options = CString::new(options).unwrap();
        match mount("tmpfs", &scratch.path, "tmpfs", MountFlags::empty(), options.as_c_str()) {
            Ok(()) => scratch.mounted = true,
            Err(error) => {
                println!("skipped: cannot mount a tmpfs: {error}");
                return None;
            }
        }
        Some(scratch)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn root(&self) -> StateRoot {
        StateRoot::open(&self.path).unwrap()
    }

    /// The names in the directory.
    pub fn names(&self) -> Vec<String> {
        names(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.mounted {
            let _ = unmount(&self.path, UnmountFlags::DETACH);
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

pub fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub fn id(id: &str) -> ContainerId {
    ContainerId::parse(id).unwrap()
}

pub fn record(name: &str) -> Record {
    Record {
        version: RECORD_VERSION,
        oci_version: "1.2.0".into(),
        id: id(name),
        bundle: "/bundle".into(),
        rootfs: "/bundle/rootfs".into(),
        created: state::rfc3339(SystemTime::now()),
        owner: 0,
        annotations: [("a".into(), "b".into())].into(),
        init: Some(InitProcess { pid: 4_000_000, start_time: 1 }),
        cgroup: state::Part::of(&serde_json::json!({"dirs": []})).unwrap(),
        resctrl: None,
        network: None,
        keyring: None,
    }
}

/// Makes a complete container.
pub fn make(root: &StateRoot, name: &str) {
    let mut locked = root.begin(&id(name)).unwrap();
    locked.journal(&[state::Undo::Cgroup(state::Part::of(&"/cgroup").unwrap())]).unwrap();
    locked.write(state::CONFIG, b"{}").unwrap();
    locked.draft(&record(name)).unwrap();
    locked.commit().unwrap();
}

const SCENARIO: &str = "STATE_TEST_SCENARIO";
const DIRECTORY: &str = "STATE_TEST_DIRECTORY";

/// The test binary again, in which only `test` runs, with [`scenario`] giving the name and directory.
#[allow(clippy::disallowed_methods, reason = "the process under test has to be another one")]
pub fn again(test: &str, scenario: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(SCENARIO, scenario).env(DIRECTORY, directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

pub fn scenario() -> Option<(String, PathBuf)> {
    Some((std::env::var(SCENARIO).ok()?, std::env::var_os(DIRECTORY)?.into()))
}
