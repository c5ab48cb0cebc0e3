//! Cgroups of this machine: everything a container's cgroup goes through, with real processes in it.
//!
//! Needs root and writable hierarchies; a test that cannot run here says why and passes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr)]

use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cgroups::layout::Unified;
use cgroups::{CgroupPlan, CgroupRecord, Error, JoinHandles, Layout, Manager, Version};
use rustix::process::Signal;
use serde_json::{Value, json};
use trace::Trace;

const LIMIT: Duration = Duration::from_secs(10);

/// Kills and removes whatever the test leaves, with the parent directory: the product leaves that, as other containers may
/// be about to use it.
struct Cleanup(CgroupRecord);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let killed = self.0.kill_all(LIMIT);
        let removed = self.0.remove();
        remove_parents(&self.0);
        if !std::thread::panicking() {
            killed.unwrap();
            removed.unwrap();
        }
    }
}

/// A process of the container; reaped at the end.
struct Process(Child);

impl Process {
    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    fn wait(&mut self) -> std::process::ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        // After a failure it may be frozen, and never end.
        if !std::thread::panicking() {
            let _ = self.0.wait();
        }
    }
}

fn name(test: &str) -> String {
    format!("/lightship-test-{}-{test}/container", std::process::id())
}

fn remove_parents(record: &CgroupRecord) {
    for parent in record.dirs.iter().filter_map(|dir| dir.path.parent()) {
        let _ = std::fs::remove_dir(parent);
    }
}

fn plan(test: &str, resources: Value, layout: &Layout) -> CgroupPlan {
    let linux = json!({"cgroupsPath": name(test), "resources": resources});
    let spec = serde_json::from_value(json!({"ociVersion": "1.3.0", "linux": linux})).unwrap();
    cgroups::plan(&spec, test, layout, Manager::Cgroupfs).unwrap()
}

/// The host's layout if it has v1 with the usual controllers, as the tests of v1 need it.
fn host_with_v1() -> Option<Layout> {
    let layout = Layout::probe().unwrap();
    let has = |name: &&str| layout.v1.iter().any(|h| h.controllers.iter().any(|c| c == name));
    let has_all = ["memory", "cpu", "cpuset", "pids", "devices", "freezer"].iter().all(has);
    if !has_all {
        eprintln!("skipped: this host does not have the v1 controllers");
    }
    has_all.then_some(layout)
}

/// The unified hierarchy alone, without controllers: what a v2 host has for every container.
fn unified_only() -> Option<Layout> {
    let Some(unified) = Layout::probe().unwrap().unified else {
        eprintln!("skipped: this host has no cgroup v2 hierarchy");
        return None;
    };
    Some(Layout { unified: Some(Unified { controllers: Vec::new(), ..unified }), ..Layout::default() })
}

/// Starts a shell that joins through the handles, says so, and then runs `script`.
fn start(handles: &JoinHandles, script: &str) -> Process {
    let fds = format!("/proc/{}/fd", std::process::id());
    let tasks = handles.tasks.iter().map(|fd| format!("{fds}/{}", fd.as_raw_fd()));
    let unified = handles.unified.iter().map(|fd| format!("{fds}/{}/cgroup.procs", fd.as_raw_fd()));
    let join = tasks.chain(unified).map(|file| format!("echo 0 > {file} || exit 99; ")).collect::<String>();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{join} echo joined; {script}")]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "joined\n");
    Process(child)
}

fn read(record: &CgroupRecord, controller: &str, file: &str) -> String {
    let dir = record.v1(controller).unwrap();
    std::fs::read_to_string(dir.join(file)).unwrap().trim().to_owned()
}

fn pids(record: &CgroupRecord) -> Vec<i32> {
    record.processes().unwrap().into_iter().map(|pid| pid.as_raw_nonzero().get()).collect()
}

fn assert_gone(record: &CgroupRecord) {
    for dir in &record.dirs {
        assert!(!dir.path.exists(), "{}", dir.path.display());
    }
}

