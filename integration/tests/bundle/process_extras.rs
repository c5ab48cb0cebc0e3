//! When, where and on what memory a process runs: scheduler, I/O priority, CPUs and NUMA nodes, for `create` and `exec`.

use std::fs;
use std::process::Command;

use integration::bundle::Bundle;
use integration::command::{self, Output};
use integration::scene::Scene;
use integration::{cgroup, host, scene};
use serde_json::{Value, json};

use crate::Stage;

const NEWER: &str = "the distribution's runc does not know the property";

pub fn scenes() -> Vec<Scene<Stage>> {
    let one_cpu = std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() < 2);
    let no_numa = !fs::exists("/proc/self/numa_maps").unwrap();
    vec![
        scene!(host_and_domain_name).peer_cannot(NEWER),
        scene!(policy_and_nice_value).peer_cannot(NEWER),
        scene!(real_time_policies_and_flags).peer_cannot(NEWER).skip_if(
            !real_time_is_possible(),
            "the kernel has CONFIG_RT_GROUP_SCHED, for which cgroup v2 has no interface",
        ),
        scene!(deadline_policy).peer_cannot(NEWER),
        scene!(scheduler_that_the_kernel_refuses).peer_cannot(NEWER),
        scene!(io_priority).peer_cannot(NEWER),
        scene!(memory_policy).peer_cannot(NEWER).skip_if(no_numa, "the kernel has no NUMA support"),
        scene!(memory_policy_that_the_kernel_refuses)
            .peer_cannot(NEWER)
            .skip_if(no_numa, "the kernel has no NUMA support"),
        scene!(affinity_of_the_caller_does_not_leak).peer_cannot(NEWER).skip_if(one_cpu, "there is one CPU"),
        scene!(affinity_of_exec).peer_cannot(NEWER).skip_if(one_cpu, "there is one CPU"),
        scene!(affinity_that_cannot_be).peer_cannot(NEWER),
        scene!(apparmor_profile_that_is_not_loaded).peer_cannot("the words are our own").skip_if(
            std::fs::metadata("/sys/kernel/security/apparmor/profiles").is_err(),
            "AppArmor is off, or securityfs is not mounted",
        ),
        scene!(score_and_limits_in_a_user_namespace).peer_cannot("joining a user namespace takes id maps"),
        scene!(score_lowered_and_limits_raised_in_a_user_namespace)
            .skip_if(!host::may_raise_limits(), "the machine's root lacks CAP_SYS_RESOURCE"),
    ]
}

/// Policy, real-time priority and nice value (proc_pid_stat(5), fields 41, 40 and 19).
fn schedule(stat: &str) -> (i32, i32, i32) {
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // The first one behind the name is field 3.
    let [policy, priority, nice] = [41, 40, 19].map(|number: usize| fields[number - 3].parse().unwrap());
    (policy, priority, nice)
}

fn of_init(bundle: &Bundle) -> (i32, i32, i32) {
    schedule(&fs::read_to_string(format!("/proc/{}/stat", bundle.pid())).unwrap())
}

fn of_exec(bundle: &Bundle) -> (i32, i32, i32) {
    schedule(&exec(bundle, &["cat", "/proc/self/stat"]).ok().stdout)
}

#[track_caller]
fn exec(bundle: &Bundle, command: &[&str]) -> Output {
    bundle.call(&[&["exec", &bundle.id], command].concat())
}

/// `exec --process`, the file being the container's process with `extra` properties.
#[track_caller]
fn exec_with(bundle: &Bundle, command: &[&str], extra: Value) -> Output {
    let mut process = bundle.config["process"].clone();
    process["args"] = json!(command);
    process.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let file = bundle.folder.join("process.json");
    fs::write(&file, process.to_string()).unwrap();
    bundle.call(&["exec", "--process", file.to_str().unwrap(), &bundle.id])
}

/// A container that may use real-time policies: kernels with CONFIG_RT_GROUP_SCHED give a new cgroup v1 no time for them,
/// and a nested one no more than its parent has.
fn with_real_time(stage: &Stage) -> Bundle {
    let mut bundle = stage.sleeper();
    if cgroup_has_real_time() {
        bundle.cgroup = format!("/integration-{}-{}", std::process::id(), bundle.id);
        bundle.set("/linux/cgroupsPath", json!(bundle.cgroup));
        bundle.set("/linux/resources/cpu", json!({ "realtimeRuntime": 10_000, "realtimePeriod": 1_000_000 }));
    }
    bundle
}

