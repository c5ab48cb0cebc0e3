//! Claiming, finding, listing, locking and removing containers.
#![allow(clippy::disallowed_methods, reason = "the fixtures are ordinary files")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod scratch;

use scratch::{SOON, Scratch, again, id, make, names, record};
use state::{CONFIG, Error, StateRoot, Undo};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::{Barrier, mpsc};
use std::time::Duration;

#[test]
fn a_container_is_read_back_as_written() {
    let scratch = Scratch::new();
    let root = StateRoot::open(&scratch.path().join("deep/root")).unwrap();
    make(&root, "c");
    let root = StateRoot::open(root.path()).unwrap();
    let entry = root.find(&id("c")).unwrap();
    assert_eq!(entry.record().unwrap().unwrap().annotations["a"], "b");
    assert_eq!(entry.read(CONFIG).unwrap().unwrap(), b"{}");
    assert_eq!(entry.read("filter").unwrap(), None);
    assert_eq!(entry.undos().unwrap()[0].as_ref().unwrap(), &Undo::Cgroup(state::Part::of(&"/cgroup").unwrap()));
    entry.lock(SOON).unwrap().remove().unwrap();
    assert!(names(root.path()).is_empty());
}

#[test]
fn files_of_all_sizes_are_read_whole() {
    let scratch = Scratch::new();
    let locked = scratch.root().begin(&id("c")).unwrap();
    for size in [0, 1, 8191, 8192, 8193, 16_384, 1_000_000] {
        let bytes: Vec<u8> = (0..size).map(|index| index as u8).collect();
        locked.write("filter", &bytes).unwrap();
        assert_eq!(locked.read("filter").unwrap().unwrap(), bytes, "{size}");
    }
}

#[test]
fn a_root_that_is_not_there_is_empty_and_stays_so_for_readers() {
    let scratch = Scratch::new();
    let root = StateRoot::open(&scratch.path().join("root")).unwrap();
    assert_eq!(root.list().unwrap().count(), 0);
    let error = root.find(&id("c")).unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("container does not exist"), "{error}");
    assert!(scratch.names().is_empty());
}

#[test]
fn an_id_is_claimed_once() {
    let scratch = Scratch::new();
    for round in 0..50 {
        let name = id(&format!("c{round}"));
        let barrier = Barrier::new(2);
        let create = || {
            let root = scratch.root();
            barrier.wait();
            root.begin(&name)
        };
        let results = std::thread::scope(|scope| {
            let other = scope.spawn(create);
            [create(), other.join().unwrap()]
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        let error = results.iter().find_map(|result| result.as_ref().err()).unwrap();
        assert!(error.to_string().contains("container with given ID already exists"), "{error}");
    }
}

#[test]
fn a_lock_is_held_once_and_readers_do_not_need_it() {
    let scratch = Scratch::new();
    let root = scratch.root();
    make(&root, "c");
    let find = || root.find(&id("c")).unwrap();
    let locked = find().lock(SOON).unwrap();
    assert!(matches!(find().lock(Duration::ZERO), Err(Error::Busy { .. })));
    assert!(matches!(find().lock(Duration::from_millis(20)), Err(Error::Busy { .. })));
    assert!(find().record().unwrap().is_some());

    let (waits, waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            let entry = find();
            waits.send(()).unwrap();
            entry.lock(Duration::MAX).map(drop)
        });
        waiting.recv().unwrap();
        drop(locked);
        waiter.join().unwrap().unwrap();
    });
}

#[test]
fn a_lock_on_what_has_been_removed_is_no_lock() {
    let scratch = Scratch::new();
    let root = scratch.root();
    make(&root, "c");
    let late = root.find(&id("c")).unwrap();
    root.find(&id("c")).unwrap().lock(SOON).unwrap().remove().unwrap();
    make(&root, "c");
    let error = late.lock(Duration::ZERO).unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("container does not exist"), "{error}");
    assert!(root.find(&id("c")).unwrap().record().unwrap().is_some());
}

