//! Each operation's failure: its index, the number of the call within it, and the error number.

use std::os::fd::OwnedFd;

use program::{Failure, NO_VALUE, Op, ProgramBuilder, Resolve, Slot, Str};
use rustix::fs::OFlags;

use crate::init::{Folder, NEW_MOUNT, Way, start_as};

const ENOENT: i32 = 2;
const ENOEXEC: i32 = 8;
const EBADF: i32 = 9;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;
const ENOTDIR: i32 = 20;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;
const ENOTTY: i32 = 25;
const ELOOP: i32 = 40;
const ENOTSOCK: i32 = 88;
const PROC_SUPER_MAGIC: u32 = 0x9fa0;

/// Runs what `emit` adds behind two operations that go well; its last operation must be the one that fails.
#[track_caller]
fn fails(emit: impl FnOnce(&mut ProgramBuilder), step: u16, errno: i32) {
    let mut b = ProgramBuilder::new();
    b.push(Op::Umask { mask: 0 });
    b.place("the place");
    emit(&mut b);
    let op = u16::try_from(b.ops().len() - 1).unwrap();
    let child = start_as(b, Way { namespaces: NEW_MOUNT, ..Way::default() });
    let failure = child.failure();
    assert_eq!(failure, Failure { op, step, errno }, "{}", child.program.explain(&failure));
    assert_eq!(child.end(), 1);
    assert!(child.program.explain(&failure).to_string().starts_with("the place: "));
}

fn opened(b: &mut ProgramBuilder, path: &str, flags: OFlags) -> Slot {
    let out = b.slot();
    let path = b.text(path);
    b.push(Op::Open { dir: Slot::NONE, resolve: Resolve::Host, out, flags: flags.bits(), magic: 0, path });
    out
}

fn folder(b: &mut ProgramBuilder, path: &std::path::Path) -> Slot {
    opened(b, path.to_str().unwrap(), OFlags::PATH | OFlags::DIRECTORY)
}

#[test]
fn files() {
    let missing = |b: &mut ProgramBuilder| b.text("/missing/file");
    let write_only = OFlags::WRONLY.bits();
    fails(
        |b| {
            let (out, path) = (b.slot(), missing(b));
            b.push(Op::Open { dir: Slot::NONE, resolve: Resolve::Host, out, flags: 0, magic: 0, path });
        },
        0,
        ENOENT,
    );
    fails(
        |b| {
            let (out, path) = (b.slot(), b.text("/etc/passwd"));
            let magic = PROC_SUPER_MAGIC;
            b.push(Op::Open { dir: Slot::NONE, resolve: Resolve::Host, out, flags: 0, magic, path });
        },
        Failure::CHECK,
        EINVAL,
    );
    fails(
        |b| {
            let (path, data) = (missing(b), b.text("x"));
            b.push(Op::WriteFile { dir: Slot::NONE, magic: 0, path, data });
        },
        0,
        ENOENT,
    );
    fails(
        |b| {
            // Out of the range of oom_score_adj.
            let (path, data) = (b.text("/proc/self/oom_score_adj"), b.text("4000"));
            b.push(Op::WriteFile { dir: Slot::NONE, magic: PROC_SUPER_MAGIC, path, data });
        },
        2,
        EINVAL,
    );
    fails(
        |b| {
            let fd = opened(b, "/dev/full", OFlags::from_bits_retain(write_only));
            let data = b.text("x");
            b.push(Op::Write { fd, data });
        },
        2,
        28,
    );
    fails(|b| b.push(Op::Dup { fd: Slot(7), to: 50 }), 1, EBADF);
    fails(|b| b.push(Op::Chown { fd: Slot(7), uid: 1, gid: 1 }), 0, EBADF);
    fails(
        |b| {
            let fd = opened(b, "/dev/null", OFlags::RDONLY);
            let data = b.text("x");
            b.push(Op::SendFd { socket: fd, fd, data });
        },
        0,
        ENOTSOCK,
    );
}

#[test]
fn a_path_never_leaves_its_root() {
    let root = Folder::new();
    std::os::unix::fs::symlink("/proc/self", root.path("magic")).unwrap();
    std::os::unix::fs::symlink("loop", root.path("loop")).unwrap();
    root.file("file", b"", 0o644);
    let beneath = |name: &'static str, errno| {
        fails(
            |b| {
                let dir = folder(b, &root.0);
                let (out, path) = (b.slot(), b.text(name));
                b.push(Op::Open { dir, resolve: Resolve::Beneath, out, flags: 0, magic: 0, path });
            },
            0,
            errno,
        );
    };
    beneath("../etc/passwd", 18);
    beneath("/etc/passwd", 18);
    beneath("magic/exe", ELOOP);
    let mount_point = |name: &'static str, step, errno| {
        fails(
            |b| {
                let dir = folder(b, &root.0);
                let (out, path) = (b.slot(), b.text(name));
                let (like, avoid) = (dir, 0);
                b.push(mount_point(dir, like, out, avoid, path));
            },
            step,
            errno,
        );
    };
    mount_point("loop/x", 1, ELOOP);
    mount_point("file/x", 1, ENOTDIR);
    assert!(!root.path("proc").exists());
    fn mount_point(root: Slot, like: Slot, out: Slot, avoid: u32, path: Str) -> Op {
        Op::MountPoint { root, resolve: Resolve::InRoot, like, out, mode: 0o755, avoid, path }
    }
}

