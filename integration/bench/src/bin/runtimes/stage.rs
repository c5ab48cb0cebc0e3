//! What all runtimes get the same: a root filesystem with busybox, bundles with the config Docker writes, a place for what
//! they write down, a parent for their cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use integration::ground::Ground;
use integration::{cgroup, host, leftover};
use nix::mount::{MsFlags, mount};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::Result;

/// What Docker 20.10 gave its runtime for
/// `docker run --network none --memory 256m --cpus 1 --pids-limit 100 IMAGE /bin/true`:
/// the whole default seccomp profile, 14 capabilities, masked and read-only paths. Host paths
/// and the hook of its network library are replaced or taken out.
const CONFIG: &str = include_str!("../../../docker-config.json");

/// A program that ends at once.
pub const TRUE: &[&str] = &["/bin/true"];
/// A program that runs until it is killed.
pub const SLEEP: &[&str] = &["/bin/sleep", "100000"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Host,
    New,
}

impl Network {
    pub const ALL: [Self; 2] = [Self::Host, Self::New];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::New => "new",
        }
    }
}

/// One container's configuration; its files are removed with the stage.
pub struct Bundle {
    pub path: PathBuf,
    /// The name of the container, of the bundle's folder and of the cgroup.
    pub id: String,
    pub network: Network,
    /// The limit in bytes.
    pub memory: u64,
    /// From the root of every hierarchy.
    pub cgroup: String,
}

impl Bundle {
    /// Where `create --pid-file` leaves the pid.
    pub fn pid_file(&self) -> PathBuf {
        self.path.join("pid")
    }

    /// The process that `create` made.
    pub fn pid(&self) -> Result<i32> {
        Ok(fs::read_to_string(self.pid_file())?.trim().parse()?)
    }
}

/// The limits of Docker's that need a controller; without it Docker leaves them out as well.
const LIMITS: [&str; 3] = ["memory", "cpu", "pids"];

/// The folder of a run, a tmpfs as `/run` is one: nothing that is measured waits for a disk.
pub struct Stage<'a> {
    pub ground: &'a Ground,
    folder: PathBuf,
    config: Value,
}

impl<'a> Stage<'a> {
    pub fn set(ground: &'a Ground) -> Result<Self> {
        let folder = ground.folder.join("stage");
        fs::create_dir(&folder)?;
        mount(Some("tmpfs"), &folder, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
        let stage = Self { ground, folder, config: serde_json::from_str(CONFIG)? };
        stage.make_rootfs()?;
        stage.make_cgroup()?;
        Ok(stage)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn make_rootfs(&self) -> Result<()> {
        let candidates = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
        let busybox = candidates.into_iter().find(|path| path.exists());
        let busybox = busybox.ok_or("no /bin/busybox: install the package busybox-static")?;
        // As in Docker's images, what is mounted on is there.
        for folder in ["etc", "rootfs/bin", "rootfs/etc", "rootfs/proc", "rootfs/dev", "rootfs/sys"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        for file in ["resolv.conf", "hostname", "hosts"] {
            fs::write(self.folder.join("etc").join(file), "bench\n")?;
            fs::write(self.folder.join("rootfs/etc").join(file), "")?;
        }
        fs::copy(busybox, self.folder.join("rootfs/bin/busybox"))?;
        for applet in ["true", "sleep"] {
            std::os::unix::fs::symlink("busybox", self.folder.join("rootfs/bin").join(applet))?;
        }
        Ok(())
    }

    /// The parent of all cgroups, ready for children: none of the runtimes makes it for the others.
    fn make_cgroup(&self) -> Result<()> {
        for hierarchy in cgroup::hierarchies() {
            let parent = hierarchy.mount.join(self.ground.cgroup.trim_start_matches('/'));
            fs::create_dir_all(&parent)?;
            // A new cpuset of version 1 is empty, and takes no process.
            if hierarchy.controllers.iter().any(|controller| controller == "cpuset") {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    fs::write(parent.join(file), fs::read(hierarchy.mount.join(file))?)?;
                }
            }
            let offered = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
            for controller in offered.split_whitespace() {
                // One that cannot be had is one that no runtime has.
                let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
        Ok(())
    }

    /// Writes a bundle for a container with such a network and program, and a memory limit in bytes other than Docker's.
    pub fn bundle(&self, id: &str, network: Network, program: &[&str], memory: Option<u64>) -> Result<Bundle> {
        let cgroup = format!("{}/{id}", self.ground.cgroup);
        let mut config = self.config.clone();
        if let Some(limit) = memory {
            config["linux"]["resources"]["memory"] = json!({ "limit": limit, "swap": limit });
        }
        let memory =
            config["linux"]["resources"]["memory"]["limit"].as_u64().ok_or("docker-config.json has no limit")?;
        let path = self.folder.join("bundles").join(id);
        let bundle = Bundle { path, id: id.to_owned(), network, memory, cgroup };
        config["process"]["args"] = json!(program);
        config["root"]["path"] = json!(self.folder.join("rootfs"));
        config["linux"]["cgroupsPath"] = json!(bundle.cgroup);
        for mount in config["mounts"].as_array_mut().into_iter().flatten() {
            if mount["type"] == "bind" {
                mount["source"] = json!(self.folder.join(mount["source"].as_str().unwrap_or_default()));
            }
        }
        if let Some(resources) = config["linux"]["resources"].as_object_mut() {
            resources.retain(|name, _| !LIMITS.contains(&name.as_str()) || cgroup::has_controller(name));
        }
        if network == Network::Host {
            if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
                namespaces.retain(|namespace| namespace["type"] != "network");
            }
            // They belong to a network namespace: Docker leaves them out as well.
            config["linux"]["sysctl"] = json!({});
        }
        fs::create_dir_all(&bundle.path)?;
        fs::write(bundle.path.join("config.json"), serde_json::to_vec(&config)?)?;
        Ok(bundle)
    }

    /// As [`Stage::end_all`], and removes the bundles.
    pub fn clear(&self) -> Result<()> {
        self.end_all();
        match fs::remove_dir_all(self.folder.join("bundles")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Ends all containers there are, without asking a runtime, and removes their cgroups.
    pub fn end_all(&self) {
        integration::wait::eventually(std::time::Duration::from_secs(300), "all containers to be gone", || {
            let members = leftover::members(&self.ground.cgroup);
            let alive: Vec<i32> = members.into_iter().filter(|&pid| host::is_alive(pid)).collect();
            for pid in alive.iter().filter_map(|&pid| Pid::from_raw(pid)) {
                // It may be gone by now.
                let _ = kill_process(pid, Signal::KILL);
            }
            alive.is_empty().then_some(())
        });
        for parent in cgroup::directories(&self.ground.cgroup) {
            for child in leftover::tree(&parent).iter().filter(|child| **child != parent) {
                let _ = fs::remove_dir(child);
            }
        }
    }
}
