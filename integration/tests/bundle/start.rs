//! `start`: the process really runs when it returns, or the reason why not is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use integration::bundle::Bundle;
use integration::scene;
use integration::scene::Scene;
use integration::{command, host, leftover};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(returns_when_the_process_runs).peer_cannot("runc's start returns before execve"),
        scene!(missing_or_forbidden_programs_are_told),
        scene!(unknown_format_is_told).peer_cannot("runc's start returns before execve"),
        scene!(missing_working_directory_is_made),
        scene!(file_as_working_directory_is_told),
        scene!(second_start_is_refused),
        scene!(start_of_a_stopped_container_is_refused),
        scene!(one_of_two_starts_wins_and_the_other_fails_at_once).peer_cannot("the losing start waits for ever"),
    ]
}

fn returns_when_the_process_runs(stage: &Stage) {
    for _ in 0..10 {
        let bundle = stage.sleeper();
        bundle.create();
        let pid = bundle.pid();
        bundle.verb(&["start"]).ok();
        assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "sleep\n");
        assert_eq!(fs::read(format!("/proc/{pid}/cmdline")).unwrap(), b"sleep\x001000\0");
    }
}

/// Creates and starts a container that cannot start; the error text, which must be the same on stderr and in the log.
fn refusal(bundle: &Bundle) -> String {
    let created = bundle.create_with(&[]);
    let failed = if created.code == 0 { bundle.verb(&["start"]) } else { created };
    assert!(failed.code != 0, "a program that cannot run was started");
    let errors = bundle.logged_errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(failed.stderr.trim_end(), errors[0]);
    bundle.verb(&["delete", "--force"]).ok();
    bundle.is_gone();
    errors[0].clone()
}

fn missing_or_forbidden_programs_are_told(stage: &Stage) {
    let cases = [
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
        ("/nosuch", "exec: \"/nosuch\": stat /nosuch: no such file or directory"),
        ("/etc/passwd", "exec: \"/etc/passwd\": permission denied"),
        ("/etc", "exec: \"/etc\": permission denied"),
    ];
    for (program, text) in cases {
        let error = refusal(&stage.bundle(&[program]));
        assert!(error.contains(text), "{program}: {error}");
    }
}

fn unknown_format_is_told(stage: &Stage) {
    let bundle = stage.bundle(&["/bin/garbage"]);
    fs::write(bundle.in_rootfs("/bin/garbage"), [0x7f, 1, 2, 3]).unwrap();
    fs::set_permissions(bundle.in_rootfs("/bin/garbage"), fs::Permissions::from_mode(0o755)).unwrap();
    let error = refusal(&bundle);
    assert!(error.contains("/bin/garbage") && error.to_lowercase().contains("exec format error"), "{error}");
}

fn missing_working_directory_is_made(stage: &Stage) {
    let mut bundle = stage.shell("pwd && stat -c %a .");
    bundle.set("/process/cwd", json!("/not/there")).set("/root/readonly", json!(true));
    bundle.run().ok();
    bundle.says("/not/there\n755\n");
}

fn file_as_working_directory_is_told(stage: &Stage) {
    let mut bundle = stage.bundle(&["true"]);
    bundle.set("/process/cwd", json!("/etc/passwd"));
    let error = refusal(&bundle);
    assert!(error.contains("/etc/passwd"), "{error}");
}

fn second_start_is_refused(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    bundle.verb(&["start"]).fails();
    assert_eq!(bundle.logged_errors().len(), 1);
    assert_eq!(bundle.status(), "running");
}

fn start_of_a_stopped_container_is_refused(stage: &Stage) {
    let bundle = stage.bundle(&["true"]);
    bundle.start();
    bundle.stops();
    bundle.verb(&["start"]).fails();
    bundle.call(&["start", "unknown-id"]).fails().says("does not exist");
}

fn one_of_two_starts_wins_and_the_other_fails_at_once(stage: &Stage) {
    for _ in 0..5 {
        let bundle = stage.sleeper();
        bundle.create();
        let line = ["start", &bundle.id];
        let streams = |name: &str| fs::File::create(bundle.folder.join(name)).unwrap();
        let mut racers: Vec<_> = ["one", "two"]
            .iter()
            .map(|name| bundle.command(&line).stdout(streams(name)).stderr(streams(name)).spawn().unwrap())
            .collect();
        let codes: Vec<_> = racers.iter_mut().map(|racer| command::wait(racer, Duration::from_secs(10))).collect();
        assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
        assert!(codes.iter().all(Option::is_some), "a start hangs");
        let begun = Instant::now();
        bundle.verb(&["start"]).fails();
        assert!(begun.elapsed() < Duration::from_secs(1), "refusing took {:?}", begun.elapsed());
        assert!(host::is_alive(bundle.pid()));
        assert_eq!(leftover::members(&bundle.cgroup), [bundle.pid()]);
    }
}
