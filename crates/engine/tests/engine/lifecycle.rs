//! A container's life, and its status, which is found out each time and stored nowhere.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spec::Status;

use crate::bundle::{Bundle, FOREVER, alive, ended, pidfd};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

#[test]
fn from_created_to_deleted() {
    let bundle = Bundle::new(FOREVER);
    bundle.create().is(Status::Created);
    assert!(bundle.runtime.delete(&bundle.id, false).is_err());
    bundle.runtime.start(&bundle.id).unwrap();
    bundle.is(Status::Running);
    let error = bundle.runtime.start(&bundle.id).unwrap_err().to_string();
    assert_eq!(error, "cannot start an already running container");
    assert!(bundle.runtime.delete(&bundle.id, false).is_err());
    bundle.runtime.pause(&bundle.id).unwrap();
    bundle.is(Status::Paused);
    bundle.runtime.resume(&bundle.id).unwrap();
    bundle.is(Status::Running);
    let init = pidfd(bundle.state().pid);
    bundle.runtime.kill(&bundle.id, SIGKILL, false).unwrap();
    ended(&init);
    assert_eq!(bundle.is(Status::Stopped).state().pid, 0);
    assert_eq!(bundle.runtime.kill(&bundle.id, SIGTERM, false).unwrap_err().to_string(), "container not running");
    assert!(bundle.runtime.start(&bundle.id).is_err());
    bundle.runtime.delete(&bundle.id, false).unwrap();
    assert!(bundle.runtime.state(&bundle.id).unwrap_err().is_not_found());
    assert!(bundle.runtime.delete(&bundle.id, false).unwrap_err().is_not_found());
    bundle.delete_all();
}

#[test]
fn a_created_container_that_is_deleted_has_run_nothing() {
    let bundle = Bundle::new("echo run > /out");
    let init = pidfd(bundle.create().state().pid);
    bundle.delete_all();
    assert!(!alive(&init));
    assert!(!bundle.folder.join("rootfs/out").exists());
}

/// Changes a number in the record.
fn edit(bundle: &Bundle, change: impl FnOnce(&mut Value)) {
    let path = bundle.recorded("record.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut record["init"]);
    std::fs::write(path, record.to_string()).unwrap();
}

#[test]
fn a_pid_that_somebody_else_has_now_is_never_signalled() {
    let bundle = Bundle::new(FOREVER);
    bundle.start();
    // An innocent process; that it has the right number but another start time is what a reused pid looks like.
    let mut innocent = std::process::Command::new("/bin/sleep").arg("100000").spawn().unwrap();
    let process = pidfd(innocent.id().try_into().unwrap());
    edit(&bundle, |init| *init = json!({"pid": innocent.id(), "start_time": 1}));
    assert_eq!(bundle.is(Status::Stopped).state().pid, 0);
    assert!(bundle.runtime.kill(&bundle.id, SIGKILL, false).is_err());
    assert!(bundle.exec("true").is_err());
    bundle.delete_all();
    assert!(alive(&process));
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}

#[test]
fn numbers_that_are_no_process_are_a_stopped_container() {
    for pid in [0, -1, i32::MIN, i32::MAX] {
        let bundle = Bundle::new(FOREVER);
        let init = pidfd(bundle.start().state().pid);
        edit(&bundle, |init| init["pid"] = json!(pid));
        bundle.is(Status::Stopped);
        bundle.delete_all();
        assert!(!alive(&init), "the cgroup's processes end whatever the record says");
    }
}

#[test]
fn a_start_killed_after_its_word_leaves_a_running_container() {
    let bundle = Bundle::new(FOREVER);
    bundle.create();
    let mut killed = UnixStream::connect(bundle.recorded("start")).unwrap();
    killed.write_all(&[1]).unwrap();
    // Its end is the execve.
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut killed, &mut rest).unwrap();
    assert!(rest.is_empty());
    assert!(bundle.recorded("start").exists());
    bundle.is(Status::Running);
    assert!(bundle.runtime.start(&bundle.id).is_err());
    bundle.delete_all();
}

#[test]
fn a_start_killed_before_its_word_leaves_a_created_container() {
    let bundle = Bundle::new("echo run > /out");
    bundle.create();
    drop(UnixStream::connect(bundle.recorded("start")).unwrap());
    bundle.is(Status::Created);
    let init = pidfd(bundle.state().pid);
    bundle.runtime.start(&bundle.id).unwrap();
    ended(&init);
    assert_eq!(bundle.file("out"), "run\n");
}

