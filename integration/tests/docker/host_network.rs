//! The main job: a container on the host's network.

use integration::container::Container;
use integration::host;
use integration::http::{first_answer, get};
use integration::image::NGINX;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(answers_on_the_hosts_address_without_publishing),
        scene!(interfaces_and_addresses_are_the_hosts),
        scene!(shares_no_other_namespace_with_the_host),
        scene!(second_server_reports_the_port_in_use_and_starts_once_it_is_free),
    ]
}

/// A web server on the host's network.
pub(crate) fn serve(stage: &Stage, name: &str, port: u16) -> Container {
    let container = stage.docker.container(name);
    let (port, page) = (format!("PORT={port}"), format!("PAGE={name}"));
    container.start_detached(&["--network", "host", "-e", &port, "-e", &page, NGINX]);
    container
}

fn answers_on_the_hosts_address_without_publishing(stage: &Stage) {
    let port = host::free_port();
    let web = serve(stage, "web1", port);
    assert_eq!(first_answer(host::address(), port), "web1");
    assert_eq!(web.inspect("/HostConfig/PortBindings"), serde_json::json!({}));
    assert_eq!(web.inspect("/HostConfig/Runtime"), "lightship");
    assert!(stage.daemon.runs_with(&web.id(), &stage.runtime), "another runtime ran it");
}

fn interfaces_and_addresses_are_the_hosts(stage: &Stage) {
    let web = serve(stage, "same", host::free_port());
    eventually(PATIENCE, "the same interfaces and addresses in the container as on the host", || {
        let inside = addresses(&web.exec(&["ip", "-o", "addr"]));
        let outside = addresses(&on_host(&["ip", "-o", "addr"]));
        (inside == outside && !inside.is_empty()).then_some(())
    });
    assert_eq!(host::namespace(web.pid(), "net"), host::namespace("self", "net"));
}

fn shares_no_other_namespace_with_the_host(stage: &Stage) {
    let web = serve(stage, "apart", host::free_port());
    for kind in ["pid", "mnt", "ipc", "uts"] {
        assert_ne!(host::namespace(web.pid(), kind), host::namespace("self", kind), "{kind} namespace");
    }
    assert_eq!(web.exec(&["sh", "-c", "cat /proc/1/comm"]), "nginx");
}

fn second_server_reports_the_port_in_use_and_starts_once_it_is_free(stage: &Stage) {
    let port = host::free_port();
    let web1 = serve(stage, "first", port);
    assert_eq!(first_answer(host::address(), port), "first");

    let web2 = serve(stage, "second", port);
    assert_eq!(web2.wait(), 1);
    let logs = web2.logs();
    assert!(logs.contains(&format!("bind() to 0.0.0.0:{port} failed (98: ")), "{logs}");
    let listed =
        stage.docker.call(&["ps", "-a", "--filter", &format!("name={}", web2.name), "--format", "{{.Status}}"]);
    listed.ok().says("Exited (1)");
    assert_eq!(get(host::address(), port).unwrap(), "first");

    web1.verb(&["rm", "-f"]).ok();
    web2.verb(&["start"]).ok();
    assert_eq!(first_answer(host::address(), port), "second");
}

fn on_host(busybox: &[&str]) -> String {
    integration::command::run(std::process::Command::new("busybox").args(busybox)).ok().text()
}

/// `interface family address`, sorted; without the interfaces that other tests' bridged containers bring and take.
fn addresses(listing: &str) -> Vec<String> {
    let lines = listing.lines().map(|line| line.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" "));
    let mut found: Vec<String> = lines.filter(|line| !line.starts_with("veth") && !line.starts_with("it")).collect();
    found.sort();
    found
}
