//! Many calls on one container at once, as engines make them under load: nothing hangs, nothing is lost, nothing is left.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use integration::bundle::Bundle;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, command, leftover, scene};
use serde_json::Value;

use crate::Stage;

/// Both are what a shim takes for "it is gone already" (containerd's checkKillError, and its Delete).
const GONE: [&str; 2] = ["container not running", "does not exist"];

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(a_storm_of_execs),
        scene!(execs_while_it_is_killed)
            .peer_cannot("an exec that the kill catches half-way may keep the container from ending"),
        scene!(kills_and_deletes),
        scene!(deletes_of_a_stopped_container),
        scene!(states_while_it_comes_and_goes),
        scene!(pauses_and_resumes),
        scene!(a_cgroup_made_meanwhile).peer_cannot("two containers may share a cgroup"),
    ]
}

/// A call that runs beside others; its streams are files.
struct Call {
    child: Child,
    stdout: File,
    stderr: File,
}

impl Call {
    fn start(bundle: &Bundle, args: &[&str]) -> Call {
        let (stdout, stderr) = (command::scratch(), command::scratch());
        let mut line = bundle.command(args);
        line.stdin(Stdio::null()).stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        Call { child: line.spawn().unwrap(), stdout, stderr }
    }

    /// Its exit code and what it said; fails the test if it hangs.
    fn end(mut self) -> (i32, String, String) {
        let code = command::wait(&mut self.child, PATIENCE * 3).expect("a call hangs");
        (code, command::content(&self.stdout), command::content(&self.stderr))
    }
}

fn a_storm_of_execs(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    let exec = |number: usize| {
        let line = format!("echo {number}; exit {}", number % 100);
        Call::start(&bundle, &["exec", &bundle.id, "sh", "-c", &line])
    };
    let calls: Vec<Call> = (0..200).map(exec).collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.end(), (number as i32 % 100, format!("{number}\n"), String::new()));
    }
    assert_eq!((bundle.status().as_str(), leftover::members(&bundle.cgroup)), ("running", vec![bundle.pid()]));
}

fn execs_while_it_is_killed(stage: &Stage) {
    let bundle = stage.sleeper();
    let pid = bundle.start().pid();
    let exec = || Call::start(&bundle, &["exec", &bundle.id, "sleep", "1000"]);
    let mut calls: Vec<Call> = (0..10).map(|_| exec()).collect();
    bundle.kill("KILL").ok();
    calls.extend((0..10).map(|_| exec()));
    assert!(calls.into_iter().all(|call| call.end().0 != 0), "an exec succeeded");
    assert_eq!(bundle.exit_code(pid), 137);
    bundle.verb(&["delete"]).ok();
    bundle.is_gone();
}

fn kills_and_deletes(stage: &Stage) {
    for _ in 0..5 {
        let bundle = stage.sleeper();
        let pid = bundle.start().pid();
        let (kill, delete) = (["kill", &bundle.id, "KILL"], ["delete", "--force", &bundle.id]);
        let calls: Vec<Call> =
            [&kill[..], &delete, &kill, &delete].into_iter().map(|args| Call::start(&bundle, args)).collect();
        for (call, is_kill) in calls.into_iter().zip([true, false, true, false]) {
            let (code, _, stderr) = call.end();
            let known = is_kill && GONE.iter().any(|text| stderr.contains(text));
            assert!(code == 0 || known, "exit {code}: {stderr}");
        }
        assert_eq!(bundle.exit_code(pid), 137);
        bundle.is_gone();
    }
}

fn deletes_of_a_stopped_container(stage: &Stage) {
    let bundle = stage.bundle(&["true"]);
    let pid = bundle.create().pid();
    bundle.verb(&["start"]).ok();
    assert_eq!(bundle.exit_code(pid), 0);
    let calls: Vec<Call> = (0..4).map(|_| Call::start(&bundle, &["delete", &bundle.id])).collect();
    let ends: Vec<_> = calls.into_iter().map(Call::end).collect();
    assert!(ends.iter().any(|(code, ..)| *code == 0), "{ends:?}");
    assert!(ends.iter().all(|(code, _, stderr)| *code == 0 || stderr.contains("does not exist")), "{ends:?}");
    bundle.is_gone();
}

fn states_while_it_comes_and_goes(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.write();
    for _ in 0..5 {
        let line = bundle.create_line("create", &[]);
        let ask = || Call::start(&bundle, &["state", &bundle.id]);
        let mut calls = vec![ask()];
        let create = Call::start(&bundle, &line);
        calls.extend((0..5).map(|_| ask()));
        assert_eq!(create.end().0, 0);
        let delete = Call::start(&bundle, &["delete", "--force", &bundle.id]);
        calls.extend((0..5).map(|_| ask()));
        assert_eq!(delete.end().0, 0);
        for (code, stdout, stderr) in calls.into_iter().map(Call::end) {
            match code {
                0 => assert!(serde_json::from_str::<Value>(&stdout).is_ok(), "{stdout}"),
                _ => assert!(stderr.contains("does not exist") || stderr.contains("that is creating"), "{stderr}"),
            }
        }
    }
    bundle.is_gone();
}

fn pauses_and_resumes(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    let verbs = ["pause", "resume"].into_iter().cycle().take(10);
    let calls: Vec<Call> = verbs.map(|verb| Call::start(&bundle, &[verb, &bundle.id])).collect();
    for call in calls {
        call.end(); // a second pause may be refused
    }
    bundle.verb(&["resume"]);
    assert_eq!(bundle.call(&["exec", &bundle.id, "echo", "on"]).ok().text(), "on");
}

/// A create that finds the cgroup free, and taken when it comes to make it, does no harm to the container that has it.
fn a_cgroup_made_meanwhile(stage: &Stage) {
    let [late, first] = [stage.sleeper(), stage.sleeper()].map(|mut bundle| {
        bundle.cgroup = format!("{}/shared", bundle.cgroup.rsplit_once('/').unwrap().0);
        bundle.set("/linux/cgroupsPath", Value::from(bundle.cgroup.clone())).write();
        bundle
    });
    let create = late.command(&late.create_line("create", &[]));
    let mut slowly = Command::new("strace");
    slowly.args(["-f", "-o", "/dev/null", "-e", "trace=mkdir,mkdirat", "-e", "inject=mkdir,mkdirat:delay_enter=4s"]);
    for hierarchy in cgroup::hierarchies() {
        slowly.arg("-P").arg(hierarchy.mount.join(late.cgroup.trim_start_matches('/')));
    }
    slowly.arg(create.get_program()).args(create.get_args());
    slowly.stdin(Stdio::null()).stdout(command::scratch()).stderr(command::scratch());
    let mut slowly = slowly.spawn().unwrap();
    // Written when it has seen that there is no such cgroup, and before it makes one.
    let journal = late.root().join(&late.id).join("journal");
    eventually(PATIENCE, "the late create to be about to make its cgroup", || {
        std::fs::metadata(&journal).is_ok_and(|journal| journal.len() > 0).then_some(())
    });
    first.create();
    assert_eq!(command::wait(&mut slowly, PATIENCE), Some(1));
    assert_eq!(first.status(), "created");
    assert_eq!(leftover::members(&first.cgroup), [first.pid()]);
}
