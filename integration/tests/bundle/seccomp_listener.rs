//! `SCMP_ACT_NOTIFY`: the agent at `listenerPath` gets the filter's listener, with the state of the process.

use std::thread;

use integration::bundle::Bundle;
use integration::console::ConsoleSocket;
use integration::runtime::Runtime;
use integration::scene;
use integration::scene::Scene;
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let runc = Runtime::under_test().name() == "runc";
    vec![
        scene!(agent_gets_the_listener_of_init_and_exec),
        scene!(agent_that_is_not_there_fails_the_start),
        scene!(profile_that_nobody_hears_is_refused).peer_cannot_if(runc, "runc 1.1 words it otherwise"),
    ]
}

/// A bundle whose folders are made with an agent's leave.
fn watched(stage: &Stage, line: &str) -> (Bundle, ConsoleSocket) {
    let mut bundle = stage.shell(line);
    let agent = ConsoleSocket::listen(&bundle.folder.join("agent"));
    bundle.set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": agent.path,
            "listenerMetadata": "who goes there",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
        }),
    );
    (bundle, agent)
}

fn agent_gets_the_listener_of_init_and_exec(stage: &Stage) {
    let (bundle, agent) = watched(stage, "mkdir /made 2>&1; exec sleep 1000");
    // An agent that closes the listener lets every call that waits for it fail with ENOSYS.
    let agent = thread::spawn(move || [agent.letter(), agent.letter()].map(|(text, listener)| (text, listener.len())));
    bundle.start();
    let refused = bundle.call(&["exec", &bundle.id, "mkdir", "/made"]).fails();
    assert!(refused.stderr.contains("not implemented"), "{refused}");
    for (text, descriptors) in agent.join().unwrap() {
        let process: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&process["fds"], descriptors), (&json!(["seccompFd"]), 1));
        assert_eq!((&process["metadata"], &process["state"]["id"]), (&json!("who goes there"), &json!(bundle.id)));
        assert!(process["pid"].as_i64().unwrap() > 0, "{process}");
    }
}

fn agent_that_is_not_there_fails_the_start(stage: &Stage) {
    let (bundle, agent) = watched(stage, "true");
    std::fs::remove_file(&agent.path).unwrap();
    bundle.run().fails();
}

fn profile_that_nobody_hears_is_refused(stage: &Stage) {
    let mut bundle = stage.shell("true");
    bundle.set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NOTIFY" }));
    bundle.run().fails().says("/linux/seccomp/listenerPath: SCMP_ACT_NOTIFY has nobody to notify");
    bundle.set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/agent" }));
    bundle.run().fails().says("sendmsg cannot be notified");
}
