//! A containerd of our own, called by the Container Runtime Interface as a kubelet does; its pods have a bridge of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::command::{self, Output};
use crate::containerd;
use crate::daemon::RUNTIME_NAME;
use crate::ground::Ground;
use crate::runtime::Runtime;
use crate::wait::{PATIENCE, eventually};
use crate::{host, image, network};

static NAMES: AtomicU32 = AtomicU32::new(0);

/// A running containerd that has the images of busybox and of the pause container.
#[derive(Debug)]
pub struct Cri {
    /// Its root, state, socket and log.
    pub folder: PathBuf,
    client: PathBuf,
    cgroup: String,
    _process: Child,
}

impl Cri {
    /// Starts it. The handler [`RUNTIME_NAME`] is `runtime`, and is the default as well. The ground's guard stops it.
    pub fn start(ground: &Ground, runtime: &Runtime) -> Cri {
        let client = client();
        let folder = ground.folder.join(format!("cri{}", NAMES.fetch_add(1, Ordering::Relaxed)));
        let networks = folder.join("networks");
        fs::create_dir_all(&networks).unwrap();
        fs::write(networks.join("10-bridge.conflist"), bridge(ground, &folder).to_string()).unwrap();
        let process = containerd::start(&folder, &settings(&networks, runtime));
        let cri = Cri { folder, client, cgroup: ground.cgroup.clone(), _process: process };
        cri.import_images();
        cri
    }

    /// Calls a method of the interface's version 1.
    #[track_caller]
    pub fn try_call(&self, method: &str, request: &Value) -> Output {
        let mut command = Command::new(&self.client);
        command::run(command.arg(self.folder.join("containerd.sock")).args([method, &request.to_string()]))
    }

    /// As [`Cri::try_call`], which must succeed: the answer.
    #[track_caller]
    pub fn call(&self, method: &str, request: &Value) -> Value {
        serde_json::from_str(&self.try_call(method, request).ok().stdout).unwrap()
    }

    /// A command that connects its standard streams to the address which `method` (Exec, Attach) answers with.
    #[track_caller]
    pub fn stream(&self, method: &str, request: &Value) -> Command {
        let address = self.call(method, request)["url"].as_str().unwrap().to_owned();
        let mut command = Command::new(&self.client);
        command.args(["stream", &address]);
        command
    }

    /// Runs a pod; `settings` are laid over its PodSandboxConfig, key by key.
    #[track_caller]
    pub fn pod(&self, settings: &Value) -> Pod<'_> {
        let config = self.pod_config(settings);
        let request = json!({ "config": config, "runtimeHandler": RUNTIME_NAME });
        let id = self.call("RunPodSandbox", &request)["podSandboxId"].as_str().unwrap().to_owned();
        Pod { cri: self, id, config }
    }

    /// A pod's PodSandboxConfig, as a kubelet would fill it in.
    pub fn pod_config(&self, settings: &Value) -> Value {
        let name = format!("pod-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let mut config = json!({
            "metadata": { "name": name, "uid": name, "namespace": "default" },
            "hostname": name,
            "logDirectory": self.folder.join("logs").join(&name),
            "linux": { "cgroupParent": self.cgroup, "securityContext": security() },
        });
        lay_over(&mut config, settings);
        if config["linux"]["securityContext"]["namespaceOptions"]["network"] == "NODE" {
            config["hostname"] = json!(""); // it is the host's
        }
        config
    }

    /// An import ends before the interface knows the images: it hears of them.
    fn import_images(&self) {
        let archive = image::docker_archive(&self.folder.join("image"));
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.folder.join("containerd.sock")).args(["-n", "k8s.io", "images", "import"]);
        command::run(ctr.arg(archive)).ok();
        for name in [image::BUSYBOX, image::PAUSE] {
            eventually(PATIENCE, &format!("the image {name}"), || {
                let status = self.call("ImageStatus", &json!({ "image": { "image": name } }));
                (!status["image"].is_null()).then_some(())
            });
        }
    }
}