#[test]
fn nodes_and_links() {
    let root = Folder::new();
    root.file("null", b"", 0o644);
    fails(
        |b| {
            let dir = folder(b, &root.0);
            let path = b.text("null");
            b.push(Op::MakeNode { root: dir, path, mode: 0o020_666, uid: 0, gid: 0, dev: 0x103 });
        },
        8,
        EEXIST,
    );
    fails(
        |b| {
            let dir = folder(b, &root.0);
            let (path, target) = (b.text("null/x"), b.text("y"));
            b.push(Op::Symlink { root: dir, path, target });
        },
        6,
        ENOTDIR,
    );
}

#[test]
fn mounts() {
    let root = Folder::new();
    let file = root.file("file", b"", 0o644);
    fails(
        |b| {
            let (out, kind) = (b.slot(), b.text("no such file system"));
            b.push(Op::FsOpen { out, kind });
        },
        0,
        ENODEV,
    );
    fails(
        |b| {
            let (fs, kind) = (b.slot(), b.text("tmpfs"));
            b.push(Op::FsOpen { out: fs, kind });
            let key = b.text("no_such_option");
            b.push(Op::FsConfig { fs, key, value: NO_VALUE });
        },
        0,
        EINVAL,
    );
    fails(
        |b| {
            let (out, path) = (b.slot(), b.text("/missing"));
            b.push(Op::OpenTree { dir: Slot::NONE, out, flags: 1, path });
        },
        0,
        ENOENT,
    );
    fails(
        |b| {
            let (tree, path) = (b.slot(), b.text(file.to_str().unwrap()));
            b.push(Op::OpenTree { dir: Slot::NONE, out: tree, flags: 1, path });
            let to = folder(b, &root.0);
            b.push(Op::MoveMount { from: tree, to, keep: 0 });
        },
        Failure::CHECK,
        EINVAL,
    );
    fails(
        |b| {
            let mount = folder(b, &root.0);
            let (set, userns) = (1, Slot::NONE);
            b.push(Op::SetAttr { mount, userns, recursive: 0, set, clear: 0, propagation: 0 });
        },
        0,
        EINVAL,
    );
    fails(
        |b| {
            let mount = opened(b, "/proc", OFlags::PATH);
            let label = b.text("u:r:t:s0");
            b.push(Op::Label { mount, label });
        },
        1,
        EOPNOTSUPP,
    );
    fails(
        |b| {
            // On the file system of the current root, that is, no mount of its own.
            let root = opened(b, "/etc", OFlags::PATH);
            b.push(Op::PivotRoot { root });
        },
        1,
        EBUSY,
    );
}

#[test]
fn namespaces_and_terminals() {
    let null = |b: &mut ProgramBuilder| opened(b, "/dev/null", OFlags::RDWR);
    fails(
        |b| {
            let fd = null(b);
            b.push(Op::Setns { fd, kind: 0 });
        },
        0,
        EINVAL,
    );
    fails(|b| b.push(Op::Unshare { flags: 1 }), 0, EINVAL);
    fails(
        |b| {
            let name = b.text("x".repeat(65));
            b.push(Op::SetHostname { name });
        },
        0,
        EINVAL,
    );
    fails(
        |b| {
            let (master, peer) = (null(b), b.slot());
            b.push(Op::OpenPty { master, peer, rows: 0, columns: 0 });
        },
        0,
        ENOTTY,
    );
    fails(
        |b| {
            let fd = null(b);
            b.push(Op::ControllingTerminal { fd });
        },
        0,
        ENOTTY,
    );
}

#[test]
fn how_the_process_is_scheduled() {
    fails(
        |b| {
            // struct sched_attr with the policy 4, SCHED_ISO, which no kernel has.
            let mut attributes = [0; 56];
            (attributes[0], attributes[4]) = (56, 4);
            let attributes = b.aligned(&attributes);
            b.push(Op::Scheduler { attributes });
        },
        0,
        EINVAL,
    );
    fails(|b| b.push(Op::IoPriority { value: 7 << 13 }), 0, EINVAL);
    fails(
        |b| {
            let cpus = b.aligned(&[0; 8]);
            b.push(Op::Affinity { cpus });
        },
        0,
        EINVAL,
    );
    fails(
        |b| {
            // MPOL_BIND, to nothing.
            let nodes = b.text("");
            b.push(Op::MemoryPolicy { mode: 2, nodes });
        },
        0,
        EINVAL,
    );
}

