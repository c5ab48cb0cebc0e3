//! A BuildKit of our own, whose worker runs the runtime under test: buildkitd without a Docker around it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::command::{self, Output};
use crate::containerd::background;
use crate::ground::Ground;
use crate::runtime::Runtime;
use crate::wait::{PATIENCE, eventually};

/// A running buildkitd.
#[derive(Debug)]
pub struct BuildKit {
    /// Its root, socket, configuration and log.
    pub folder: PathBuf,
    _process: Child,
}

impl BuildKit {
    /// Starts it. The ground's guard stops it.
    pub fn start(ground: &Ground, runtime: &Runtime) -> BuildKit {
        let folder = ground.folder.join("buildkit");
        fs::create_dir(&folder).unwrap();
        let config = folder.join("buildkitd.toml");
        fs::write(&config, configuration(&folder, ground, runtime)).unwrap();
        let process = background(Command::new("buildkitd").arg("--config").arg(config), &folder);
        let buildkit = BuildKit { folder, _process: process };
        eventually(PATIENCE, "buildkitd to answer", || (buildkit.call(&["debug", "workers"]).code == 0).then_some(()));
        buildkit
    }

    /// Runs `buildctl ARGS...` to its end.
    #[track_caller]
    pub fn call(&self, args: &[&str]) -> Output {
        let mut command = Command::new("buildctl");
        command::run(command.arg("--addr").arg(self.address()).args(args))
    }

    /// Builds the Dockerfile in the folder `context`; the image's files go to the tar archive `result`.
    #[track_caller]
    pub fn build(&self, context: &Path, result: &Path) -> Output {
        let local = |name: &str| format!("{name}={}", context.display());
        let output = format!("type=tar,dest={}", result.display());
        let line = ["build", "--frontend", "dockerfile.v0", "--progress", "plain", "--output", &output, "--local"];
        self.call(&[&line, &[local("context").as_str(), "--local", &local("dockerfile")][..]].concat())
    }

    fn address(&self) -> String {
        format!("unix://{}", self.folder.join("buildkitd.sock").display())
    }
}

fn configuration(folder: &Path, ground: &Ground, runtime: &Runtime) -> String {
    format!(
        r#"
root = {root:?}
[grpc]
address = ["unix://{socket}"]
[worker.oci]
enabled = true
binary = {binary:?}
snapshotter = "overlayfs"
networkMode = "host"
defaultCgroupParent = {cgroup:?}
[worker.containerd]
enabled = false
"#,
        root = folder.join("root"),
        socket = folder.join("buildkitd.sock").display(),
        binary = runtime.path,
        cgroup = ground.cgroup,
    )
}