/// A pod, removed with its containers when it goes out of scope.
#[derive(Debug)]
pub struct Pod<'a> {
    cri: &'a Cri,
    /// Its id, which is that of its pause container as well.
    pub id: String,
    config: Value,
}

impl Pod<'_> {
    /// Creates a container of `command` that is not started; `settings` are laid over its ContainerConfig.
    #[track_caller]
    pub fn create(&self, settings: &Value, command: &[&str]) -> PodContainer<'_> {
        let name = format!("container-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let mut config = json!({
            "metadata": { "name": name },
            "image": { "image": image::BUSYBOX },
            "command": command,
            "logPath": format!("{name}.log"),
            "linux": { "securityContext": security() },
        });
        lay_over(&mut config, settings);
        let request = json!({ "podSandboxId": self.id, "config": config, "sandboxConfig": self.config });
        let id = self.cri.call("CreateContainer", &request)["containerId"].as_str().unwrap().to_owned();
        let log = Path::new(self.config["logDirectory"].as_str().unwrap()).join(format!("{name}.log"));
        PodContainer { cri: self.cri, id, log }
    }

    /// A container that runs.
    #[track_caller]
    pub fn start(&self, settings: &Value, command: &[&str]) -> PodContainer<'_> {
        let container = self.create(settings, command);
        container.call("StartContainer", &json!({}));
        container
    }

    /// Its status, with what containerd tells beyond the interface in `info`.
    #[track_caller]
    pub fn status(&self) -> Value {
        with_info(self.cri.call("PodSandboxStatus", &json!({ "podSandboxId": self.id, "verbose": true })))
    }

    /// The address that it has on the bridge.
    #[track_caller]
    pub fn address(&self) -> std::net::IpAddr {
        let status = self.status();
        status["status"]["network"]["ip"].as_str().unwrap().parse().unwrap_or_else(|_| panic!("no address: {status}"))
    }

    /// `StopPodSandbox`
    #[track_caller]
    pub fn stop(&self) {
        self.cri.call("StopPodSandbox", &json!({ "podSandboxId": self.id }));
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            self.cri.try_call(method, &json!({ "podSandboxId": self.id }));
        }
    }
}

/// A container in a pod; it goes with the pod.
#[derive(Debug)]
pub struct PodContainer<'a> {
    cri: &'a Cri,
    /// Its id.
    pub id: String,
    log: PathBuf,
}

impl PodContainer<'_> {
    /// Calls a method that takes a container's id beside what `request` has.
    #[track_caller]
    pub fn try_call(&self, method: &str, request: &Value) -> Output {
        self.cri.try_call(method, &self.about_it(request))
    }

    /// As [`PodContainer::try_call`], which must succeed: the answer.
    #[track_caller]
    pub fn call(&self, method: &str, request: &Value) -> Value {
        self.cri.call(method, &self.about_it(request))
    }

    /// As [`Cri::stream`].
    #[track_caller]
    pub fn stream(&self, method: &str, request: &Value) -> Command {
        self.cri.stream(method, &self.about_it(request))
    }

    /// `ExecSync`: both streams and the exit code.
    #[track_caller]
    pub fn exec(&self, command: &[&str]) -> Output {
        let answer = self.call("ExecSync", &json!({ "cmd": command, "timeout": 30 }));
        let text = |key: &str| decoded(answer[key].as_str().unwrap());
        Output {
            command: command.join(" "),
            code: answer["exitCode"].as_i64().unwrap() as i32,
            stdout: text("stdout"),
            stderr: text("stderr"),
        }
    }

    /// Its status, with what containerd tells beyond the interface in `info`.
    #[track_caller]
    pub fn status(&self) -> Value {
        with_info(self.call("ContainerStatus", &json!({ "verbose": true })))
    }

    /// The interface's word for what it does, such as `CONTAINER_RUNNING`.
    #[track_caller]
    pub fn state(&self) -> String {
        self.status()["status"]["state"].as_str().unwrap().to_owned()
    }

    /// Waits until it has ended: its exit code.
    #[track_caller]
    pub fn wait(&self) -> i64 {
        eventually(PATIENCE, "the container to end", || {
            let status = self.status();
            (status["status"]["state"] == "CONTAINER_EXITED").then(|| status["status"]["exitCode"].as_i64().unwrap())
        })
    }

    /// The init process, as this machine numbers it.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.status()["info"]["pid"].as_i64().unwrap() as i32
    }

    /// The log as a kubelet finds it: a time, the stream, F for a full line, and the text.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the log contains `text`.
    #[track_caller]
    pub fn log_shows(&self, text: &str) {
        eventually(PATIENCE, &format!("{text:?} in the log"), || self.log().contains(text).then_some(()));
    }

    fn about_it(&self, request: &Value) -> Value {
        let mut request = request.clone();
        request["containerId"] = json!(self.id);
        request
    }
}

