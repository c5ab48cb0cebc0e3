//! Settings of host networking, by annotation: what only those who run the container may give or take.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use integration::bundle::Bundle;
use integration::image::PYTHON_PROGRAM;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, host};
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let ours = "settings of host networking are lightship's own";
    vec![
        scene!(guard_keeps_network_settings_out_of_reach).needs_unified().peer_cannot(ours),
        scene!(low_ports_take_no_capability).needs_unified().peer_cannot(ours),
        scene!(environment_cannot_give_low_ports).peer_cannot(ours),
        scene!(environment_leads_nowhere_past_a_list).needs_unified().peer_cannot(ours),
        scene!(kernel_without_programs_is_done_without)
            .needs_unified()
            .peer_cannot(ours)
            .skip_if(cgroup::is_v2(), "the rules for devices are a program as well, with cgroup v2 alone"),
        scene!(abstract_sockets_of_the_host_are_out_of_reach)
            .peer_cannot(ours)
            .skip_if(!host::has_landlock_scopes(), host::NO_LANDLOCK_SCOPES),
        scene!(network_sysctls_of_the_host_are_refused),
        scene!(failed_bind_is_explained_in_the_foreground).needs_unified().peer_cannot(ours),
        scene!(network_is_told_on_one_page).needs_unified().peer_cannot(ours),
        scene!(page_tells_what_is_not_in_force).needs_unified().peer_cannot(ours),
        scene!(programs_take_the_unified_hierarchy)
            .peer_cannot(ours)
            .skip_if(cgroup::has_unified(), "the unified hierarchy is mounted"),
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
    let warning = "CAP_SYS_ADMIN the container can undo guard";
    assert!(!std::fs::read_to_string(bundle.log()).unwrap_or_default().contains(warning));
    bundle.set("/process/capabilities/bounding", json!(["CAP_SYS_ADMIN"]));
    bundle.run();
    assert!(std::fs::read_to_string(bundle.log()).unwrap().contains(warning));
}

fn failed_bind_is_explained_in_the_foreground(stage: &Stage) {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = holder.local_addr().unwrap().port();
    let told = format!("lightship: bind to port {port} failed: port held by process ");
    let line = format!("for again in 1 2; do nc -l -p {port}; done");
    let output = in_host_network(stage, &line).run();
    let (own, ours) = output.stderr.split_once("Address already in use").expect("nc fails");
    assert!(own.contains("nc: ") && ours.matches(&told).count() == 1, "{output}");
    let mut bundle = in_host_network(stage, &line);
    bundle.set("/process/terminal", json!(true));
    // What the terminal shows is on standard output.
    let output = bundle.run();
    assert!(output.stdout.contains("Address already in use\r\n") && output.stdout.contains(&told), "{output}");
    assert_eq!(output.stdout.matches('\n').count(), output.stdout.matches("\r\n").count(), "{output}");
}

/// Connects to the abstract socket `sys.argv[1]`, once to the container's own and once to the host's.
const CLIENT: &str = r#"
import socket, sys
def connect(name):
    try:
        socket.socket(socket.AF_UNIX).connect("\0" + name)
        return "connected"
    except PermissionError:
        return "EPERM"
own = socket.socket(socket.AF_UNIX)
own.bind("\0own-" + sys.argv[1])
own.listen()
print("host", connect(sys.argv[1]), "own", connect("own-" + sys.argv[1]))
"#;

fn abstract_sockets_of_the_host_are_out_of_reach(stage: &Stage) {
    let mut bundle = in_host_network(stage, "");
    let name = format!("lightship-{}-{}", std::process::id(), bundle.id);
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let client = [PYTHON_PROGRAM, "-S", "-c", CLIENT, &name];
    // The host's Python, with its modules and libraries.
    for folder in ["/usr", "/lib", "/lib64"].into_iter().filter(|folder| Path::new(folder).exists()) {
        bundle.config["mounts"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "destination": folder, "source": folder, "type": "bind", "options": ["bind", "ro"] }));
    }
    bundle.set("/process/args", json!(client));
    bundle.run().says("host connected own connected");
    let setting = "/annotations/io.lightship.net.abstract-sockets";
    bundle.set(setting, json!("off"));
    bundle.run().says("host EPERM own connected");
    bundle.set("/process/noNewPrivileges", json!(true)).set("/process/user", json!({ "uid": 65534, "gid": 65534 }));
    bundle.run().says("host EPERM own connected");
    for (value, answer) in [("on", "host connected"), ("off", "host EPERM")] {
        bundle.set("/process/args", json!(["sleep", "1000"])).set(setting, json!(value));
        bundle.start();
        bundle.call(&[&["exec", &bundle.id], &client[..]].concat()).says(answer);
        bundle.verb(&["delete", "--force"]).ok();
    }
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

fn environment_leads_nowhere_past_a_list(stage: &Stage) {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, listed) = (server.local_addr().unwrap().port(), host::free_port());
    let mut bundle = in_host_network(stage, &format!("nc 127.0.0.1 {listed} </dev/null"));
    bundle.set("/process/env", json!(["PATH=/bin", format!("LIGHTSHIP_NET_PUBLISH=127.0.0.9:{port}:{listed}")]));
    bundle.write();
    let run = bundle.create_line("run", &[]);
    let connect = format!("--net-allow-connect=127.0.0.1:{listed}");
    bundle.call(&[&[&*connect], &run[..]].concat()).fails().says("Operation not permitted");
    let bind = format!("--net-allow-bind={listed}");
    let refused = bundle.call(&[&[&*bind], &run[..]].concat()).fails();
    refused.says(&format!("leads to port {port}/tcp, which allow-bind does not list"));
}

