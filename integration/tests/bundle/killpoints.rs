//! SIGKILL of the runtime anywhere in `create`, then `delete --force`: exit 0 and nothing left.
//!
//! The short version takes a sample of the points; `LONG=1` takes them all.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use integration::bundle::Bundle;
use integration::command;
use integration::scene;
use integration::scene::Scene;
use integration::wait::PATIENCE;

use crate::Stage;

const PEERS_LEAK: &str = "leaves cgroups or processes behind when killed in create";

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(killed_at_random_times).peer_cannot(PEERS_LEAK),
        scene!(killed_at_each_system_call).peer_cannot(PEERS_LEAK),
        scene!(killed_in_delete).peer_cannot(PEERS_LEAK),
    ]
}

fn long() -> bool {
    std::env::var_os("LONG").is_some_and(|value| value == "1")
}

/// What must hold after a runtime died: force-deleting works, leaves nothing, and the id can be used again.
#[track_caller]
fn clears(bundle: &Bundle, point: &str) {
    let output = bundle.verb(&["delete", "--force"]);
    assert!(output.code == 0, "killed {point}: {output}");
    let begun = Instant::now();
    let left = loop {
        let left = bundle.leftovers();
        if left.is_empty() || begun.elapsed() > Duration::from_secs(2) {
            break left;
        }
        std::thread::yield_now();
    };
    assert!(left.is_empty(), "killed {point}: left behind {left:#?}");
}

/// Starts `create` on the bundle's streams.
fn spawn_create(bundle: &Bundle) -> std::process::Child {
    let file = |name: &str| std::fs::File::create(bundle.folder.join(name)).unwrap();
    let mut command = bundle.command(&bundle.create_line("create", &[]));
    command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap()
}

fn killed_at_random_times(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.write();
    let begun = Instant::now();
    let mut child = spawn_create(&bundle);
    assert_eq!(command::wait(&mut child, PATIENCE), Some(0));
    let whole = begun.elapsed();
    clears(&bundle, "never");
    let times = if long() { 600 } else { 60 };
    for time in 0..times {
        let moment = whole * time / times;
        let begun = Instant::now();
        let mut child = spawn_create(&bundle);
        while begun.elapsed() < moment {
            std::hint::spin_loop();
        }
        child.kill().ok();
        child.wait().unwrap();
        clears(&bundle, &format!("after {moment:?} of {whole:?}"));
    }
    bundle.create();
}

/// The calls that acquire something or change what others see.
const CALLS: [&str; 24] = [
    "openat",
    "openat2",
    "mkdir",
    "mkdirat",
    "mknodat",
    "write",
    "writev",
    "pwrite64",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "clone",
    "clone3",
    "execveat",
    "mount",
    "fsopen",
    "fsmount",
    "open_tree",
    "move_mount",
    "mount_setattr",
    "fchownat",
    "close",
    "exit_group",
];

fn killed_at_each_system_call(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.write();
    let mut points = 0;
    for call in CALLS {
        for count in 1.. {
            // A sample: the first three of each kind, then each one further and further apart.
            let sampled = long() || count <= 3 || u32::is_power_of_two(count) || count % 16 == 0;
            if !sampled {
                continue;
            }
            // "write" includes no call that this kernel or build does not make: strace accepts the name all the same.
            let inject = format!("inject={call}:signal=SIGKILL:when={count}");
            let output = traced(&bundle, &inject);
            let whole = output.code == 0;
            points += u32::from(!whole);
            clears(&bundle, &format!("at {call} number {count}"));
            if whole || count > 2000 {
                break;
            }
        }
    }
    assert!(points >= 20, "only {points} points were reached: does strace inject here?");
    bundle.create();
}

/// `strace -f -e INJECT create`, on the bundle's streams.
fn traced(bundle: &Bundle, inject: &str) -> command::Output {
    let traced = bundle.command(&bundle.create_line("create", &[]));
    let mut strace = Command::new("strace");
    let calls = inject.split(['=', ':']).nth(1).unwrap();
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", inject]);
    strace.arg(traced.get_program()).args(traced.get_args());
    bundle.on_own_streams(&mut strace)
}

fn killed_in_delete(stage: &Stage) {
    let bundle = stage.sleeper();
    for call in ["unlinkat", "unlink", "rmdir", "openat", "write", "umount2", "pidfd_send_signal", "kill"] {
        for count in 1..=(if long() { 200 } else { 4 }) {
            bundle.start();
            let line = ["delete", "--force", &bundle.id];
            let traced = bundle.command(&line);
            let mut strace = Command::new("strace");
            let inject = format!("inject={call}:signal=SIGKILL:when={count}");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
            strace.arg(traced.get_program()).args(traced.get_args());
            let whole = command::run(&mut strace).code == 0;
            clears(&bundle, &format!("in delete, at {call} number {count}"));
            if whole {
                break;
            }
        }
    }
}
