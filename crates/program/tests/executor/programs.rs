//! The program that is executed: how it is found, and its HOME from a passwd file that may be anything.

use std::os::unix::fs::FileExt;

use program::{Op, ProgramBuilder, Report};

use crate::init::{Folder, NEW_MOUNT, Way, enter_root, output, read, shell, start, start_as};

#[test]
fn the_first_that_can_be_executed_is() {
    let folder = Folder::new();
    let refused = folder.file("refused", b"#!/bin/busybox sh\necho refused", 0o644);
    let script = folder.file("script", b"#!/bin/busybox sh\necho $0 $*", 0o755);
    let mut b = ProgramBuilder::new();
    let out = output(&mut b);
    let candidates = ["/missing".as_ref(), refused.as_path(), folder.0.as_path(), script.as_path()];
    let candidates = b.list(candidates.map(|path| path.to_str().unwrap().to_owned()));
    b.push(Op::FindProgram { candidates });
    let (args, env) = (b.list(["name", "a b"]), b.list(Vec::<&str>::new()));
    b.push(Op::Exec { args, env });
    let child = start(b);
    assert_eq!(child.report(), Report::End);
    assert_eq!(read(out), format!("{} a b\n", script.display()));
}

#[test]
fn a_second_attempt_at_a_folder_does_nothing_if_the_first_went_well() {
    let mut b = ProgramBuilder::new();
    let out = output(&mut b);
    for (path, attempt) in [("/etc", 0), ("/missing", 1)] {
        let path = b.text(path);
        b.push(Op::Chdir { path, attempt });
    }
    shell(&mut b, "pwd");
    let child = start(b);
    assert_eq!(child.report(), Report::End);
    assert_eq!(read(out), "/etc\n");
}

/// HOME of user 7 with whatever `make` puts into the image.
fn home_with(make: impl FnOnce(&Folder)) -> String {
    let root = Folder::root();
    make(&root);
    let mut b = ProgramBuilder::new();
    let out = output(&mut b);
    enter_root(&mut b, &root.0);
    b.push(Op::FindHome { uid: 7 });
    shell(&mut b, "echo $HOME");
    let child = start_as(b, Way { namespaces: NEW_MOUNT, ..Way::default() });
    assert_eq!(child.report(), Report::End);
    read(out).trim_end().to_owned()
}

fn home_in(passwd: &[u8]) -> String {
    home_with(|root| drop(root.file("etc/passwd", passwd, 0o644)))
}

#[test]
fn home_is_the_sixth_field_of_the_first_line_of_the_user() {
    assert_eq!(
        home_in(b"root:x:0:0:r:/root:/bin/sh\nme:x:7:9:me:/home/me:/bin/sh\nyou:x:7:9::/home/you:\n"),
        "/home/me"
    );
    assert_eq!(home_in(b"me:x:7:9:me:/home/me"), "/home/me");
    assert_eq!(home_in(b"me:x:07:9:me:/home/me:\n"), "/home/me");
    for other in ["", "\n\n:::\n", "me:x:70:9::/home/me:\n", "me:x:7:9:me\n", "me:x:7:9:me::\n", "me:x:-7:9::/h:\n"] {
        assert_eq!(home_in(other.as_bytes()), "/", "{other:?}");
    }
    // Neither a number that wraps around to 7 nor a folder longer than init has room for.
    assert_eq!(home_in(format!("me:x:{}:9::/home/me:\n", (1u64 << 32) + 7).as_bytes()), "/");
    assert_eq!(home_in(format!("me:x:{}7:9::/home/me:\n", "0".repeat(1 << 16)).as_bytes()), "/home/me");
    assert_eq!(home_in(format!("me:x:7:9::/{}:\n", "x".repeat(5000)).as_bytes()), "/");
}

#[test]
fn an_image_without_a_passwd_file_or_with_a_trap_for_one() {
    assert_eq!(home_with(|_| ()), "/");
    assert_eq!(home_with(|root| std::fs::create_dir(root.path("etc/passwd")).unwrap()), "/");
    let fifo = |root: &Folder| {
        let (mode, kind) = (rustix::fs::Mode::RUSR, rustix::fs::FileType::Fifo);
        rustix::fs::mknodat(rustix::fs::CWD, root.path("etc/passwd"), kind, mode, 0).unwrap();
    };
    assert_eq!(home_with(fifo), "/");
    assert_eq!(home_with(|root| std::os::unix::fs::symlink("passwd", root.path("etc/passwd")).unwrap()), "/");
}

#[test]
fn a_file_of_a_terabyte_is_not_read_to_its_end() {
    let huge = |root: &Folder| {
        let path = root.file("etc/passwd", b"", 0o644);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        // Ten thousand times what is read within the patience of these tests; sparse, it takes no room.
        let size = 1 << 40;
        file.set_len(size).unwrap();
        file.write_all_at(b"\nme:x:7:9::/home/me:\n", size).unwrap();
    };
    assert_eq!(home_with(huge), "/");
    let large = |root: &Folder| {
        let mut content = b"you:x:8:8::/home/you:/bin/sh\n".repeat(100_000);
        content.extend(b"me:x:7:9::/home/me:\n");
        root.file("etc/passwd", &content, 0o644);
    };
    assert_eq!(home_with(large), "/home/me");
}
