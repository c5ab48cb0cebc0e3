//! Limits: set by `docker run`, changed by `docker update`, seen in the cgroup and felt by the container.

use integration::cgroup::{self, value};
use integration::container::Container;
use integration::image::BUSYBOX;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{host, leftover};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(memory).needs_controllers(&["memory"]),
        scene!(memory_is_felt).needs_controllers(&["memory"]),
        scene!(cpus_and_shares).needs_controllers(&["cpu"]),
        scene!(cpuset).needs_controllers(&["cpuset"]),
        scene!(pids_limit_is_felt).needs_controllers(&["pids"]),
        scene!(ulimits),
        scene!(ulimit_above_the_hosts).skip_if(!host::may_raise_limits(), "no CAP_SYS_RESOURCE to raise a limit"),
        scene!(sysctls),
        scene!(oom_score),
        scene!(cgroup_parent),
        scene!(update_changes_only_what_it_names).needs_controllers(&["memory", "pids", "cpu"]),
        scene!(stats_tell_memory_and_processes).needs_controllers(&["memory", "pids"]),
        scene!(cgroups_are_removed_with_the_container),
    ]
}

const MIB: u64 = 1 << 20;

fn sleeper(stage: &Stage, flags: &[&str]) -> Container {
    let container = stage.docker.container("limited");
    container.start_detached(&[&["--network", "none"], flags, &[BUSYBOX, "sleep", "1000"]].concat());
    container
}

fn memory(stage: &Stage) {
    let container = sleeper(stage, &["--memory", "64m", "--memory-reservation", "32m"]);
    let read = |v1, v2| value(container.pid(), "memory", v1, v2);
    assert_eq!(read("memory.limit_in_bytes", "memory.max"), (64 * MIB).to_string());
    assert_eq!(read("memory.soft_limit_in_bytes", "memory.low"), (32 * MIB).to_string());
}

fn memory_is_felt(stage: &Stage) {
    let container = stage.docker.container("greedy");
    // /dev/shm is memory of the cgroup: the file outgrows the limit, and the kernel kills a process of the container.
    let line = "dd if=/dev/zero of=/dev/shm/x bs=1M count=60";
    let flags = ["--network", "none", "--memory", "16m", "--memory-swap", "16m", "--shm-size", "64m"];
    container.run(&[&flags[..], &[BUSYBOX, "sh", "-c", line]].concat()).code_is(137);
}

fn cpus_and_shares(stage: &Stage) {
    let container = sleeper(stage, &["--cpus", "0.5", "--cpu-shares", "512"]);
    let pid = container.pid();
    if cgroup::directory_of(pid, "cpu").join("cpu.max").exists() {
        assert_eq!(value(pid, "cpu", "cpu.max", "cpu.max"), "50000 100000");
    } else {
        assert_eq!(value(pid, "cpu", "cpu.cfs_quota_us", ""), "50000");
        assert_eq!(value(pid, "cpu", "cpu.cfs_period_us", ""), "100000");
        assert_eq!(value(pid, "cpu", "cpu.shares", ""), "512");
    }
}

