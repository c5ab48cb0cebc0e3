//! `podman run`: streams, exit codes, and what a container is given.

use integration::scene;
use integration::scene::Scene;
use integration::{cgroup, command, host};
use serde_json::Value;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(streams_and_exit_code),
        scene!(standard_input),
        scene!(terminal),
        scene!(command_that_cannot_be_run),
        scene!(process_settings),
        scene!(mounts_and_a_read_only_root),
        scene!(privileged).peer_cannot_if(!host::may_raise_limits(), "runc 1.1 fails on a missing capability"),
        scene!(init_is_podmans),
        scene!(host_network),
        scene!(network_none),
        scene!(network_of_another),
        scene!(annotations_reach_the_runtime),
        scene!(memory_limit).needs_controllers(&["memory"]),
        scene!(cgroup_without_the_monitor),
        scene!(no_cgroup).peer_cannot("only crun has this mode"),
    ]
}

fn streams_and_exit_code(stage: &Stage) {
    let output = stage.podman.run(&["--network", "none"], &["sh", "-c", "echo out; echo err >&2; exit 7"]).code_is(7);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
}

fn standard_input(stage: &Stage) {
    let line = ["run", "--rm", "-i", "--network", "none", "--cgroup-parent", &stage.ground.cgroup];
    let mut command = stage.podman.command("podman", &[&line[..], &["busybox", "cat"]].concat());
    assert_eq!(command::run_with_input(&mut command, "from outside\n").ok().stdout, "from outside\n");
}

fn terminal(stage: &Stage) {
    let output = stage.podman.run(&["-t", "--network", "none"], &["sh", "-c", "test -t 1 && stty size && tty"]).ok();
    assert_eq!(output.lines().last().unwrap().trim(), "/dev/pts/0");
}

fn command_that_cannot_be_run(stage: &Stage) {
    let run = |program| stage.podman.run(&["--network", "none"], &[program]);
    run("nosuch").code_is(127).says("executable file not found");
    run("/no/such").code_is(127).says("no such file or directory");
    run("/etc/passwd").code_is(126).says("permission denied");
}

fn process_settings(stage: &Stage) {
    let flags = ["--network", "none", "-u", "1000:50", "-w", "/home", "-e", "WHO=me", "--hostname", "named"];
    let more = ["--cap-drop", "all", "--security-opt", "no-new-privileges"];
    let line = "id -u; id -g; pwd; echo $WHO; hostname; grep -E 'CapBnd|NoNewPrivs' /proc/self/status";
    let output = stage.podman.run(&[&flags[..], &more].concat(), &["sh", "-c", line]).ok();
    let expected = "1000\n50\n/home\nme\nnamed\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n";
    assert_eq!(output.stdout, expected);
}

fn mounts_and_a_read_only_root(stage: &Stage) {
    let shared = stage.ground.folder.join("shared");
    std::fs::create_dir_all(&shared).unwrap();
    let (volume, tmpfs) = (format!("{}:/mnt", shared.display()), "/scratch:size=1m");
    let line = "echo kept >/mnt/file; echo gone >/scratch/file; echo refused >/file";
    let flags = ["--network", "none", "--read-only", "-v", &volume, "--tmpfs", tmpfs];
    stage.podman.run(&flags, &["sh", "-c", line]).code_is(1).says("Read-only file system");
    assert_eq!(std::fs::read_to_string(shared.join("file")).unwrap(), "kept\n");
}

fn privileged(stage: &Stage) {
    let line = "grep CapEff /proc/self/status; ls /dev/loop-control";
    let output = stage.podman.run(&["--network", "none", "--privileged"], &["sh", "-c", line]);
    let ours = host::status_field("self", "CapEff").unwrap();
    assert_eq!(output.lines()[0], format!("CapEff:\t{ours}"));
}

fn init_is_podmans(stage: &Stage) {
    let output = stage.podman.run(&["--network", "none", "--init"], &["cat", "/proc/1/comm"]).ok();
    assert_eq!(output.text(), "podman-init");
}

fn host_network(stage: &Stage) {
    let container = stage.podman.start(&["--network", "host"], &["sleep", "1000"]);
    assert_eq!(host::namespace(container.pid(), "net"), host::namespace("self", "net"));
    assert_ne!(host::namespace(container.pid(), "mnt"), host::namespace("self", "mnt"));
}

fn network_none(stage: &Stage) {
    let output = stage.podman.run(&["--network", "none"], &["ls", "/sys/class/net"]).ok();
    assert_eq!(output.text(), "lo");
}

fn network_of_another(stage: &Stage) {
    let first = stage.podman.start(&["--network", "none"], &["sleep", "1000"]);
    let network = format!("container:{}", first.name);
    let second = stage.podman.start(&["--network", &network], &["sleep", "1000"]);
    assert_eq!(host::namespace(first.pid(), "net"), host::namespace(second.pid(), "net"));
}

fn annotations_reach_the_runtime(stage: &Stage) {
    let container =
        stage.podman.start(&["--network", "none", "--annotation", "com.example.key=value"], &["sleep", "1000"]);
    let id = container.inspect("/Id").as_str().unwrap().to_owned();
    let state = command::run(std::process::Command::new(&stage.runtime.path).args(["state", &id])).ok().stdout;
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["annotations"]["com.example.key"], "value");
}

fn memory_limit(stage: &Stage) {
    let container = stage.podman.start(&["--network", "none", "-m", "64m"], &["sleep", "1000"]);
    let limit = || cgroup::value(container.pid(), "memory", "memory.limit_in_bytes", "memory.max");
    assert_eq!(limit(), "67108864");
    container.verb(&["update", "-m", "32m", "--memory-swap", "32m"]).ok();
    assert_eq!(limit(), "33554432");
}

fn cgroup_without_the_monitor(stage: &Stage) {
    let container = stage.podman.start(&["--network", "none", "--cgroups", "no-conmon"], &["sleep", "1000"]);
    let pid = container.pid();
    let cgroups = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let monitor = cgroups(&host::status_field(pid, "PPid").unwrap());
    assert!(
        cgroups(&pid.to_string()).contains(&stage.ground.cgroup) && !monitor.contains(&stage.ground.cgroup),
        "{monitor}"
    );
}

fn no_cgroup(stage: &Stage) {
    let line = ["run", "--rm", "--network", "none", "--cgroups", "disabled", "busybox", "cat", "/proc/self/cgroup"];
    let inside = stage.podman.call(&line).ok().text();
    assert!(!inside.contains("libpod"), "{inside}");
}
