//! Containers of a pod: their life, what they are given, and what is measured.

use std::process::Command;

use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, command, host};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{Stage, pods};

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(from_created_to_removed),
        scene!(log_and_exit_code),
        scene!(command_that_cannot_be_run),
        scene!(stop_asks_first_and_kills_later),
        scene!(a_killed_container_has_ended),
        scene!(process_settings),
        scene!(capabilities),
        scene!(the_default_seccomp_profile),
        scene!(masked_and_read_only_paths),
        scene!(privileged),
        scene!(mounts),
        scene!(a_mount_read_only_to_its_depth).skip_if(pods::containerd_is_1(), "containerd is older than 2"),
        scene!(a_device),
        scene!(a_checkpoint_is_an_archive)
            .skip_if(pods::containerd_is_1(), "containerd is older than 2")
            .skip_if(!host::has_working_criu(), "no criu in PATH that passes its own check"),
        scene!(limits_and_their_update).needs_controllers(&["memory", "cpu", "cpuset"]),
        scene!(statistics).needs_controllers(&["memory"]),
    ]
}

fn from_created_to_removed(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.create(&json!({}), &["sleep", "1000"]);
    assert_eq!(container.state(), "CONTAINER_CREATED");
    container.call("StartContainer", &json!({}));
    assert_eq!(container.state(), "CONTAINER_RUNNING");
    container.try_call("StartContainer", &json!({})).fails();
    container.call("StopContainer", &json!({}));
    assert_eq!(container.wait(), 137);
    container.call("RemoveContainer", &json!({}));
    container.try_call("ContainerStatus", &json!({})).fails().says("NotFound");
    container.call("RemoveContainer", &json!({}));
}

fn log_and_exit_code(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(container.wait(), 7);
    container.log_shows(" stdout F out\n");
    container.log_shows(" stderr F err\n");
    assert_eq!(container.status()["status"]["reason"], "Error");
}

fn command_that_cannot_be_run(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.create(&json!({}), &["nosuch"]);
    let answer = container.try_call("StartContainer", &json!({})).fails();
    assert!(
        answer.stderr.replace('\\', "").contains("exec: \"nosuch\": executable file not found in $PATH"),
        "{answer}"
    );
    let status = container.status();
    assert_eq!((status["status"]["reason"].as_str(), container.wait()), (Some("StartError"), 128));
}

fn stop_asks_first_and_kills_later(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let line = "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 1 & wait $!; done";
    let obeys = pod.start(&json!({}), &["sh", "-c", line]);
    obeys.log_shows("ready");
    obeys.call("StopContainer", &json!({ "timeout": 30 }));
    obeys.log_shows("asked");
    assert_eq!(obeys.wait(), 3);
    let line = "trap 'echo asked' TERM; echo ready; while :; do sleep 1 & wait $!; done";
    let refuses = pod.start(&json!({}), &["sh", "-c", line]);
    refuses.log_shows("ready");
    refuses.call("StopContainer", &json!({ "timeout": 1 }));
    refuses.log_shows("asked");
    assert_eq!(refuses.wait(), 137);
}

