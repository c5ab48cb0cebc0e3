//! Bad input: one clear line, exit 1, and nothing created.

use std::fs;
use std::process::Command;

use integration::bundle::{Bundle, is_empty};
use integration::command;
use integration::scene;
use integration::scene::Scene;
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(config_missing),
        scene!(config_that_is_not_a_file).peer_cannot("waits for a writer of the FIFO"),
        scene!(config_cut_off_anywhere),
        scene!(config_of_the_wrong_types),
        scene!(config_with_absurd_values).peer_cannot("accepts some of them"),
        scene!(config_of_50_megabytes),
        scene!(config_nested_deeply),
        scene!(config_of_random_bytes),
        scene!(bad_ids),
        scene!(rootfs_missing),
        scene!(errors_name_the_place).peer_cannot("has no JSON pointers"),
    ]
}

/// The create must fail with one line, the same in the log, and nothing may be left.
#[track_caller]
fn refused(bundle: &Bundle, stage: &Stage, what: &str) -> String {
    let before = bundle.logged_errors().len();
    let output = bundle.on_own_streams(&mut bundle.command(&bundle.create_line("create", &[])));
    assert_eq!(output.code, 1, "{what}: {output}");
    let errors = bundle.logged_errors();
    assert_eq!(errors.len(), before + 1, "{what}: {output}");
    if !stage.runtime.is_peer() {
        assert_eq!(output.stderr, format!("{}\n", errors[before]), "{what}");
        assert_eq!(output.stderr.lines().count(), 1, "{what}: {output}");
        assert!(!output.stderr.contains("panicked"), "{what}: {output}");
        assert!(is_empty(&bundle.root()), "{what}: the state root holds something");
    }
    bundle.is_gone();
    errors[before].clone()
}

fn write(bundle: &Bundle, content: impl AsRef<[u8]>) {
    fs::write(bundle.directory().join("config.json"), content).unwrap();
}

fn config_missing(stage: &Stage) {
    let bundle = stage.sleeper();
    let error = refused(&bundle, stage, "no config.json");
    assert!(error.contains("config.json"), "{error}");
    bundle.call(&["create", "--bundle", "/nosuch", "x"]).code_is(1);
}

fn config_that_is_not_a_file(stage: &Stage) {
    let bundle = stage.sleeper();
    let config = bundle.directory().join("config.json");
    command::run(Command::new("mkfifo").arg(&config)).ok();
    refused(&bundle, stage, "a FIFO");
    fs::remove_file(&config).unwrap();
    fs::create_dir(&config).unwrap();
    refused(&bundle, stage, "a directory");
    fs::remove_dir(&config).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &config).unwrap();
    refused(&bundle, stage, "an endless device");
    fs::remove_file(&config).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(&config).unwrap();
    refused(&bundle, stage, "a socket");
}

fn config_cut_off_anywhere(stage: &Stage) {
    let bundle = stage.sleeper();
    let whole = bundle.config.to_string();
    for parts in 0..8 {
        write(&bundle, &whole[..whole.len() * parts / 8]);
        refused(&bundle, stage, &format!("{parts}/8 of config.json"));
    }
    write(&bundle, format!("{whole} trailing"));
    if !stage.runtime.is_peer() {
        refused(&bundle, stage, "text after the end");
    }
}

fn config_of_the_wrong_types(stage: &Stage) {
    let cases: [(&str, Value); 11] = [
        ("/process", json!("text")),
        ("/process/args", json!("sh -c")),
        ("/process/args", json!([1, 2])),
        ("/process/user/uid", json!(-1)),
        ("/process/user/uid", json!("root")),
        ("/mounts", json!({})),
        ("/mounts/0/options", json!("rw")),
        ("/linux", json!([])),
        ("/linux/namespaces", json!("all")),
        ("/linux/resources/memory", json!({ "limit": "1g" })),
        ("/root", json!(7)),
    ];
    for (pointer, value) in cases {
        let mut bundle = stage.sleeper();
        bundle.set(pointer, value.clone()).write();
        refused(&bundle, stage, &format!("{pointer} = {value}"));
    }
    for whole in ["null", "[]", "7", "\"text\"", "{}"] {
        if whole == "null" && stage.runtime.is_peer() {
            continue; // runc dereferences a nil pointer
        }
        let bundle = stage.sleeper();
        write(&bundle, whole);
        refused(&bundle, stage, whole);
    }
}

