//! Host networking from its first surprise to its cure, on a host where all ports are free: two servers that want port 80, what
//! the other network modes do about that, and what publish does; then the recipes of docs/host-networking.md.

use std::net::IpAddr;
use std::process::Command;

use integration::command::{Output, run};
use integration::container::Container;
use integration::daemon::Daemon;
use integration::docker::Docker;
use integration::host;
use integration::http::{first_answer, get};
use integration::image::{self, BUSYBOX, NGINX, REDIS};
use integration::network::{self, ADDRESS};
use integration::scene;
use integration::scene::Scene;
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let ours = "settings of host networking are lightship's own";
    let no_redis = !host::has_program("redis-server") || !host::has_program("redis-cli");
    let scenes = vec![
        scene!(two_servers_want_port_80).peer_cannot(ours),
        scene!(recipes_by_arguments_of_the_runtime)
            .peer_cannot(ours)
            .skip_if(no_redis, "redis is not installed (packages redis-server, redis-tools)"),
        scene!(annotation_publishes)
            .peer_cannot(ours)
            .skip_if(docker_is_older_than(24), "its Docker hands no annotations on (24 and newer do)"),
        scene!(hundred_servers_have_port_80).peer_cannot(ours).long(),
    ];
    scenes.into_iter().map(Scene::needs_unified).collect()
}

fn docker_is_older_than(major: u32) -> bool {
    host::version("dockerd")
        .split('.')
        .next()
        .and_then(|number| number.parse().ok())
        .is_none_or(|found: u32| found < major)
}

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A daemon in a network of its own.
struct Site<'a> {
    stage: &'a Stage,
    daemon: Daemon,
    docker: Docker,
}

impl Site<'_> {
    /// Plays where nothing but `settings` has an influence on the ports.
    fn play(stage: &Stage, settings: Value, play: impl FnOnce(&Site<'_>) + Send) {
        network::in_own(|| {
            let daemon = Daemon::start(&stage.ground, &stage.runtime, settings);
            let docker = daemon.docker();
            image::import_all(&docker, &daemon.folder);
            let site = Site { stage, daemon, docker };
            play(&site);
            site.daemon.stop();
        });
    }

    /// nginx as it comes, which listens on port 80.
    fn serve(&self, name: &str, options: &[&str]) -> Container {
        let container = self.docker.container(name);
        let page = format!("PAGE={name}");
        container.start_detached(&[options, &["-e", &page, NGINX]].concat());
        container
    }

    fn ports(&self, port: &str) -> Output {
        run(Command::new(&self.stage.runtime.path).args(["ports", port])).ok()
    }
}

/// What a container's own client gets from its own port 80.
fn own_page(container: &Container) -> String {
    container.exec(&["wget", "-qO-", "http://localhost:80/"])
}

fn two_servers_want_port_80(stage: &Stage) {
    Site::play(stage, json!({}), |site| {
        host_mode_has_one_port_80(site);
        other_modes_have_their_own(site);
        publish_gives_each_its_port(site);
    });
}

fn host_mode_has_one_port_80(site: &Site<'_>) {
    let web1 = site.serve("web1", &["--network", "host"]);
    // No -p, no NAT: it is just there, on every address of the host.
    assert_eq!((first_answer(LOCAL, 80), first_answer(ADDRESS.into(), 80)), ("web1".to_owned(), "web1".to_owned()));
    let short_id = web1.id()[..12].to_owned();
    site.ports("80").says(&format!("{short_id} ({})", web1.name));

    let web2 = site.serve("web2", &["--network", "host"]);
    assert_eq!(web2.wait(), 1);
    let logs = web2.logs();
    assert!(logs.contains("bind() to 0.0.0.0:80 failed (98: "), "{logs}");
    let holder = format!("port held by container {short_id}, process nginx (pid {})", web1.pid());
    assert!(logs.contains(&format!("lightship: bind to port 80 failed: {holder}")), "{logs}");
    assert_eq!(get(LOCAL, 80).unwrap(), "web1");
}

fn other_modes_have_their_own(site: &Site<'_>) {
    let _web1 = site.serve("host", &["--network", "host"]);
    assert_eq!(first_answer(LOCAL, 80), "host");
    let none = site.serve("none", &["--network", "none"]);
    none.logs_show("start worker processes");
    assert_eq!((own_page(&none), get(LOCAL, 80).unwrap()), ("none".to_owned(), "host".to_owned()));
    let bridge = site.serve("bridge", &["-p", "2000:80"]);
    assert_eq!((first_answer(LOCAL, 2000), own_page(&bridge)), ("bridge".to_owned(), "bridge".to_owned()));
    assert_eq!(get(LOCAL, 80).unwrap(), "host");
}

