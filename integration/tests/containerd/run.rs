//! `ctr run`: streams, exit codes, and what a container is given. Its root is a mount that the shim makes.

use integration::scene;
use integration::scene::Scene;
use integration::{cgroup, command, host, image};
use serde_json::Value;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(streams_and_exit_code),
        scene!(command_that_cannot_be_run),
        scene!(process_settings),
        scene!(read_only_root_and_a_mount),
        scene!(a_root_of_ones_own),
        scene!(host_network),
        scene!(joined_namespace),
        scene!(seccomp_profile),
        scene!(memory_limit).needs_controllers(&["memory"]),
        scene!(annotations_reach_the_runtime),
        scene!(the_shim_has_the_runtime),
    ]
}

fn streams_and_exit_code(stage: &Stage) {
    let output = stage.containerd.run(&[], &["sh", "-c", "echo out; echo err >&2; exit 7"]).code_is(7);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
}

fn command_that_cannot_be_run(stage: &Stage) {
    stage.containerd.run(&[], &["nosuch"]).fails().says("exec: \"nosuch\": executable file not found in $PATH");
    stage.containerd.run(&[], &["/etc/passwd"]).fails().says("permission denied");
}

fn process_settings(stage: &Stage) {
    let flags = ["--cwd", "/home", "--env", "WHO=me", "--cap-drop", "CAP_CHOWN"];
    let line = "pwd; echo $WHO; hostname; grep -E 'CapBnd|NoNewPrivs' /proc/self/status";
    let lines = stage.containerd.run(&flags, &["sh", "-c", line]).ok().lines();
    let capabilities = u64::from_str_radix(lines[3].trim_start_matches("CapBnd:").trim(), 16).unwrap();
    assert_eq!((lines[0].as_str(), lines[1].as_str(), lines[4].as_str()), ("/home", "me", "NoNewPrivs:\t1"));
    assert_eq!(capabilities & 1, 0, "CAP_CHOWN is still there");
}

fn read_only_root_and_a_mount(stage: &Stage) {
    let shared = stage.ground.folder.join("shared");
    std::fs::create_dir_all(&shared).unwrap();
    let mount = format!("type=bind,src={},dst=/mnt,options=rbind:rw", shared.display());
    let line = "echo kept >/mnt/file; echo refused >/file";
    let flags = ["--read-only", "--mount", &mount];
    stage.containerd.run(&flags, &["sh", "-c", line]).code_is(1).says("Read-only file system");
    assert_eq!(std::fs::read_to_string(shared.join("file")).unwrap(), "kept\n");
}

fn a_root_of_ones_own(stage: &Stage) {
    let root = stage.ground.folder.join("rootfs");
    image::busybox_tree(&root);
    let (binary, cgroup) = (stage.runtime.path.to_str().unwrap(), format!("{}/own", stage.ground.cgroup));
    let line = ["run", "--rm", "--runc-binary", binary, "--cgroup", &cgroup, "--rootfs", root.to_str().unwrap(), "own"];
    assert_eq!(stage.containerd.ctr(&[&line[..], &["/bin/echo", "inside"]].concat()).ok().text(), "inside");
}

fn host_network(stage: &Stage) {
    let task = stage.containerd.start_detached(&["--net-host"], &["sleep", "1000"]);
    assert_eq!(host::namespace(task.pid(), "net"), host::namespace("self", "net"));
    assert_ne!(host::namespace(task.pid(), "mnt"), host::namespace("self", "mnt"));
}

fn joined_namespace(stage: &Stage) {
    let first = stage.containerd.start_detached(&[], &["sleep", "1000"]);
    let namespace = format!("network:/proc/{}/ns/net", first.pid());
    let second = stage.containerd.start_detached(&["--with-ns", &namespace], &["sleep", "1000"]);
    assert_eq!(host::namespace(first.pid(), "net"), host::namespace(second.pid(), "net"));
}

fn seccomp_profile(stage: &Stage) {
    let output =
        stage.containerd.run(&["--seccomp"], &["sh", "-c", "grep Seccomp: /proc/self/status; unshare -U true"]);
    assert_eq!(output.fails().lines(), ["Seccomp:\t2"]);
}

fn memory_limit(stage: &Stage) {
    let task = stage.containerd.start_detached(&["--memory-limit", "67108864"], &["sleep", "1000"]);
    assert_eq!(cgroup::value(task.pid(), "memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    assert!(task.verb(&["metrics"], &[]).ok().stdout.contains("memory"));
}

fn annotations_reach_the_runtime(stage: &Stage) {
    let task = stage.containerd.start_detached(&["--annotation", "com.example.key=value"], &["sleep", "1000"]);
    let root = stage.containerd.folder.join("runc/scenes");
    let mut state = std::process::Command::new(&stage.runtime.path);
    let state = command::run(state.arg("--root").arg(root).args(["state", &task.name])).ok().stdout;
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["annotations"]["com.example.key"], "value");
}

fn the_shim_has_the_runtime(stage: &Stage) {
    let task = stage.containerd.start_detached(&[], &["sleep", "1000"]);
    let options = std::fs::read(task.bundle().join("options.json")).unwrap();
    let options: Value = serde_json::from_slice(&options).unwrap();
    assert_eq!(options["binary_name"], stage.runtime.path.to_str().unwrap());
}
