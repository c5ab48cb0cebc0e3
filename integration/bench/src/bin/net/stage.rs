//! Three network namespaces that stand for hosts, each with a Docker daemon of its own: with and without the userland proxy, and one at
//! the other end of a wire. So the packet filter's rules are nobody else's, and all ports are free.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use integration::daemon::Daemon;
use integration::docker::Docker;
use integration::ground::Ground;
use integration::network::{Network, ip};
use integration::runtime::Runtime;
use integration::{host, image};
use nix::sched::{CloneFlags, setns};
use serde_json::{Map, Value, json};

use crate::way::{ECHO, IPERF, MACVLAN, NGINX, OVERLAY, REDIS, USER_BRIDGE, WAYS, Way};
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
struct Host {
    network: Network,
    daemon: Daemon,
}

/// Where a client of a way is, and where it finds the container.
pub struct Endpoint {
    namespace: File,
    address: Ipv4Addr,
    shift: u16,
}

/// Everything that is measured.
pub struct Stage<'a> {
    ground: &'a Ground,
    /// Without the userland proxy; with it; and without it again, a wire away from the first.
    hosts: [Host; 3],
    /// By way.
    endpoints: Vec<Endpoint>,
}

/// The addresses of the first and the last host on the wire between them.
const ON_WIRE: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)];

impl<'a> Stage<'a> {
    /// Starts the daemons, and a container for each way.
    pub fn set(ground: &'a Ground, runtime: &Path) -> Result<Self> {
        let hosts = [false, true, false].map(|userland_proxy| start_host(ground, runtime, userland_proxy));
        connect(&hosts[0], &hosts[2]);
        for host in &hosts {
            import_image(&host.daemon.docker(), &host.daemon.folder)?;
        }
        let mut stage = Self { ground, hosts, endpoints: Vec::new() };
        for (at, way) in WAYS.iter().enumerate() {
            let endpoint = stage.start(way)?;
            stage.endpoints.push(endpoint);
            let endpoint = stage.enter(at)?;
            for port in [ECHO, NGINX, REDIS, IPERF].into_iter().filter(|&port| way.serves(port)) {
                client::wait_for(endpoint.server(port));
            }
        }
        Ok(stage)
    }

    /// Makes the network namespace of a way's client the caller's.
    pub fn enter(&self, at: usize) -> Result<&Endpoint> {
        setns(&self.endpoints[at].namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(&self.endpoints[at])
    }

    /// What a command in the container of a way prints.
    pub fn execute(&self, way: &Way, words: &[&str]) -> String {
        self.host(way).daemon.docker().call(&[&["exec", way.name], words].concat()).ok().text()
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
        self.hosts[0].daemon.docker().call(&["version", "--format", "{{.Server.Version}}"]).ok().text()
    }

    /// That of a way's container.
    fn host(&self, way: &Way) -> &Host {
        match way {
            Way { remote: true, .. } => &self.hosts[2],
            Way { userland_proxy: true, .. } => &self.hosts[1],
            _ => &self.hosts[0],
        }
    }

    fn start(&self, way: &Way) -> Result<Endpoint> {
        let docker = self.host(way).daemon.docker();
        let options = way.options();
        let mut words = vec!["run", "-d", "--name", way.name, "--runtime", way.name];
        words.extend(options.iter().map(String::as_str));
        words.push(IMAGE);
        docker.call(&words).ok();
        let (namespace, address) = match way.client {
            None if way.remote => (self.hosts[0].network.namespace()?, ON_WIRE[1]),
            None => (self.host(way).network.namespace()?, Ipv4Addr::LOCALHOST),
            Some(network) => {
                let line = ["run", "-d", "--network", network, IMAGE, "sleep", "100000"];
                let client = self.hosts[0].daemon.docker().call(&line).ok().text();
                let pid = inspect(&self.hosts[0].daemon.docker(), &client, "{{.State.Pid}}");
                // Empty for one in the network of another container.
                let address =
                    format!("{{{{with index .NetworkSettings.Networks {network:?}}}}}{{{{.IPAddress}}}}{{{{end}}}}");
                let address = inspect(&docker, way.name, &address).parse().unwrap_or(Ipv4Addr::LOCALHOST);
                (File::open(format!("/proc/{pid}/ns/net"))?, address)
            }
        };
        Ok(Endpoint { namespace, address, shift: way.shift })
    }
}

impl Endpoint {
    /// Where the client finds what listens at this port of the container.
    pub fn server(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, port + self.shift)
    }
}

fn inspect(docker: &Docker, container: &str, template: &str) -> String {
    docker.call(&["inspect", "--format", template, container]).ok().text()
}

fn start_host(ground: &Ground, runtime: &Path, userland_proxy: bool) -> Host {
    let of_way = |way: &Way| (way.name.to_owned(), json!({ "path": runtime, "runtimeArgs": way.runtime_arguments() }));
    let runtimes: Map<String, Value> = WAYS.iter().map(of_way).collect();
    let settings = json!({
        "runtimes": runtimes, "default-runtime": WAYS[0].name,
        "iptables": true, "ip-forward": true, "ip-masq": true, "userland-proxy": userland_proxy,
    });
    let network = Network::new();
    let daemon = network.inside(|| Daemon::start(ground, &Runtime { path: runtime.to_owned() }, settings));
    Host { network, daemon }
}

/// Lays the wire between two hosts, makes a swarm of them, and the networks that their containers ask for by name.
fn connect(one: &Host, other: &Host) {
    one.network.join("wire", &other.network, "wire");
    for (host, address) in [one, other].into_iter().zip(ON_WIRE) {
        host.network.inside(|| ip(&format!("address add {address}/24 dev wire")));
    }
    let docker = one.daemon.docker();
    other.daemon.docker().join_swarm(&docker.found_swarm(ON_WIRE[0]), ON_WIRE[1], ON_WIRE[0]);
    let macvlan = ["-d", "macvlan", "-o", "parent=wire", "--subnet", "203.0.113.0/24", MACVLAN];
    for line in [&[USER_BRIDGE][..], &macvlan, &["-d", "overlay", "--attachable", OVERLAY]] {
        docker.call(&[&["network", "create"], line].concat()).ok();
    }
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
