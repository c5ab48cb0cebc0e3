//! From start to removal: stop, kill, restart, pause, and what can be asked meanwhile.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use integration::container::Container;
use integration::image::BUSYBOX;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, host};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(created_then_started),
        scene!(logs_follow_to_the_end),
        scene!(stop_sends_term_then_kill),
        scene!(kill_sends_the_named_signal),
        scene!(kill_reaches_every_process_without_a_pid_namespace),
        scene!(restart_makes_a_new_process),
        scene!(restart_policy_starts_it_again),
        scene!(pause_freezes_and_unpause_thaws),
        scene!(paused_container_can_be_removed),
        scene!(top_lists_the_processes),
        scene!(copy_in_and_out),
        scene!(commit_keeps_what_diff_shows),
        scene!(rename_while_running),
        scene!(events_tell_the_life),
        scene!(healthcheck_turns_healthy),
        scene!(health_failure_is_seen),
        scene!(attach_gets_the_streams),
        scene!(init_killed_from_outside),
        scene!(nothing_is_left_after_removal),
    ]
}

fn detached(stage: &Stage, flags: &[&str], line: &str) -> Container {
    let container = stage.docker.container("life");
    container.start_detached(&[&["--network", "none"], flags, &[BUSYBOX, "sh", "-c", line]].concat());
    container
}

fn created_then_started(stage: &Stage) {
    let container = stage.docker.container("created");
    stage.docker.call(&["create", "--name", &container.name, "--network", "none", BUSYBOX, "echo", "ran"]).ok();
    assert_eq!(container.status(), "created");
    container.verb(&["start"]).ok();
    assert_eq!(container.wait(), 0);
    assert_eq!(container.logs(), "ran\n");
    container.verb(&["start", "-a"]).ok();
    assert_eq!(container.logs(), "ran\nran\n");
}

fn logs_follow_to_the_end(stage: &Stage) {
    let container = detached(stage, &[], "for i in 1 2 3; do echo line $i; done; echo problem >&2");
    let followed = container.verb(&["logs", "-f"]).ok();
    assert_eq!((followed.stdout.as_str(), followed.stderr.as_str()), ("line 1\nline 2\nline 3\n", "problem\n"));
    let last = container.verb(&["logs", "--tail", "1"]).ok();
    assert_eq!((last.stdout + &last.stderr).lines().count(), 1);
}

fn stop_sends_term_then_kill(stage: &Stage) {
    let polite = detached(stage, &[], "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 1 & wait $!; done");
    polite.logs_show("ready");
    polite.verb(&["stop"]).ok();
    assert_eq!(polite.wait(), 4);
    assert!(polite.logs().contains("bye"));
    let stubborn = detached(stage, &[], "trap '' TERM; echo ready; while :; do sleep 1; done");
    stubborn.logs_show("ready");
    stubborn.verb(&["stop", "-t", "1"]).ok();
    assert_eq!(stubborn.wait(), 137);
    let own_signal = detached(
        stage,
        &["--stop-signal", "USR1"],
        "trap 'exit 6' USR1; echo ready; while :; do sleep 1 & wait $!; done",
    );
    own_signal.logs_show("ready");
    own_signal.verb(&["stop"]).ok();
    assert_eq!(own_signal.wait(), 6);
}

fn kill_sends_the_named_signal(stage: &Stage) {
    let line = "trap 'echo got-usr1' USR1; trap 'exit 8' HUP; echo ready; while :; do sleep 1 & wait $!; done";
    let container = detached(stage, &[], line);
    container.logs_show("ready");
    container.verb(&["kill", "-s", "USR1"]).ok();
    container.logs_show("got-usr1");
    container.verb(&["kill", "-s", "1"]).ok();
    assert_eq!(container.wait(), 8);
    container.verb(&["kill"]).fails().says("is not running");
}

