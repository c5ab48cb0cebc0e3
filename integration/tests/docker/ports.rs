//! Who holds a port: the answer that a failed bind(2) leaves people looking for.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use integration::command::{Output, run};
use integration::container::Container;
use integration::host;
use integration::http::first_answer;
use integration::image::{BUSYBOX, NGINX};
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::Stage;
use crate::host_network::serve;

pub fn scenes() -> Vec<Scene<Stage>> {
    const OURS: &str = "the command is lightship's own";
    const DIAGNOSIS: &str = "no other runtime knows who holds a port";
    vec![
        scene!(ports_name_the_container_and_its_process).peer_cannot(OURS),
        scene!(ports_name_the_containers_of_other_runtimes).peer_cannot(OURS),
        scene!(ports_of_the_host_are_no_containers).peer_cannot(OURS),
        scene!(ports_show_what_publish_made_of_them).needs_unified().peer_cannot(OURS),
        scene!(ports_watched_come_and_go).peer_cannot(OURS),
        scene!(network_is_asked_for_by_dockers_name).needs_unified().peer_cannot(OURS),
        scene!(failed_bind_is_explained_in_the_containers_log).needs_unified().peer_cannot(DIAGNOSIS),
        scene!(failed_bind_of_a_terminal_is_explained_there).needs_unified().peer_cannot(DIAGNOSIS),
        scene!(failed_bind_is_not_explained_when_that_is_off).peer_cannot(DIAGNOSIS),
        scene!(wanted_port_that_is_held_fails_at_once).peer_cannot(DIAGNOSIS),
    ]
}

fn ports(stage: &Stage, args: &[&str]) -> Output {
    run(Command::new(&stage.runtime.path).arg("ports").args(args))
}

/// The one holder of a TCP port; the machine may have a UDP socket with the same number.
#[track_caller]
pub(crate) fn holder(stage: &Stage, port: u16) -> Value {
    let output = ports(stage, &["--json", &port.to_string()]).ok();
    let mut holders: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    holders.retain(|holder| holder["protocol"] == "tcp");
    assert_eq!(holders.len(), 1, "{output}");
    holders[0].clone()
}

fn ports_name_the_container_and_its_process(stage: &Stage) {
    let port = host::free_port();
    let web = serve(stage, "web", port);
    first_answer(host::address(), port);
    let expected = json!({ "protocol": "tcp", "address": "0.0.0.0", "port": port, "container": web.id(),
        "pid": web.pid(), "process": "nginx", "inside_port": port });
    assert_eq!(holder(stage, port), expected);
    let named = format!("{} ({})", &web.id()[..12], web.name);
    ports(stage, &[&port.to_string()]).ok().says(&named).says(&web.pid().to_string());
    // Among all the others as well.
    ports(stage, &[]).ok().says(&named);
}

fn ports_name_the_containers_of_other_runtimes(stage: &Stage) {
    let port = host::free_port();
    let web = stage.docker.container("others");
    let environment = format!("PORT={port}");
    let args = ["run", "-d", "--name", &web.name, "--runtime", "runc", "--network", "host", "-e", &environment, NGINX];
    stage.docker.call(&args).ok();
    first_answer(host::address(), port);
    let found = holder(stage, port);
    assert_eq!((&found["container"], &found["pid"]), (&json!(web.id()), &json!(web.pid())));
    ports(stage, &[]).ok().says(&format!("{} ({})", &web.id()[..12], web.name));
}

fn ports_of_the_host_are_no_containers(stage: &Stage) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let found = holder(stage, port);
    assert_eq!((&found["container"], &found["inside_port"]), (&Value::Null, &Value::Null));
    assert_eq!((&found["address"], &found["pid"]), (&json!("127.0.0.1"), &json!(std::process::id())));
    ports(stage, &[&port.to_string()]).ok().says("not a container");
    drop(listener);
    assert_eq!(ports(stage, &["--json", &port.to_string()]).ok().text(), "[]");
    ports(stage, &["70000"]).fails().says("70000");
}

fn ports_show_what_publish_made_of_them(stage: &Stage) {
    let (inside, outside) = (host::free_port(), host::free_port());
    let serve = |name: &str, publish: &str| {
        let web = stage.docker.container(name);
        let publish = format!("LIGHTSHIP_NET_PUBLISH={publish}");
        let environment = format!("PORT={inside}");
        web.start_detached(&["--network", "host", "-e", &environment, "-e", &publish, NGINX]);
        web
    };
    let published = serve("published", &format!("{outside}:{inside}"));
    first_answer(host::address(), outside);
    let found = holder(stage, outside);
    assert_eq!((&found["container"], &found["inside_port"]), (&json!(published.id()), &json!(inside)));
    // With `auto` the first stays where it is, and the second is moved.
    let _stays = serve("stays", "auto");
    first_answer(host::address(), inside);
    assert_eq!(holder(stage, inside)["inside_port"], inside);
    let moved = serve("moved", "auto");
    let row = eventually(PATIENCE, "the moved port", || {
        let all: Vec<Value> = serde_json::from_str(&ports(stage, &["--json"]).ok().stdout).unwrap();
        all.into_iter().find(|row| row["container"] == json!(moved.id()))
    });
    assert_ne!(row["port"], inside);
    assert_eq!(row["inside_port"], inside);
}

