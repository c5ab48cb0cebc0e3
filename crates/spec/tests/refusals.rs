//! Every check of `validate`: a good configuration with one thing changed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use spec::{Refusal, Spec};

fn good() -> Value {
    json!({
        "ociVersion": "1.3.0",
        "process": {"args": ["sh"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}]}
    })
}

/// Sets what a pointer points to, its last token being new or not, and reads the result.
fn with(pointer: &str, value: Value) -> Spec {
    let mut document = good();
    let mut place = &mut document;
    for key in pointer.split('/').skip(1) {
        let key = key.replace("~1", "/");
        place = match place {
            Value::Array(items) => {
                let i: usize = key.parse().unwrap();
                items.resize(items.len().max(i + 1), Value::Null);
                &mut items[i]
            }
            object => &mut object[key],
        };
    }
    *place = value;
    Spec::from_bytes(document.to_string().as_bytes()).unwrap()
}

fn refused(result: Result<(), Refusal>, pointer: &str, problem: &str) {
    let refusal = result.expect_err(pointer);
    assert_eq!(refusal.pointer, pointer, "{refusal}");
    assert!(refusal.problem.contains(problem), "{refusal}");
    assert!(!refusal.remedy.is_empty(), "{refusal}");
    let text = refusal.to_string();
    assert!(text.starts_with(&format!("config.json: {pointer}: ")), "{text}");
    assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
}

#[test]
fn the_good_one_is_good() {
    let spec = with("/hostname", json!("box"));
    assert_eq!(spec.validate(), Ok(()));
    assert!(spec.process_to_start().is_ok());
}

#[test]
fn process() {
    for (at, value, pointer, problem) in [
        ("/process/args", json!([]), "/process/args", "missing or empty"),
        ("/process/args", json!(null), "/process/args", "missing or empty"),
        ("/process/args", json!([""]), "/process/args/0", "empty"),
        ("/process/cwd", json!(""), "/process/cwd", "missing or empty"),
        ("/process/cwd", json!("srv"), "/process/cwd", "`srv` is not an absolute path"),
        ("/process/env", json!(["A=b", "PATH"]), "/process/env/1", "`PATH` is not NAME=value"),
        ("/process/env", json!(["=b"]), "/process/env/0", "not NAME=value"),
        ("/process/user/uid", json!(4_294_967_295_u32), "/process/user/uid", "not an id"),
        ("/process/user/gid", json!(4_294_967_295_u32), "/process/user/gid", "not an id"),
        ("/process/user/additionalGids", json!([1, 4_294_967_295_u32]), "/process/user/additionalGids/1", "not an id"),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_CORE", "soft": 1, "hard": 1}]),
            "/process/rlimits/1",
            "RLIMIT_CORE is set twice",
        ),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_AS", "soft": 2, "hard": 1}]),
            "/process/rlimits/0",
            "above the hard",
        ),
        ("/process/user/umask", json!(0o1000), "/process/user/umask", "512 (01000) has more"),
        ("/process/user/additionalGids", json!(vec![0; 65537]), "/process/user/additionalGids", "65537 groups"),
        ("/process/cwd", json!(format!("/{}", "x".repeat(4095))), "/process/cwd", "4096 bytes"),
        ("/process/env", json!(["A=b", format!("A={}", "x".repeat(2 << 20))]), "/process/env/1", "2097154 bytes"),
        ("/process/args", json!(vec!["x".repeat(100_000); 70]), "/process/args", "args and env have 7000080 bytes"),
        ("/process/oomScoreAdj", json!(1001), "/process/oomScoreAdj", "1001 is out of range"),
        ("/process/oomScoreAdj", json!(i32::MIN), "/process/oomScoreAdj", "is out of range"),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "/process/ioPriority/priority",
            "8",
        ),
    ] {
        refused(with(at, value).validate(), pointer, problem);
    }
}

