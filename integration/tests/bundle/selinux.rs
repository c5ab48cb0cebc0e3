//! `process.selinuxLabel` and `linux.mountLabel`. With `scripts/guest --selinux` there is a policy that only gives names.

use std::fs;
use std::process::Command;

use integration::bundle::Bundle;
use integration::command;
use integration::scene;
use integration::scene::Scene;
use serde_json::json;

use crate::Stage;

const PROCESS: &str = "system_u:system_r:container_t:s0:c1,c2";
const FILE: &str = "system_u:object_r:container_file_t:s0:c1,c2";

pub fn scenes() -> Vec<Scene<Stage>> {
    // Without a policy there is one name for everything.
    let on = fs::exists("/sys/fs/selinux/status").unwrap()
        && !fs::read_to_string("/proc/self/attr/current").unwrap().starts_with("kernel\0");
    let off = "SELinux is off, or has no policy";
    vec![
        scene!(without_it_a_process_label_is_refused).skip_if(on, "SELinux is on"),
        scene!(without_it_a_mount_label_is_left_out)
            .skip_if(on, "SELinux is on")
            .peer_cannot("runc gives the label to the kernel, which refuses it"),
        scene!(processes_have_their_label).skip_if(!on, off),
        scene!(mounts_have_their_label).skip_if(!on, off),
        scene!(a_label_that_the_policy_does_not_know).skip_if(!on, off),
    ]
}

fn without_it_a_process_label_is_refused(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/process/selinuxLabel", json!(PROCESS));
    bundle.create_with(&[]).fails().says("selinux");
    bundle.is_gone();
}

fn without_it_a_mount_label_is_left_out(stage: &Stage) {
    let mut bundle = stage.shell("echo up");
    bundle.set("/linux/mountLabel", json!(FILE));
    bundle.run().ok();
    bundle.says("up\n");
}

/// A running container whose processes and mounts are to have labels.
fn labelled(stage: &Stage) -> Bundle {
    let mut bundle = stage.sleeper();
    bundle.set("/process/selinuxLabel", json!(PROCESS)).set("/linux/mountLabel", json!(FILE));
    bundle.set("/linux/maskedPaths", json!(["/proc/irq"]));
    let queue = json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue" });
    bundle.config["mounts"].as_array_mut().unwrap().push(queue);
    bundle.start();
    bundle
}

fn processes_have_their_label(stage: &Stage) {
    let bundle = labelled(stage);
    let of_init = fs::read_to_string(format!("/proc/{}/attr/current", bundle.pid())).unwrap();
    assert_eq!(of_init.trim_end_matches('\0'), PROCESS);
    let of_exec = |flags: &[&str]| {
        let command: &[&str] = &[&bundle.id, "cat", "/proc/self/attr/current"];
        bundle.call(&[&["exec"], flags, command].concat()).ok().stdout.trim_end_matches('\0').to_owned()
    };
    assert_eq!(of_exec(&[]), PROCESS);
    let other = PROCESS.replace(":c1,c2", ":c1");
    assert_eq!(of_exec(&["--process-label", &other]), other);
}

fn mounts_have_their_label(stage: &Stage) {
    let bundle = labelled(stage);
    for path in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/proc/irq"] {
        let path = format!("/proc/{}/root{path}", bundle.pid());
        let label = command::run(Command::new("stat").args(["-c", "%C", &path])).ok().stdout;
        assert_eq!(label.trim_end(), FILE, "{path}");
    }
}

fn a_label_that_the_policy_does_not_know(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/process/selinuxLabel", json!("no:such:label:s0"));
    let created = bundle.create_with(&[]);
    // It can be told at create or at start.
    let failed = if created.code == 0 { bundle.verb(&["start"]) } else { created };
    failed.fails();
}