fn ports_watched_come_and_go(stage: &Stage) {
    let port = host::free_port();
    let first = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut watch = Watch::start(stage, port);
    let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let mut next = || {
        let mut changes = lines.by_ref().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        // The machine may have a UDP socket with the same number.
        let change = changes.find(|change| change["protocol"] == "tcp").unwrap();
        (change["change"].as_str().unwrap().to_owned(), change["address"].as_str().unwrap().to_owned())
    };
    assert_eq!(next(), ("opened".to_owned(), "127.0.0.1".to_owned()));
    let second = TcpListener::bind(("127.0.0.2", port)).unwrap();
    assert_eq!(next(), ("opened".to_owned(), "127.0.0.2".to_owned()));
    drop(first);
    assert_eq!(next(), ("closed".to_owned(), "127.0.0.1".to_owned()));
    drop(second);
    assert_eq!(next(), ("closed".to_owned(), "127.0.0.2".to_owned()));
}

fn network_is_asked_for_by_dockers_name(stage: &Stage) {
    let lightship = |args: &[&str]| run(Command::new(&stage.runtime.path).args(args));
    let port = host::free_port();
    let web = serve(stage, "named", port);
    first_answer(host::address(), port);
    let id = web.id();
    for word in [web.name.as_str(), &id[..12], &id] {
        lightship(&["net", word]).ok().says("mode        host (").says(&format!("tcp 0.0.0.0:{port}"));
        let event: Value = serde_json::from_str(&lightship(&["events", "--stats", word]).ok().stdout).unwrap();
        assert_eq!(event["id"], json!(id));
    }
    // With a state root given, that one alone counts, and as the engines ask.
    let elsewhere = ["--root", "/nowhere", "net", &web.name];
    lightship(&elsewhere).fails().says("container does not exist");
    let apart = stage.docker.container("named-apart");
    apart.start_detached(&[BUSYBOX, "sleep", "1000"]);
    lightship(&["net", &apart.name]).ok().says("mode        own (");
    lightship(&["net", "no-such-name"]).fails().says("container does not exist").says("--root");
}

/// A web server, and what a second one on its port is told.
fn held(stage: &Stage, port: u16) -> (Container, String) {
    let web = serve(stage, "holder", port);
    first_answer(host::address(), port);
    let holder = format!("container {}, process nginx (pid {}", &web.id()[..12], web.pid());
    (web, holder)
}

fn failed_bind_is_explained_in_the_containers_log(stage: &Stage) {
    let port = host::free_port();
    let (_web, holder) = held(stage, port);
    let second = serve(stage, "second", port);
    assert_eq!(second.wait(), 1);
    let line = format!("lightship: bind to port {port} failed: port held by {holder})");
    let logs = second.logs();
    let found: Vec<_> = logs.lines().filter(|text| text.starts_with("lightship: ")).collect();
    assert_eq!(found.len(), 1, "{logs}");
    assert!(found[0].starts_with(&line), "{logs}");
    // Which line comes first is the scheduler's choice where the machine is busy.
    assert!(logs.contains("failed (98: "), "{logs}");
}

fn failed_bind_of_a_terminal_is_explained_there(stage: &Stage) {
    let port = host::free_port();
    let (_web, holder) = held(stage, port);
    let second = stage.docker.container("terminal");
    let environment = format!("PORT={port}");
    second.start_detached(&["-t", "--network", "host", "-e", &environment, NGINX]);
    second.logs_show(&format!("lightship: bind to port {port} failed: port held by {holder})"));
}

fn failed_bind_is_not_explained_when_that_is_off(stage: &Stage) {
    let port = host::free_port();
    let (_web, _) = held(stage, port);
    let second = stage.docker.container("silent");
    let environment = format!("PORT={port}");
    let off = "LIGHTSHIP_NET_DIAGNOSE=off";
    second.start_detached(&["--network", "host", "-e", &environment, "-e", off, NGINX]);
    assert_eq!(second.wait(), 1);
    let logs = second.logs();
    assert!(logs.contains("failed (98: ") && !logs.contains("lightship"), "{logs}");
}

fn wanted_port_that_is_held_fails_at_once(stage: &Stage) {
    let port = host::free_port();
    let (web, holder) = held(stage, port);
    let second = stage.docker.container("wanting");
    let wanted = format!("LIGHTSHIP_NET_PORTS={port}");
    let run = ["--network", "host", "-e", &wanted, BUSYBOX, "true"];
    let text = format!("port {port} is already held by {holder}, tcp 0.0.0.0:{port})");
    second.run(&run).code_is(125).says(&text);
    web.verb(&["rm", "-f"]).ok();
    second.verb(&["rm", "-f"]).ok();
    second.run(&run).ok();
}

/// A `ports --watch`, ended at the end of the scene.
struct Watch(Child);

impl Watch {
    fn start(stage: &Stage, port: u16) -> Watch {
        let args = ["ports", "--watch", "--json", &port.to_string()];
        Watch(Command::new(&stage.runtime.path).args(args).stdout(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