fn kill_reaches_every_process_without_a_pid_namespace(stage: &Stage) {
    let container = detached(stage, &["--pid", "host"], "sleep 3333 & echo child $!; exec sleep 4444");
    container.logs_show("child");
    let child: i32 = container.logs().trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(host::is_alive(child));
    container.verb(&["kill"]).ok();
    assert_eq!(container.wait(), 137);
    eventually(PATIENCE, "the child to be killed with its container", || (!host::is_alive(child)).then_some(()));
}

fn restart_makes_a_new_process(stage: &Stage) {
    let container = detached(stage, &[], "echo started; echo mark >>/mark; exec sleep 1000");
    container.logs_show("started");
    let before = container.pid();
    container.verb(&["restart", "-t", "0"]).ok();
    eventually(PATIENCE, "both marks", || container.exec(&["cat", "/mark"]).eq("mark\nmark").then_some(()));
    assert_ne!(container.pid(), before);
}

fn restart_policy_starts_it_again(stage: &Stage) {
    let container = detached(stage, &["--restart", "on-failure:2"], "echo attempt; exit 9");
    eventually(PATIENCE, "three attempts", || {
        (container.logs() == "attempt\n".repeat(3) && container.status() == "exited").then_some(())
    });
    assert_eq!(container.inspect("/RestartCount"), 2);
}

fn pause_freezes_and_unpause_thaws(stage: &Stage) {
    let container = detached(stage, &[], "while :; do echo tick; sleep 0.01; done");
    container.logs_show("tick");
    container.verb(&["pause"]).ok();
    assert_eq!(container.status(), "paused");
    let v1 = cgroup::directory_of(container.pid(), "freezer").join("freezer.state");
    if v1.exists() {
        assert_eq!(fs::read_to_string(v1).unwrap(), "FROZEN\n");
    }
    // A frozen process has written its last line: what is in the log now stays all there is.
    let frozen = eventually(PATIENCE, "the log to stand still", || {
        let (first, second) = (container.logs(), container.logs());
        (first == second).then_some(first)
    });
    assert_eq!(container.logs(), frozen);
    container.verb(&["unpause"]).ok();
    eventually(PATIENCE, "a tick after the thaw", || (container.logs().len() > frozen.len()).then_some(()));
}

fn paused_container_can_be_removed(stage: &Stage) {
    let container = detached(stage, &[], "exec sleep 1000");
    let pid = container.pid();
    container.verb(&["pause"]).ok();
    container.verb(&["rm", "-f"]).ok();
    eventually(PATIENCE, "its process to be gone", || (!host::is_alive(pid)).then_some(()));
}

fn top_lists_the_processes(stage: &Stage) {
    let container = detached(stage, &[], "sleep 1111 & exec sleep 2222");
    eventually(PATIENCE, "both processes in docker top", || {
        let listing = container.verb(&["top"]).ok().stdout;
        (listing.contains("sleep 1111") && listing.contains("sleep 2222") && listing.lines().count() == 3).then_some(())
    });
    assert!(container.verb(&["top"]).ok().stdout.contains(&container.pid().to_string()));
}

fn copy_in_and_out(stage: &Stage) {
    let container = detached(stage, &[], "exec sleep 1000");
    let folder = stage.ground.folder.join("copy");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("in"), "carried\n").unwrap();
    let (source, back) = (folder.join("in"), folder.join("out"));
    let inside = format!("{}:/tmp/file", container.name);
    stage.docker.call(&["cp", source.to_str().unwrap(), &inside]).ok();
    assert_eq!(container.exec(&["cat", "/tmp/file"]), "carried");
    container.exec(&["sh", "-c", "echo added >>/tmp/file"]);
    stage.docker.call(&["cp", &inside, back.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(back).unwrap(), "carried\nadded\n");
}

fn commit_keeps_what_diff_shows(stage: &Stage) {
    let container = detached(stage, &[], "echo new >/etc/new; rm /etc/group; echo done; exec sleep 1000");
    container.logs_show("done");
    let diff = container.verb(&["diff"]).ok().lines();
    assert!(diff.contains(&"A /etc/new".to_owned()) && diff.contains(&"D /etc/group".to_owned()), "{diff:?}");
    let image = format!("{}:kept", container.name);
    stage.docker.call(&["commit", &container.name, &image]).ok();
    assert_eq!(container.status(), "running");
    let second = stage.docker.container("second");
    second.run(&["--network", "none", &image, "sh", "-c", "cat /etc/new; test ! -e /etc/group"]).ok().says("new");
    drop(second);
    stage.docker.call(&["rmi", "-f", &image]).ok();
}