fn publish_gives_each_its_port(site: &Site<'_>) {
    let publish = |port: u16| format!("LIGHTSHIP_NET_PUBLISH={port}:80");
    let web = site.serve("web", &["--network", "host"]);
    let web1 = site.serve("web1", &["--network", "host", "-e", &publish(8081)]);
    let web2 = site.serve("web2", &["--network", "host", "-e", &publish(8082)]);
    for (port, container, page) in [(80, &web, "web"), (8081, &web1, "web1"), (8082, &web2, "web2")] {
        assert_eq!((first_answer(LOCAL, port), first_answer(ADDRESS.into(), port)), (page.to_owned(), page.to_owned()));
        assert_eq!(own_page(container), page, "each finds itself at port 80");
        let row = site.ports(&port.to_string()).stdout;
        let row = row.lines().find(|line| line.contains(&container.id()[..12])).unwrap_or_else(|| panic!("{row}"));
        assert!(row.trim_end().ends_with(" 80"), "{row}");
    }
    // Its port on the host is as much its own as any.
    let web3 = site.docker.container("web3");
    let taken = web3.run(&["--network", "host", "-e", &publish(8081), NGINX]).code_is(125);
    taken.says(&format!("port 8081 is already held by container {}", &web1.id()[..12]));
}

fn recipes_by_arguments_of_the_runtime(stage: &Stage) {
    let with = |arguments: &[&str]| json!({ "path": stage.runtime.path, "runtimeArgs": arguments });
    let runtimes = json!({
        "lightship": with(&["--net-allow-connect=1-6378,6380-65535"]),
        "lightship-db": with(&[]),
        "one-address": with(&["--net-address=127.0.0.4"]),
    });
    Site::play(stage, json!({ "runtimes": runtimes }), |site| {
        confined_server_leaves_the_other_addresses(site);
        database_is_for_those_who_may(site);
    });
}

fn confined_server_leaves_the_other_addresses(site: &Site<'_>) {
    let confined = site.serve("confined", &["--network", "host", "--runtime", "one-address"]);
    assert_eq!(first_answer([127, 0, 0, 4].into(), 80), "confined");
    assert!(get(ADDRESS.into(), 80).is_err() && get(LOCAL, 80).is_err());
    // The environment is the weaker: an image cannot undo it.
    let elsewhere = "LIGHTSHIP_NET_ADDRESS=127.0.0.1";
    let other = site.serve("other", &["--network", "host", "-e", elsewhere]);
    assert_eq!(first_answer(LOCAL, 80), "other");
    assert_eq!((own_page(&confined), own_page(&other)), ("confined".to_owned(), "other".to_owned()));
    confined.verb(&["rm", "-f"]).ok();
    let again = site.serve("again", &["--network", "host", "--runtime", "one-address", "-e", elsewhere]);
    assert_eq!(first_answer([127, 0, 0, 4].into(), 80), "again");
    drop(again);
}

fn database_is_for_those_who_may(site: &Site<'_>) {
    image::import_redis(&site.docker, &site.daemon.folder);
    let database = site.docker.container("database");
    // Redis has an IPv6 socket of its own beside that of IPv4.
    let address = "LIGHTSHIP_NET_ADDRESS=127.0.0.5,::1";
    database.start_detached(&["--network", "host", "--runtime", "lightship-db", "-e", address, REDIS]);
    database.logs_show("Ready to accept connections");
    let ping = |name: &str, runtime: &str| {
        let client = site.docker.container(name);
        let words = ["--network", "host", "--runtime", runtime, REDIS, "redis-cli", "-h", "127.0.0.5", "ping"];
        client.run(&words)
    };
    for name in ["client1", "client2"] {
        assert_eq!(ping(name, "lightship-db").ok().text(), "PONG");
    }
    ping("stranger", "lightship").fails().says("Operation not permitted");
}

fn annotation_publishes(stage: &Stage) {
    Site::play(stage, json!({}), |site| {
        let annotation = "io.lightship.net.publish=8080:80";
        let weaker = "LIGHTSHIP_NET_PUBLISH=9090:80";
        let web = site.serve("web", &["--network", "host", "--annotation", annotation, "-e", weaker]);
        assert_eq!(first_answer(LOCAL, 8080), "web");
        assert_eq!(own_page(&web), "web");
        assert!(get(LOCAL, 9090).is_err() && get(LOCAL, 80).is_err());
        let wrong = site.docker.container("wrong");
        let annotation = "io.lightship.net.publsh=8080:80";
        let refused = wrong.run(&["--network", "host", "--annotation", annotation, BUSYBOX, "true"]);
        refused.code_is(125).says("is no setting of host networking");
    });
}

fn hundred_servers_have_port_80(stage: &Stage) {
    Site::play(stage, json!({}), |site| {
        let start = |number: u16| {
            let publish = format!("LIGHTSHIP_NET_PUBLISH={}:80", 8000 + number);
            site.serve(&format!("page{number}"), &["--network", "host", "-e", &publish])
        };
        let servers: Vec<Container> = (0..100).map(start).collect();
        for (number, server) in (0..).zip(&servers) {
            let page = format!("page{number}");
            assert_eq!(first_answer(LOCAL, 8000 + number), page, "{}", server.logs());
            assert_eq!(own_page(server), page);
        }
    });
}
