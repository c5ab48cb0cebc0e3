//! `linux.netDevices`: a device of the host moves into the container, with its addresses, under a new name, and up.

use std::process::Command;

use integration::http::first_answer;
use integration::network::{Network, ip};
use integration::runtime::Runtime;
use integration::scene;
use integration::scene::Scene;
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let runc = Runtime::under_test().name() == "runc";
    let why = "runc 1.1 does not know netDevices";
    vec![
        scene!(device_moves_with_its_addresses_and_is_up).peer_cannot_if(runc, why),
        scene!(moved_device_carries_traffic).peer_cannot_if(runc, why),
        scene!(template_lets_the_kernel_choose_the_name).peer_cannot_if(runc, why),
        scene!(name_that_is_taken_fails_create_and_leaves_nothing).peer_cannot_if(runc, why),
        scene!(device_that_is_not_there_is_named).peer_cannot_if(runc, why),
        scene!(host_network_has_nowhere_to_move_a_device).peer_cannot_if(runc, why),
    ]
}

/// A pair of virtual devices; one end goes to the container, and with it, at the latest, both.
struct Pair {
    ours: String,
    theirs: String,
}

impl Pair {
    fn make(number: u32) -> Pair {
        let id = std::process::id() % 10_000;
        let pair = Pair { ours: format!("lsa{number}x{id}"), theirs: format!("lsb{number}x{id}") };
        ip(&format!("link add {} type veth peer name {}", pair.ours, pair.theirs));
        pair
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["link", "delete", &self.ours]).output());
    }
}

fn exists(device: &str) -> bool {
    std::path::Path::new("/sys/class/net").join(device).exists()
}

fn device_moves_with_its_addresses_and_is_up(stage: &Stage) {
    let pair = Pair::make(1);
    ip(&format!("address add 198.51.100.7/24 dev {}", pair.theirs));
    ip(&format!("address add 2001:db8::7/64 dev {}", pair.theirs));
    ip(&format!("address add 203.0.113.9/24 dev {} scope link", pair.theirs));
    let mut bundle = stage.sleeper();
    bundle.set("/linux/netDevices", json!({ &pair.theirs: { "name": "data0" } }));
    bundle.create();
    assert!(!exists(&pair.theirs) && exists(&pair.ours));
    bundle.verb(&["start"]).ok();
    let shown = bundle.call(&["exec", &bundle.id, "ip", "address", "show", "data0"]).ok().text();
    assert!(shown.contains("inet 198.51.100.7/24") && shown.contains("inet6 2001:db8::7/64"), "{shown}");
    assert!(shown.contains(",UP"), "{shown}");
    // Only addresses of global scope move.
    assert!(!shown.contains("203.0.113.9"), "{shown}");
    bundle.verb(&["delete", "--force"]).ok();
}

fn moved_device_carries_traffic(stage: &Stage) {
    let (host, neighbour) = (Network::new(), Network::new());
    host.join("wire", &neighbour, "wire");
    host.inside(|| ip("address add 198.51.100.7/24 dev wire"));
    neighbour.inside(|| ip("address add 198.51.100.8/24 dev wire"));
    let mut bundle = stage.shell("echo moved >/tmp/index.html; httpd -f -p 80 -h /tmp");
    bundle.set("/linux/netDevices", json!({ "wire": { "name": "eth0" } }));
    // The host's network is that of whoever calls the runtime.
    host.inside(|| bundle.start());
    assert_eq!(neighbour.inside(|| first_answer([198, 51, 100, 7].into(), 80)), "moved");
    bundle.call(&["exec", &bundle.id, "wget", "-q", "-O-", "http://198.51.100.7/"]).ok().says("moved");
}

fn template_lets_the_kernel_choose_the_name(stage: &Stage) {
    let (one, two) = (Pair::make(2), Pair::make(3));
    let mut bundle = stage.shell("ls /sys/class/net");
    let name = json!({ "name": "net%d" });
    bundle.set("/linux/netDevices", json!({ &one.theirs: name, &two.theirs: name }));
    assert_eq!(bundle.run().ok().lines(), ["lo", "net0", "net1"]);
}

fn name_that_is_taken_fails_create_and_leaves_nothing(stage: &Stage) {
    let pair = Pair::make(4);
    let mut bundle = stage.sleeper();
    bundle.set("/linux/netDevices", json!({ &pair.theirs: { "name": "lo" } }));
    bundle.create_with(&[]).fails().says("/linux/netDevices/").says("move: file exists");
    assert!(exists(&pair.theirs));
    bundle.is_gone();
}

fn device_that_is_not_there_is_named(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/linux/netDevices", json!({ "nosuch0": {} }));
    bundle.create_with(&[]).fails().says("/linux/netDevices/nosuch0: look up: no such device");
    bundle.is_gone();
}

fn host_network_has_nowhere_to_move_a_device(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.share_namespace("network");
    bundle.set("/linux/netDevices", json!({ "lo": {} }));
    bundle.create_with(&[]).fails().says("nowhere to move a device to");
    bundle.is_gone();
}
