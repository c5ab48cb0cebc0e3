//! The operations for what Docker writes, as text; the texts beside this file are the expectation, and a failing test prints
//! what they would have to be.

use std::path::Path;

use program::{NO_VALUE, Op, ProgramBuilder, Slot, Str};

use super::{ConsolePlan, Emitter};
use crate::plan::{CgroupHierarchy, CgroupMounts, PlanInput, plan};

const DOCKER: &str = include_str!("tests/docker.json");

/// One operation in a line: what it does, on which slots, with its texts.
fn line(b: &ProgramBuilder, op: &Op) -> String {
    let s = |text: Str| match text {
        NO_VALUE => "-".to_owned(),
        text => format!("`{}`", String::from_utf8_lossy(b.bytes_of(text))),
    };
    let n = |slot: Slot| if slot == Slot::NONE { "host".to_owned() } else { format!("#{}", slot.0) };
    match *op {
        Op::Open { dir, resolve, out, flags, magic, path } => {
            format!("{} = open {} {} {resolve:?} flags {flags:#o} magic {magic:#x}", n(out), n(dir), s(path))
        }
        Op::OpenTree { dir, out, flags, path } => format!("{} = open_tree {} {} {flags:#x}", n(out), n(dir), s(path)),
        Op::Close { fd: Slot::NONE } => "close what waits".to_owned(),
        Op::Close { fd } => format!("close {}", n(fd)),
        Op::FsOpen { out, kind } => format!("{} = fsopen {}", n(out), s(kind)),
        Op::FsConfig { fs, key, value } => format!("fsconfig {} {} {}", n(fs), s(key), s(value)),
        Op::FsMount { fs, out, attrs } => format!("{} = fsmount {} {attrs:#x}", n(out), n(fs)),
        Op::SetAttr { mount, userns: _, recursive, set, clear, propagation } => {
            let all = if recursive == 0 { "" } else { " recursive" };
            format!("setattr {} +{set:#x} -{clear:#x} propagation {propagation:#x}{all}", n(mount))
        }
        Op::MountPoint { root, resolve, like, out, mode, avoid, path } => {
            let like = if like == Slot::NONE { "folder".to_owned() } else { format!("like {}", n(like)) };
            format!("{} = mount point {} {} {resolve:?} {like} {mode:o} avoid {avoid:#x}", n(out), n(root), s(path))
        }
        Op::MountInFolder { from, folder, mode, name } => {
            format!("mount {} in {} {} {mode:o}", n(from), n(folder), s(name))
        }
        Op::Label { mount, label } => format!("label {} {}", n(mount), s(label)),
        Op::CopyMode { from, to } => format!("mode {} -> {}", n(from), n(to)),
        Op::MoveMount { from, to, keep } => {
            format!("move_mount {} {}{}", n(from), n(to), if keep == 0 { "" } else { " keep" })
        }
        Op::MakeNode { root, path, mode, uid, gid, dev } => {
            format!("node {} {} {mode:o} {uid}:{gid} {dev:#x}", n(root), s(path))
        }
        Op::CheckDevice { fd, mode, dev } => format!("check {} {mode:o} {dev:#x}", n(fd)),
        Op::Symlink { root, path, target } => format!("link {} {} -> {}", n(root), s(path), s(target)),
        Op::Mask { root, null, empty, path } => format!("mask {} {} by {} {}", n(root), s(path), n(null), n(empty)),
        Op::ReadOnly { root, path } => format!("read-only {} {}", n(root), s(path)),
        Op::OpenPty { master, peer, rows, columns } => format!("{} = pty of {} {rows}x{columns}", n(peer), n(master)),
        Op::Chown { fd, uid, gid } => format!("chown {} {uid}:{gid}", n(fd)),
        Op::PivotRoot { root } => format!("pivot_root {}", n(root)),
        Op::MoveRoot { root } => format!("move root {}", n(root)),
        ref other => format!("{other:?}"),
    }
}

fn check(operations: impl FnOnce(&mut ProgramBuilder), expected: &str) {
    let mut b = ProgramBuilder::new();
    operations(&mut b);
    let text: String = b.ops().iter().map(|op| line(&b, op) + "\n").collect();
    assert!(text == expected, "the operations are now:\n{text}");
}

fn input(cgroups: CgroupMounts, user_namespace: bool) -> PlanInput<'static> {
    PlanInput {
        bundle: Path::new("/bundle"),
        rootfs: Path::new("/bundle/rootfs"),
        user_namespace,
        privileged: true,
        can_mknod: true,
        kernel: (6, 18),
        cgroups,
        no_pivot: false,
        mount_label: None,
    }
}

