//! Nothing of the caller leaks into the container, and nothing of the container reaches the runtime.

use std::fs;
use std::os::unix::fs::MetadataExt;

use integration::bundle::Bundle;
use integration::runtime::Runtime;
use integration::scene;
use integration::scene::Scene;
use integration::{host, leftover};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let runc = Runtime::under_test().name() == "runc";
    vec![
        scene!(init_of_a_dirty_parent_is_clean).peer_cannot_if(runc, "runc 1.1 hands on blocked signals"),
        scene!(created_init_of_a_dirty_parent_is_clean),
        scene!(exec_of_a_dirty_parent_is_clean).peer_cannot("hands on its umask or signals"),
        scene!(runtime_leaves_no_process_behind),
        scene!(runtime_binary_is_out_of_reach),
        scene!(mounts_stay_inside),
    ]
}

/// What the runtime inherits: open files, variables, signals ignored and blocked, a parent-death signal, groups, an
/// OOM score, a working directory. And a umask, which alone is to be handed on.
const DIRTY: &str = "exec 7</etc/hostname 8</etc 11<>/dev/null; umask 0077; export SECRET=leaked LD_LIBRARY_PATH=/opt TTRPC_ADDRESS=x; \
                     echo 100 >/proc/self/oom_score_adj; cd /usr; trap '' HUP USR1 PIPE; \
                     exec setpriv --groups 4242,4343 --pdeathsig KILL env --block-signal=USR2,TERM";

/// What a process inside looks at.
const LOOK: &str = "ls /proc/self/fd | tr '\\n' ' '; echo; env | cut -d= -f1 | sort | tr '\\n' ' '; echo; \
                    grep -E '^(SigBlk|SigIgn|Groups|Umask):' /proc/self/status | tr -s '\\t ' ' '; \
                    cat /proc/self/oom_score_adj; pwd";

#[track_caller]
fn is_clean(seen: &str) {
    let lines: Vec<&str> = seen.lines().map(str::trim_end).collect();
    // ls itself opens the directory as number 3.
    assert_eq!(lines[0], "0 1 2 3", "descriptors");
    assert_eq!(lines[1], "HOME PATH PWD SHLVL", "variables; {seen}");
    assert!(lines[2..6].contains(&"SigBlk: 0000000000000000"), "{seen}");
    assert!(lines[2..6].contains(&"SigIgn: 0000000000000000"), "{seen}");
    assert!(lines[2..6].contains(&"Groups:") || lines[2..6].contains(&"Groups: 0"), "{seen}");
    // "If unspecified, the umask should not be changed from the calling process' umask" (config.md, "User").
    assert!(lines[2..6].contains(&"Umask: 0077"), "{seen}");
    assert_eq!(lines[6..], ["123", "/tmp"], "OOM score, working directory; {seen}");
}

fn looking(stage: &Stage, line: &str) -> Bundle {
    let mut bundle = stage.shell(line);
    // Above the dirty parent's score: lowering it takes CAP_SYS_RESOURCE.
    bundle.set("/process/oomScoreAdj", json!(123)).set("/process/cwd", json!("/tmp"));
    bundle
}

fn init_of_a_dirty_parent_is_clean(stage: &Stage) {
    let bundle = looking(stage, LOOK);
    bundle.call_after(DIRTY, &bundle.create_line("run", &[])).ok();
    is_clean(&bundle.stdout());
}

/// A container may wait for its start for long, and what its caller had locked must not stay locked.
fn created_init_of_a_dirty_parent_is_clean(stage: &Stage) {
    let bundle = looking(stage, LOOK);
    bundle.call_after(DIRTY, &bundle.create_line("create", &[])).ok();
    let held = fs::read_dir(format!("/proc/{}/fd", bundle.pid())).unwrap();
    let files: Vec<_> = held.map(|fd| fs::read_link(fd.unwrap().path()).unwrap()).collect();
    assert!(!files.iter().any(|file| file.starts_with("/etc")), "{files:?}");
}

fn exec_of_a_dirty_parent_is_clean(stage: &Stage) {
    let bundle = looking(stage, "exec sleep 1000");
    bundle.start();
    bundle.call_after(DIRTY, &["exec", &bundle.id, "sh", "-c", LOOK]).ok();
    is_clean(&bundle.stdout());
}

fn runtime_leaves_no_process_behind(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    // Whoever came of this bundle holds its files open: it must be init alone, and a child of the caller.
    assert_eq!(leftover::processes(&bundle.folder), [bundle.pid()]);
    let parent = host::status_field(bundle.pid(), "PPid").unwrap();
    assert_eq!(parent, std::process::id().to_string());
    // The parent-death signal would kill the container with a thread of its shim; there is no way to read it from
    // outside, so: the runtime that made the container is gone, and the container lives.
    assert!(host::is_alive(bundle.pid()));
}

fn runtime_binary_is_out_of_reach(stage: &Stage) {
    let before = fs::read(&stage.runtime.path).unwrap();
    let inode = fs::metadata(&stage.runtime.path).unwrap().ino();
    // The container's program is whatever /proc/self/exe is while the runtime is still itself (CVE-2019-5736), and
    // everything it can open for writing gets written to.
    let attack = "for p in /proc/[0-9]*; do for f in $p/exe $p/fd/*; do \
                  test \"$(stat -L -c %s $f)\" -gt 100000 && echo opened $f && { echo broken >>$f; } ; done; done; true";
    let bundle = stage.shell(attack);
    bundle.run();
    let mut direct = stage.bundle(&["/proc/self/exe", "--version"]);
    direct.set("/process/env", json!(["PATH=/bin"]));
    direct.run();
    let mut library = stage.bundle(&["/link"]);
    std::os::unix::fs::symlink("/proc/self/exe", library.in_rootfs("/link")).unwrap();
    library.set("/root/readonly", json!(true));
    library.run();
    // exec into a container whose shell is the link, with a process inside waiting for the runtime to appear.
    let hunter = stage.shell(
        "echo ready; while :; do for p in /proc/[0-9]*; do test $p = /proc/1 && continue; \
         (echo broken >>$p/exe) 2>/dev/null && echo hit; done; done",
    );
    hunter.start().says("ready");
    for _ in 0..20 {
        hunter.call(&["exec", &hunter.id, "/proc/self/exe", "--version"]);
    }
    assert_eq!(fs::metadata(&stage.runtime.path).unwrap().ino(), inode);
    assert!(fs::read(&stage.runtime.path).unwrap() == before, "the runtime's binary was changed from inside");
}

fn mounts_stay_inside(stage: &Stage) {
    let mut bundle = stage.sleeper();
    let source = format!("tmpfs-of-{}", bundle.id);
    let entry = json!({ "destination": "/mnt", "type": "tmpfs", "source": source });
    bundle.config["mounts"].as_array_mut().unwrap().push(entry);
    bundle.start();
    let mounts = |pid: &str| fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert!(mounts(&bundle.pid().to_string()).contains(&source));
    assert!(!mounts("self").contains(&source), "a mount of the container is visible outside");
    assert!(leftover::mounts(&bundle.folder).is_empty(), "a mount of the container is visible outside");
}
