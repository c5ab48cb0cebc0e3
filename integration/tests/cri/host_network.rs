//! Pods on the host's network, and what annotations of a pod make of it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;

use integration::cri::{Cri, Pod};
use integration::http::{first_answer, get};
use integration::network::{ADDRESS, Network, ip};
use integration::scene;
use integration::scene::Scene;
use integration::{command, host, network};
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let ours = "settings of host networking are lightship's own";
    vec![
        scene!(answers_on_the_hosts_address),
        scene!(two_pods_listen_on_the_same_port).needs_unified().peer_cannot(ours),
        scene!(a_service_of_two_pods)
            .needs_unified()
            .peer_cannot(ours)
            .skip_if(!network::has_translation(), "the packet filter of this machine translates no addresses"),
        scene!(containers_of_a_pod_meet_inside).needs_unified().peer_cannot(ours),
        scene!(a_bad_annotation_is_refused).peer_cannot(ours),
    ]
}

fn on_the_hosts_network(annotations: Value) -> Value {
    let options = json!({ "namespaceOptions": { "network": "NODE" } });
    json!({ "annotations": annotations, "linux": { "securityContext": options } })
}

fn pod_that_publishes(cri: &Cri, port: u16) -> Pod<'_> {
    cri.pod(&on_the_hosts_network(json!({ "io.lightship.net.publish": format!("{port}:80") })))
}

/// Starts a web server in the pod, which answers with `page`.
fn serve(pod: &Pod<'_>, page: &str, port: u16) {
    let line = format!("echo {page} >/tmp/index.html; exec httpd -f -p {port} -h /tmp");
    pod.start(&on_the_hosts_network(json!({})), &["sh", "-c", &line]);
}

fn answers_on_the_hosts_address(stage: &Stage) {
    let pod = stage.cri.pod(&on_the_hosts_network(json!({})));
    let port = host::free_port();
    serve(&pod, "on-the-host", port);
    assert_eq!(first_answer(host::address(), port), "on-the-host");
    assert_eq!(pod.status()["status"]["network"]["ip"], "", "the kubelet knows the host's address itself");
}

fn two_pods_listen_on_the_same_port(stage: &Stage) {
    let (first, second) = (host::free_port(), host::free_port());
    let (web1, web2) = (pod_that_publishes(&stage.cri, first), pod_that_publishes(&stage.cri, second));
    serve(&web1, "web1", 80);
    serve(&web2, "web2", 80);
    assert_eq!(first_answer(host::address(), first), "web1");
    assert_eq!(first_answer(host::address(), second), "web2");
}

/// As kube-proxy spreads a Service's address over its pods, by rules of the packet filter; in a network of its own, as the rules
/// are the host's.
fn a_service_of_two_pods(stage: &Stage) {
    let service: IpAddr = [203, 0, 113, 1].into();
    Network::new().inside(|| {
        let cri = Cri::start(&stage.ground, &stage.runtime);
        let (one, two) = (pod_that_publishes(&cri, 8081), pod_that_publishes(&cri, 8082));
        serve(&one, "one", 80);
        serve(&two, "two", 80);
        ip(&format!("route add {service} dev lo"));
        send_to(service, "--match statistic --mode nth --every 2 --packet 0", 8081);
        send_to(service, "", 8082);
        first_answer(ADDRESS.into(), 8081);
        first_answer(ADDRESS.into(), 8082);
        let answers: BTreeSet<String> = (0..4).map(|_| get(service, 80).unwrap()).collect();
        assert_eq!(answers, BTreeSet::from(["one".to_owned(), "two".to_owned()]));
        drop(one);
        assert!(get(ADDRESS.into(), 8081).is_err(), "the removed pod still answers");
    });
}

fn send_to(service: IpAddr, condition: &str, port: u16) {
    let [a, b, c, d] = ADDRESS;
    let rule = format!(
        "--table nat --append OUTPUT --destination {service} --protocol tcp --dport 80 {condition} --jump DNAT --to-destination {a}.{b}.{c}.{d}:{port}"
    );
    command::run(Command::new("iptables").args(rule.split_whitespace())).ok();
}

fn containers_of_a_pod_meet_inside(stage: &Stage) {
    let port = host::free_port();
    let pod = pod_that_publishes(&stage.cri, port);
    serve(&pod, "inside", 80);
    assert_eq!(first_answer(host::address(), port), "inside");
    let other = pod.start(&on_the_hosts_network(json!({})), &["sleep", "1000"]);
    assert_eq!(other.exec(&["wget", "-q", "-O", "-", "http://127.0.0.1/"]).ok().text(), "inside");
}

fn a_bad_annotation_is_refused(stage: &Stage) {
    let config = stage.cri.pod_config(&on_the_hosts_network(json!({ "io.lightship.net.publish": "8080" })));
    let answer = stage.cri.try_call("RunPodSandbox", &json!({ "config": config, "runtimeHandler": "lightship" }));
    assert!(answer.fails().stderr.contains("/annotations/io.lightship.net.publish"));
}