fn rename_while_running(stage: &Stage) {
    let mut container = detached(stage, &[], "exec sleep 1000");
    let renamed = format!("{}-renamed", container.name);
    stage.docker.call(&["rename", &container.name, &renamed]).ok();
    container.name = renamed;
    assert_eq!(container.exec(&["echo", "here"]), "here");
}

fn events_tell_the_life(stage: &Stage) {
    let container = stage.docker.container("events");
    let filter = format!("container={}", container.name);
    let format = "{{.Action}}";
    let mut watcher = stage.docker.command(&["events", "--filter", &filter, "--since", "0", "--format", format]);
    container.start_detached(&["--network", "none", BUSYBOX, "sleep", "1000"]);
    container.verb(&["pause"]).ok();
    container.verb(&["unpause"]).ok();
    container.exec(&["true"]);
    container.verb(&["kill"]).ok();
    container.wait();
    container.verb(&["rm"]).ok();
    let mut child = watcher.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut told: Vec<String> = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // "exec_create: true" and the like carry their command.
        told.push(line.unwrap().split(':').next().unwrap().to_owned());
        if told.last().is_some_and(|last| last == "destroy") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for action in
        ["create", "start", "pause", "unpause", "exec_create", "exec_start", "exec_die", "kill", "die", "destroy"]
    {
        assert!(told.iter().any(|one| one == action), "no {action} in {told:?}");
    }
}

fn healthcheck_turns_healthy(stage: &Stage) {
    let flags = ["--health-cmd", "test -e /tmp/well", "--health-interval", "1s"];
    let container = detached(stage, &flags, "exec sleep 1000");
    container.exec(&["touch", "/tmp/well"]);
    eventually(PATIENCE, "the container to be healthy", || {
        container.inspect("/State/Health/Status").eq("healthy").then_some(())
    });
}

fn health_failure_is_seen(stage: &Stage) {
    let flags = ["--health-cmd", "echo broken; exit 1", "--health-interval", "1s", "--health-retries", "1"];
    let container = detached(stage, &flags, "exec sleep 1000");
    eventually(PATIENCE, "the container to be unhealthy", || {
        container.inspect("/State/Health/Status").eq("unhealthy").then_some(())
    });
    assert_eq!(container.inspect("/State/Health/Log/0/Output"), "broken\n");
}

fn attach_gets_the_streams(stage: &Stage) {
    let container = detached(stage, &["-i"], "read word; echo heard $word; exit 11");
    let attached = stage.docker.call_with_input(&["attach", &container.name], "hello\n");
    assert_eq!(container.wait(), 11);
    assert!(container.logs().contains("heard hello"), "{attached}");
}

fn init_killed_from_outside(stage: &Stage) {
    let container = detached(stage, &[], "exec sleep 1000");
    let pid = rustix::process::Pid::from_raw(container.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(container.wait(), 137);
    assert_eq!(container.status(), "exited");
    container.verb(&["start"]).ok();
    assert_eq!(container.status(), "running");
}

fn nothing_is_left_after_removal(stage: &Stage) {
    let container = detached(stage, &[], "sleep 1000 & exec sleep 1000");
    let (id, pid) = (container.id(), container.pid());
    container.verb(&["rm", "-f"]).ok();
    let roots = [stage.daemon.folder.join("exec"), stage.daemon.folder.join("containerd/state")];
    eventually(PATIENCE, "its runtime state to be removed", || {
        let left = roots.iter().flat_map(|root| integration::leftover::tree(root)).any(|path| path.ends_with(&id));
        (!left && !host::is_alive(pid)).then_some(())
    });
}
