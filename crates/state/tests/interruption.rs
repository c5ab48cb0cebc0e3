//! Processes killed while they make or remove a container, and file systems that refuse.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod scratch;

use rustix::mount::{MountFlags, mount_remount};
use scratch::{SOON, Scratch, again, id, make, names};
use state::{CONFIG, Error, Part, Undo};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;
use std::time::Duration;

/// Starts a scenario of [`child`] and waits for its word.
fn start(scenario: &str, scratch: &Scratch) -> Child {
    let mut child = again("child", scenario, scratch.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let word = lines.any(|line| line.unwrap().contains("ready"));
    assert!(word, "the child did not come to the point where it is killed");
    child
}

fn cgroup(path: &str) -> Undo {
    Undo::Cgroup(Part::of(&path).unwrap())
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The other side: says "ready" and waits to be killed.
#[test]
fn child() {
    let Some((scenario, path)) = scratch::scenario() else { return };
    let root = state::StateRoot::open(&path).unwrap();
    let ready = || {
        println!("ready");
        std::io::stdout().flush().unwrap();
    };
    match scenario.as_str() {
        "begun" => {
            let _locked = root.begin(&id("c")).unwrap();
            ready();
            let _ = std::io::stdin().read(&mut [0]);
        }
        "journaled" => {
            let mut locked = root.begin(&id("c")).unwrap();
            locked.journal(&[cgroup("/one")]).unwrap();
            locked
                .journal(&[Undo::Mount { path: "/two".into(), over: 1 }, Undo::File { path: "/three".into() }])
                .unwrap();
            ready();
            let _ = std::io::stdin().read(&mut [0]);
        }
        _ => {
            ready();
            loop {
                make(&root, "c");
                root.find(&id("c")).unwrap().lock(SOON).unwrap().remove().unwrap();
            }
        }
    }
}

#[test]
fn killed_after_the_claim() {
    let scratch = Scratch::new();
    kill(start("begun", &scratch));
    let root = scratch.root();
    assert!(matches!(root.begin(&id("c")), Err(Error::Exists { .. })));
    let locked = root.find(&id("c")).unwrap().lock(Duration::from_secs(10)).unwrap();
    assert!(locked.record().unwrap().is_none() && locked.undos().unwrap().is_empty());
    locked.remove().unwrap();
    assert!(scratch.names().is_empty());
}

#[test]
fn killed_between_the_journal_and_the_record() {
    let scratch = Scratch::new();
    let child = start("journaled", &scratch);
    let root = scratch.root();
    assert!(matches!(root.find(&id("c")).unwrap().lock(Duration::ZERO), Err(Error::Busy { .. })));
    kill(child);
    let locked = root.find(&id("c")).unwrap().lock(Duration::from_secs(10)).unwrap();
    assert!(locked.record().unwrap().is_none());
    let undos: Vec<Undo> = locked.undos().unwrap().into_iter().map(Result::unwrap).collect();
    let [two, three] = ["/two", "/three"].map(std::path::PathBuf::from);
    assert_eq!(undos, [Undo::File { path: three }, Undo::Mount { path: two, over: 1 }, cgroup("/one")]);
    locked.remove().unwrap();
    assert!(scratch.names().is_empty());
}

#[test]
fn killed_at_any_moment_leaves_nothing_that_remove_does_not_remove() {
    for round in 0..30 {
        let scratch = Scratch::new();
        let child = start("all", &scratch);
        // Not a wait for a time: a different number of looks at the disk lets the child get to a different place.
        for _ in 0..round * 7 {
            let _ = scratch.root().list().unwrap().count();
        }
        kill(child);
        let root = scratch.root();
        match root.find(&id("c")) {
            Ok(entry) => {
                entry.record().unwrap();
                assert!(entry.undos().unwrap().iter().all(Result::is_ok));
                entry.lock(Duration::from_secs(10)).unwrap().remove().unwrap();
            }
            Err(error) => assert!(error.is_not_found(), "{error}"),
        }
        assert!(scratch.names().is_empty());
    }
}

#[test]
fn a_full_file_system_is_named_and_nothing_is_left() {
    let Some(scratch) = Scratch::tmpfs("size=64k") else { return };
    let root = scratch.root();
    let mut locked = root.begin(&id("c")).unwrap();
    locked.write(CONFIG, b"old").unwrap();
    locked.journal(&[cgroup("/one")]).unwrap();
    let long = cgroup(&"/x".repeat(40_000));
    for error in [
        locked.write(CONFIG, &[b'x'; 70_000]).unwrap_err(),
        locked.draft(&state::Record { created: "x".repeat(70_000), ..scratch::record("c") }).unwrap_err(),
        state::atomic_write(&scratch.path().join("pid"), &[b'1'; 70_000], 0o644).unwrap_err(),
        locked.journal(&[long]).unwrap_err(),
    ] {
        assert!(error.to_string().contains("no space left on the file system"), "{error}");
    }
    assert_eq!(names(locked.path()), [CONFIG, "journal"], "no temporary file");
    assert_eq!(locked.read(CONFIG).unwrap().unwrap(), b"old");
    assert_eq!(locked.undos().unwrap().len(), 1, "the torn line is left out");
    locked.remove().unwrap();
    assert!(scratch.names().is_empty());
}

#[test]
fn a_file_system_without_inodes_is_named_and_nothing_is_left() {
    // The root of the tmpfs is one inode.
    let Some(scratch) = Scratch::tmpfs("nr_inodes=2") else { return };
    let root = scratch.root();
    let mut locked = root.begin(&id("one")).unwrap();
    let error = locked.journal(&[cgroup("/one")]).unwrap_err().to_string();
    assert!(error.contains("no space left"), "{error}");
    let error = root.begin(&id("two")).unwrap_err().to_string();
    assert!(error.contains("no space left"), "{error}");
    assert_eq!(scratch.names(), ["one"]);
    locked.remove().unwrap();
    assert!(scratch.names().is_empty());
}

#[test]
fn a_read_only_root_can_be_read_and_says_that_it_is_read_only() {
    let Some(scratch) = Scratch::tmpfs("size=64k") else { return };
    make(&scratch.root(), "c");
    mount_remount(scratch.path(), MountFlags::RDONLY, c"").unwrap();
    let root = scratch.root();
    assert!(root.find(&id("c")).unwrap().record().unwrap().is_some());
    let mut locked = root.find(&id("c")).unwrap().lock(SOON).unwrap();
    for error in [
        root.begin(&id("new")).map(drop).unwrap_err(),
        state::StateRoot::open(&scratch.path().join("root")).unwrap().begin(&id("new")).map(drop).unwrap_err(),
        locked.write(CONFIG, b"").unwrap_err(),
        locked.journal(&[]).unwrap_err(),
        locked.remove().unwrap_err(),
    ] {
        assert!(error.to_string().contains("read-only"), "{error}");
    }
}
