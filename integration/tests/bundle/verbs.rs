//! The remaining verbs: run, pause, resume, ps, update, events, spec, features, and the version.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use integration::cgroup::value;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{command, leftover};
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(run_gives_the_status_of_the_process),
        scene!(run_detached_returns_at_once),
        scene!(run_keep_leaves_a_stopped_container).peer_cannot("--keep came with runc 1.2"),
        scene!(run_with_a_single_dash_flag),
        scene!(pause_and_resume),
        scene!(ps_lists_pids),
        scene!(update_from_stdin_file_and_flags).needs_controllers(&["memory", "pids", "cpu"]),
        scene!(events_give_statistics).needs_controllers(&["memory", "pids"]),
        scene!(events_end_with_the_container)
            .needs_controllers(&["memory"])
            .peer_cannot("runc may ask for the statistics of a container that has just ended, and fail"),
        scene!(spec_writes_a_config_that_runs),
        scene!(features_are_json).peer_cannot("features came with runc 1.1 in another form"),
        scene!(version_in_three_lines),
    ]
}

fn run_gives_the_status_of_the_process(stage: &Stage) {
    stage.shell("exit 0").run().code_is(0);
    stage.shell("exit 42").run().code_is(42);
    let mut killed = stage.shell("kill -9 $$");
    killed.share_namespace("pid").run().code_is(137);
    killed.is_gone();
}

fn run_detached_returns_at_once(stage: &Stage) {
    let bundle = stage.sleeper();
    let pid_file = bundle.folder.join("pid");
    bundle.run_with(&["--detach", "--pid-file", pid_file.to_str().unwrap()]).ok();
    assert_eq!(bundle.status(), "running");
    assert_eq!(std::fs::read_to_string(pid_file).unwrap(), bundle.pid().to_string());
}

fn run_keep_leaves_a_stopped_container(stage: &Stage) {
    let bundle = stage.shell("exit 4");
    bundle.run_with(&["--keep"]).code_is(4);
    assert_eq!(bundle.status(), "stopped");
    bundle.verb(&["delete"]).ok();
    bundle.is_gone();
}

fn run_with_a_single_dash_flag(stage: &Stage) {
    let bundle = stage.bundle(&["echo", "ran"]);
    assert_eq!(bundle.run_with(&["-no-subreaper"]).ok().stdout, "ran\n");
}

fn pause_and_resume(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    bundle.verb(&["pause"]).ok();
    assert_eq!(bundle.status(), "paused");
    bundle.verb(&["resume"]).ok();
    assert_eq!(bundle.status(), "running");
    bundle.verb(&["resume"]).fails();
}

fn ps_lists_pids(stage: &Stage) {
    let bundle = stage.shell("sleep 1000 & exec sleep 1000");
    bundle.start();
    eventually(PATIENCE, "two processes", || (leftover::members(&bundle.cgroup).len() == 2).then_some(()));
    for flags in [&["ps", "--format", "json"][..], &["ps", "-f=json"]] {
        let mut pids: Vec<i32> = serde_json::from_str(&bundle.verb(flags).ok().stdout).unwrap();
        pids.sort_unstable();
        assert_eq!(pids, leftover::members(&bundle.cgroup));
    }
    let table = bundle.verb(&["ps"]).ok().lines();
    assert!(table.len() == 3 && table[0].contains("PID") && table[1].contains("sleep 1000"), "{table:?}");
}