#[test]
fn an_id_longer_than_a_name_is_refused_with_the_limit() {
    let scratch = Scratch::new();
    let root = scratch.root();
    make(&root, &"a".repeat(255));
    let long = id(&"a".repeat(256));
    let error = root.begin(&long).unwrap_err().to_string();
    assert!(error.contains("256 bytes") && error.contains("255"), "{error}");
    assert!(root.find(&long).unwrap_err().is_not_found());
    assert_eq!(root.list().unwrap().count(), 1);
}

#[test]
fn a_damaged_record_hides_no_other_and_can_be_removed() {
    let scratch = Scratch::new();
    let root = scratch.root();
    make(&root, "a");
    make(&root, "z");
    root.begin(&id("half-made")).unwrap();
    let whole = serde_json::to_vec(&record("m")).unwrap();
    let mut later = record("m");
    later.version += 1;
    let damaged = [
        b"".to_vec(),
        b"null".to_vec(),
        b"{".repeat(100_000),
        vec![0; 1 << 20],
        b"\xff\xfe".to_vec(),
        br#"{"version":"1"}"#.to_vec(),
        whole[..whole.len() / 2].to_vec(),
        serde_json::to_vec(&later).unwrap(),
        serde_json::to_vec(&record("other")).unwrap(),
        String::from_utf8(whole.clone()).unwrap().replace("\"m\"", "\"../m\"").into_bytes(),
    ];
    for bytes in damaged {
        root.begin(&id("m")).unwrap().write("record.json", &bytes).unwrap();
        let listed: Vec<_> = root.list().unwrap().map(|(id, entry)| (id, entry.and_then(|e| e.record()))).collect();
        let ids: Vec<_> = listed.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["a", "half-made", "m", "z"]);
        let error = listed[2].1.as_ref().unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains("m/record.json"), "{error}");
        assert!(listed[0].1.as_ref().unwrap().is_some() && listed[3].1.as_ref().unwrap().is_some());
        assert!(listed[1].1.as_ref().unwrap().is_none());
        root.find(&id("m")).unwrap().lock(SOON).unwrap().remove().unwrap();
    }
}

#[test]
fn what_is_no_file_in_the_place_of_the_record_is_an_error_and_removed() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let outside = scratch.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("record"), serde_json::to_vec(&record("c")).unwrap()).unwrap();
    let plants: [&dyn Fn(&std::path::Path); 3] =
        [&|path| symlink(outside.join("record"), path).unwrap(), &|path| std::fs::create_dir(path).unwrap(), &|path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap()
        }];
    for plant in plants {
        let locked = root.begin(&id("c")).unwrap();
        plant(&locked.path().join("record.json"));
        locked.record().unwrap_err();
        locked.remove().unwrap();
        assert!(root.find(&id("c")).unwrap_err().is_not_found());
    }
    assert!(outside.join("record").exists());
}

#[test]
fn remove_follows_nothing_out_of_the_directory() {
    let scratch = Scratch::new();
    let root = scratch.root();
    let outside = scratch.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "precious").unwrap();
    make(&root, "c");
    let directory = root.find(&id("c")).unwrap().path().to_owned();
    symlink(&outside, directory.join("link")).unwrap();
    std::fs::create_dir(directory.join("inner")).unwrap();
    symlink(&outside, directory.join("inner/link")).unwrap();
    drop(UnixListener::bind(directory.join("inner/socket")).unwrap());
    let locked = root.find(&id("c")).unwrap().lock(SOON).unwrap();
    std::fs::create_dir(directory.join("inner/deeper")).unwrap();
    let error = locked.remove().unwrap_err().to_string();
    assert!(error.contains("cannot remove"), "{error}");
    assert!(directory.join("record.json").exists(), "the record goes last");
    std::fs::remove_dir(directory.join("inner/deeper")).unwrap();
    root.find(&id("c")).unwrap().lock(SOON).unwrap().remove().unwrap();
    assert!(!directory.exists());
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "precious");

    symlink(&outside, scratch.path().join("linked")).unwrap();
    assert!(!root.find(&id("linked")).unwrap_err().is_not_found());
    assert!(matches!(root.begin(&id("linked")), Err(Error::Exists { .. })));
}