#[test]
fn scheduling() {
    let at = |property: &str| format!("/process/scheduler/{property}");
    for (scheduler, property, problem) in [
        (json!({"policy": "SCHED_ISO"}), "policy", "no kernel"),
        (json!({"policy": "SCHED_OTHER", "nice": 20}), "nice", "20 is out of range"),
        (json!({"policy": "SCHED_FIFO", "nice": -21, "priority": 1}), "nice", "-21 is out of range"),
        (json!({"policy": "SCHED_FIFO"}), "priority", "0 is out of range for SCHED_FIFO"),
        (json!({"policy": "SCHED_RR", "priority": 100}), "priority", "100 is out of range for SCHED_RR"),
        (json!({"policy": "SCHED_BATCH", "priority": 1}), "priority", "SCHED_BATCH has no priorities"),
        (json!({"policy": "SCHED_IDLE", "deadline": 1}), "deadline", "SCHED_IDLE has no deadline"),
        (json!({"policy": "SCHED_DEADLINE"}), "runtime", "0 ns are too short"),
        (json!({"policy": "SCHED_DEADLINE", "runtime": 1024}), "deadline", "0 ns are over before"),
        (json!({"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 1999}), "deadline", "1999 ns are over before"),
        (
            json!({"policy": "SCHED_DEADLINE", "runtime": 1024, "deadline": 1 << 20, "period": 2000}),
            "period",
            "2000 ns",
        ),
        (json!({"policy": "SCHED_DEADLINE", "runtime": 1_u64 << 63}), "runtime", "9223372036854775808 ns"),
    ] {
        refused(with("/process/scheduler", scheduler).validate(), &at(property), problem);
    }
    for scheduler in [
        json!({"policy": "SCHED_FIFO", "priority": 99}),
        json!({"policy": "SCHED_DEADLINE", "runtime": 1024, "deadline": 1024}),
        json!({"policy": "SCHED_BATCH", "nice": -20, "priority": 0, "runtime": 0}),
    ] {
        assert_eq!(with("/process/scheduler", scheduler).validate(), Ok(()));
    }
    for (policy, property, problem) in [
        (json!({"mode": "MPOL_BIND"}), "nodes", "MPOL_BIND needs nodes"),
        (json!({"mode": "MPOL_INTERLEAVE", "nodes": ""}), "nodes", "MPOL_INTERLEAVE needs nodes"),
        (json!({"mode": "MPOL_LOCAL", "nodes": "0"}), "nodes", "MPOL_LOCAL takes no nodes"),
        (
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}),
            "flags",
            "exclude each other",
        ),
        (
            json!({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}),
            "flags",
            "MPOL_F_NUMA_BALANCING does not go with MPOL_INTERLEAVE",
        ),
        (json!({"mode": "MPOL_LOCAL", "flags": ["MPOL_F_STATIC_NODES"]}), "flags", "does not go with MPOL_LOCAL"),
        (json!({"mode": "MPOL_PREFERRED", "flags": ["MPOL_F_STATIC_NODES"]}), "flags", "does not go with"),
    ] {
        refused(with("/linux/memoryPolicy", policy).validate(), &format!("/linux/memoryPolicy/{property}"), problem);
    }
    for mode in ["MPOL_DEFAULT", "MPOL_LOCAL", "MPOL_PREFERRED"] {
        assert_eq!(with("/linux/memoryPolicy", json!({"mode": mode, "nodes": ""})).validate(), Ok(()));
    }
}

#[test]
fn a_process_is_needed_to_start_only() {
    let spec = with("/process", json!(null));
    assert_eq!(spec.validate(), Ok(()));
    refused(spec.process_to_start().map(|_| ()), "/process", "missing");
}

#[test]
fn root_names_mounts_hooks_annotations() {
    for (at, value, pointer, problem) in [
        ("/root", json!(null), "/root", "missing"),
        ("/root", json!({}), "/root/path", "missing or empty"),
        ("/hostname", json!("x".repeat(65)), "/hostname", "65 bytes"),
        ("/linux/namespaces", json!([{"type": "pid"}]), "/hostname", "UTS namespace"),
        ("/root/path", json!("x".repeat(4096)), "/root/path", "4096 bytes"),
        ("/mounts/1", json!({"type": "proc"}), "/mounts/1/destination", "missing or empty"),
        ("/mounts/0/destination", json!("x/".repeat(2048)), "/mounts/0/destination", "4096 bytes"),
        ("/mounts/0/source", json!("x/".repeat(2048)), "/mounts/0/source", "4096 bytes"),
        ("/hooks", json!({"poststop": [{"path": format!("/{}", "a".repeat(4095))}]}), "/hooks/poststop/0/path", "4096"),
        (
            "/hooks",
            json!({"poststop": [{"path": "/a", "args": ["a", "x".repeat(2 << 20)]}]}),
            "/hooks/poststop/0/args/1",
            "2097152 bytes",
        ),
        (
            "/mounts/0/uidMappings",
            json!([{"containerID": 0, "hostID": 0, "size": 1}]),
            "/mounts/0/gidMappings",
            "missing",
        ),
        ("/hooks", json!({"poststop": [{"path": "/a"}, {"path": "b"}]}), "/hooks/poststop/1/path", "not an absolute"),
        ("/hooks", json!({"prestart": [{}]}), "/hooks/prestart/0/path", "missing or empty"),
        ("/hooks", json!({"poststart": [{"path": "/a", "timeout": 0}]}), "/hooks/poststart/0/timeout", "0 seconds"),
        ("/hooks", json!({"poststart": [{"path": "/a", "timeout": -1}]}), "/hooks/poststart/0/timeout", "-1 seconds"),
        ("/annotations", json!({"": "x"}), "/annotations", "a key is empty"),
    ] {
        refused(with(at, value).validate(), pointer, problem);
    }
    let mut document = good();
    document["hostname"] = json!("");
    document["domainname"] = json!("example.org");
    document["linux"]["namespaces"] = json!([]);
    let spec = Spec::from_bytes(document.to_string().as_bytes()).unwrap();
    refused(spec.validate(), "/domainname", "UTS namespace");
    // A relative destination is deprecated, not wrong.
    assert_eq!(with("/mounts/0/destination", json!("data")).validate(), Ok(()));
}

#[test]
fn linux() {
    for (at, value, pointer, problem) in [
        ("/linux/namespaces/3", json!({"type": "pid"}), "/linux/namespaces/3", "the pid namespace is named twice"),
        (
            "/linux/namespaces/3",
            json!({"type": "ipc", "path": "x"}),
            "/linux/namespaces/3/path",
            "not an absolute path",
        ),
        (
            "/linux/namespaces/3",
            json!({"type": "ipc", "path": format!("/{}", "x".repeat(4095))}),
            "/linux/namespaces/3/path",
            "4096 bytes",
        ),
        ("/linux/cgroupsPath", json!("/a/../b"), "/linux/cgroupsPath", "`..`"),
        (
            "/linux/devices",
            json!([{"path": "/a", "type": "c", "major": 1, "minor": 3}, {"path": "/a", "type": "b", "major": 1, "minor": 3}]),
            "/linux/devices/1",
            "device 0 has the same path",
        ),
        ("/linux/devices", json!([{"path": "/a", "type": "p", "uid": u32::MAX}]), "/linux/devices/0/uid", "not an id"),
        ("/linux/devices", json!([{"path": "/a", "type": "p", "gid": u32::MAX}]), "/linux/devices/0/gid", "not an id"),
        ("/linux/devices", json!([{"path": "fuse", "type": "c"}]), "/linux/devices/0/path", "not an absolute"),
        ("/linux/devices", json!([{"path": "/a", "type": "c", "major": -1}]), "/linux/devices/0/major", "-1"),
        ("/linux/devices", json!([{"path": "/a", "type": "c", "major": 1}]), "/linux/devices/0/minor", "missing"),
        (
            "/linux/devices",
            json!([{"path": "/a", "type": "b", "major": 8, "minor": 1_048_576}]),
            "/linux/devices/0/minor",
            "1048576",
        ),
        ("/linux/maskedPaths", json!(["/a", "b"]), "/linux/maskedPaths/1", "not an absolute"),
        ("/linux/readonlyPaths", json!([""]), "/linux/readonlyPaths/0", "missing or empty"),
        ("/linux/personality", json!({"domain": "LINUX", "flags": ["X"]}), "/linux/personality/flags", "no flags"),
        ("/linux/timeOffsets", json!({"realtime": {}}), "/linux/timeOffsets/realtime", "no such clock"),
        (
            "/linux/timeOffsets",
            json!({"boottime": {"nanosecs": 1_000_000_000}}),
            "/linux/timeOffsets/boottime/nanosecs",
            "1000000000",
        ),
        ("/linux/timeOffsets", json!({"boottime": {"secs": 1}}), "/linux/timeOffsets", "only a new time namespace"),
        ("/linux/timeOffsets", json!({"monotonic": {"secs": i64::MIN}}), "/linux/timeOffsets/monotonic/secs", "clocks"),
        ("/linux/timeOffsets", json!({"monotonic": {"secs": i64::MAX}}), "/linux/timeOffsets/monotonic/secs", "clocks"),
    ] {
        refused(with(at, value).validate(), pointer, problem);
    }
    let mut document = good();
    document["linux"] = json!({"namespaces": [{"type": "uts"}], "maskedPaths": ["/proc/kcore"]});
    let spec = Spec::from_bytes(document.to_string().as_bytes()).unwrap();
    refused(spec.validate(), "/linux/maskedPaths", "shares the host's mount namespace");
    let fifo = json!([{"path": "/p", "type": "p", "major": -1}, {"path": "/p", "type": "p", "minor": 3}]);
    assert_eq!(with("/linux/devices", fifo).validate(), Ok(()));
}

#[test]
fn resources() {
    let throttle = |major: i64, minor: i64| json!([{"major": major, "minor": minor, "rate": 1}]);
    for (resources, place, problem) in [
        (json!({"devices": [{"allow": true, "access": "rx"}]}), "devices/0/access", "`rx`"),
        (json!({"devices": [{"allow": true, "major": -2}]}), "devices/0/major", "-2"),
        (json!({"cpu": {"period": 999}}), "cpu/period", "999 is out of range"),
        (json!({"cpu": {"period": 1_000_001}}), "cpu/period", "1000001 is out of range"),
        (json!({"cpu": {"quota": 999}}), "cpu/quota", "999 is out of range"),
        (json!({"cpu": {"quota": i64::MAX}}), "cpu/quota", "is out of range"),
        (json!({"cpu": {"quota": 5000, "burst": 5001}}), "cpu/burst", "5001 is above quota, 5000"),
        (json!({"cpu": {"idle": 2}}), "cpu/idle", "2 is out of range"),
        (json!({"cpu": {"idle": -1}}), "cpu/idle", "-1 is out of range"),
        (json!({"cpu": {"realtimeRuntime": 9, "realtimePeriod": 8}}), "cpu/realtimeRuntime", "above realtimePeriod, 8"),
        (json!({"blockIO": {"weight": 1001}}), "blockIO/weight", "1001 is out of range"),
        (json!({"blockIO": {"leafWeight": 1001}}), "blockIO/leafWeight", "1001 is out of range"),
        (
            json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 1001}]}}),
            "blockIO/weightDevice/0/weight",
            "1001",
        ),
        (
            json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 1001}]}}),
            "blockIO/weightDevice/0/leafWeight",
            "1001",
        ),
        (json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}), "blockIO/weightDevice/0", "no weight"),
        (
            json!({"blockIO": {"weightDevice": [{"major": -1, "minor": 0, "weight": 9}]}}),
            "blockIO/weightDevice/0/major",
            "-1",
        ),
        (
            json!({"blockIO": {"throttleReadBpsDevice": throttle(4096, 0)}}),
            "blockIO/throttleReadBpsDevice/0/major",
            "4096",
        ),
        (
            json!({"blockIO": {"throttleWriteBpsDevice": throttle(-1, 0)}}),
            "blockIO/throttleWriteBpsDevice/0/major",
            "-1",
        ),
        (
            json!({"blockIO": {"throttleReadIOPSDevice": throttle(8, -1)}}),
            "blockIO/throttleReadIOPSDevice/0/minor",
            "-1",
        ),
        (
            json!({"blockIO": {"throttleWriteIOPSDevice": throttle(8, 1 << 20)}}),
            "blockIO/throttleWriteIOPSDevice/0/minor",
            "1048576",
        ),
        (json!({"hugepageLimits": [{"pageSize": "", "limit": 1}]}), "hugepageLimits/0/pageSize", "``"),
        (json!({"rdma": {"a b": {}}}), "rdma/a b", "RDMA"),
        (json!({"rdma": {"mlx5_1": {}}}), "rdma/mlx5_1", "no limit"),
        (json!({"unified": {"../x": "1"}}), "unified/..~1x", "`../x`"),
    ] {
        refused(with("/linux/resources", resources).validate(), &format!("/linux/resources/{place}"), problem);
    }
    for list in ["-", ",", " ", "a", "3-1", "0-", "1-2-3", "0:1", "0-3:2/0", "0-3:3/2", "4294967296", "0x1", "٣"] {
        for property in ["cpus", "mems"] {
            let resources = with("/linux/resources", json!({"cpu": {property: list}}));
            refused(resources.validate(), &format!("/linux/resources/cpu/{property}"), "not a list of numbers");
        }
    }
    for good in [
        json!({"cpu": {"period": 0, "quota": -1, "burst": 7, "idle": 1, "shares": 0, "realtimePeriod": 0, "realtimeRuntime": 0}}),
        json!({"cpu": {"period": 1000, "quota": 1000, "burst": 1000, "realtimePeriod": 5, "realtimeRuntime": -1}}),
        json!({"cpu": {"cpus": "0-3,7, 9-31:2/4", "mems": "all"}}),
        json!({"cpu": {"cpus": "0-N", "mems": ""}}),
        json!({"blockIO": {"weight": 0, "leafWeight": 1000, "weightDevice": [{"major": 8, "minor": 0, "weight": 0}]}}),
    ] {
        assert_eq!(with("/linux/resources", good.clone()).validate(), Ok(()), "{good}");
    }
    // The document of `update` has no pointer to stand below.
    let document = spec::Resources::from_bytes(br#"{"cpu": {"idle": 2}}"#).unwrap();
    assert_eq!(document.validate().unwrap_err().pointer, "/cpu/idle");
}

