//! Replacing a file outside the state root, as is done with the pid file.
#![allow(clippy::disallowed_methods, reason = "the fixtures are ordinary files")]

mod scratch;

use scratch::{Scratch, again};
use state::atomic_write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

#[test]
fn replaces_the_file_and_not_what_a_link_points_to() {
    let scratch = Scratch::new();
    let (pid, other) = (scratch.path().join("pid"), scratch.path().join("other"));
    std::fs::write(&other, "precious").unwrap();
    symlink(&other, &pid).unwrap();
    atomic_write(&pid, b"12", 0o640).unwrap();
    assert_eq!(std::fs::read(&pid).unwrap(), b"12");
    assert_eq!(std::fs::symlink_metadata(&pid).unwrap().mode(), 0o100_640);
    assert_eq!(std::fs::read(&other).unwrap(), b"precious");
    atomic_write(&pid, b"3", 0o644).unwrap();
    assert_eq!(std::fs::read(&pid).unwrap(), b"3");
    assert_eq!(scratch.names(), ["other", "pid"]);
}

#[test]
fn names_what_is_wrong_and_leaves_nothing() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path().join("directory")).unwrap();
    for path in ["missing/pid", "directory", "directory/.."] {
        let error = atomic_write(&scratch.path().join(path), b"1", 0o644).unwrap_err().to_string();
        assert!(error.contains(path), "{error}");
    }
    assert_eq!(scratch.names(), ["directory"]);
    assert!(scratch::names(&scratch.path().join("directory")).is_empty());
}

#[test]
fn a_relative_path_is_below_the_working_directory() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path().join("below")).unwrap();
    assert!(again("relative_child", "", scratch.path()).current_dir(scratch.path()).status().unwrap().success());
    assert_eq!(scratch.names(), ["below", "pid"]);
    assert_eq!(scratch::names(&scratch.path().join("below")), ["pid"]);
}

#[test]
fn relative_child() {
    if scratch::scenario().is_some() {
        atomic_write(Path::new("pid"), b"1", 0o644).unwrap();
        atomic_write(Path::new("below/pid"), b"1", 0o644).unwrap();
    }
}
