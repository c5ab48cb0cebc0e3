//! Swarm on two daemons, each in a network namespace of its own, with nothing but a wire between them: an overlay network, and a
//! service in the hosts' networks.

use std::mem::ManuallyDrop;
use std::net::{IpAddr, Ipv4Addr};

use integration::cgroup;
use integration::container::Container;
use integration::daemon::Daemon;
use integration::docker::Docker;
use integration::http::first_answer;
use integration::image::{self, NGINX};
use integration::network::{self, Network, ip};
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use serde_json::json;

use crate::Stage;
use crate::network_modes::{NO_TRANSLATION, fetch};

pub fn scenes() -> Vec<Scene<Stage>> {
    let translated = network::has_translation();
    vec![scene!(two_daemons_share_an_overlay_and_a_host_service).long().skip_if(!translated, NO_TRANSLATION)]
}

/// A daemon that is a member of the swarm. It leaves when the value is dropped; its devices go with its network.
struct Node {
    network: Network,
    daemon: Daemon,
    docker: Docker,
    address: Ipv4Addr,
}

impl Node {
    fn start(stage: &Stage, network: Network, address: Ipv4Addr) -> Node {
        network.inside(|| ip(&format!("address add {address}/24 dev wire")));
        let daemon = network.inside(|| Daemon::start(&stage.ground, &stage.runtime, json!({})));
        let docker = daemon.docker();
        image::import_all(&docker, &daemon.folder);
        Node { network, daemon, docker, address }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.docker.call(&["swarm", "leave", "--force"]);
    }
}

fn two_daemons_share_an_overlay_and_a_host_service(stage: &Stage) {
    let (one, two) = (Network::new(), Network::new());
    one.join("wire", &two, "wire");
    let manager = Node::start(stage, one, Ipv4Addr::new(198, 51, 100, 1));
    let worker = Node::start(stage, two, Ipv4Addr::new(198, 51, 100, 2));
    let token = manager.docker.found_swarm(manager.address);
    worker.docker.join_swarm(&token, worker.address, manager.address);
    containers_meet_on_an_overlay(&manager, &worker);
    service_is_on_the_hosts_networks(stage, &manager, &worker);
    if !stage.runtime.is_peer() && cgroup::has_unified() {
        replicas_share_a_host(&manager, &worker);
    }
}

/// Both ways, by name: the client is on the node that did not make the network.
fn containers_meet_on_an_overlay(manager: &Node, worker: &Node) {
    manager.docker.call(&["network", "create", "-d", "overlay", "--attachable", "mesh"]).ok();
    let flags = ["--network", "mesh", "-e", "PAGE=across"];
    let serve = |node: &Node, like| {
        let web = node.docker.container(like);
        web.start_detached(&[&flags[..], &[NGINX]].concat());
        web
    };
    let (here, there) = (serve(manager, "here"), serve(worker, "there"));
    for (client, server) in [(&there, &here), (&here, &there)] {
        assert_eq!(fetch(client, &server.name), "across");
        client.exec(&["ping", "-c", "1", &server.name]);
    }
}

/// One task on each node, each of them on port 80 of its host.
fn service_is_on_the_hosts_networks(stage: &Stage, manager: &Node, worker: &Node) {
    let service = Service::create(manager, "pages", &["--mode", "global", "-e", "PAGE={{.Node.ID}}"]);
    for (node, client) in [(manager, worker), (worker, manager)] {
        let id = node.docker.call(&["info", "--format", "{{.Swarm.NodeID}}"]).ok().text();
        let ask = |from: &Node, address: IpAddr| from.network.inside(|| first_answer(address, 80));
        assert_eq!(ask(node, Ipv4Addr::LOCALHOST.into()), id);
        assert_eq!(ask(client, node.address.into()), id);
        let task = service.tasks(&[node], 1).remove(0);
        assert!(node.daemon.runs_with(&task.id(), &stage.runtime), "another runtime ran {}", task.name);
    }
}

/// More tasks than nodes, all of which want port 80 of their host: each has it, as far as it can tell.
fn replicas_share_a_host(manager: &Node, worker: &Node) {
    let flags = ["--replicas", "4", "-e", "LIGHTSHIP_NET_PUBLISH=auto", "-e", "PAGE={{.Task.Name}}"];
    let service = Service::create(manager, "scaled", &flags);
    for task in service.tasks(&[manager, worker], 4) {
        assert_eq!(fetch(&task, "127.0.0.1"), task.name);
    }
}

/// A service of nginx in the hosts' networks, removed when the value is dropped.
struct Service<'a> {
    manager: &'a Node,
    name: &'static str,
}

impl Service<'_> {
    fn create<'a>(manager: &'a Node, name: &'static str, flags: &[&str]) -> Service<'a> {
        let line = ["service", "create", "--name", name, "--network", "host", "--no-resolve-image", "--detach"];
        manager.docker.call(&[&line[..], flags, &[NGINX]].concat()).ok();
        Service { manager, name }
    }

    /// The containers of its tasks on these nodes, once there are so many.
    fn tasks(&self, nodes: &[&Node], count: usize) -> Vec<Task> {
        let filter = format!("name={}", self.name);
        let running = |node: &&Node| {
            let docker = node.docker.clone();
            let names = docker.call(&["ps", "--filter", &filter, "--format", "{{.Names}}"]).ok().lines();
            names.into_iter().map(move |name| Task::new(Container { docker: docker.clone(), name }))
        };
        eventually(PATIENCE * 3, &format!("{count} running tasks of {}", self.name), || {
            let tasks: Vec<Task> = nodes.iter().flat_map(running).collect();
            (tasks.len() == count).then_some(tasks)
        })
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        self.manager.docker.call(&["service", "rm", self.name]);
    }
}

/// The swarm removes it.
type Task = ManuallyDrop<Container>;
