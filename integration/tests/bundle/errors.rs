//! How failures are told: one line in the log, the same text on stderr, silence otherwise.

use std::fs;
use std::process::Command;

use integration::command;
use integration::scene;
use integration::scene::Scene;
use serde_json::Value;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(each_failure_is_one_line_and_the_same_on_stderr),
        scene!(success_is_silent),
        scene!(text_format_and_no_log),
        scene!(wrong_usage_is_told),
    ]
}

fn each_failure_is_one_line_and_the_same_on_stderr(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    let failures: [&[&str]; 7] = [
        &["state", "unknown"],
        &["start", &bundle.id],
        &["delete", &bundle.id],
        &["kill", &bundle.id, "NOSUCH"],
        &["exec", &bundle.id, "nosuch"],
        &["kill", "unknown", "9"],
        &["create", "--bundle", "/nosuch", "other"],
    ];
    for (count, line) in failures.iter().enumerate() {
        let output = bundle.call(line).fails();
        let errors = bundle.logged_errors();
        assert_eq!(errors.len(), count + 1, "{output}");
        assert_eq!(output.stderr, format!("{}\n", errors[count]), "{output}");
        assert_eq!(output.stdout, "", "{output}");
    }
    for line in fs::read_to_string(bundle.log()).unwrap().lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let time = entry["time"].as_str().unwrap();
        assert!(time.len() >= 20 && time.as_bytes()[10] == b'T', "{time}");
    }
}

fn success_is_silent(stage: &Stage) {
    let bundle = stage.sleeper();
    let silent = |output: command::Output| assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output}");
    silent(bundle.create_with(&[]).ok());
    for verb in ["start", "pause", "resume"] {
        silent(bundle.verb(&[verb]).ok());
    }
    silent(bundle.call(&["exec", &bundle.id, "true"]).ok());
    silent(bundle.kill("9").ok());
    bundle.stops();
    silent(bundle.verb(&["delete"]).ok());
    assert!(bundle.logged_errors().is_empty());
}

fn text_format_and_no_log(stage: &Stage) {
    let bundle = stage.sleeper();
    let log = bundle.folder.join("log.text");
    let run =
        |args: &[&str]| command::run(Command::new(&stage.runtime.path).arg("--root").arg(bundle.root()).args(args));
    let logged = run(&["--log", log.to_str().unwrap(), "state", "unknown"]).fails();
    let text = fs::read_to_string(log).unwrap();
    assert!(text.contains("level=error") && text.lines().count() == 1, "{text}");
    assert_eq!(logged.stderr.lines().count(), 1);
    run(&["state", "unknown"]).fails().says("does not exist");
}

fn wrong_usage_is_told(stage: &Stage) {
    let bundle = stage.sleeper();
    for line in [&["nosuch-verb"][..], &["create", "--no-such-flag", "x"], &["state"], &["create", "a", "b"]] {
        let output = bundle.call(line).fails();
        assert!(!output.stderr.is_empty() || !output.stdout.is_empty(), "{output}");
    }
    bundle.call(&["--help"]).ok().says("create");
    bundle.call(&["create", "--help"]).ok().says("--bundle");
}
