//! Host networking without its limits: published ports, policy and counters in the host's own network. Docker of every version
//! hands the environment on, so that is how the settings come here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use integration::container::Container;
use integration::host;
use integration::http::{first_answer, get};
use integration::image::{BUSYBOX, NGINX};
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};

use crate::Stage;
use crate::ports::holder;

pub fn scenes() -> Vec<Scene<Stage>> {
    let ours = "settings of host networking are lightship's own";
    vec![
        scene!(two_unmodified_servers_listen_on_80).needs_unified().peer_cannot(ours),
        scene!(a_server_with_a_socket_for_each_family_is_on_loopback_alone).needs_unified().peer_cannot(ours),
        scene!(a_command_in_the_container_sees_the_same_ports).needs_unified().peer_cannot(ours),
        scene!(auto_moves_the_second_server).needs_unified().peer_cannot(ours),
        scene!(a_port_that_is_not_listed_cannot_be_bound).needs_unified().peer_cannot(ours),
        scene!(a_bad_value_is_refused_with_its_grammar).peer_cannot(ours),
        scene!(another_network_refuses_the_settings).peer_cannot(ours),
    ]
}

/// nginx as it comes, which listens on port 80, with a setting.
fn serve(stage: &Stage, name: &str, setting: &str) -> Container {
    let container = stage.docker.container(name);
    let page = format!("PAGE={name}");
    container.start_detached(&["--network", "host", "-e", setting, "-e", &page, NGINX]);
    container
}

fn publish(port: u16) -> String {
    format!("LIGHTSHIP_NET_PUBLISH={port}:80")
}

fn two_unmodified_servers_listen_on_80(stage: &Stage) {
    let (first, second) = (host::free_port(), host::free_port());
    let _web1 = serve(stage, "web1", &publish(first));
    let _web2 = serve(stage, "web2", &publish(second));
    assert_eq!(first_answer(host::address(), first), "web1");
    assert_eq!(first_answer(host::address(), second), "web2");
    assert_eq!(first_answer([127, 0, 0, 1].into(), second), "web2");
}

/// nginx as distributions configure it: the second socket is for IPv6 alone, so it takes an IPv6 address of its own.
fn a_server_with_a_socket_for_each_family_is_on_loopback_alone(stage: &Stage) {
    const LISTEN_TWICE: &str = "sed -e 's/listen .*@;/listen 80; listen [::]:80;/' -e s/@PAGE@/both/ /etc/nginx/nginx.conf.in \
                                >/tmp/nginx.conf; exec nginx -c /tmp/nginx.conf";
    let (v4, v6) = (host::free_port(), host::free_port());
    let web = stage.docker.container("families");
    let publish = format!("LIGHTSHIP_NET_PUBLISH=127.0.0.1:{v4}:80,[::1]:{v6}:80");
    web.start_detached(&["--network", "host", "-e", &publish, NGINX, "sh", "-c", LISTEN_TWICE]);
    for (address, port) in [(IpAddr::from(Ipv4Addr::LOCALHOST), v4), (Ipv6Addr::LOCALHOST.into(), v6)] {
        assert_eq!(first_answer(address, port), "both");
        assert_eq!(holder(stage, port)["inside_port"], 80);
    }
    assert!(get(host::address(), v4).is_err());
    for inside in ["http://127.0.0.1/", "http://[::1]/"] {
        assert_eq!(web.exec(&["wget", "-q", "-O", "-", inside]), "both");
    }
}

fn a_command_in_the_container_sees_the_same_ports(stage: &Stage) {
    let (first, second) = (host::free_port(), host::free_port());
    let web1 = serve(stage, "inside1", &publish(first));
    let web2 = serve(stage, "inside2", &publish(second));
    for (web, port) in [(&web1, first), (&web2, second)] {
        first_answer(host::address(), port);
        assert_eq!(web.exec(&["wget", "-q", "-O", "-", "http://127.0.0.1/"]), web.name.rsplit_once('-').unwrap().0);
        // It is the same port for whoever is inside: nobody else can have it there.
        let taken = web.exec_with(&[], &["nc", "-l", "-p", "80"]);
        assert!(taken.code != 0 && taken.stderr.contains("in use"), "{taken:?}");
    }
}

fn auto_moves_the_second_server(stage: &Stage) {
    let port = host::free_port();
    let listens = format!("PORT={port}");
    let start = |name: &str| {
        let container = stage.docker.container(name);
        let page = format!("PAGE={name}");
        let auto = "LIGHTSHIP_NET_PUBLISH=auto";
        container.start_detached(&["--network", "host", "-e", auto, "-e", &listens, "-e", &page, NGINX]);
        container
    };
    let _first = start("auto1");
    assert_eq!(first_answer(host::address(), port), "auto1");
    let second = start("auto2");
    eventually(PATIENCE, "the second server on a port of its own", || {
        (second.exec(&["wget", "-q", "-O", "-", &format!("http://127.0.0.1:{port}/")]) == "auto2").then_some(())
    });
    assert_eq!(get(host::address(), port).unwrap(), "auto1");
}

fn a_port_that_is_not_listed_cannot_be_bound(stage: &Stage) {
    let web = serve(stage, "refused", "LIGHTSHIP_NET_ALLOW_BIND=8080");
    assert_eq!(web.wait(), 1);
    let logs = web.logs();
    assert!(logs.contains("bind() to 0.0.0.0:80 failed (1: Operation not permitted)"), "{logs}");
}

fn a_bad_value_is_refused_with_its_grammar(stage: &Stage) {
    let container = stage.docker.container("bad");
    let setting = "LIGHTSHIP_NET_PUBLISH=8080";
    let answer = container.run(&["--network", "host", "-e", setting, BUSYBOX, "true"]);
    assert_eq!(answer.code, 125, "{answer:?}");
    let text =
        "LIGHTSHIP_NET_PUBLISH=\"8080\" is no value of publish ([ADDRESS:]HOSTPORT[-LAST]:PORT[-LAST][/tcp|/udp]";
    assert!(answer.stderr.replace('\\', "").contains(text), "{answer:?}");
}

fn another_network_refuses_the_settings(stage: &Stage) {
    let container = stage.docker.container("bridged");
    let answer = container.run(&["-e", "LIGHTSHIP_NET_PUBLISH=8080:80", BUSYBOX, "true"]);
    assert_eq!(answer.code, 125, "{answer:?}");
    assert!(answer.stderr.contains("is for containers that share the host's network"), "{answer:?}");
}
