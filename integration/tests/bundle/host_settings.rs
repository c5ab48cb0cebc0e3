//! Settings of host networking, by annotation: what only those who run the container may give or take.

use integration::bundle::Bundle;
use integration::scene;
use integration::scene::Scene;
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let ours = "settings of host networking are lightship's own";
    vec![
        scene!(guard_keeps_network_settings_out_of_reach).peer_cannot(ours),
        scene!(low_ports_take_no_capability).peer_cannot(ours),
        scene!(environment_cannot_give_low_ports).peer_cannot(ours),
        scene!(network_sysctls_of_the_host_are_refused),
    ]
}

/// A bundle in the host's network, with the capabilities that reach for it.
fn in_host_network(stage: &Stage, line: &str) -> Bundle {
    let mut bundle = stage.shell(line);
    bundle.share_namespace("network").set("/linux/readonlyPaths", json!([]));
    let capabilities = json!(["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SETUID", "CAP_SETGID"]);
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), capabilities.clone());
    }
    bundle
}

fn guard_keeps_network_settings_out_of_reach(stage: &Stage) {
    let file = "/proc/sys/net/core/somaxconn";
    let line = format!(
        "v=$(cat {file}); echo $v >{file} && echo written; grep CapEff /proc/self/status; ip link add x type dummy"
    );
    let mut bundle = in_host_network(stage, &line);
    bundle.set("/annotations/io.lightship.net.guard", json!("on"));
    let output = bundle.run();
    assert!(!output.stdout.contains("written"), "{output}");
    // Of the four that are left there are CAP_SETGID (6) and CAP_SETUID (7).
    let output = output.says("CapEff:\t00000000000000c0");
    assert!(output.stderr.contains("Operation not permitted") && output.code != 0, "{output}");
}

fn low_ports_take_no_capability(stage: &Stage) {
    let port = "617";
    let mut bundle = in_host_network(stage, &format!("timeout 1 nc -l -p {port}; echo $?"));
    bundle.set("/process/user", json!({ "uid": 65534, "gid": 65534 }));
    // busybox's timeout ends it, if it listens at all.
    bundle.run().says("Permission denied");
    bundle.set("/annotations/io.lightship.net.low-ports", json!("on"));
    bundle.run().says("143");
}

fn environment_cannot_give_low_ports(stage: &Stage) {
    let mut bundle = in_host_network(stage, "true");
    bundle.set("/process/env", json!(["LIGHTSHIP_NET_LOW_PORTS=on"]));
    bundle.run().fails().says("cannot be set by the environment");
    // An argument of the runtime is the host's own word.
    bundle.set("/process/env", json!(["PATH=/bin"]));
    bundle.write();
    let line = [&["--net-low-ports=yes"], &bundle.create_line("run", &[])[..]].concat();
    bundle.call(&line).fails().says("--net-low-ports: \"yes\" is no value of low-ports (on or off)");
}

fn network_sysctls_of_the_host_are_refused(stage: &Stage) {
    let mut bundle = in_host_network(stage, "true");
    bundle.set("/linux/sysctl", json!({ "net.core.somaxconn": "4096" }));
    bundle.run().fails().says("net.core.somaxconn");
}