#[test]
fn of_two_starts_one_wins_and_the_other_is_told_within_a_second() {
    let mut bundle = Bundle::new(FOREVER);
    // A hook that lasts, so that the second comes in the middle of the first.
    bundle.config["hooks"] = json!({"startContainer": [{"path": "/bin/sleep", "args": ["sleep", "1"]}]});
    bundle.create();
    let barrier = Barrier::new(2);
    let start = || {
        barrier.wait();
        let began = Instant::now();
        (bundle.runtime.start(&bundle.id).is_ok(), began.elapsed())
    };
    let answers = std::thread::scope(|scope| {
        let other = scope.spawn(start);
        [start(), other.join().unwrap()]
    });
    assert_eq!(answers.iter().filter(|(won, _)| *won).count(), 1, "{answers:?}");
    let (_, lost_after) = answers.iter().find(|(won, _)| !won).unwrap();
    assert!(*lost_after < Duration::from_secs(1), "{lost_after:?}");
    bundle.is(Status::Running);
}

#[test]
fn of_two_creates_with_one_id_one_wins_and_the_other_takes_nothing_away() {
    let bundle = Bundle::new(FOREVER);
    let options = bundle.options();
    let barrier = Barrier::new(4);
    let create = || {
        barrier.wait();
        bundle.runtime.create(&bundle.id, &options)
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    for error in answers.into_iter().filter_map(Result::err) {
        assert!(error.to_string().contains("already exists"), "{error}");
    }
    bundle.is(Status::Created);
    bundle.runtime.start(&bundle.id).unwrap();
    bundle.is(Status::Running);
}

#[test]
fn a_frozen_container_is_not_started() {
    let bundle = Bundle::new(FOREVER);
    bundle.create();
    bundle.runtime.pause(&bundle.id).unwrap();
    assert!(bundle.runtime.start(&bundle.id).unwrap_err().to_string().contains("paused"));
    bundle.runtime.resume(&bundle.id).unwrap_or_default();
    bundle.delete_all();
}

#[test]
fn what_start_cannot_execute_is_told_by_start() {
    let mut bundle = Bundle::new("");
    let program = bundle.folder.join("rootfs/bin/program");
    std::fs::write(&program, "no program").unwrap();
    std::os::unix::fs::chown(&program, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bundle.config["process"]["args"] = json!(["/bin/program"]);
    bundle.create();
    let error = bundle.runtime.start(&bundle.id).unwrap_err().to_string();
    assert_eq!(error, "exec: \"/bin/program\": exec format error");
    bundle.is(Status::Stopped);
}

#[test]
fn a_create_that_fails_leaves_nothing() {
    let missing = |change: &dyn Fn(&mut Value)| {
        let mut bundle = Bundle::new(FOREVER);
        change(&mut bundle.config);
        let error = bundle.try_create().unwrap_err().to_string();
        assert!(!error.contains('\n'));
        bundle.delete_all();
        error
    };
    let program = missing(&|config| config["process"]["args"] = json!(["/missing"]));
    assert_eq!(program, "exec: \"/missing\": stat /missing: no such file or directory");
    let program = missing(&|config| config["process"]["args"] = json!(["missing"]));
    assert_eq!(program, "exec: \"missing\": executable file not found in $PATH");
    let cwd = missing(&|config| config["process"]["cwd"] = json!("/bin/sh"));
    assert!(cwd.contains("not a directory"), "{cwd}");
    let mount = missing(&|config| {
        config["mounts"][0] = json!({"destination": "/x", "source": "/missing", "options": ["bind"]})
    });
    assert_eq!(mount, "mounts[0] /x: open_tree: missing (ENOENT)");
    let hook = missing(&|config| {
        config["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo why; exit 4"]}]})
    });
    assert_eq!(hook, "hooks.createRuntime[0] /bin/sh: exit status 4: why");
    let hook = missing(&|config| {
        config["hooks"] = json!({"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo why; exit 4"]}]})
    });
    assert_eq!(hook, "hooks.createContainer[0] /bin/sh: exit status 4: why");
}

#[test]
fn a_container_whose_memory_is_too_little_is_no_riddle() {
    let mut bundle = Bundle::new(FOREVER);
    bundle.config["linux"]["resources"] = json!({"memory": {"limit": 4096}});
    match bundle.try_create() {
        Ok(()) => bundle.delete_all(),
        Err(error) => assert!(error.to_string().contains("memory"), "{error}"),
    }
}
