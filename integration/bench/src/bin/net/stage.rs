//! Two network namespaces, each with a Docker daemon of its own: with and without the userland proxy. So the packet filter's
//! rules are nobody else's, and all ports are free.

use std::fs::{self, File};
use std::path::Path;

use integration::daemon::Daemon;
use integration::docker::Docker;
use integration::ground::Ground;
use integration::runtime::Runtime;
use integration::{command, host, image};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Map, Value, json};

use crate::way::{ECHO, IPERF, NGINX, REDIS, WAYS, Way};
use crate::{Result, client};

const IMAGE: &str = "servers";

const NGINX_CONF: &str =
    "daemon off; worker_processes 1; error_log stderr; pid /tmp/nginx.pid; events { worker_connections 64; }
http { access_log off; keepalive_requests 10000000;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server { listen 80; location / { return 200 'hello'; } } }";

const COMMAND: &str =
    "nginx -c /etc/nginx.conf & redis-server --save '' --protected-mode no & iperf3 -s & exec net serve";

/// A network namespace with a daemon in it.
struct Network {
    namespace: File,
    daemon: Daemon,
    userland_proxy: bool,
}

/// Everything that is measured.
pub struct Stage<'a> {
    ground: &'a Ground,
    networks: Vec<Network>,
}

impl<'a> Stage<'a> {
    /// Starts the daemons, and a container for each way.
    pub fn set(ground: &'a Ground, runtime: &Path) -> Result<Self> {
        let mut networks = Vec::new();
        for userland_proxy in [false, true] {
            unshare(CloneFlags::CLONE_NEWNET)?;
            command::run(std::process::Command::new("ip").args(["link", "set", "lo", "up"])).ok();
            let daemon = start_daemon(ground, runtime, userland_proxy);
            import_image(&daemon.docker(), &daemon.folder)?;
            networks.push(Network { namespace: File::open("/proc/self/ns/net")?, daemon, userland_proxy });
        }
        let stage = Self { ground, networks };
        for way in &WAYS {
            stage.enter(way)?;
            stage.start(way);
        }
        Ok(stage)
    }

    /// Makes the network namespace of a way's daemon the caller's.
    pub fn enter(&self, way: &Way) -> Result<()> {
        Ok(setns(&self.network(way).namespace, CloneFlags::CLONE_NEWNET)?)
    }

    /// What a command in the container of a way prints.
    pub fn execute(&self, way: &Way, words: &[&str]) -> String {
        self.network(way).daemon.docker().call(&[&["exec", way.name], words].concat()).ok().text()
    }

    /// The private memory of one of the diagnosis's watchers, in KiB.
    pub fn watcher_memory(&self) -> Result<u64> {
        let ours = self.ground.folder.to_string_lossy().into_owned();
        let is_watcher = |pid: &i32| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.starts_with("lightship-watcher") && line.contains(&ours)
        };
        let pid = host::processes().into_iter().find(is_watcher).ok_or("no watcher runs beside the container")?;
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let private = memory.lines().filter(|line| line.starts_with("Private_"));
        Ok(private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
    }

    /// The daemons' version.
    pub fn docker_version(&self) -> String {
        self.networks[0].daemon.docker().call(&["version", "--format", "{{.Server.Version}}"]).ok().text()
    }

    fn network(&self, way: &Way) -> &Network {
        let both = &self.networks;
        both.iter().find(|network| network.userland_proxy == way.userland_proxy).unwrap_or(&both[0])
    }

    fn start(&self, way: &Way) {
        let options = way.options();
        let mut words = vec!["run", "-d", "--name", way.name, "--runtime", way.name];
        words.extend(options.iter().map(String::as_str));
        words.push(IMAGE);
        self.network(way).daemon.docker().call(&words).ok();
        for port in [ECHO, NGINX, REDIS, IPERF] {
            client::wait_for(port + way.shift);
        }
    }
}

fn start_daemon(ground: &Ground, runtime: &Path, userland_proxy: bool) -> Daemon {
    let of_way = |way: &Way| (way.name.to_owned(), json!({ "path": runtime, "runtimeArgs": way.runtime_arguments() }));
    let runtimes: Map<String, Value> = WAYS.iter().map(of_way).collect();
    let settings = json!({
        "runtimes": runtimes, "default-runtime": WAYS[0].name,
        "iptables": true, "ip-forward": true, "ip-masq": true, "userland-proxy": userland_proxy,
    });
    Daemon::start(ground, &Runtime { path: runtime.to_owned() }, settings)
}

/// One image with all servers, from this machine's own files.
fn import_image(docker: &Docker, folder: &Path) -> Result<()> {
    let tree = folder.join("image");
    image::busybox_tree(&tree);
    for program in ["nginx", "redis-server", "iperf3"] {
        image::add_program(&tree, program);
    }
    fs::copy(std::env::current_exe()?, tree.join("bin/net"))?;
    fs::write(tree.join("etc/nginx.conf"), NGINX_CONF)?;
    for made in ["var/log/nginx", "var/lib/nginx"] {
        fs::create_dir_all(tree.join(made))?;
    }
    image::import(docker, &tree, IMAGE, &[&format!("CMD [\"/bin/sh\", \"-c\", \"{COMMAND}\"]")]);
    Ok(fs::remove_dir_all(&tree)?)
}