#[test]
fn sysctl_needs_its_namespace() {
    for (key, namespace) in [
        ("net.ipv4.ip_forward", "network"),
        ("net/ipv4/ip_forward", "network"),
        ("kernel.shmmax", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("user.max_user_namespaces", "user"),
    ] {
        let pointer = format!("/linux/sysctl/{}", key.replace('/', "~1"));
        let problem = format!("shares the host's {namespace} namespace");
        refused(with("/linux/sysctl", json!({key: "1"})).validate(), &pointer, &problem);
    }
    for (key, problem) in [
        ("vm.swappiness", "belongs to no namespace"),
        ("kernel.core_pattern", "belongs to no namespace"),
        ("net/../kernel/core_pattern", "does not name a file"),
        ("", "does not name a file"),
    ] {
        let pointer = format!("/linux/sysctl/{}", key.replace('/', "~1"));
        refused(with("/linux/sysctl", json!({key: "1"})).validate(), &pointer, problem);
    }
    assert_eq!(with("/linux/sysctl", json!({"kernel.domainname": "a"})).validate(), Ok(()));
    let twice = json!({"kernel.domainname": "a", "kernel/domainname": "b"});
    refused(with("/linux/sysctl", twice).validate(), "/linux/sysctl/kernel~1domainname", "the same parameter");
    let other_name = with("/linux/sysctl", json!({"kernel.hostname": "bag"}));
    refused(other_name.validate(), "/linux/sysctl/kernel.hostname", "`bag` is not what hostname says");
    assert_eq!(with("/linux/sysctl", json!({"kernel.hostname": "box"})).validate(), Ok(()));
    let joined = json!({"sysctl": {"net.core.somaxconn": "1"}, "namespaces": [{"type": "uts"}, {"type": "network", "path": "/n"}]});
    assert_eq!(with("/linux", joined).validate(), Ok(()));
}

#[test]
fn id_mappings_belong_to_a_user_namespace() {
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    let linux = |user: Value, uids: &Value, gids: &Value| {
        let namespaces = json!([{"type": "uts"}, user]);
        json!({"namespaces": namespaces, "uidMappings": uids, "gidMappings": gids})
    };
    let new = json!({"type": "user"});
    let joined = json!({"type": "user", "path": "/u"});
    assert_eq!(with("/linux", linux(new.clone(), &map, &map)).validate(), Ok(()));
    assert_eq!(with("/linux", linux(joined, &json!(null), &json!(null))).validate(), Ok(()));
    let overlap = json!([{"containerID": 0, "hostID": 0, "size": 10}, {"containerID": 9, "hostID": 50, "size": 1}]);
    for (linux, pointer, problem) in [
        (linux(json!({"type": "ipc"}), &map, &map), "/linux/uidMappings", "no user namespace"),
        (linux(new.clone(), &json!(null), &map), "/linux/uidMappings", "has no ids"),
        (linux(new.clone(), &map, &json!([])), "/linux/gidMappings", "has no ids"),
        (linux(new.clone(), &map, &overlap), "/linux/gidMappings/1", "shares container ids"),
    ] {
        refused(with("/linux", linux).validate(), pointer, problem);
    }
    let mut document = good();
    document["linux"] = linux(new, &map, &map);
    document["process"]["user"] = json!({"uid": 9, "gid": 9, "additionalGids": [3, 10]});
    let spec = Spec::from_bytes(document.to_string().as_bytes()).unwrap();
    refused(spec.validate(), "/process/user/additionalGids/1", "id 10 does not exist");
}

#[test]
fn seccomp() {
    for (profile, pointer) in [
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}), "/linux/seccomp/defaultErrnoRet"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"}), "/linux/seccomp/listenerMetadata"),
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "/linux/seccomp/listenerPath"),
        (json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/s"}), "/linux/seccomp/defaultAction"),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/s",
                "syscalls": [{"names": ["sendmsg"], "action": "SCMP_ACT_NOTIFY"}]}),
            "/linux/seccomp/syscalls/0/names",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]}),
            "/linux/seccomp/syscalls/0/names",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG", "errnoRet": 1}]}),
            "/linux/seccomp/syscalls/0/errnoRet",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG",
                "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}),
            "/linux/seccomp/syscalls/0/args/0/index",
        ),
    ] {
        let profile = with("/linux/seccomp", profile).linux.unwrap().seccomp_profile().unwrap().unwrap();
        refused(profile.validate(), pointer, "");
    }
}

#[test]
fn intel_rdt() {
    for (property, value, problem) in [
        ("closID", json!("a/b"), "not a name"),
        ("closID", json!(".."), "not a name"),
        ("closID", json!("a\nb"), "not a name"),
        ("memBwSchema", json!("L3:0=f"), "starts with `MB:`"),
        ("memBwSchema", json!("MB:0=10\nMB:1=10"), "a line of its own"),
        ("schemata", json!(["L3:0=f\n"]), "a line of its own"),
    ] {
        let pointer = match property {
            "schemata" => "/linux/intelRdt/schemata/0".to_owned(),
            _ => format!("/linux/intelRdt/{property}"),
        };
        refused(with("/linux/intelRdt", json!({property: value})).validate(), &pointer, problem);
    }
    for rdt in [
        json!({}),
        json!({"closID": "/", "enableMonitoring": true}),
        json!({"closID": "gold", "l3CacheSchema": "L3:0=f\nL3:1=f", "memBwSchema": "MB:0=10", "schemata": ["L2:0=f"]}),
    ] {
        assert_eq!(with("/linux/intelRdt", rdt).validate(), Ok(()));
    }
}
