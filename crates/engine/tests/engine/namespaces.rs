//! The ways into namespaces: in one clone, by a launcher thread, with id maps.

use std::fs;

use serde_json::json;

use crate::bundle::{Bundle, FOREVER};

const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

fn link(pid: impl std::fmt::Display, kind: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().to_str().unwrap().to_owned()
}

/// The kinds of namespace that two processes do not share.
fn apart(one: impl std::fmt::Display, other: impl std::fmt::Display) -> Vec<&'static str> {
    KINDS.into_iter().filter(|kind| link(&one, kind) != link(&other, kind)).collect()
}

#[test]
fn new_ones_are_new_and_the_rest_is_the_hosts() {
    let bundle = Bundle::new(FOREVER);
    assert_eq!(apart("self", bundle.start().state().pid), ["ipc", "mnt", "pid", "uts"]);
    let mut all = Bundle::new(FOREVER);
    for kind in ["network", "cgroup", "time"] {
        all.namespace(kind, None);
    }
    assert_eq!(apart("self", all.start().state().pid), ["cgroup", "ipc", "mnt", "net", "pid", "time", "uts"]);
}

#[test]
fn each_kind_can_be_joined() {
    let mut first = Bundle::new(FOREVER);
    for kind in ["network", "cgroup", "time"] {
        first.namespace(kind, None);
    }
    let host = first.start().state().pid;
    for (kind, file) in
        [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup"), ("time", "time")]
    {
        let mut second = Bundle::new(FOREVER);
        second.namespace(kind, Some(format!("/proc/{host}/ns/{file}")));
        let pid = second.start().state().pid;
        assert_eq!(link(host, file), link(pid, file), "{kind}");
        assert_ne!(link("self", file), link(pid, file), "{kind}");
        // By every way of joining a further process comes to the same place.
        assert_eq!(second.exec("exit 3").unwrap(), 3);
        second.delete_all();
    }
    // Its first process is not the reaper of a PID namespace that was there before, and may end alone.
    assert!(first.exec("true").is_ok());
}

#[test]
fn a_namespace_of_another_kind_is_refused_before_anything_is_made() {
    let mut bundle = Bundle::new(FOREVER);
    bundle.namespace("network", Some("/proc/self/ns/uts".to_owned()));
    let error = bundle.try_create().unwrap_err().to_string();
    assert!(error.contains("/linux/namespaces/") && error.contains("is not a network namespace"), "{error}");
    bundle.namespace("network", Some("/dev/null".to_owned()));
    assert!(bundle.try_create().is_err());
    bundle.namespace("network", Some("/missing".to_owned()));
    let error = bundle.try_create().unwrap_err().to_string();
    assert!(!error.contains("no such file or directory"), "Docker would take it for the program: {error}");
    bundle.delete_all();
}

#[test]
fn what_would_change_the_hosts_own_namespace_is_refused() {
    for (kind, file, place, value, pointer) in [
        ("uts", "uts", "hostname", json!("not-the-host"), "/hostname"),
        ("uts", "uts", "domainname", json!("not-the-host"), "/domainname"),
        ("ipc", "ipc", "sysctl", json!({"kernel.shmmax": "1"}), "/linux/sysctl/kernel.shmmax"),
        ("network", "net", "sysctl", json!({"net.ipv4.ip_forward": "1"}), "/linux/sysctl/net.ipv4.ip_forward"),
        ("network", "net", "netDevices", json!({"lo": {}}), "/linux/netDevices"),
        ("mount", "mnt", "sysctl", json!({}), "/linux/namespaces"),
    ] {
        let mut bundle = Bundle::new(FOREVER);
        bundle.config.as_object_mut().unwrap().remove("hostname");
        bundle.namespace(kind, Some(format!("/proc/self/ns/{file}")));
        let object = if pointer.starts_with("/linux") { &mut bundle.config["linux"] } else { &mut bundle.config };
        object[place] = value;
        let error = bundle.try_create().unwrap_err().to_string();
        assert!(error.contains(&format!("config.json: {pointer}: ")), "{error}");
    }
}

#[test]
fn clocks_are_offset() {
    let mut bundle = Bundle::new("read up idle < /proc/uptime; echo $up > /out");
    bundle.namespace("time", None);
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000_000}, "monotonic": {"secs": 5}});
    let up: f64 = bundle.run().file("out").trim().parse().unwrap();
    assert!(up > 1e9, "{up}");
}