/// Values of the right type that make no sense, with the pointer the refusal must name.
fn absurd() -> Vec<(&'static str, Value)> {
    vec![
        ("/process/args", json!([])),
        ("/process/cwd", json!("not/absolute")),
        ("/process/env", json!(["A\u{0}B=1"])),
        ("/process/args", json!(["a\u{0}b"])),
        ("/root/path", json!("")),
        ("/linux/namespaces", json!([{ "type": "nosuch" }])),
        ("/linux/namespaces", json!([{ "type": "pid" }, { "type": "pid" }])),
        ("/linux/namespaces/1", json!({ "type": "network", "path": "/nosuch" })),
        ("/linux/namespaces/1", json!({ "type": "network", "path": "/proc/self/ns/mnt" })),
        ("/process/rlimits", json!([{ "type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1 }])),
        ("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 2, "hard": 1 }])),
        ("/linux/cgroupsPath", json!("../../../escape")),
        ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NOSUCH" })),
        ("/linux/rootfsPropagation", json!("nosuch")),
        ("/linux/sysctl", json!({ "kernel.../../x": "1" })),
        ("/linux/devices", json!([{ "path": "/dev/x", "type": "z", "major": 1, "minor": 1 }])),
        ("/ociVersion", json!("99.0.0")),
        ("/ociVersion", json!("")),
    ]
}

fn config_with_absurd_values(stage: &Stage) {
    let mut accepted = Vec::new();
    for (pointer, value) in absurd() {
        let mut bundle = stage.sleeper();
        bundle.set(pointer, value.clone()).write();
        let what = format!("{pointer} = {value}");
        let line = bundle.create_line("create", &[]);
        if bundle.on_own_streams(&mut bundle.command(&line)).code == 0 {
            accepted.push(what);
            continue;
        }
        bundle.is_gone();
        fs::remove_file(bundle.log()).unwrap();
        refused(&bundle, stage, &what);
    }
    assert!(accepted.is_empty(), "accepted: {accepted:#?}");
}

fn config_of_50_megabytes(stage: &Stage) {
    let bundle = stage.sleeper();
    let mut text = bundle.config.to_string();
    text.truncate(text.len() - 1);
    text.push_str(",\"annotations\":{\"big\":\"");
    text.push_str(&"x".repeat(50 << 20));
    write(&bundle, &text);
    refused(&bundle, stage, "50 MB without an end");
}

fn config_nested_deeply(stage: &Stage) {
    let bundle = stage.sleeper();
    for (open, depth) in [("[", 100_000), ("{\"process\":", 100_000)] {
        write(&bundle, open.repeat(depth));
        refused(&bundle, stage, &format!("{depth} times {open}"));
    }
}

fn config_of_random_bytes(stage: &Stage) {
    let bundle = stage.sleeper();
    let noise: Vec<u8> = (0_u32..4096).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    write(&bundle, &noise);
    refused(&bundle, stage, "noise");
    write(&bundle, b"\xef\xbb\xbf{}");
    refused(&bundle, stage, "a byte order mark");
}

fn bad_ids(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.write();
    let directory = bundle.directory();
    let long = "x".repeat(5000);
    for id in ["", ".", "..", "../x", "a/b", "a b", "a\nb", "ä", "-", &long] {
        if id == "-" || (id == long && stage.runtime.is_peer()) {
            continue;
        }
        let output = bundle.on_own_streams(&mut bundle.command(&["create", "-b", directory.to_str().unwrap(), id]));
        assert!(output.code != 0, "the id {id:?} was accepted");
        assert!(is_empty(&bundle.root()), "{id:?}: the state root holds something");
    }
    bundle.is_gone();
}

fn rootfs_missing(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/root/path", json!("nosuch")).write();
    let error = refused(&bundle, stage, "no rootfs");
    assert!(error.contains("nosuch"), "{error}");
    let file = bundle.directory().join("file");
    fs::write(file, "").unwrap();
    bundle.set("/root/path", json!("file")).write();
    refused(&bundle, stage, "a file as rootfs");
}

fn errors_name_the_place(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/linux/resources/memory", json!({ "limit": "1g" })).write();
    let error = refused(&bundle, stage, "a text as memory limit");
    assert!(error.contains("config.json") && error.contains("memory") && error.contains("limit"), "{error}");
    let mut bundle = stage.sleeper();
    bundle.set("/process/cwd", json!("relative")).write();
    let error = refused(&bundle, stage, "a relative cwd");
    assert!(error.contains("/process/cwd"), "{error}");
}
