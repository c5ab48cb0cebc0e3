//! SIGKILL of the runtime anywhere in `create`, then `delete --force`: exit 0 and nothing left.
//!
//! The short version takes a sample of the points; `LONG=1` takes them all.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use integration::bundle::Bundle;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{command, host};

use crate::Stage;

pub const PEERS_LEAK: &str = "leaves cgroups or processes behind when killed in create";

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
pub fn clears(bundle: &Bundle, point: &str) {
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
    let create = bundle.create_line("create", &[]);
    let mut points = 0;
    for call in CALLS {
        // A sample: the first of each kind, then further and further apart.
        let sampled = (1..2000_u32).filter(|count| long() || *count <= 2 || count.is_power_of_two());
        for count in sampled {
            let hit = killed_at(&bundle, call, count, &create);
            clears(&bundle, &format!("at {call} number {count}"));
            if !hit {
                break;
            }
            points += 1;
        }
    }
    assert!(points >= 20, "only {points} points were reached: does strace inject here?");
    bundle.create();
}

fn killed_in_delete(stage: &Stage) {
    let bundle = stage.sleeper();
    let delete = ["delete", "--force", &bundle.id];
    for call in ["unlinkat", "unlink", "rmdir", "openat", "write", "umount2", "pidfd_send_signal", "kill"] {
        for count in 1..=(if long() { 200 } else { 4 }) {
            bundle.start();
            let hit = killed_at(&bundle, call, count, &delete);
            clears(&bundle, &format!("in delete, at {call} number {count}"));
            if !hit {
                break;
            }
        }
    }
}

/// Runs the runtime with `args` and kills whichever of its processes makes system call `call` for the `count`th time;
/// whether there was such a call.
pub fn killed_at(bundle: &Bundle, call: &str, count: u32, args: &[&str]) -> bool {
    let record = bundle.folder.join("strace");
    std::fs::remove_file(&record).ok();
    let traced = bundle.command(args);
    let mut strace = Command::new("strace");
    strace.arg("-f").arg("-o").arg(&record).args(["-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=SIGKILL:when={count}")]);
    strace.arg(traced.get_program()).args(traced.get_args());
    let file = |name: &str| std::fs::File::create(bundle.folder.join(name)).unwrap();
    let mut child = strace.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
    // strace stays for as long as the container does: it has done its work when the runtime, its only child, is gone.
    let strace = child.id().to_string();
    eventually(PATIENCE, &format!("the runtime to end, {call} number {count}"), || {
        let begun = std::fs::metadata(&record).is_ok_and(|file| file.len() > 0) || !host::is_alive(child.id() as i32);
        let mut others = host::processes().into_iter();
        let working = others.any(|pid| host::status_field(pid, "PPid").as_deref() == Some(&strace));
        (begun && !working).then_some(())
    });
    child.kill().ok();
    child.wait().unwrap();
    std::fs::read_to_string(record).unwrap().contains("+++ killed by SIGKILL +++")
}
