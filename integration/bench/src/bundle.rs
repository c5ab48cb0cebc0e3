//! The one bundle that all runtimes use: busybox, and the config Docker writes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Result;

/// What Docker 20.10 gave its runtime for
/// `docker run --network none --memory 256m --cpus 1 --pids-limit 100 IMAGE /bin/true`:
/// the whole default seccomp profile, 14 capabilities, masked and read-only paths. Host paths
/// and the hook of its network library are replaced or taken out.
const CONFIG: &str = include_str!("../docker-config.json");

/// A program that ends at once.
pub const TRUE: &[&str] = &["/bin/true"];
/// A program that runs until it is killed.
pub const SLEEP: &[&str] = &["/bin/sleep", "100000"];

/// The parent of the cgroups of all containers made here.
pub const CGROUP: &str = "lightship-bench";

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

/// A scratch folder with the bundle in it, removed when dropped.
pub struct Bundle {
    scratch: PathBuf,
}

impl Bundle {
    pub fn new() -> Result<Self> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .ok_or("no /bin/busybox: install the package busybox-static")?;
        let bundle = Self { scratch: std::env::temp_dir().join(format!("lightship-bench-{}", std::process::id())) };
        let bin = bundle.path().join("rootfs/bin");
        fs::create_dir_all(&bin)?;
        fs::copy(busybox, bin.join("busybox"))?;
        for applet in ["true", "sleep"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet))?;
        }
        // As in Docker's images, what is mounted on is there.
        for folder in ["etc", "rootfs/etc", "rootfs/proc", "rootfs/dev", "rootfs/sys"] {
            fs::create_dir_all(bundle.path().join(folder))?;
        }
        for file in ["resolv.conf", "hostname", "hosts"] {
            fs::write(bundle.path().join("etc").join(file), "bench\n")?;
            fs::write(bundle.path().join("rootfs/etc").join(file), "")?;
        }
        Ok(bundle)
    }

    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    pub fn path(&self) -> PathBuf {
        self.scratch.join("bundle")
    }

    /// The folder for what the runtimes write down.
    pub fn state(&self) -> PathBuf {
        self.scratch.join("state")
    }

    /// Where `create --pid-file` leaves the pid.
    pub fn pid_file(&self) -> PathBuf {
        self.scratch.join("pid")
    }

    pub fn write_config(&self, network: Network, program: &[&str]) -> Result<()> {
        let mut config: Value = serde_json::from_str(CONFIG)?;
        config["process"]["args"] = json!(program);
        config["root"]["path"] = json!(self.path().join("rootfs"));
        config["linux"]["cgroupsPath"] = json!(format!("/{CGROUP}/container"));
        if let Some(mounts) = config["mounts"].as_array_mut() {
            for mount in mounts.iter_mut().filter(|mount| mount["type"] == "bind") {
                let name = mount["source"].as_str().unwrap_or_default().to_owned();
                mount["source"] = json!(self.path().join(name));
            }
        }
        if network == Network::Host {
            if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
                namespaces.retain(|namespace| namespace["type"] != "network");
            }
            // They belong to a network namespace: Docker leaves them out as well.
            config["linux"]["sysctl"] = json!({});
        }
        Ok(fs::write(self.path().join("config.json"), serde_json::to_vec(&config)?)?)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.state(), nix::mount::MntFlags::MNT_DETACH);
        let _ = fs::remove_dir_all(&self.scratch);
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join(CGROUP));
        }
    }
}