const HOST_ID: u32 = 100_000;

pub fn with_user_namespace(script: &str) -> Bundle {
    let mut bundle = Bundle::new(script);
    bundle.namespace("user", None);
    let map = json!([{"containerID": 0, "hostID": HOST_ID, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    // The container's root makes what its mounts need.
    for folder in ["", "proc", "dev"] {
        let path = bundle.folder.join("rootfs").join(folder);
        fs::create_dir_all(&path).unwrap();
        std::os::unix::fs::chown(path, Some(HOST_ID), Some(HOST_ID)).unwrap();
    }
    bundle
}

#[test]
fn a_user_namespace_has_its_maps() {
    let bundle = with_user_namespace(&format!("id -u > /out; cat /proc/self/uid_map >> /out; {FOREVER}"));
    let pid = bundle.start().state().pid;
    assert!(apart("self", pid).contains(&"user"));
    // The execve into the script has happened, but not yet what it writes.
    assert_eq!(bundle.exec("until [ $(grep -c . /out) = 2 ]; do :; done; exit 0").unwrap(), 0);
    let out = bundle.file("out");
    assert!(out.starts_with("0\n"), "{out}");
    assert_eq!(out.lines().last().unwrap().split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("\nUid:\t100000\t100000\t100000\t100000\n"), "{status}");
}

#[test]
fn a_user_namespace_and_a_joined_network_and_pid_namespace() {
    let mut first = Bundle::new(FOREVER);
    first.namespace("network", None);
    let host = first.start().state().pid;
    let mut bundle = with_user_namespace(FOREVER);
    // The user namespace has no right to show the processes of a PID namespace that it does not own.
    bundle.config["mounts"].as_array_mut().unwrap().remove(0);
    bundle.namespace("network", Some(format!("/proc/{host}/ns/net")));
    bundle.namespace("pid", Some(format!("/proc/{host}/ns/pid")));
    let pid = bundle.start().state().pid;
    assert_eq!((link(host, "net"), link(host, "pid")), (link(pid, "net"), link(pid, "pid")));
    assert_eq!(bundle.exec("exit 4").unwrap(), 4);
}

#[test]
fn a_user_namespace_with_clock_offsets() {
    let mut bundle = with_user_namespace("read up idle < /proc/uptime; echo $up > /out");
    bundle.namespace("time", None);
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000_000}});
    let up: f64 = bundle.run().file("out").trim().parse().unwrap();
    assert!(up > 1e9, "{up}");
}

#[test]
fn an_existing_user_namespace_is_joined_with_what_it_owns() {
    let first = with_user_namespace(FOREVER);
    let host = first.start().state().pid;
    let mut bundle = with_user_namespace(FOREVER);
    bundle.config["linux"]["uidMappings"] = json!([]);
    bundle.config["linux"]["gidMappings"] = json!([]);
    bundle.namespace("user", Some(format!("/proc/{host}/ns/user")));
    let pid = bundle.start().state().pid;
    assert_eq!(apart(host, pid), ["ipc", "mnt", "pid", "uts"]);
    assert_eq!(bundle.exec("exit 5").unwrap(), 5);
    // With a PID namespace of somebody else's the rest is made without a further process.
    let mut third = with_user_namespace(FOREVER);
    third.config["linux"]["uidMappings"] = json!([]);
    third.config["linux"]["gidMappings"] = json!([]);
    third.namespace("user", Some(format!("/proc/{host}/ns/user")));
    third.namespace("pid", Some(format!("/proc/{host}/ns/pid")));
    assert_eq!(apart(host, third.start().state().pid), ["ipc", "mnt", "uts"]);
    third.delete_all();
}

#[test]
fn the_hosts_own_user_namespace_by_its_path_is_as_none() {
    let mut bundle = Bundle::new(FOREVER);
    bundle.namespace("user", Some("/proc/self/ns/user".to_owned()));
    assert_eq!(apart("self", bundle.start().state().pid), ["ipc", "mnt", "pid", "uts"]);
    assert_eq!(bundle.exec("exit 6").unwrap(), 6);
}