fn cpuset(stage: &Stage) {
    let container = sleeper(stage, &["--cpuset-cpus", "0", "--cpuset-mems", "0"]);
    assert_eq!(value(container.pid(), "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(host::status_field(container.pid(), "Cpus_allowed_list").unwrap(), "0");
}

fn pids_limit_is_felt(stage: &Stage) {
    // Enough for the threads of a runtime that is written in Go.
    let container = sleeper(stage, &["--pids-limit", "40"]);
    assert_eq!(value(container.pid(), "pids", "pids.max", "pids.max"), "40");
    let output = container.exec_with(&[], &["sh", "-c", "for i in $(seq 41); do sleep 100 & done"]);
    assert!(output.stderr.contains("can't fork"), "{output}");
}

fn ulimits(stage: &Stage) {
    let flags = ["--network", "none", "--ulimit", "nofile=100:200", "--ulimit", "core=0"];
    let container = stage.docker.container("ulimit");
    let seen = container.run(&[&flags[..], &[BUSYBOX, "sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c"]].concat());
    assert_eq!(seen.ok().text(), "100\n200\n0");
}

fn ulimit_above_the_hosts(stage: &Stage) {
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap();
    let raised = (hard + 1000).to_string();
    let container = stage.docker.container("raised");
    let flags = ["--network", "none", "--ulimit", &format!("nofile={raised}"), BUSYBOX, "sh", "-c", "ulimit -n"];
    assert_eq!(container.run(&flags).ok().text(), raised);
}

fn sysctls(stage: &Stage) {
    let flags = ["--sysctl", "net.ipv4.ip_default_ttl=77", "--sysctl", "kernel.shmmax=123456"];
    let container = sleeper(stage, &flags);
    assert_eq!(container.exec(&["cat", "/proc/sys/net/ipv4/ip_default_ttl"]), "77");
    assert_eq!(container.exec(&["cat", "/proc/sys/kernel/shmmax"]), "123456");
    let own = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
    assert_ne!(own.trim(), "77", "the host's own sysctl was changed");
    stage.docker.container("nosysctl").run(&["--sysctl", "net.nosuch.x=1", BUSYBOX, "true"]).fails();
}

fn oom_score(stage: &Stage) {
    let container = sleeper(stage, &["--oom-score-adj", "321"]);
    assert_eq!(container.exec(&["cat", "/proc/1/oom_score_adj"]), "321");
    let container = sleeper(stage, &[]);
    // Docker always sends 0, also where it may not be lowered again from the shim's own score.
    let score: i32 = container.exec(&["cat", "/proc/1/oom_score_adj"]).parse().unwrap();
    assert!(score == 0 || !host::may_raise_limits(), "{score}");
}

fn cgroup_parent(stage: &Stage) {
    let parent = format!("{}/custom", stage.ground.cgroup);
    let container = sleeper(stage, &["--cgroup-parent", &parent]);
    let members = leftover::members(&format!("{parent}/{}", container.id()));
    assert_eq!(members, [container.pid()]);
    let memory = cgroup::directory_of(container.pid(), "memory");
    assert!(memory.ends_with(format!("{parent}/{}", container.id()).trim_start_matches('/')), "{}", memory.display());
}

fn update_changes_only_what_it_names(stage: &Stage) {
    let container = sleeper(stage, &["--memory", "64m", "--memory-swap", "128m", "--pids-limit", "50"]);
    let update = |flags: &[&str]| stage.docker.call(&[&["update"], flags, &[&container.name]].concat()).ok();
    let read = |controller, v1, v2| value(container.pid(), controller, v1, v2);
    update(&["--memory", "96m"]);
    assert_eq!(read("memory", "memory.limit_in_bytes", "memory.max"), (96 * MIB).to_string());
    assert_eq!(read("pids", "pids.max", "pids.max"), "50");
    update(&["--pids-limit", "60"]);
    assert_eq!(read("pids", "pids.max", "pids.max"), "60");
    assert_eq!(read("memory", "memory.limit_in_bytes", "memory.max"), (96 * MIB).to_string());
    update(&["--cpus", "0.25"]);
    let quota = read("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota.split(' ').next().unwrap(), "25000");
    update(&["--memory", "256m", "--memory-swap", "512m"]);
    assert_eq!(read("memory", "memory.limit_in_bytes", "memory.max"), (256 * MIB).to_string());
    stage.docker.call(&["update", "--memory", "1", &container.name]).fails();
}

fn stats_tell_memory_and_processes(stage: &Stage) {
    let container = sleeper(stage, &["--memory", "64m"]);
    let format = "{{.MemUsage}} {{.PIDs}}";
    let stats = container.verb(&["stats", "--no-stream", "--format", format]).ok().text();
    assert!(stats.contains("/ 64MiB") && stats.ends_with(" 1") && !stats.starts_with("0B"), "{stats}");
}

fn cgroups_are_removed_with_the_container(stage: &Stage) {
    let container = sleeper(stage, &[]);
    let path = format!("{}/{}", stage.ground.cgroup, container.id());
    assert!(!cgroup::directories(&path).is_empty());
    container.verb(&["rm", "-f"]).ok();
    eventually(PATIENCE, "the cgroups to be removed", || cgroup::directories(&path).is_empty().then_some(()));
}