#[test]
fn a_path_that_is_not_utf8_is_refused_and_nothing_is_left() {
    use std::os::unix::ffi::OsStringExt;
    let scratch = Scratch::new();
    let mut locked = scratch.root().begin(&id("c")).unwrap();
    let path: std::path::PathBuf = std::ffi::OsString::from_vec(b"/\xff".to_vec()).into();
    let mut record = record("c");
    record.bundle = path.clone();
    assert!(locked.draft(&record).unwrap_err().to_string().contains("UTF-8"));
    assert!(locked.journal(&[Undo::Mount { path, over: 1 }]).unwrap_err().to_string().contains("UTF-8"));
    assert!(names(locked.path()).is_empty());
}

#[test]
fn a_note_that_is_taken_back_is_not_undone() {
    let scratch = Scratch::new();
    let mut locked = scratch.root().begin(&id("c")).unwrap();
    let [kept, taken_back] = ["/kept", "/taken-back"].map(|path| Undo::File { path: path.into() });
    locked.journal([kept.clone()]).unwrap();
    locked.journal([taken_back]).unwrap();
    locked.retract().unwrap();
    let undos = |entry: &state::Entry| entry.undos().unwrap().into_iter().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(undos(&locked), std::slice::from_ref(&kept));
    drop(locked);
    assert_eq!(undos(&scratch.root().find(&id("c")).unwrap()), [kept]);
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["0", "77", "777"] {
        let scratch = Scratch::new();
        let child = again("umask_child", umask, &scratch.path().join("root")).status().unwrap();
        assert!(child.success());
        for (path, mode) in
            [("root", 0o40700), ("root/c", 0o40700), ("root/c/record.json", 0o100_600), ("root/c/journal", 0o100_600)]
        {
            let found = std::fs::symlink_metadata(scratch.path().join(path)).unwrap().permissions().mode();
            assert_eq!(found, mode, "{path} with umask {umask}: {found:o}");
        }
        assert_eq!(std::fs::metadata(scratch.path().join("root/pid")).unwrap().mode() & 0o7777, 0o644);
    }
}

#[test]
fn umask_child() {
    let Some((umask, root)) = scratch::scenario() else { return };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(u32::from_str_radix(&umask, 8).unwrap()));
    make(&StateRoot::open(&root).unwrap(), "c");
    state::atomic_write(&root.join("pid"), b"1", 0o644).unwrap();
}

#[test]
fn a_hundred_containers_are_listed_in_order_with_sixteen_descriptors() {
    let scratch = Scratch::new();
    let root = scratch.root();
    for index in (0..100).rev() {
        make(&root, &format!("c{index:02}"));
    }
    std::fs::write(scratch.path().join("not a container"), "").unwrap();
    std::fs::write(scratch.path().join("file"), "").unwrap();
    assert!(again("list_child", "list", scratch.path()).status().unwrap().success());
}

#[test]
fn list_child() {
    let Some((_, path)) = scratch::scenario() else { return };
    limit_descriptors(16);
    let root = StateRoot::open(&path).unwrap();
    let listed: Vec<_> = root.list().unwrap().map(|(id, _)| id.to_string()).collect();
    let mut expected: Vec<_> = (0..100).map(|index| format!("c{index:02}")).collect();
    expected.push("file".into());
    assert_eq!(listed, expected);
    let records = root.list().unwrap().filter_map(|(_, entry)| entry.ok()?.record().ok()?).count();
    assert_eq!(records, 100);
}

#[test]
fn begin_without_a_descriptor_leaves_nothing() {
    let scratch = Scratch::new();
    assert!(again("descriptor_child", "", scratch.path()).status().unwrap().success());
    assert!(scratch.names().is_empty());
}

#[test]
fn descriptor_child() {
    let Some((_, path)) = scratch::scenario() else { return };
    let root = StateRoot::open(&path).unwrap();
    // The lowest free number is the number of open descriptors if there is no gap, as in a new process.
    let free = std::os::fd::AsRawFd::as_raw_fd(&std::fs::File::open("/").unwrap());
    limit_descriptors(free as u64);
    let error = root.begin(&id("c")).unwrap_err().to_string();
    assert!(error.contains("RLIMIT_NOFILE"), "{error}");
}

fn limit_descriptors(number: u64) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Nofile, Rlimit { current: Some(number), maximum: Some(number) }).unwrap();
}