fn cgroup_has_real_time() -> bool {
    cgroup::directories("/").iter().any(|directory| directory.join("cpu.rt_runtime_us").exists())
}

/// Where the cgroup cannot say so, it is tried in that of the tests.
fn real_time_is_possible() -> bool {
    cgroup_has_real_time() || command::run(Command::new("chrt").args(["-f", "1", "true"])).code == 0
}

fn host_and_domain_name(stage: &Stage) {
    let mut bundle = stage.shell("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname");
    bundle.set("/hostname", json!("box")).set("/domainname", json!("example"));
    bundle.run().ok();
    bundle.says("box\nexample\n");
}

fn policy_and_nice_value(stage: &Stage) {
    for (scheduler, expected) in [
        (json!({ "policy": "SCHED_OTHER", "nice": -5 }), (0, 0, -5)),
        (json!({ "policy": "SCHED_BATCH", "nice": 5 }), (3, 0, 5)),
        (json!({ "policy": "SCHED_IDLE" }), (5, 0, 0)),
    ] {
        let mut bundle = stage.sleeper();
        bundle.set("/process/scheduler", scheduler);
        bundle.set("/process/user", json!({ "uid": 9, "gid": 9 }));
        bundle.start();
        assert_eq!(of_init(&bundle), expected);
        assert_eq!(of_exec(&bundle), expected, "exec is scheduled as the container");
        let own = json!({ "scheduler": { "policy": "SCHED_OTHER", "nice": 3 } });
        let stat = exec_with(&bundle, &["cat", "/proc/self/stat"], own).ok().stdout;
        assert_eq!(schedule(&stat), (0, 0, 3), "exec has a scheduler of its own");
    }
}

fn real_time_policies_and_flags(stage: &Stage) {
    for (policy, number) in [("SCHED_FIFO", 1), ("SCHED_RR", 2)] {
        let mut bundle = with_real_time(stage);
        let flags = ["SCHED_FLAG_RESET_ON_FORK"];
        bundle.set("/process/scheduler", json!({ "policy": policy, "priority": 7, "flags": flags }));
        bundle.start();
        assert_eq!(of_init(&bundle), (number, 7, 0));
        let shown = command::run(Command::new("chrt").args(["-p", &bundle.pid().to_string()])).ok().stdout;
        assert!(shown.contains(&format!("{policy}|SCHED_RESET_ON_FORK")), "{shown}");
        assert_eq!(of_exec(&bundle), (number, 7, 0));
        let child = exec(&bundle, &["sh", "-c", "cat /proc/self/stat; true"]).ok().stdout;
        assert_eq!(schedule(&child), (0, 0, 0), "a child starts anew");
    }
}

fn deadline_policy(stage: &Stage) {
    let mut bundle = with_real_time(stage);
    let scheduler = json!({
        "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 20_000_000, "period": 30_000_000,
        "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"],
    });
    bundle.set("/process/scheduler", scheduler);
    bundle.start();
    assert_eq!(of_init(&bundle), (6, 0, 0));
    let shown = command::run(Command::new("chrt").args(["-p", &bundle.pid().to_string()])).ok().stdout;
    assert!(shown.contains("1000000/20000000/30000000"), "{shown}");
}