fn kernel_without_programs_is_done_without(stage: &Stage) {
    const WITHOUT: &str = "exec strace -f -qq -o /dev/null -e trace=bpf -e inject=bpf:error=EINVAL";
    let mut bundle = in_host_network(stage, "echo here");
    bundle.write();
    bundle.call_after(WITHOUT, &bundle.create_line("run", &[])).ok();
    assert_eq!(bundle.stdout(), "here\n");
    let log = std::fs::read_to_string(bundle.log()).unwrap();
    assert!(log.contains("without counters and diagnosis: host networking: "), "{log}");
    bundle.set("/annotations/io.lightship.net.low-ports", json!("on"));
    let refused = bundle.call_after(WITHOUT, &bundle.create_line("run", &[])).fails();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    refused.says(&format!("host networking: cgroup/bind4 of Linux {}: ", release.trim()));
}

fn network_sysctls_of_the_host_are_refused(stage: &Stage) {
    let mut bundle = in_host_network(stage, "true");
    bundle.set("/linux/sysctl", json!({ "net.core.somaxconn": "4096" }));
    bundle.run().fails().says("net.core.somaxconn");
}

fn network_is_told_on_one_page(stage: &Stage) {
    let (outside, inside) = (host::free_port(), host::free_port());
    let mut bundle = in_host_network(stage, &format!("while :; do echo hello | nc -l -p {inside}; done"));
    let publish = format!("{outside}:{inside}");
    bundle.set("/annotations/io.lightship.net.publish", json!(publish));
    bundle.start();
    eventually(PATIENCE, "an answer at the published port", || {
        let mut answer = String::new();
        TcpStream::connect((Ipv4Addr::LOCALHOST, outside)).ok()?.read_to_string(&mut answer).ok()?;
        (answer == "hello\n").then_some(())
    });
    // Between two answers nobody listens.
    let page: Value = eventually(PATIENCE, "the port", || {
        let page: Value = serde_json::from_str(&bundle.verb(&["net", "--json"]).ok().stdout).unwrap();
        page["ports"][0].is_object().then_some(page)
    });
    assert_eq!((&page["mode"], &page["id"]), (&json!("host"), &json!(bundle.id)));
    assert!(page["interfaces"].as_array().unwrap().contains(&json!("lo")), "{page}");
    let port = &page["ports"][0];
    assert_eq!(
        (&port["protocol"], &port["port"], &port["inside_port"]),
        (&json!("tcp"), &json!(outside), &json!(inside))
    );
    assert_eq!(page["settings"], json!([{ "key": "publish", "value": publish, "source": "annotation" }]));
    // A word of six bytes, and the headers of what carried it.
    assert!(page["counters"]["sent"]["bytes"].as_u64().unwrap() > 40, "{page}");
    eventually(PATIENCE, "the port on the page", || {
        let page = bundle.verb(&["net"]).ok().stdout;
        assert!(page.starts_with("mode        host ("), "{page}");
        page.contains(&format!(":{outside}, {inside} inside")).then_some(())
    });
    let event: Value = serde_json::from_str(&bundle.verb(&["events", "--stats"]).ok().stdout).unwrap();
    let interface = &event["data"]["network_interfaces"][0];
    assert_eq!(interface["Name"], "host", "{event}");
    assert!(interface["TxBytes"].as_u64().unwrap() > 40 && interface["RxPackets"].as_u64().unwrap() > 0, "{event}");
}

fn page_tells_what_is_not_in_force(stage: &Stage) {
    let mut bundle = in_host_network(stage, "exec sleep 1000");
    bundle.start();
    bundle.verb(&["net"]).ok().says("diagnosis   on\n").says("received ");
    bundle.kill("KILL").ok();
    bundle.stops();
    // systemd takes the cgroup away as soon as nothing is in it.
    cgroup::directories(&bundle.cgroup).iter().for_each(|directory| std::fs::remove_dir(directory).unwrap());
    bundle.verb(&["net"]).ok().says("counters    cannot be read\n");
    bundle.verb(&["delete"]).ok();
    bundle.set("/annotations/io.lightship.net.diagnose", json!("off"));
    bundle.set("/annotations/io.lightship.net.counters", json!("off"));
    bundle.start();
    bundle.verb(&["net"]).ok().says("diagnosis   off\n").says("counters    off\n");
    let page: Value = serde_json::from_str(&bundle.verb(&["net", "--json"]).ok().stdout).unwrap();
    assert_eq!((&page["diagnose"], &page["counted"], &page["counters"]), (&json!(false), &json!(false), &Value::Null));
}

fn programs_take_the_unified_hierarchy(stage: &Stage) {
    let mut bundle = in_host_network(stage, "true");
    bundle.run().ok();
    let log = std::fs::read_to_string(bundle.log()).unwrap();
    assert!(log.contains("without counters and diagnosis: the container has no cgroup v2 directory"), "{log}");
    bundle.set("/annotations/io.lightship.net.publish", json!("8080:80"));
    bundle.run().fails().says("mount cgroup2 at /sys/fs/cgroup/unified");
}
