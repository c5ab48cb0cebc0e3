//! `docker run -p` by the packet filter, with Docker's userland proxy and without: to a client of the host, and to one outside.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use integration::daemon::Daemon;
use integration::http::{first_answer, get};
use integration::image::{self, NGINX};
use integration::network::{self, ADDRESS, Network, ip};
use integration::scene::Scene;
use integration::{host, scene};
use serde_json::json;

use crate::Stage;
use crate::network_modes::NO_TRANSLATION;

pub fn scenes() -> Vec<Scene<Stage>> {
    let scenes = vec![scene!(with_the_userland_proxy), scene!(without_the_userland_proxy)];
    let translated = network::has_translation();
    scenes.into_iter().map(|scene| scene.skip_if(!translated, NO_TRANSLATION)).collect()
}

/// The host's address on the wire.
const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The port of the host that leads to port 80 of the container.
const PORT: u16 = 2000;

fn with_the_userland_proxy(stage: &Stage) {
    port_leads_to_the_container(stage, true);
}

fn without_the_userland_proxy(stage: &Stage) {
    port_leads_to_the_container(stage, false);
}

fn port_leads_to_the_container(stage: &Stage, proxy: bool) {
    let (host, outside) = (Network::new(), Network::new());
    host.join("wire", &outside, "wire");
    host.inside(|| ip(&format!("address add {HOST}/24 dev wire")));
    outside.inside(|| ip("address add 198.51.100.2/24 dev wire"));
    let settings = json!({ "iptables": true, "ip-forward": true, "ip-masq": true, "userland-proxy": proxy });
    let daemon = host.inside(|| Daemon::start(&stage.ground, &stage.runtime, settings));
    let docker = daemon.docker();
    image::import_all(&docker, &daemon.folder);
    let web = docker.container("published");
    web.start_detached(&["-p", &format!("{PORT}:80"), "-e", "PAGE=published", NGINX]);
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), ADDRESS.into(), HOST.into()] {
        assert_eq!(host.inside(|| first_answer(address, PORT)), "published", "asked {address}");
    }
    assert_eq!(outside.inside(|| get(HOST.into(), PORT)).unwrap(), "published");
    let own = web.inspect("/NetworkSettings/IPAddress").as_str().unwrap().to_owned();
    assert_eq!(has_proxy(&own), proxy);
    // And out: what the container sends has the host's address on the wire.
    web.exec(&["ping", "-c", "1", "198.51.100.2"]);
    drop(web);
    assert!(host.inside(|| get(HOST.into(), PORT)).is_err(), "the port outlived the container");
    daemon.stop();
}

/// Whether a docker-proxy passes connections on to the container at `address`.
fn has_proxy(address: &str) -> bool {
    let lines = host::processes().into_iter().map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")));
    let mut words = lines.map(Result::unwrap_or_default);
    words.any(|line| line.contains("docker-proxy") && line.split('\0').any(|word| word == address))
}