#[test]
fn life_of_a_container_on_v1() {
    let Some(layout) = host_with_v1() else { return };
    let resources = json!({
        "memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432, "kernel": 16777216},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
        "pids": {"limit": 20},
        "devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
            {"allow": true, "type": "b", "major": 7, "access": "rwm"},
        ],
    });
    let plan = plan("life", resources, &layout);
    let record = plan.record().unwrap();
    assert!(record.dirs.iter().all(|dir| dir.made));
    let cleanup = Cleanup(serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap());
    let record = &cleanup.0;
    plan.create(record, &Trace::default()).unwrap();
    let handles = record.join().unwrap();

    assert_eq!(read(record, "memory", "memory.limit_in_bytes"), "67108864");
    assert_eq!(read(record, "memory", "memory.memsw.limit_in_bytes"), "134217728");
    assert_eq!(read(record, "memory", "memory.soft_limit_in_bytes"), "33554432");
    assert_eq!(read(record, "cpu", "cpu.shares"), "512");
    assert_eq!(read(record, "cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(read(record, "cpuset", "cpuset.cpus"), "0");
    assert_ne!(read(record, "cpuset", "cpuset.mems"), "");
    assert_eq!(read(record, "pids", "pids.max"), "20");
    let devices = read(record, "devices", "devices.list");
    assert_eq!(devices.lines().take(3).collect::<Vec<_>>(), ["c 10:229 rw", "b 7:* rwm", "c *:* m"]);

    let mut process = start(&handles, "exec sleep 1000");
    assert_eq!(pids(record), [process.pid()]);
    let membership = std::fs::read_to_string(format!("/proc/{}/cgroup", process.pid())).unwrap();
    assert!(membership.lines().all(|line| line.ends_with(&name("life"))), "{membership}");

    assert!(!record.is_frozen().unwrap());
    record.freeze().unwrap();
    assert!(record.is_frozen().unwrap());
    assert_eq!(read(record, "freezer", "freezer.state"), "FROZEN");
    record.thaw().unwrap();
    assert!(!record.is_frozen().unwrap());

    let stats = record.stats().unwrap();
    assert_eq!((stats.pids.current, stats.pids.limit), (1, 20));
    assert_eq!(stats.memory.usage.limit, 67108864);
    assert!(stats.memory.usage.usage > 0 && stats.memory.raw.contains_key("rss"));
    assert!(stats.cpu.usage.total > 0 && !stats.cpu.usage.percpu.is_empty());
    assert_eq!(stats.cpuset.cpus, [0]);

    // A paused container can be killed too.
    record.freeze().unwrap();
    record.kill_all(LIMIT).unwrap();
    assert_eq!(process.wait().signal(), Some(9));
    record.remove().unwrap();
    assert_gone(record);
    record.kill_all(LIMIT).unwrap();
    record.remove().unwrap();
    assert!(record.stats().is_err());
}

#[test]
fn updates_go_both_ways() {
    let Some(layout) = host_with_v1() else { return };
    let plan = plan("update", json!({"memory": {"limit": 33554432, "swap": 33554432}}), &layout);
    let cleanup = Cleanup(plan.record().unwrap());
    let record = &cleanup.0;
    plan.create(record, &Trace::default()).unwrap();
    let handles = record.join().unwrap();
    let _process = start(&handles, "exec sleep 1000");
    let update = |resources: Value| record.update(&serde_json::from_value(resources).unwrap());

    update(json!({"memory": {"limit": 67108864, "swap": 134217728, "reservation": 0}, "cpu": {"quota": 0}})).unwrap();
    assert_eq!(read(record, "memory", "memory.limit_in_bytes"), "67108864");
    assert_eq!(read(record, "memory", "memory.memsw.limit_in_bytes"), "134217728");
    update(json!({"memory": {"limit": 16777216, "swap": 16777216}})).unwrap();
    assert_eq!(read(record, "memory", "memory.memsw.limit_in_bytes"), "16777216");
    update(json!({"memory": {"limit": -1}})).unwrap();
    assert!(read(record, "memory", "memory.memsw.limit_in_bytes").len() > 12);

    update(json!({"cpu": {"quota": 20000, "period": 50000, "burst": 20000}, "pids": {"limit": 5}})).unwrap();
    update(json!({"cpu": {"quota": 10000, "burst": 5000}})).unwrap();
    assert_eq!(read(record, "cpu", "cpu.cfs_quota_us"), "10000");
    assert_eq!(read(record, "cpu", "cpu.cfs_burst_us"), "5000");
    assert_eq!(read(record, "cpu", "cpu.cfs_period_us"), "50000");
    update(json!({"pids": {}})).unwrap();
    assert_eq!(read(record, "pids", "pids.max"), "5");
    update(json!({"pids": {"limit": -1}})).unwrap();
    assert_eq!(read(record, "pids", "pids.max"), "max");

    let error = update(json!({"memory": {"limit": 4096, "checkBeforeUpdate": true}})).unwrap_err();
    assert!(matches!(error, Error::BelowUsage { wanted: 4096, .. }), "{error}");
    let error = update(json!({"cpu": {"cpus": "9000"}})).unwrap_err().to_string();
    assert!(error.starts_with("/linux/resources/cpu/cpus: cannot set /sys/fs/cgroup/"), "{error}");
    let error = update(json!({"unified": {"nothing.max": "1"}})).unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
}

/// The record of a plan whose directories are gone again.
fn plan_record(plan: &CgroupPlan) -> CgroupRecord {
    CgroupRecord { dirs: plan.dirs.clone(), unit: None }
}

#[test]
fn a_failed_create_leaves_nothing() {
    let Some(layout) = host_with_v1() else { return };
    let plan = plan("failed", json!({"cpu": {"cpus": "9000"}}), &layout);
    let cleanup = Cleanup(plan.record().unwrap());
    let error = plan.create(&cleanup.0, &Trace::default()).unwrap_err();
    assert!(matches!(&error, Error::Limit { pointer, .. } if pointer == "/linux/resources/cpu/cpus"), "{error}");
    assert_gone(&cleanup.0);
}

#[test]
fn an_existing_cgroup_is_used_if_idle_and_never_removed() {
    let Some(layout) = unified_only() else { return };
    let plan = plan("existing", json!({"devices": [{"allow": true}]}), &layout);
    let path = plan.dirs[0].path.clone();
    std::fs::create_dir_all(&path).unwrap();
    let mut made = plan_record(&plan);
    made.dirs[0].made = true;
    let cleanup = Cleanup(made);

    let record = plan.record().unwrap();
    assert!(!record.dirs[0].made);
    plan.create(&record, &Trace::default()).unwrap();
    let handles = record.join().unwrap();
    let process = start(&handles, "exec sleep 1000");
    let error = plan.record().unwrap_err().to_string();
    assert!(error.contains("container's cgroup is not empty: 1 process(es) found"), "{error}");
    record.kill_all(LIMIT).unwrap();
    drop(process);

    record.freeze().unwrap();
    assert!(matches!(plan.record().unwrap_err(), Error::Frozen { .. }));
    record.thaw().unwrap();
    record.remove().unwrap();
    assert!(path.exists());
    drop(cleanup);
    assert!(!path.exists());
}

#[test]
fn a_directory_that_appears_meanwhile_is_left_alone() {
    let Some(layout) = unified_only() else { return };
    let plan = plan("taken", json!({}), &layout);
    let record = plan.record().unwrap();
    std::fs::create_dir_all(&plan.dirs[0].path).unwrap();
    let error = plan.create(&record, &Trace::default()).unwrap_err();
    assert!(matches!(error, Error::Taken { .. }), "{error}");
    assert!(plan.dirs[0].path.exists());
    std::fs::remove_dir(&plan.dirs[0].path).unwrap();
    remove_parents(&record);
}

#[test]
fn life_of_a_container_on_v2() {
    let Some(layout) = unified_only() else { return };
    let plan = plan("unified", json!({"devices": [{"allow": false}]}), &layout);
    let cleanup = Cleanup(plan.record().unwrap());
    let record = &cleanup.0;
    plan.create(record, &Trace::default()).unwrap();
    let handles = record.join().unwrap();
    let filters = sys::bpf::attached(sys::bpf::Hook::Device, handles.unified.as_ref().unwrap()).unwrap();
    assert_eq!(filters.len(), 1);

    // A process of the container makes a cgroup below its own and another process in it.
    let below = record.unified().unwrap().join("below");
    let script = format!("mkdir {0}; sh -c 'echo 0 > {0}/cgroup.procs; exec sleep 1000' & wait", below.display());
    let mut process = start(&record.join().unwrap(), &script);
    while pids(record).len() < 2 || std::fs::read_to_string(below.join("cgroup.procs")).unwrap_or_default().is_empty() {
        std::thread::yield_now();
    }

    record.freeze().unwrap();
    assert!(record.is_frozen().unwrap());
    let events = std::fs::read_to_string(record.unified().unwrap().join("cgroup.events")).unwrap();
    assert!(events.contains("frozen 1"));
    record.thaw().unwrap();
    assert!(!record.is_frozen().unwrap());

    assert_eq!(record.signal_all(Signal::WINCH).unwrap(), 2);
    assert_eq!(pids(record).len(), 2);
    record.stats().unwrap();

    record.kill_all(LIMIT).unwrap();
    assert_eq!(process.wait().signal(), Some(9));
    assert_eq!(pids(record), [0; 0]);
    record.remove().unwrap();
    assert_gone(record);
}

#[test]
fn the_device_filter_refuses_what_no_rule_allows() {
    let Some(layout) = unified_only() else { return };
    // Two devices of the kernel that everybody may open by their file modes when root.
    let (denied, allowed) = ("/dev/kmsg", "/dev/null");
    if std::fs::File::open(denied).is_err() {
        eprintln!("skipped: {denied} cannot be opened here at all");
        return;
    }
    let plan = plan("devices", json!({"devices": [{"allow": false, "access": "rwm"}]}), &layout);
    let cleanup = Cleanup(plan.record().unwrap());
    plan.create(&cleanup.0, &Trace::default()).unwrap();
    let handles = cleanup.0.join().unwrap();
    let script = format!("(: < {allowed}) && (: > {allowed}) || exit 1; (: < {denied}) 2>/dev/null && exit 2; exit 0");
    assert_eq!(start(&handles, &script).wait().code(), Some(0));
    // Nodes may be made of every device, by the default rules.
    let nodes = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nodes-{}", std::process::id()));
    std::fs::create_dir_all(&nodes).unwrap();
    let script = format!("mknod {0}/block b 7 0 && mknod {0}/char c 1 11", nodes.display());
    let code = start(&handles, &script).wait().code();
    std::fs::remove_dir_all(&nodes).unwrap();
    assert_eq!(code, Some(0));

    let open = Command::new("/bin/sh").args(["-c", &format!(": < {denied}")]).status().unwrap();
    assert!(open.success(), "outside of the container it stays open");
}

#[test]
fn killing_without_cgroup_kill() {
    let Some(mut layout) = host_with_v1() else { return };
    layout.unified = None;
    let plan = plan("v1kill", json!({}), &layout);
    let cleanup = Cleanup(plan.record().unwrap());
    let record = &cleanup.0;
    plan.create(record, &Trace::default()).unwrap();
    let handles = record.join().unwrap();
    assert!(handles.unified.is_none());
    // It forks all the time.
    let mut process = start(&handles, "sleep 1000 & while :; do (:); done");
    assert!(record.signal_all(Signal::WINCH).unwrap() >= 1);
    record.kill_all(LIMIT).unwrap();
    assert_eq!(process.wait().signal(), Some(9));
    record.remove().unwrap();
    assert_gone(record);
}

#[test]
fn removal_waits_for_processes_that_are_leaving() {
    let Some(layout) = unified_only() else { return };
    let plan = plan("leaving", json!({}), &layout);
    let cleanup = Cleanup(plan.record().unwrap());
    plan.create(&cleanup.0, &Trace::default()).unwrap();
    let handles = cleanup.0.join().unwrap();
    let mut process = start(&handles, "sleep 0.3");
    cleanup.0.remove().unwrap();
    assert!(process.wait().success());
    assert_gone(&cleanup.0);
}

#[test]
fn a_controller_that_cannot_be_enabled_is_named() {
    let Some(mut layout) = unified_only() else { return };
    // A hierarchy whose topmost cgroup passes nothing on, as in a container that was given no controllers.
    let mount = PathBuf::from(format!("/sys/fs/cgroup/unified{}", name("mount")));
    if !Path::new("/sys/fs/cgroup/unified").exists() {
        eprintln!("skipped: not a hybrid host");
        return;
    }
    std::fs::create_dir_all(&mount).unwrap();
    layout.unified = Some(Unified { mount: mount.clone(), controllers: vec!["memory".into()] });
    let plan = plan("limited", json!({"memory": {"limit": 4096}}), &layout);
    let error = plan.create(&plan.record().unwrap(), &Trace::default()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("/linux/resources/memory/limit: cgroup controller \"memory\" cannot be enabled"),
        "{text}"
    );
    assert!(!text.to_lowercase().contains("no such file"));
    assert_eq!(plan.dirs[0].version, Version::V2);
    std::fs::remove_dir(mount.join(name("limited").trim_start_matches('/')).parent().unwrap()).ok();
    std::fs::remove_dir(&mount).unwrap();
    std::fs::remove_dir(mount.parent().unwrap()).ok();
}

#[test]
fn without_a_cgroup_there_is_nothing_to_do() {
    let spec = serde_json::from_value(json!({"ociVersion": "1.3.0"})).unwrap();
    let plan = cgroups::plan(&spec, "none", &Layout::default(), Manager::Disabled).unwrap();
    let record = plan.record().unwrap();
    plan.create(&record, &Trace::default()).unwrap();
    let handles = record.join().unwrap();
    assert!(handles.tasks.is_empty() && handles.unified.is_none());
    record.kill_all(LIMIT).unwrap();
    record.remove().unwrap();
    assert!(!record.is_frozen().unwrap());
    assert!(record.freeze().is_err() && record.update(&spec::Resources::default()).is_err());
}

#[test]
fn a_free_controller_of_a_hybrid_host_is_used() {
    let layout = Layout::probe().unwrap();
    let Some(unified) = layout.unified.as_ref().filter(|u| u.controllers.iter().any(|c| c == "hugetlb")) else {
        eprintln!("skipped: hugetlb is not free for cgroup v2 here");
        return;
    };
    let control = unified.mount.join("cgroup.subtree_control");
    let was_enabled = std::fs::read_to_string(&control).unwrap().contains("hugetlb");
    let plan = plan("hugetlb", json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}), &layout);
    let cleanup = Cleanup(plan.record().unwrap());
    plan.create(&cleanup.0, &Trace::default()).unwrap();
    let dir = cleanup.0.unified().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(dir.join("hugetlb.2MB.max")).unwrap(), "4194304\n");
    let update = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}]});
    cleanup.0.update(&serde_json::from_value(update).unwrap()).unwrap();
    assert_eq!(std::fs::read_to_string(dir.join("hugetlb.2MB.max")).unwrap(), "2097152\n");
    assert!(cleanup.0.stats().unwrap().hugetlb.contains_key("2MB"));
    drop(cleanup);
    if !was_enabled {
        rustix::fs::open(&control, rustix::fs::OFlags::WRONLY, rustix::fs::Mode::empty())
            .and_then(|fd| rustix::io::write(fd, b"-hugetlb"))
            .unwrap();
    }
}

#[test]
fn a_delegated_cgroup_belongs_to_the_container() {
    use std::os::unix::fs::MetadataExt;
    let Some(layout) = unified_only() else { return };
    let plan = plan("delegated", json!({}), &layout);
    let cleanup = Cleanup(plan.record().unwrap());
    plan.create(&cleanup.0, &Trace::default()).unwrap();
    cleanup.0.delegate(100_000).unwrap();
    let dir = cleanup.0.unified().unwrap();
    let owner = |file: &str| std::fs::metadata(dir.join(file)).unwrap().uid();
    assert_eq!((owner("."), owner("cgroup.procs"), owner("cgroup.max.depth")), (100_000, 100_000, 0));
}
