//! The cache of compiled filters, in a real folder.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way of failing")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use confine::seccomp::{Cache, Filter};
use spec::seccomp::{Arch, Seccomp};

const TEXT: &str =
    r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"}]}"#;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("confine-cache-{name}-{}", std::process::id()));
        Folder(path)
    }

    fn files(&self) -> Vec<PathBuf> {
        std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn filter(text: &str) -> Filter {
    Filter::compile(&serde_json::from_str::<Seccomp>(text).unwrap(), Arch::X86_64).unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_kept_is_found_by_its_text() {
    let folder = Folder::new("kept");
    let cache = Cache::open(&folder.0).unwrap();
    assert_eq!(cache.find(TEXT, Arch::X86_64), None);
    cache.keep(TEXT, Arch::X86_64, &filter(TEXT)).unwrap();
    assert_eq!(Cache::open(&folder.0).unwrap().find(TEXT, Arch::X86_64), Some(filter(TEXT)));
    assert_eq!(cache.find(&TEXT.replace("read", "reat"), Arch::X86_64), None);
    assert_eq!(cache.find(TEXT, Arch::Aarch64), None);
    let files = folder.files();
    assert_eq!(files.len(), 1, "no temporary file stays: {files:?}");
    assert_eq!(files[0].metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(folder.0.metadata().unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_file_of_another_text_under_the_same_name_is_not_taken() {
    let folder = Folder::new("collision");
    let cache = Cache::open(&folder.0).unwrap();
    let weak = TEXT.replace("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW");
    cache.keep(&weak, Arch::X86_64, &filter(&weak)).unwrap();
    let weak_file = folder.files().remove(0);
    cache.keep(TEXT, Arch::X86_64, &filter(TEXT)).unwrap();
    let file = folder.files().into_iter().find(|file| *file != weak_file).unwrap();
    std::fs::rename(weak_file, file).unwrap();
    assert_eq!(cache.find(TEXT, Arch::X86_64), None);
}

#[test]
fn a_damaged_file_is_not_taken() {
    let folder = Folder::new("damaged");
    let cache = Cache::open(&folder.0).unwrap();
    cache.keep(TEXT, Arch::X86_64, &filter(TEXT)).unwrap();
    let file = folder.files().remove(0);
    let good = std::fs::read(&file).unwrap();
    let put = |bytes: &[u8]| {
        use std::io::Write;
        std::fs::OpenOptions::new().write(true).truncate(true).open(&file).unwrap().write_all(bytes).unwrap();
    };
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        put(&bad);
        assert_eq!(cache.find(TEXT, Arch::X86_64), None, "byte {at}");
    }
    for length in 0..good.len() {
        put(&good[..length]);
        assert_eq!(cache.find(TEXT, Arch::X86_64), None, "length {length}");
    }
    put(&good);
    assert_eq!(cache.find(TEXT, Arch::X86_64), Some(filter(TEXT)));
}

#[test]
fn what_another_user_can_write_is_not_trusted() {
    let folder = Folder::new("foreign");
    let cache = Cache::open(&folder.0).unwrap();
    cache.keep(TEXT, Arch::X86_64, &filter(TEXT)).unwrap();
    let file = folder.files().remove(0);
    set_mode(&file, 0o620);
    assert_eq!(cache.find(TEXT, Arch::X86_64), None);
    set_mode(&file, 0o600);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(1), None).unwrap();
        assert_eq!(cache.find(TEXT, Arch::X86_64), None);
    } else {
        println!("skipped: giving a file away takes root");
    }
    set_mode(&folder.0, 0o777);
    assert_eq!(Cache::open(&folder.0).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn a_fifo_or_link_in_the_place_of_a_file_neither_blocks_nor_misleads() {
    let folder = Folder::new("fifo");
    let cache = Cache::open(&folder.0).unwrap();
    cache.keep(TEXT, Arch::X86_64, &filter(TEXT)).unwrap();
    let file = folder.files().remove(0);
    let elsewhere = folder.0.join("elsewhere");
    std::fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert_eq!(cache.find(TEXT, Arch::X86_64), None);
    std::fs::remove_file(&file).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert_eq!(cache.find(TEXT, Arch::X86_64), None);
}

#[test]
fn the_folder_does_not_grow_without_end() {
    let folder = Folder::new("growth");
    let cache = Cache::open(&folder.0).unwrap();
    for i in 0..200 {
        let text = TEXT.replace('}', &format!("{}}}", " ".repeat(i)));
        cache.keep(&text, Arch::X86_64, &filter(&text)).unwrap();
        assert!(cache.find(&text, Arch::X86_64).is_some());
    }
    assert!(folder.files().len() <= 64);
}
