//! The other network modes: a bridge, none, another container's network.

use std::net::Ipv4Addr;

use integration::container::Container;
use integration::host;
use integration::http::{first_answer, get};
use integration::image::{BUSYBOX, NGINX};
use integration::scene;
use integration::scene::Scene;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(bridge_publishes_a_port_of_the_host),
        scene!(bridge_has_interfaces_of_its_own),
        scene!(none_has_only_the_loopback_interface_up),
        scene!(container_mode_shares_the_others_interfaces),
        scene!(user_defined_network_connects_by_address),
        scene!(network_connected_later_appears_inside),
    ]
}

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
struct Network<'a>(&'a Stage, &'static str);

impl Network<'_> {
    fn create<'a>(stage: &'a Stage, name: &'static str, subnet: &str) -> Network<'a> {
        let bridge = format!("com.docker.network.bridge.name={}{name}", stage.ground.interface_prefix);
        stage.docker.call(&["network", "create", "--subnet", subnet, "-o", &bridge, name]).ok();
        Network(stage, name)
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        self.0.docker.call(&["network", "rm", self.1]);
    }
}

fn user_defined_network_connects_by_address(stage: &Stage) {
    let network = Network::create(stage, "mesh", "198.19.254.0/28");
    let web = serve(stage, "member", &["--network", network.1]);
    let address = web.inspect("/NetworkSettings/Networks/mesh/IPAddress").as_str().unwrap().to_owned();
    let other = stage.docker.container("other");
    let fetch = format!("until wget -qO- http://{address}/; do :; done");
    assert_eq!(other.run(&["--network", network.1, BUSYBOX, "sh", "-c", &fetch]).ok().text(), "member");
}

fn network_connected_later_appears_inside(stage: &Stage) {
    let network = Network::create(stage, "late", "198.19.254.16/28");
    let web = serve(stage, "joins", &[]);
    stage.docker.call(&["network", "connect", network.1, &web.name]).ok();
    let mut inside = interfaces(&web);
    inside.sort();
    assert_eq!(inside, ["eth0", "eth1", "lo"]);
    stage.docker.call(&["network", "disconnect", network.1, &web.name]).ok();
    assert_eq!(interfaces(&web).len(), 2);
}