fn scheduler_that_the_kernel_refuses(stage: &Stage) {
    let mut bundle = stage.sleeper();
    // Half of what /proc/sys/kernel/sched_deadline_period_min_us is by default.
    let short = json!({ "policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 50_000, "period": 50_000 });
    bundle.set("/process/scheduler", short);
    bundle.create_with(&[]).fails().says("process.scheduler: sched_setattr: invalid argument");
    // It has a number, and no kernel has it.
    bundle.set("/process/scheduler", json!({ "policy": "SCHED_ISO" }));
    bundle.create_with(&[]).fails().says("/process/scheduler/policy: no kernel has an implementation");
    bundle.set("/process/scheduler", json!({ "policy": "SCHED_FIFO", "priority": 100 }));
    bundle.create_with(&[]).fails().says("/process/scheduler/priority: 100 is out of range for SCHED_FIFO");
    bundle.is_gone();
}

fn io_priority(stage: &Stage) {
    for (class, priority, expected) in [
        ("IOPRIO_CLASS_RT", 2, "realtime: prio 2"),
        ("IOPRIO_CLASS_BE", 6, "best-effort: prio 6"),
        ("IOPRIO_CLASS_IDLE", 0, "idle"),
    ] {
        let mut bundle = stage.sleeper();
        bundle.set("/process/ioPriority", json!({ "class": class, "priority": priority }));
        bundle.start();
        let shown = command::run(Command::new("ionice").args(["-p", &bundle.pid().to_string()])).ok().text();
        assert_eq!(shown, expected);
        assert_eq!(exec(&bundle, &["ionice", "-p", "0"]).ok().text(), expected);
        let own = json!({ "ioPriority": { "class": "IOPRIO_CLASS_BE", "priority": 1 } });
        assert_eq!(exec_with(&bundle, &["ionice", "-p", "0"], own).ok().text(), "best-effort: prio 1");
    }
}

/// The policies that the mappings of a process follow (numa(7), "/proc/pid/numa_maps").
fn policies(maps: &str) -> Vec<String> {
    let mut found: Vec<String> = maps.lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    found.sort();
    found.dedup();
    found
}

fn memory_policy(stage: &Stage) {
    for (policy, expected) in [
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }), "bind=static:0"),
        (json!({ "mode": "MPOL_PREFERRED", "nodes": "0" }), "prefer:0"),
        (json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0" }), "interleave:0"),
        (json!({ "mode": "MPOL_LOCAL", "nodes": "" }), "local"),
        (json!({ "mode": "MPOL_DEFAULT" }), "default"),
    ] {
        let mut bundle = stage.sleeper();
        bundle.set("/linux/memoryPolicy", policy);
        bundle.start();
        let maps = fs::read_to_string(format!("/proc/{}/numa_maps", bundle.pid())).unwrap();
        assert_eq!(policies(&maps), [expected]);
        assert_eq!(policies(&exec(&bundle, &["cat", "/proc/self/numa_maps"]).ok().stdout), [expected]);
    }
}

fn memory_policy_that_the_kernel_refuses(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/linux/memoryPolicy", json!({ "mode": "MPOL_BIND", "nodes": "1000" }));
    bundle.create_with(&[]).fails().says("linux.memoryPolicy: set_mempolicy: invalid argument");
    bundle.set("/linux/memoryPolicy", json!({ "mode": "MPOL_BIND", "nodes": "0-x" }));
    bundle.create_with(&[]).fails().says("/linux/memoryPolicy/nodes: `0-x` is not a list like 0-3,7");
    bundle.is_gone();
}

fn cpus(pid: impl std::fmt::Display) -> String {
    host::status_field(pid, "Cpus_allowed_list").unwrap()
}

const CPUS: [&str; 3] = ["sed", "-n", "s/Cpus_allowed_list:\t//p"];

fn affinity_of_the_caller_does_not_leak(stage: &Stage) {
    let bundle = stage.sleeper();
    let all = cpus("self");
    assert_ne!(all, "0");
    bundle.call_after("exec taskset -c 0", &bundle.create_line("create", &[])).ok();
    assert_eq!(cpus(bundle.pid()), all);
    bundle.verb(&["start"]).ok();
    let line = [&["exec", &bundle.id], &CPUS[..], &["/proc/self/status"]].concat();
    bundle.call_after("exec taskset -c 0", &line).ok();
    assert_eq!(bundle.stdout().trim(), all);
}

fn affinity_of_exec(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/process/execCPUAffinity", json!({ "initial": "0", "final": "1" }));
    bundle.start();
    let all = cpus("self");
    assert_eq!(cpus(bundle.pid()), all, "it is not for the first process");
    let command = [&CPUS[..], &["/proc/self/status"]].concat();
    assert_eq!(exec(&bundle, &command).ok().text(), "1");
    for (affinity, expected) in [
        (json!({ "initial": "1", "final": "" }), "1"),
        (json!({ "final": "0-1" }), "0-1"),
        (json!({ "initial": "0,1", "final": "0" }), "0"),
        (json!({}), all.as_str()),
    ] {
        let own = json!({ "execCPUAffinity": affinity });
        assert_eq!(exec_with(&bundle, &command, own).ok().text(), expected, "{affinity}");
    }
    assert_eq!(
        exec_with(&bundle, &command, json!({ "execCPUAffinity": null })).ok().text(),
        "1",
        "as the container has it"
    );
}

