//! The other network modes: a bridge, none, another container's network, a device of the host.

use std::net::Ipv4Addr;

use integration::container::Container;
use integration::daemon::RUNTIME_NAME;
use integration::host;
use integration::http::{first_answer, get};
use integration::image::{BUSYBOX, NGINX};
use integration::network::{self, Network, ip};
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let (macvlan, ipvlan) = (network::has_devices("macvlan"), network::has_devices("ipvlan"));
    vec![
        scene!(bridge_publishes_a_port_of_the_host),
        scene!(bridge_has_interfaces_of_its_own),
        scene!(none_has_only_the_loopback_interface_up),
        scene!(container_mode_shares_the_others_interfaces),
        scene!(user_defined_network_connects_by_address),
        scene!(user_defined_network_knows_names).skip_if(!network::has_translation(), NO_TRANSLATION),
        scene!(network_connected_later_appears_inside),
        scene!(macvlan_is_beside_the_host).skip_if(!macvlan, "the kernel has no macvlan"),
        scene!(ipvlan_is_beside_the_host).skip_if(!ipvlan, "the kernel has no ipvlan"),
        scene!(ipvlan_without_the_kernel_has_dockers_error).skip_if(ipvlan, "the kernel has ipvlan"),
    ]
}

/// What Docker's name server, and its ports without a proxy, are made of.
pub(crate) const NO_TRANSLATION: &str = "no address translation by iptables";

fn serve(stage: &Stage, name: &str, flags: &[&str]) -> Container {
    let container = stage.docker.container(name);
    let page = format!("PAGE={name}");
    container.start_detached(&[flags, &["-e", &page, NGINX]].concat());
    container
}

fn interfaces(container: &Container) -> Vec<String> {
    let listing = container.exec(&["ls", "/sys/class/net"]);
    listing.split_whitespace().map(str::to_owned).collect()
}

fn bridge_publishes_a_port_of_the_host(stage: &Stage) {
    let (inner, outer) = (host::free_port(), host::free_port());
    let port = format!("PORT={inner}");
    let web = serve(stage, "bridged", &["-p", &format!("{outer}:{inner}"), "-e", &port]);
    assert_eq!(first_answer(Ipv4Addr::LOCALHOST.into(), outer), "bridged");
    assert_eq!(first_answer(host::address(), outer), "bridged");
    assert!(get(Ipv4Addr::LOCALHOST.into(), inner).is_err(), "the inner port answers on the host");
    assert_eq!(web.exec(&["wget", "-qO-", &format!("http://127.0.0.1:{inner}/")]), "bridged");
}

fn bridge_has_interfaces_of_its_own(stage: &Stage) {
    let web = serve(stage, "own", &[]);
    let mut inside = interfaces(&web);
    inside.sort();
    assert_eq!(inside, ["eth0", "lo"]);
    assert_ne!(host::namespace(web.pid(), "net"), host::namespace("self", "net"));
    let address = web.inspect("/NetworkSettings/Networks/bridge/IPAddress").as_str().unwrap().to_owned();
    assert!(web.exec(&["ip", "-o", "-4", "addr", "show", "eth0"]).contains(&address));
}

fn none_has_only_the_loopback_interface_up(stage: &Stage) {
    let lonely = stage.docker.container("lonely");
    lonely.start_detached(&["--network", "none", BUSYBOX, "sleep", "1000"]);
    assert_eq!(interfaces(&lonely), ["lo"]);
    assert!(lonely.exec(&["ip", "-o", "link", "show", "lo"]).contains("LOOPBACK,UP"));
    lonely.exec(&["ping", "-c", "1", "127.0.0.1"]);
    lonely.exec_with(&[], &["ping", "-c", "1", "-W", "1", &host::address().to_string()]).fails();
}

fn container_mode_shares_the_others_interfaces(stage: &Stage) {
    let web = serve(stage, "shared", &[]);
    let guest = stage.docker.container("guest");
    guest.start_detached(&["--network", &format!("container:{}", web.name), BUSYBOX, "sleep", "1000"]);
    assert_eq!(guest.exec(&["ip", "-o", "addr"]), web.exec(&["ip", "-o", "addr"]));
    assert_eq!(host::namespace(guest.pid(), "net"), host::namespace(web.pid(), "net"));
    assert_ne!(host::namespace(guest.pid(), "pid"), host::namespace(web.pid(), "pid"));
    assert_eq!(guest.exec(&["wget", "-qO-", "http://127.0.0.1:80/"]), "shared");
}

/// Removes the network when the test ends; declared before the containers on it, so that they go first.
struct Named<'a>(&'a Stage, &'static str);