/// The program that speaks the interface: built where there is Go, else what a build before has left.
fn client() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("cri");
    let program = source.join(".work/cri");
    if host::has_program("go") {
        let mut go = Command::new("go");
        let built = go.current_dir(&source).env("CGO_ENABLED", "0").args(["build", "-o", ".work/cri", "."]).status();
        assert!(built.unwrap().success(), "cannot build {}", source.display());
    }
    assert!(program.exists(), "no {}: run the scenes once where Go is installed", program.display());
    program
}

/// containerd's configuration: what docs/kubernetes.md shows, and what keeps it apart from the machine's own.
fn settings(networks: &Path, runtime: &Runtime) -> String {
    let one = host::version("containerd").starts_with("1.");
    let (version, plugin, pause) = match one {
        true => (2, "\"io.containerd.grpc.v1.cri\"", "[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image"),
        false => {
            (3, "\"io.containerd.cri.v1.runtime\"", "[plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox")
        }
    };
    // In version 2 the same table holds the image and what follows.
    let own_table = if one { String::new() } else { format!("[plugins.{plugin}]\n") };
    format!(
        r#"version = {version}
{pause} = "docker.io/library/{image}:latest"
{own_table}restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins.{plugin}.cni]
bin_dir = "/usr/lib/cni"
conf_dir = {networks:?}
[plugins.{plugin}.containerd]
default_runtime_name = "{RUNTIME_NAME}"
[plugins.{plugin}.containerd.runtimes.{RUNTIME_NAME}]
runtime_type = "io.containerd.runc.v2"
pod_annotations = ["io.lightship.*"]
container_annotations = ["io.lightship.*"]
[plugins.{plugin}.containerd.runtimes.{RUNTIME_NAME}.options]
BinaryName = {binary:?}
"#,
        image = image::PAUSE,
        binary = runtime.path,
    )
}

/// The network of pods that do not share the host's, as a CNI configuration.
fn bridge(ground: &Ground, folder: &Path) -> Value {
    let addresses = json!({
        "type": "host-local",
        "dataDir": folder.join("addresses"),
        "ranges": [[{ "subnet": format!("{}/28", network::subnet(7, 0)) }]],
    });
    let name = format!("{}c", ground.interface_prefix);
    json!({
        "cniVersion": "0.4.0",
        "name": name,
        "plugins": [{ "type": "bridge", "bridge": name, "isGateway": true, "ipam": addresses }],
    })
}

/// What a kubelet says of a pod and its containers that ask for nothing.
fn security() -> Value {
    json!({ "namespaceOptions": { "pid": "CONTAINER" } })
}

/// Objects are merged, everything else is replaced.
fn lay_over(config: &mut Value, settings: &Value) {
    for (key, value) in settings.as_object().unwrap() {
        match (config.get_mut(key), value) {
            (Some(below @ Value::Object(_)), Value::Object(_)) => lay_over(below, value),
            _ => config[key] = value.clone(),
        }
    }
}

/// `info` is JSON in a string.
fn with_info(mut answer: Value) -> Value {
    let info = answer["info"]["info"].as_str().and_then(|text| serde_json::from_str(text).ok());
    answer["info"] = info.unwrap_or_default();
    answer
}

/// The JSON form of protocol buffers has bytes in base64.
fn decoded(base64: &str) -> String {
    command::run_with_input(Command::new("base64").arg("--decode"), base64).ok().stdout
}