#[test]
fn docker_on_cgroups_of_version_1() {
    let hierarchy = |name: &str, links: &[&str]| CgroupHierarchy {
        name: name.to_owned(),
        links: links.iter().map(|&link| link.to_owned()).collect(),
        folder: Path::new("/sys/fs/cgroup").join(name).join("docker/id"),
    };
    let cgroups = CgroupMounts::V1(vec![hierarchy("memory", &[]), hierarchy("cpu,cpuacct", &["cpu", "cpuacct"])]);
    let spec = spec::Spec::from_bytes(DOCKER.as_bytes()).unwrap();
    let plan = plan(&spec, &input(cgroups, false)).unwrap();
    assert_eq!(plan.inherited_sources(), []);
    let operations = |b: &mut ProgramBuilder| {
        let mut emitter = Emitter::prepare(&plan, &[], b);
        emitter.mounts(b, |_| {});
        emitter.devices(b);
        emitter.console(ConsolePlan { rows: 24, columns: 80, uid: 0 }, b);
        emitter.hide(b);
        emitter.pivot(b);
    };
    check(operations, include_str!("tests/docker-v1.txt"));
}

#[test]
fn docker_in_a_user_namespace_on_cgroups_of_version_2() {
    let spec = spec::Spec::from_bytes(DOCKER.as_bytes()).unwrap();
    let plan = plan(&spec, &input(CgroupMounts::V2("/sys/fs/cgroup/docker/id".into()), true)).unwrap();
    let sources: Vec<(usize, String)> = plan
        .inherited_sources()
        .into_iter()
        .map(|source| (source.mount, source.path.to_string_lossy().into_owned()))
        .collect();
    let expected = [(7, "/bundle/etc/hosts"), (8, "/data"), (9, "/shared")];
    assert_eq!(sources, expected.map(|(mount, path)| (mount, path.to_owned())));
    let operations = |b: &mut ProgramBuilder| {
        let inherited: Vec<Slot> = sources.iter().map(|_| b.slot()).collect();
        let mut emitter = Emitter::prepare(&plan, &inherited, b);
        emitter.mounts(b, |_| {});
        emitter.devices(b);
        emitter.hide(b);
        emitter.pivot(b);
    };
    check(operations, include_str!("tests/docker-userns-v2.txt"));
}

/// A slot that is never closed would stay open until the program starts, and few descriptors are allowed to some.
#[test]
fn nothing_stays_open_but_the_terminal() {
    let spec = spec::Spec::from_bytes(DOCKER.as_bytes()).unwrap();
    let plan = plan(&spec, &input(CgroupMounts::V2("/sys/fs/cgroup/docker/id".into()), false)).unwrap();
    let mut b = ProgramBuilder::new();
    let mut emitter = Emitter::prepare(&plan, &[], &mut b);
    emitter.mounts(&mut b, |_| {});
    emitter.devices(&mut b);
    let terminal = emitter.console(ConsolePlan::default(), &mut b);
    emitter.hide(&mut b);
    emitter.pivot(&mut b);
    let free: Vec<u16> = (0..4).map(|_| b.slot().0).collect();
    let terminal = [terminal.0.0, terminal.1.0];
    assert!(free.iter().chain(&terminal).all(|slot| *slot < 6), "{free:?} {terminal:?}");
}

/// Few machines have SELinux, so the operations are held here.
#[test]
fn labels_are_told_to_what_is_mounted() {
    let config = r#"{"ociVersion":"1.0.2","mounts":[{"destination":"/run","type":"tmpfs"},{"destination":"/q","type":"mqueue"},
        {"destination":"/data","type":"bind","source":"/data"},{"destination":"/sys/fs/cgroup","type":"cgroup"}],
        "linux":{"namespaces":[{"type":"mount"}],"maskedPaths":["/x"]}}"#;
    let spec = spec::Spec::from_bytes(config.as_bytes()).unwrap();
    let cgroups = CgroupMounts::V1(vec![]);
    let plan = plan(&spec, &PlanInput { mount_label: Some("u:r:t:s0:c1,c2"), ..input(cgroups, false) }).unwrap();
    let mut b = ProgramBuilder::new();
    let mut emitter = Emitter::prepare(&plan, &[], &mut b);
    emitter.mounts(&mut b, |_| {});
    emitter.hide(&mut b);
    let labels: Vec<String> = b
        .ops()
        .iter()
        .map(|op| line(&b, op))
        .filter(|line| line.contains("s0:c1,c2") || line.contains("fsopen"))
        .collect();
    let expected = [
        "#1 = fsopen `tmpfs`",
        "fsconfig #1 `context` `u:r:t:s0:c1,c2`",
        "#1 = fsopen `mqueue`",
        "label #2 `u:r:t:s0:c1,c2`",
        // The folder of the cgroups, and the cover of what is masked.
        "#1 = fsopen `tmpfs`",
        "fsconfig #1 `context` `u:r:t:s0:c1,c2`",
        "#2 = fsopen `tmpfs`",
        "fsconfig #2 `context` `u:r:t:s0:c1,c2`",
    ];
    assert_eq!(labels, expected);
}