#[test]
fn what_the_process_may_do() {
    fails(|b| b.push(Op::SetRlimit { resource: 99, soft: 0, hard: 0 }), 0, EINVAL);
    fails(|b| b.push(Op::SetRlimit { resource: 7, soft: 2, hard: 1 }), 0, EINVAL);
    fails(|b| b.push(Op::Prctl { option: 0xffff, value: 0 }), 0, EINVAL);
    fails(
        |b| {
            let groups = b.numbers(&vec![1; 65_537]);
            b.push(Op::SetGroups { groups });
        },
        0,
        EINVAL,
    );
    fails(
        |b| {
            // No operation of BPF's has this code.
            let filter = b.aligned(&[0xff; 8]);
            b.push(Op::Seccomp { filter, flags: 0, out: Slot::NONE });
        },
        0,
        EINVAL,
    );
    fails(
        |b| {
            // As on a host without Landlock: landlock_create_ruleset(2), 444, fails with EOPNOTSUPP.
            let (load, jump_if_equal, answer) = (0x20, 0x15, 0x06);
            let fails = 0x0005_0000 | EOPNOTSUPP;
            let code: [(u16, u8, i32); 4] =
                [(load, 0, 0), (jump_if_equal, 1, 444), (answer, 0, 0x7fff_0000), (answer, 0, fails)];
            let bytes = code.map(|(code, skip, k)| [&code.to_ne_bytes()[..], &[skip, 0], &k.to_ne_bytes()].concat());
            let filter = b.aligned(&bytes.concat());
            b.push(Op::Seccomp { filter, flags: 0, out: Slot::NONE });
            b.push(Op::LandlockScope { scoped: 1 });
        },
        Failure::CHECK,
        EOPNOTSUPP,
    );
    // A capability beyond the kernel's last: the step is its number.
    fails(|b| b.push(Op::DropBounding { keep: (1 << 63) - 1, last: 63 }), 63, EINVAL);
    // Ambient needs inheritable.
    fails(|b| b.push(Op::SetAmbient { caps: 1 }), 1, 1);
}

#[test]
fn programs() {
    let folder = Folder::new();
    let plain = folder.file("plain", b"no program", 0o755);
    let unexecutable = folder.file("unexecutable", b"", 0o644);
    let find = |path: &std::path::Path, b: &mut ProgramBuilder| {
        let candidates = b.list([path.to_str().unwrap()]);
        b.push(Op::FindProgram { candidates });
    };
    fails(|b| find(&folder.path("missing"), b), 0, ENOENT);
    fails(|b| find(&plain.join("x"), b), 0, ENOENT);
    fails(|b| find(&unexecutable, b), 0, EACCES);
    fails(|b| find(&folder.0, b), 0, EACCES);
    fails(
        |b| {
            let missing = folder.path("missing");
            let candidates = b.list([unexecutable.to_str().unwrap(), missing.to_str().unwrap()]);
            b.push(Op::FindProgram { candidates });
        },
        0,
        EACCES,
    );
    fails(
        |b| {
            find(&plain, b);
            let (args, env) = (b.list(["plain"]), b.list(Vec::<&str>::new()));
            b.push(Op::Exec { args, env });
        },
        0,
        ENOEXEC,
    );
}

#[test]
fn working_directories() {
    let folder = Folder::new();
    let change = |path: &str, attempt, b: &mut ProgramBuilder| {
        let path = b.text(path);
        b.push(Op::Chdir { path, attempt });
    };
    fails(|b| change("/missing", 0, b), 0, ENOENT);
    fails(|b| change("/etc/passwd", 1, b), 0, ENOTDIR);
    // A folder outside of the root: what a leaked descriptor of the host's leads to (CVE-2024-21626).
    let outside: OwnedFd =
        rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, rustix::fs::Mode::empty()).unwrap();
    fails(
        |b| {
            let fd = b.inherit(outside.try_clone().unwrap());
            b.push(Op::Dup { fd, to: 40 });
            std::fs::create_dir(folder.path("proc")).unwrap();
            let root = folder.0.to_str().unwrap().to_owned();
            crate::init::enter_root(b, std::path::Path::new(&root));
            let (fs, kind, proc) = (b.slot(), b.text("proc"), b.slot());
            b.push(Op::FsOpen { out: fs, kind });
            b.push(Op::FsMount { fs, out: proc, attrs: 0 });
            let to = opened(b, "/proc", OFlags::PATH);
            b.push(Op::MoveMount { from: proc, to, keep: 0 });
            b.place("the place");
            change("/proc/self/fd/40", 0, b);
        },
        Failure::CHECK,
        ENOENT,
    );
}