impl Named<'_> {
    /// A bridge.
    fn bridge<'a>(stage: &'a Stage, name: &'static str, subnet: &str) -> Named<'a> {
        let bridge = format!("com.docker.network.bridge.name={}{name}", stage.ground.interface_prefix);
        Named::create(stage, name, &["--subnet", subnet, "-o", &bridge])
    }

    fn create<'a>(stage: &'a Stage, name: &'static str, options: &[&str]) -> Named<'a> {
        stage.docker.call(&[&["network", "create"], options, &[name]].concat()).ok();
        Named(stage, name)
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        self.0.docker.call(&["network", "rm", self.1]);
    }
}

fn user_defined_network_connects_by_address(stage: &Stage) {
    let network = Named::bridge(stage, "mesh", "198.19.254.0/28");
    let web = serve(stage, "member", &["--network", network.1]);
    let address = web.inspect("/NetworkSettings/Networks/mesh/IPAddress").as_str().unwrap().to_owned();
    assert_eq!(fetch(&client(stage, network.1), &address), "member");
}

fn user_defined_network_knows_names(stage: &Stage) {
    let network = Named::bridge(stage, "named", "198.19.254.32/28");
    let web = serve(stage, "byname", &["--network", network.1, "--network-alias", "pages"]);
    let client = client(stage, network.1);
    for name in [&web.name, "pages"] {
        assert_eq!(fetch(&client, name), "byname", "asked {name}");
    }
    let address = web.inspect("/NetworkSettings/Networks/named/IPAddress").as_str().unwrap().to_owned();
    let asked = client.exec(&["nslookup", "pages"]);
    assert!(asked.contains("127.0.0.11") && asked.contains(&address), "{asked}");
}

/// The page of a server that may still be starting, as a container gets it.
pub(crate) fn fetch(client: &Container, server: &str) -> String {
    eventually(PATIENCE, &format!("a page of {server}"), || {
        let answer = client.exec_with(&[], &["wget", "-qO-", &format!("http://{server}/")]);
        (answer.code == 0).then(|| answer.text())
    })
}

fn client(stage: &Stage, network: &str) -> Container {
    let client = stage.docker.container("client");
    client.start_detached(&["--network", network, BUSYBOX, "sleep", "1000"]);
    client
}

fn network_connected_later_appears_inside(stage: &Stage) {
    let network = Named::bridge(stage, "late", "198.19.254.16/28");
    let web = serve(stage, "joins", &[]);
    stage.docker.call(&["network", "connect", network.1, &web.name]).ok();
    let mut inside = interfaces(&web);
    inside.sort();
    assert_eq!(inside, ["eth0", "eth1", "lo"]);
    stage.docker.call(&["network", "disconnect", network.1, &web.name]).ok();
    assert_eq!(interfaces(&web).len(), 2);
}

fn macvlan_is_beside_the_host(stage: &Stage) {
    lies_on_a_device(stage, "macvlan", "198.51.100");
}

fn ipvlan_is_beside_the_host(stage: &Stage) {
    lies_on_a_device(stage, "ipvlan", "203.0.113");
}

/// Containers with addresses of their own on a device of the host reach each other, and whoever is on the wire.
fn lies_on_a_device(stage: &Stage, driver: &'static str, subnet: &str) {
    let (device, neighbour) = (format!("{}{}", stage.ground.interface_prefix, &driver[..2]), Network::new());
    Network::here().join(&device, &neighbour, "wire");
    neighbour.inside(|| ip(&format!("address add {subnet}.2/24 dev wire")));
    let (parent, block) = (format!("parent={device}"), format!("{subnet}.0/24"));
    let network = Named::create(stage, driver, &["-d", driver, "--subnet", &block, "-o", &parent]);
    let address = format!("{subnet}.9");
    let web = serve(stage, driver, &["--network", network.1, "--ip", &address]);
    let page = neighbour.inside(|| first_answer(address.parse().unwrap(), 80));
    assert_eq!(page, driver);
    web.exec(&["ping", "-c", "1", &format!("{subnet}.2")]);
    assert_eq!(fetch(&client(stage, network.1), &address), driver);
}

/// Docker's words, whichever the runtime is.
fn ipvlan_without_the_kernel_has_dockers_error(stage: &Stage) {
    let (device, neighbour) = (format!("{}ip", stage.ground.interface_prefix), Network::new());
    Network::here().join(&device, &neighbour, "wire");
    let parent = format!("parent={device}");
    let network = Named::create(stage, "ipvlan", &["-d", "ipvlan", "--subnet", "203.0.113.0/24", "-o", &parent]);
    let said = |runtime| {
        let line = ["run", "--rm", "--runtime", runtime, "--network", network.1, BUSYBOX, "true"];
        stage.docker.call(&line).fails().stderr
    };
    let error = said(RUNTIME_NAME);
    assert!(error.contains("failed to create the ipvlan port: operation not supported"), "{error}");
    assert_eq!(error, said("runc"));
}
