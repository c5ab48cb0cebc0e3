//! The network modes, each with traffic. Bridges are played in a network namespace of their own, where Podman's rules of the packet
//! filter are nobody else's.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use integration::http::{first_answer, get};
use integration::network::{self, ADDRESS, Network, ip};
use integration::podman::PodmanContainer;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{host, scene};

use crate::Stage;

/// What Podman's bridges are made of.
pub(crate) const NO_TRANSLATION: &str = "no address translation by iptables";

pub fn scenes() -> Vec<Scene<Stage>> {
    let translated = network::has_translation();
    let bridged = |scene: Scene<Stage>| scene.skip_if(!translated, NO_TRANSLATION);
    vec![
        bridged(scene!(bridge_publishes_a_port)),
        bridged(scene!(user_defined_network_knows_names)),
        scene!(none_has_the_loopback_device_alone),
        scene!(another_containers_network_is_shared),
        scene!(hosts_network_needs_no_publishing),
    ]
}

/// A container that serves `page`.
fn serve(stage: &Stage, page: &str, port: u16, flags: &[&str]) -> PodmanContainer {
    let line = format!("echo {page} >/tmp/index.html; exec httpd -f -p {port} -h /tmp");
    stage.podman.start(flags, &["sh", "-c", &line])
}

fn fetch(client: &PodmanContainer, server: &str) -> String {
    eventually(PATIENCE, &format!("a page of {server}"), || {
        let answer = client.exec(&[], &["wget", "-qO-", &format!("http://{server}/")]);
        (answer.code == 0).then(|| answer.text())
    })
}

fn bridge_publishes_a_port(stage: &Stage) {
    let (host, outside) = (Network::new(), Network::new());
    host.join("wire", &outside, "wire");
    host.inside(|| ip("address add 198.51.100.1/24 dev wire"));
    outside.inside(|| ip("address add 198.51.100.2/24 dev wire"));
    host.inside(|| {
        let web = serve(stage, "bridged", 80, &["--network", "bridge", "-p", "2000:80", "--cap-add", "NET_RAW"]);
        for address in [Ipv4Addr::LOCALHOST, ADDRESS.into()] {
            assert_eq!(first_answer(address.into(), 2000), "bridged");
        }
        assert_eq!(outside.inside(|| get([198, 51, 100, 1].into(), 2000)).unwrap(), "bridged");
        let own = web.inspect("/NetworkSettings/Networks/podman/IPAddress").as_str().unwrap().to_owned();
        assert!(web.exec(&[], &["ip", "-o", "address", "show", "eth0"]).ok().stdout.contains(&own));
        web.exec(&[], &["ping", "-c", "1", "198.51.100.2"]).ok();
    });
}

fn user_defined_network_knows_names(stage: &Stage) {
    with_names(|| {
        stage.podman.call(&["network", "create", "named"]).ok();
        let web = serve(stage, "by-name", 80, &["--network", "named"]);
        let client = stage.podman.start(&["--network", "named"], &["sleep", "1000"]);
        assert_eq!(fetch(&client, &web.name), "by-name");
        drop((web, client));
        stage.podman.call(&["network", "rm", "named"]).ok();
    });
}

/// Plays in a network namespace of its own, one scene at a time: root has one name server for all bridges, wherever it was started.
pub(crate) fn with_names(play: impl FnOnce() + Send) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock();
    network::in_own(|| {
        play();
        let here = fs::read_link("/proc/thread-self/ns/net").unwrap();
        eventually(PATIENCE, "the end of the name server", || {
            let mut processes = host::processes().into_iter();
            let is_here = |pid| fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|network| network == here);
            let name = |pid| host::status_field(pid, "Name").unwrap_or_default();
            (!processes.any(|pid| name(pid) == "aardvark-dns" && is_here(pid))).then_some(())
        });
    });
}

fn none_has_the_loopback_device_alone(stage: &Stage) {
    let web = serve(stage, "alone", 80, &["--network", "none", "--cap-add", "NET_RAW"]);
    assert_eq!(fetch(&web, "127.0.0.1"), "alone");
    web.exec(&[], &["ping", "-c", "1", "-W", "1", &host::address().to_string()]).fails().says("unreachable");
}

fn another_containers_network_is_shared(stage: &Stage) {
    let web = serve(stage, "shared", 80, &["--network", "none"]);
    let guest = stage.podman.start(&["--network", &format!("container:{}", web.name)], &["sleep", "1000"]);
    assert_eq!(fetch(&guest, "127.0.0.1"), "shared");
    assert_eq!(host::namespace(guest.pid(), "net"), host::namespace(web.pid(), "net"));
}

fn hosts_network_needs_no_publishing(stage: &Stage) {
    let port = host::free_port();
    let web = serve(stage, "hosts", port, &["--network", "host"]);
    assert_eq!(first_answer(host::address(), port), "hosts");
    assert_eq!(fetch(&web, &format!("127.0.0.1:{port}")), "hosts");
}
