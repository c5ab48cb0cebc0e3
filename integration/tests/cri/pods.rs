//! Pods: their namespaces, network and life.

use integration::http::first_answer;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, host, leftover};
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let one = containerd_is_1();
    vec![
        scene!(containers_share_its_namespaces),
        scene!(one_pid_namespace_for_all),
        scene!(the_hosts_namespaces),
        scene!(a_network_of_its_own),
        scene!(sysctls),
        scene!(the_handler_is_the_runtime),
        scene!(an_unknown_handler_is_refused),
        scene!(the_handlers_features_are_known).skip_if(one, "containerd is older than 2"),
        scene!(a_user_namespace).skip_if(one, "containerd is older than 2"),
        scene!(a_stopped_pod_has_no_running_containers),
        scene!(nothing_is_left_after_removal),
    ]
}

/// It cannot all that version 2 can.
pub fn containerd_is_1() -> bool {
    host::version("containerd").starts_with("1.")
}

fn containers_share_its_namespaces(stage: &Stage) {
    let pod = stage.cri.pod(&json!({ "hostname": "shared" }));
    let member = || pod.start(&json!({}), &["sleep", "1000"]);
    let (first, second) = (member(), member());
    for kind in ["net", "ipc", "uts"] {
        let own = host::namespace(first.pid(), kind);
        assert_eq!(own, host::namespace(second.pid(), kind), "{kind} namespace");
        assert_ne!(own, host::namespace("self", kind), "{kind} namespace");
    }
    for kind in ["mnt", "pid"] {
        assert_ne!(host::namespace(first.pid(), kind), host::namespace(second.pid(), kind), "{kind} namespace");
    }
    assert_eq!(second.exec(&["hostname"]).ok().text(), "shared");
}

/// Namespace options for a pod and for a container alike, as both must say the same.
fn namespaces(options: Value) -> Value {
    json!({ "linux": { "securityContext": { "namespaceOptions": options } } })
}

fn one_pid_namespace_for_all(stage: &Stage) {
    let shared = namespaces(json!({ "pid": "POD" }));
    let pod = stage.cri.pod(&shared);
    let first = pod.start(&shared, &["sleep", "1111"]);
    let second = pod.start(&shared, &["sleep", "2222"]);
    let listed = second.exec(&["ps"]).ok().stdout;
    assert!(listed.contains("sleep 1111") && listed.contains("sleep 2222"), "{listed}");
    assert_eq!(host::namespace(first.pid(), "pid"), host::namespace(second.pid(), "pid"));
}

fn the_hosts_namespaces(stage: &Stage) {
    let shared = namespaces(json!({ "network": "NODE", "pid": "NODE", "ipc": "NODE" }));
    let pod = stage.cri.pod(&shared);
    let container = pod.start(&shared, &["sleep", "1000"]);
    for kind in ["net", "pid", "ipc"] {
        assert_eq!(host::namespace(container.pid(), kind), host::namespace("self", kind), "{kind} namespace");
    }
    assert_ne!(host::namespace(container.pid(), "mnt"), host::namespace("self", "mnt"));
}

fn a_network_of_its_own(stage: &Stage) {
    let (server, client) = (stage.cri.pod(&json!({})), stage.cri.pod(&json!({})));
    let _web = server.start(&json!({}), &["sh", "-c", "echo by the bridge >/tmp/index.html; exec httpd -f -h /tmp"]);
    assert_eq!(first_answer(server.address(), 80), "by the bridge");
    let client = client.start(&json!({}), &["sleep", "1000"]);
    let address = format!("http://{}/", server.address());
    assert_eq!(client.exec(&["wget", "-q", "-O", "-", &address]).ok().text(), "by the bridge");
}

fn sysctls(stage: &Stage) {
    let pod = stage.cri.pod(&json!({ "linux": { "sysctls": { "net.ipv4.ip_unprivileged_port_start": "81" } } }));
    let container = pod.start(&json!({}), &["sleep", "1000"]);
    let value = container.exec(&["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]).ok().text();
    assert_eq!(value, "81");
}

fn the_handler_is_the_runtime(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let status = pod.status();
    assert_eq!(status["status"]["runtimeHandler"], "lightship");
    let bundle = stage.cri.folder.join("containerd/state/io.containerd.runtime.v2.task/k8s.io").join(&pod.id);
    let options: Value = serde_json::from_slice(&std::fs::read(bundle.join("options.json")).unwrap()).unwrap();
    assert_eq!(options["binary_name"], stage.runtime.path.to_str().unwrap());
}

fn an_unknown_handler_is_refused(stage: &Stage) {
    let request = json!({ "config": stage.cri.pod_config(&json!({})), "runtimeHandler": "nosuch" });
    stage.cri.try_call("RunPodSandbox", &request).fails().says("no runtime for \"nosuch\" is configured");
}

fn the_handlers_features_are_known(stage: &Stage) {
    let status = stage.cri.call("Status", &json!({}));
    let handlers = status["runtimeHandlers"].as_array().unwrap();
    let ours = handlers.iter().find(|handler| handler["name"] == "lightship").unwrap();
    assert_eq!(ours["features"], json!({ "recursiveReadOnlyMounts": true, "userNamespaces": true }), "{status}");
}

fn a_user_namespace(stage: &Stage) {
    let maps = json!([{ "hostId": 200_000, "containerId": 0, "length": 65536 }]);
    let users = namespaces(json!({ "usernsOptions": { "mode": "POD", "uids": maps, "gids": maps } }));
    let pod = stage.cri.pod(&users);
    let container = pod.start(&users, &["sleep", "1000"]);
    assert_eq!(host::status_field(container.pid(), "Uid").unwrap(), "200000\t200000\t200000\t200000");
    assert_eq!(container.exec(&["stat", "-c", "%u", "/bin/busybox"]).ok().text(), "0");
    assert_eq!(container.exec(&["id", "-u"]).ok().text(), "0");
}

fn a_stopped_pod_has_no_running_containers(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sleep", "1000"]);
    pod.stop();
    assert_eq!(container.state(), "CONTAINER_EXITED");
    assert_eq!(pod.status()["status"]["state"], "SANDBOX_NOTREADY");
    pod.stop();
}

fn nothing_is_left_after_removal(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sleep", "1000"]);
    let (pid, ids) = (container.pid(), [pod.id.clone(), container.id.clone()]);
    drop(pod);
    assert!(!host::is_alive(pid));
    eventually(PATIENCE, "cgroups, mounts and bundles to be gone", || {
        let left = |id: &String| {
            let state = stage.cri.folder.join("containerd/state/io.containerd.runtime.v2.task/k8s.io").join(id);
            let cgroups = cgroup::directories(&format!("{}/{id}", stage.ground.cgroup));
            state.exists() || !cgroups.is_empty() || !leftover::mounts(&state).is_empty()
        };
        (!ids.iter().any(left)).then_some(())
    });
}
