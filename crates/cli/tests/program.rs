//! The program as its callers meet it: exit status, standard output, standard error and the log file.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is the failure of the test")]
#![allow(clippy::disallowed_methods, reason = "the program under test is started, and its files are made in place")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A directory of this test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn lightship(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lightship")).current_dir(&self.0).args(words).output().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn each_failure_appends_one_record_with_the_text_of_standard_error() {
    let scratch = Scratch::new("records");
    let global = ["--root", "root", "--log", "log.json", "--log-format", "json"];
    for (round, command) in
        [&["state", "absent"][..], &["nonsense"], &["kill", "absent", "NOPE"]].into_iter().enumerate()
    {
        let output = scratch.lightship(&[&global, command].concat());
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(output.stdout.is_empty());
        let message = text(&output.stderr).strip_suffix('\n').unwrap();
        assert!(!message.contains('\n') && !message.is_empty(), "{message}");
        let log = fs::read_to_string(scratch.0.join("log.json")).unwrap();
        assert_eq!(log.lines().count(), round + 1);
        let record: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        assert_eq!(record["level"], "error");
        assert_eq!(record["msg"], message);
        assert!(record["time"].as_str().unwrap().ends_with('Z'));
    }
}

#[test]
fn the_log_is_there_when_there_is_nothing_to_log() {
    let scratch = Scratch::new("empty-log");
    let output = scratch.lightship(&["--log", "log", "--log-format", "json", "features"]);
    assert!(output.status.success() && output.stderr.is_empty());
    let log = fs::metadata(scratch.0.join("log")).unwrap();
    assert_eq!((log.len(), log.permissions().mode() & 0o133), (0, 0));
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error() {
    let scratch = Scratch::new("no-log");
    let output = scratch.lightship(&["--log", "missing/log", "features"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && text(&output.stderr).contains("missing/log"));
}

#[test]
fn exec_fails_with_255_and_its_usage_errors_with_1() {
    let scratch = Scratch::new("exec");
    assert_eq!(scratch.lightship(&["--root", "root", "exec", "absent", "true"]).status.code(), Some(255));
    assert_eq!(scratch.lightship(&["--root", "root", "exec", "absent"]).status.code(), Some(1));
}

#[test]
fn forced_delete_of_an_absent_container_is_silent() {
    let scratch = Scratch::new("delete");
    let output = scratch.lightship(&["--root", "root", "delete", "--force", "absent"]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let output = scratch.lightship(&["--root", "root", "delete", "absent"]);
    assert!(!output.status.success() && text(&output.stderr).contains("does not exist"), "{output:?}");
}

#[test]
fn a_full_disk_and_a_closed_pipe_are_errors() {
    let scratch = Scratch::new("output");
    let program = || Command::new(env!("CARGO_BIN_EXE_lightship"));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program().arg("features").stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("standard output"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = program().arg("features").stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    drop(scratch);
}

#[test]
fn spec_writes_a_configuration_once() {
    let scratch = Scratch::new("spec");
    assert!(scratch.lightship(&["spec"]).status.success());
    let written = fs::read(scratch.0.join("config.json")).unwrap();
    spec::Spec::from_bytes(&written).unwrap();
    let output = scratch.lightship(&["spec", "--bundle", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("config.json"));
    assert_eq!(fs::read(scratch.0.join("config.json")).unwrap(), written);
    fs::create_dir(scratch.0.join("bundle")).unwrap();
    assert!(scratch.lightship(&["spec", "-b", "bundle", "--rootless"]).status.success());
    spec::Spec::from_bytes(&fs::read(scratch.0.join("bundle/config.json")).unwrap()).unwrap();
}

#[test]
fn an_empty_root_lists_nothing() {
    let scratch = Scratch::new("list");
    assert_eq!(text(&scratch.lightship(&["--root", "root", "list", "-f", "json"]).stdout), "[]\n");
    assert_eq!(text(&scratch.lightship(&["--root", "root", "list", "-q"]).stdout), "");
    assert_eq!(scratch.lightship(&["--root", "root", "list"]).stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn features_is_a_document_of_the_specification() {
    let scratch = Scratch::new("features");
    let output = scratch.lightship(&["features"]);
    let features: spec::features::Features = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(features.oci_version_max, spec::OCI_VERSION);
    let namespaces = features.linux.unwrap().namespaces.unwrap();
    assert_eq!(namespaces.len(), 8);
}

/// Root in a user namespace is a user whose default root is below XDG_RUNTIME_DIR, and stays there for good.
#[test]
fn the_default_root_of_a_mapped_root() {
    let scratch = Scratch::new("default-root");
    let root = scratch.0.join("lightship");
    let create = |program: &mut Command| {
        let program = program.current_dir(&scratch.0).env("XDG_RUNTIME_DIR", &scratch.0).env_remove("USER");
        program.stderr(Stdio::null()).status().is_ok_and(|status| status.code().is_some())
    };
    let lightship = env!("CARGO_BIN_EXE_lightship");
    if rustix::process::geteuid().is_root() {
        assert!(create(Command::new(lightship).args(["create", "no-bundle"])));
        assert!(!root.exists());
    }
    let mapped = |words: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user"]).args(words);
        unshare
    };
    if !mapped(&["true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: user namespaces cannot be made here");
        return;
    }
    assert!(create(&mut mapped(&[lightship, "create", "no-bundle"])));
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o7777, 0o1700);
}