fn update_from_stdin_file_and_flags(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    let limit = || value(bundle.pid(), "pids", "pids.max", "pids.max");
    // Zeros mean "unchanged": this is what Docker sends with every update.
    let zeros = json!({ "memory": { "limit": 0, "reservation": 0, "swap": 0 }, "cpu": { "quota": 0, "period": 0, "shares": 0 } });
    let mut resources = zeros.clone();
    resources["pids"] = json!({ "limit": 77 });
    let line = ["update", "--resources=-", &bundle.id];
    command::run_with_input(&mut bundle.command(&line), &resources.to_string()).ok();
    assert_eq!(limit(), "77");
    command::run_with_input(&mut bundle.command(&["update", "--resources", "-", &bundle.id]), &zeros.to_string()).ok();
    assert_eq!(limit(), "77");
    let file = bundle.folder.join("resources.json");
    std::fs::write(&file, json!({ "pids": { "limit": 66 } }).to_string()).unwrap();
    bundle.call(&["update", "-r", file.to_str().unwrap(), &bundle.id]).ok();
    assert_eq!(limit(), "66");
    bundle.call(&["update", "--pids-limit", "55", "--cpu-quota", "20000", "--memory", "67108864", &bundle.id]).ok();
    assert_eq!(limit(), "55");
    assert_eq!(value(bundle.pid(), "memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    let quota = value(bundle.pid(), "cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota.split(' ').next(), Some("20000"));
}

fn events_give_statistics(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    // A kernel that counts in ticks would otherwise have nothing to tell.
    bundle.call(&["exec", &bundle.id, "sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]).ok();
    let output = bundle.verb(&["events", "--stats"]).ok().stdout;
    let event: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(bundle.id)));
    // Not exactly one: a runc that has not executed the program yet counts its own threads.
    assert!(event["data"]["pids"]["current"].as_u64().unwrap() >= 1, "{event}");
    assert!(event["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{event}");
    assert!(event["data"]["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{event}");
}

fn events_end_with_the_container(stage: &Stage) {
    let bundle = stage.sleeper();
    // It may end at any moment of the command's.
    for _ in 0..10 {
        bundle.start();
        let mut events =
            bundle.command(&["events", "--interval", "1ms", &bundle.id]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        bundle.kill("KILL").ok();
        lines.for_each(|line| assert!(line.unwrap().contains("\"stats\"")));
        assert!(events.wait().unwrap().success());
        bundle.stops();
        bundle.verb(&["delete"]).ok();
    }
}

fn spec_writes_a_config_that_runs(stage: &Stage) {
    let mut bundle = stage.sleeper();
    let (directory, config) = (bundle.directory(), bundle.directory().join("config.json"));
    bundle.call(&["spec", "--bundle", directory.to_str().unwrap()]).ok();
    bundle.call(&["spec", "-b", directory.to_str().unwrap()]).fails();
    bundle.config = serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
    assert_eq!(bundle.config["process"]["args"], json!(["sh"]));
    let cgroup = json!(bundle.cgroup);
    bundle.set("/linux/cgroupsPath", cgroup).set("/process/terminal", json!(false));
    bundle.set("/process/args", json!(["echo", "as generated"]));
    // The generated limit on open files may be above this machine's.
    bundle.set("/process/rlimits", json!([]));
    assert_eq!(bundle.run().ok().stdout, "as generated\n");
}

fn features_are_json(stage: &Stage) {
    let output = stage.sleeper().call(&["features"]).ok();
    let features: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(output.stderr, "");
    assert!(features["ociVersionMin"].is_string() && features["ociVersionMax"].is_string());
    let hooks = features["hooks"].as_array().unwrap();
    assert_eq!(hooks.len(), 6, "{hooks:?}");
    assert!(features["linux"]["namespaces"].as_array().unwrap().contains(&json!("network")));
    assert!(features["linux"]["capabilities"].as_array().unwrap().contains(&json!("CAP_CHOWN")));
    assert_eq!(features["linux"]["cgroup"]["v1"], true);
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
}

fn version_in_three_lines(stage: &Stage) {
    let lines = command::run(std::process::Command::new(&stage.runtime.path).arg("--version")).ok().lines();
    assert!(lines[0].contains(" version "), "{lines:?}");
    for prefix in ["commit: ", "spec: "] {
        assert!(lines.iter().any(|line| line.starts_with(prefix)), "no {prefix:?} in {lines:?}");
    }
}