fn affinity_that_cannot_be(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    for (affinity, text) in [
        (json!({ "initial": "8000" }), "process.execCPUAffinity.initial: sched_setaffinity: invalid argument"),
        (json!({ "final": "8000" }), "process.execCPUAffinity.final: sched_setaffinity: invalid argument"),
        (json!({ "final": "1-0" }), "/execCPUAffinity/final: `1-0`: the range 1-0 runs backwards"),
    ] {
        exec_with(&bundle, &["true"], json!({ "execCPUAffinity": affinity })).code_is(255).says(text);
    }
}

/// A container in a user namespace of its own, or in the one at `path`.
fn in_user_namespace(stage: &Stage, path: Option<String>) -> Bundle {
    let mut bundle = stage.sleeper();
    let entry = match path {
        Some(path) => json!({ "type": "user", "path": path }),
        None => {
            let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
            bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
            json!({ "type": "user" })
        }
    };
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(entry);
    command::run(Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.in_rootfs(""))).ok();
    // The mapped root must be able to walk down to its root filesystem.
    command::run(Command::new("chmod").arg("a+x").args([&stage.ground.folder, &bundle.folder, &bundle.directory()]))
        .ok();
    bundle
}

/// Score and limit of the first process, and of a further one.
fn scores_and_limits(bundle: &Bundle, limit: &str) -> [(String, Vec<String>); 2] {
    let of = |read: &dyn Fn(&str) -> String| {
        let limits = read("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix(limit)).unwrap();
        (read("oom_score_adj").trim().to_owned(), line.split_whitespace().take(2).map(str::to_owned).collect())
    };
    [
        of(&|file| fs::read_to_string(format!("/proc/{}/{file}", bundle.pid())).unwrap()),
        of(&|file| exec(bundle, &["cat", &format!("/proc/self/{file}")]).ok().stdout),
    ]
}

fn score_and_limits_in_a_user_namespace(stage: &Stage) {
    let mut owner = in_user_namespace(stage, None);
    let path = |owner: &Bundle| format!("/proc/{}/ns/user", owner.pid());
    let asked_for = |bundle: &mut Bundle| {
        bundle.set("/process/oomScoreAdj", json!(321)).set("/process/user", json!({ "uid": 7, "gid": 7 }));
        bundle.set("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 }]));
        bundle.start();
    };
    asked_for(&mut owner);
    let mut guest = in_user_namespace(stage, Some(path(&owner)));
    asked_for(&mut guest);
    for bundle in [&owner, &guest] {
        for (score, limit) in scores_and_limits(bundle, "Max open files") {
            assert_eq!((score.as_str(), limit), ("321", vec!["100".to_owned(), "200".to_owned()]));
        }
    }
}

fn score_lowered_and_limits_raised_in_a_user_namespace(stage: &Stage) {
    let mut bundle = in_user_namespace(stage, None);
    bundle.set("/process/oomScoreAdj", json!(-123));
    bundle.set("/process/rlimits", json!([{ "type": "RLIMIT_CORE", "soft": 4096, "hard": 8192 }]));
    bundle.call_after("ulimit -c 1; exec", &bundle.create_line("create", &[])).ok();
    bundle.verb(&["start"]).ok();
    for (score, limit) in scores_and_limits(&bundle, "Max core file size") {
        assert_eq!((score.as_str(), limit), ("-123", vec!["4096".to_owned(), "8192".to_owned()]));
    }
}

fn apparmor_profile_that_is_not_loaded(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/process/apparmorProfile", json!("nobody-has-loaded-this"));
    bundle
        .create_with(&[])
        .fails()
        .says("/process/apparmorProfile")
        .says("nobody-has-loaded-this")
        .says("apparmor_parser");
    bundle.is_gone();
    bundle.config["process"].as_object_mut().unwrap().remove("apparmorProfile");
    bundle.start();
    let exec = ["exec", "--apparmor", "nobody-has-loaded-this", &bundle.id, "true"];
    bundle.call(&exec).fails().says("is not loaded");
}