fn a_killed_container_has_ended(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sleep", "1000"]);
    kill_process(Pid::from_raw(container.pid()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(container.wait(), 137);
    let again = pod.start(&json!({}), &["sleep", "1000"]);
    assert_eq!(again.exec(&["echo", "restarted"]).ok().text(), "restarted");
}

/// A container's security context.
fn security(context: Value) -> Value {
    json!({ "linux": { "securityContext": context } })
}

fn process_settings(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let context =
        json!({ "runAsUser": { "value": 1000 }, "runAsGroup": { "value": 1000 }, "supplementalGroups": [50, 4711] });
    let mut settings = security(context);
    settings["workingDir"] = json!("/home");
    // Bytes: "me" in base64.
    settings["envs"] = json!([{ "key": "WHO", "value": "bWU=" }]);
    let line = "pwd; echo $WHO; id -u; id -G";
    let container = pod.start(&settings, &["sh", "-c", &format!("{line}; sleep 1000")]);
    let output = container.exec(&["sh", "-c", line]).ok();
    assert_eq!(output.stdout, "/home\nme\n1000\n1000 50 4711\n");
    container.log_shows("stdout F 1000 50 4711\n");
}

fn capabilities(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let capabilities = json!({ "addCapabilities": ["SYS_PTRACE"], "dropCapabilities": ["ALL"] });
    let settings = security(json!({ "capabilities": capabilities, "noNewPrivs": true }));
    let container = pod.start(&settings, &["sleep", "1000"]);
    for field in ["CapEff", "CapBnd"] {
        assert_eq!(host::status_field(container.pid(), field).unwrap(), format!("{:016x}", 1 << 19), "{field}");
    }
    assert_eq!(host::status_field(container.pid(), "NoNewPrivs").unwrap(), "1");
}

fn the_default_seccomp_profile(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let settings = security(json!({ "seccomp": { "profileType": "RuntimeDefault" } }));
    let container = pod.start(&settings, &["sleep", "1000"]);
    assert_eq!(host::status_field(container.pid(), "Seccomp").unwrap(), "2");
    container.exec(&["unshare", "-U", "true"]).fails();
}

fn masked_and_read_only_paths(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let context = json!({ "maskedPaths": ["/proc/meminfo"], "readonlyPaths": ["/proc/sys"], "readonlyRootfs": true });
    let container = pod.start(&security(context), &["sleep", "1000"]);
    assert_eq!(container.exec(&["cat", "/proc/meminfo"]).ok().stdout, "");
    container.exec(&["touch", "/proc/sys/kernel/panic"]).fails().says("Read-only file system");
    container.exec(&["touch", "/file"]).fails().says("Read-only file system");
}

fn privileged(stage: &Stage) {
    let settings = security(json!({ "privileged": true }));
    let pod = stage.cri.pod(&settings);
    let container = pod.start(&settings, &["sleep", "1000"]);
    assert_eq!(host::status_field(container.pid(), "CapEff"), host::status_field("self", "CapEff"));
    assert_eq!(host::status_field(container.pid(), "Seccomp").unwrap(), "0");
    container.exec(&["test", "-c", "/dev/kmsg"]).ok();
    container.exec(&["mount", "-t", "tmpfs", "none", "/mnt"]).ok();
}

fn mounts(stage: &Stage) {
    let shared = stage.ground.folder.join("cri-shared");
    std::fs::create_dir_all(&shared).unwrap();
    let pod = stage.cri.pod(&json!({}));
    let mount =
        |path: &str, read_only: bool| json!({ "containerPath": path, "hostPath": shared, "readonly": read_only });
    let settings = json!({ "mounts": [mount("/mnt/rw", false), mount("/mnt/ro", true)] });
    let container = pod.start(&settings, &["sleep", "1000"]);
    container.exec(&["sh", "-c", "echo kept >/mnt/rw/file"]).ok();
    assert_eq!(std::fs::read_to_string(shared.join("file")).unwrap(), "kept\n");
    container.exec(&["touch", "/mnt/ro/file"]).fails().says("Read-only file system");
}

fn a_mount_read_only_to_its_depth(stage: &Stage) {
    let shared = stage.ground.folder.join("cri-deep");
    let below = shared.join("below");
    std::fs::create_dir_all(&below).unwrap();
    command::run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&below)).ok();
    let pod = stage.cri.pod(&json!({}));
    let mount = json!({ "containerPath": "/mnt", "hostPath": shared, "readonly": true, "recursiveReadOnly": true });
    let container = pod.start(&json!({ "mounts": [mount] }), &["sleep", "1000"]);
    container.exec(&["touch", "/mnt/below/file"]).fails().says("Read-only file system");
}

fn a_device(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let device = json!({ "containerPath": "/dev/own", "hostPath": "/dev/zero", "permissions": "rw" });
    let container = pod.start(&json!({ "devices": [device] }), &["sleep", "1000"]);
    assert_eq!(container.exec(&["sh", "-c", "head -c 3 /dev/own | wc -c"]).ok().text(), "3");
}

fn a_checkpoint_is_an_archive(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sh", "-c", "while :; do sleep 1000; done"]);
    let archive = stage.cri.folder.join("checkpoint.tar");
    container.call("CheckpointContainer", &json!({ "location": archive, "timeout": 60 }));
    command::run(Command::new("tar").arg("-tf").arg(&archive)).ok().says("checkpoint/inventory.img");
    assert_eq!(container.exec(&["echo", "on"]).ok().text(), "on");
}

fn limits_and_their_update(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let resources =
        json!({ "memoryLimitInBytes": 67_108_864, "cpuQuota": 50000, "cpuPeriod": 100_000, "cpusetCpus": "0" });
    let container = pod.start(&json!({ "linux": { "resources": resources } }), &["sleep", "1000"]);
    let memory = || cgroup::value(container.pid(), "memory", "memory.limit_in_bytes", "memory.max");
    let quota =
        || cgroup::value(container.pid(), "cpu", "cpu.cfs_quota_us", "cpu.max").split(' ').next().map(str::to_owned);
    assert_eq!((memory(), quota()), ("67108864".to_owned(), Some("50000".to_owned())));
    assert_eq!(cgroup::value(container.pid(), "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    let update = json!({ "linux": { "memoryLimitInBytes": 134_217_728, "cpuQuota": 70000, "cpuPeriod": 100_000 } });
    container.call("UpdateContainerResources", &update);
    assert_eq!((memory(), quota()), ("134217728".to_owned(), Some("70000".to_owned())));
}

fn statistics(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sleep", "1000"]);
    eventually(PATIENCE, "the memory that the container uses", || {
        let stats = container.call("ContainerStats", &json!({}));
        let used = stats["stats"]["memory"]["workingSetBytes"]["value"].as_str()?.parse::<u64>().ok()?;
        let cpu = stats["stats"]["cpu"]["usageCoreNanoSeconds"]["value"].as_str()?.parse::<u64>().ok()?;
        (used > 0 && cpu > 0).then_some(())
    });
}
