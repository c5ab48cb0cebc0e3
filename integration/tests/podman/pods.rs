//! Pods: containers that share namespaces, and the pod that Kubernetes would write.

use std::fs;
use std::net::Ipv4Addr;

use integration::http::{first_answer, get};
use integration::scene;
use integration::scene::Scene;
use integration::{cgroup, command, host, leftover, network};

use crate::Stage;
use crate::networks::{NO_TRANSLATION, with_names};

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(containers_share_its_namespaces),
        scene!(on_the_hosts_network),
        scene!(kube_play_and_down),
        scene!(generated_kube_plays).skip_if(!network::has_translation(), NO_TRANSLATION),
    ]
}

fn containers_share_its_namespaces(stage: &Stage) {
    let pod = stage.podman.pod(&["--network", "none", "--share", "net,ipc,uts", "--hostname", "pod"]);
    let member = || stage.podman.start(&["--pod", &pod.name], &["sleep", "1000"]);
    let (first, second) = (member(), member());
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(host::namespace(first.pid(), kind), host::namespace(second.pid(), kind), "{kind} namespace");
    }
    for kind in ["pid", "mnt"] {
        assert_ne!(host::namespace(first.pid(), kind), host::namespace(second.pid(), kind), "{kind} namespace");
    }
    assert_eq!(second.exec(&[], &["hostname"]).ok().text(), "pod");
    stage.podman.call(&["pod", "stop", "-t", "0", &pod.name]).ok();
    assert_eq!(first.status(), "exited");
    stage.podman.call(&["pod", "start", &pod.name]).ok();
    assert_eq!(first.exec(&[], &["echo", "again"]).ok().text(), "again");
}

fn on_the_hosts_network(stage: &Stage) {
    let pod = stage.podman.pod(&["--network", "host"]);
    let container = stage.podman.start(&["--pod", &pod.name], &["sleep", "1000"]);
    assert_eq!(host::namespace(container.pid(), "net"), host::namespace("self", "net"));
}

fn kube_play_and_down(stage: &Stage) {
    let file = stage.ground.folder.join("pod.yaml");
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: { name: played }\nspec:\n  hostNetwork: true\n  containers:\n  \
                - { name: one, image: localhost/busybox, imagePullPolicy: Never, command: [sh, -c, 'echo played; sleep 1000'] }\n";
    fs::write(&file, yaml).unwrap();
    let play = |flags: &[&str]| {
        let line = [&["play", "kube"], flags, &[file.to_str().unwrap()]].concat();
        command::run(&mut stage.podman.command("podman", &line)).ok();
    };
    play(&[]);
    let pid = stage.podman.call(&["inspect", "-f", "{{.State.Pid}}", "played-one"]).ok().text();
    assert_eq!(host::namespace(&pid, "net"), host::namespace("self", "net"));
    play(&["--down"]);
    assert!(!host::is_alive(pid.parse().unwrap()));
    remove_played_cgroups();
}

/// What `podman generate kube` says of a pod makes the same pod again.
fn generated_kube_plays(stage: &Stage) {
    let file = stage.ground.folder.join("generated.yaml");
    let file = file.to_str().unwrap();
    with_names(|| {
        let pod = stage.podman.pod(&["-p", "2000:80"]);
        let serve =
            "echo generated >/tmp/index.html; httpd -p 80 -h /tmp; trap exit TERM; while :; do sleep 1 & wait $!; done";
        let web = stage.podman.start(&["--pod", &pod.name], &["sh", "-c", serve]);
        assert_eq!(first_answer(Ipv4Addr::LOCALHOST.into(), 2000), "generated");
        stage.podman.call(&["generate", "kube", "-f", file, &pod.name]).ok();
        drop(web);
        stage.podman.call(&["pod", "rm", "-f", "-t", "0", &pod.name]).ok();
        assert!(get(Ipv4Addr::LOCALHOST.into(), 2000).is_err());
        stage.podman.call(&["play", "kube", file]).ok();
        assert_eq!(first_answer(Ipv4Addr::LOCALHOST.into(), 2000), "generated");
        stage.podman.call(&["play", "kube", "--down", file]).ok();
        assert!(get(Ipv4Addr::LOCALHOST.into(), 2000).is_err());
    });
    remove_played_cgroups();
}

/// Podman chooses this parent itself. Only empty cgroups can be removed.
fn remove_played_cgroups() {
    for directory in cgroup::directories("/libpod_parent").iter().flat_map(|top| leftover::tree(top)) {
        fs::remove_dir(directory).ok();
    }
}
