//! Whole containers: what is mounted and made inside, seen from inside.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a helper that fails is a failed test"
)]

mod container;

use std::fs;
use std::os::unix::fs::MetadataExt;

use container::{Container, HOST_ID, flags, folder_with, mount_line, usual_mounts};
use rootfs::{CgroupHierarchy, CgroupMounts, ConsolePlan, MOUNT_OPTIONS};
use serde_json::{Value, json};

const MOUNTINFO: &str = "busybox cat /proc/self/mountinfo";

/// The usual mounts and one more.
fn with(mount: Value) -> Vec<Value> {
    let mut mounts = usual_mounts();
    mounts.push(mount);
    mounts
}

#[test]
fn usual_mounts_and_devices_are_there() {
    let script = "busybox cat /proc/self/mountinfo; cd /dev; busybox stat -c '%n %F %t:%T %a %u:%g' null zero full random urandom tty; \
                  for l in fd stdin stdout stderr core ptmx; do echo $l=$(busybox readlink $l); done; echo pid $$; \
                  echo x > /dev/null && busybox head -c 2 /dev/zero | busybox wc -c";
    let out = Container::new().run(usual_mounts(), json!({}), script).unwrap();
    // Nothing of the host's is left: the root and the three mounts.
    assert_eq!(out.lines().filter(|line| line.contains(" - ")).count(), 4, "{out}");
    assert!(mount_line(&out, "/proc").contains("nosuid,nodev,noexec,relatime - proc proc"));
    assert_eq!(flags(&out, "/dev"), ["rw", "nosuid"]);
    assert!(mount_line(&out, "/dev").contains("size=65536k,mode=755"));
    for node in ["null", "zero", "full", "random", "urandom"].map(|name| format!("{name} character special file 1:")) {
        assert!(out.contains(&node), "{node}");
    }
    assert!(out.contains("null character special file 1:3 666 0:0"));
    for link in ["fd=/proc/self/fd", "stderr=/proc/self/fd/2", "core=/proc/kcore", "ptmx=pts/ptmx"] {
        assert!(out.contains(link), "{link}");
    }
    assert!(out.contains("pid 1"));
}

/// The folder that is kept open for what comes into `/dev` must be the one that is seen.
#[test]
fn what_is_mounted_in_dev_is_in_the_last_one() {
    let tmpfs =
        |destination: &str, options: &[&str]| json!({"destination": destination, "type": "tmpfs", "options": options});
    let mounts = [
        tmpfs("/dev", &["mode=755"]),
        tmpfs("/dev/below", &["mode=755"]),
        tmpfs("/dev", &["mode=711", "ro"]),
        tmpfs("/dev/twice", &["mode=755"]),
        tmpfs("/dev/twice", &["mode=700"]),
        tmpfs("/dev/deep/twice", &["mode=755"]),
    ];
    let script = "cd /dev; busybox stat -c '%n %a' . twice deep deep/twice; busybox ls below null";
    let out = Container::new().run([usual_mounts(), mounts.into()].concat(), json!({}), script).unwrap();
    for line in [". 711", "twice 700", "deep 755", "deep/twice 755", "null"] {
        assert!(out.lines().any(|told| told == line), "{line}: {out}");
    }
    assert!(!out.lines().any(|told| told == "below"), "{out}");
}

#[test]
fn bind_mounts_take_flags_and_ignore_data() {
    let container = Container::new();
    folder_with(&container.path("data"), "file", "content");
    let mounts = [
        json!({"destination": "/folder", "source": "data", "options": ["rbind", "ro", "noexec", "noatime", "rprivate", "mode=755", "size=1k"]}),
        json!({"destination": "/etc/made/file", "type": "bind", "source": "data/file", "options": ["bind", "nosuid", "private"]}),
        json!({"destination": "relative", "type": "bind", "source": container.path("data"), "options": []}),
    ];
    let script = format!("{MOUNTINFO}; busybox cat /etc/made/file; busybox ls /relative; echo x > /folder/file");
    let out = container.run([usual_mounts(), mounts.into()].concat(), json!({}), &script).unwrap();
    assert_eq!(flags(&out, "/folder"), ["ro", "noexec", "noatime"]);
    assert!(flags(&out, "/etc/made/file").contains(&"nosuid"));
    assert!(out.contains("contentfile\n"), "{out}");
    assert!(out.contains("Read-only file system"), "{out}");
    assert_eq!(fs::read_to_string(container.path("data/file")).unwrap(), "content");
}

#[test]
fn options_that_clear_undo_the_flags_of_the_source() {
    let container = Container::new();
    let mounts = [
        json!({"destination": "/strict", "type": "tmpfs", "options": ["nosuid", "nodev", "noexec", "noatime", "nosymfollow"]}),
        json!({"destination": "/strict", "type": "none", "source": "x",
               "options": ["remount", "bind", "suid", "dev", "exec", "atime", "symfollow", "nodiratime", "ro"]}),
    ];
    let out = container.run([usual_mounts(), mounts.into()].concat(), json!({}), MOUNTINFO).unwrap();
    assert_eq!(flags(&out, "/strict"), ["ro", "nodiratime", "relatime"]);
}

#[test]
fn recursive_flags_reach_the_mounts_below() {
    let container = Container::new();
    // A tree of mounts to bind: the container's own root has /dev below it, which procfs alone would not.
    let mounts = [
        json!({"destination": "/top", "type": "bind", "source": "/dev", "options": ["rbind", "ro"]}),
        json!({"destination": "/all", "type": "bind", "source": "/dev", "options": ["rbind", "rro", "rnoexec", "rnoatime"]}),
    ];
    let out = container.run([usual_mounts(), mounts.into()].concat(), json!({}), MOUNTINFO).unwrap();
    assert_eq!(flags(&out, "/top")[0], "ro");
    assert_eq!(flags(&out, "/top/shm")[0], "rw");
    for point in ["/all", "/all/shm", "/all/pts"] {
        assert_eq!(flags(&out, point), ["ro", "noexec", "noatime"], "{point}");
    }
}

#[test]
fn a_read_only_tmpfs_can_have_mounts_and_devices_inside() {
    let mut mounts = usual_mounts();
    mounts[1]["options"].as_array_mut().unwrap().push(json!("ro"));
    mounts.push(json!({"destination": "/t", "type": "tmpfs", "options": ["ro", "size=1m"]}));
    mounts.push(json!({"destination": "/t/inside", "type": "tmpfs"}));
    let script =
        format!("{MOUNTINFO}; echo hello > /dev/null; echo > /dev/x; echo > /t/x; echo > /t/inside/x && echo written");
    let out = Container::new().run(mounts, json!({}), &script).unwrap();
    assert_eq!(flags(&out, "/dev"), ["ro", "nosuid"]);
    assert_eq!(flags(&out, "/t")[0], "ro");
    assert!(out.contains("/dev/x: Read-only") && out.contains("/t/x: Read-only") && out.contains("written"), "{out}");
}

#[test]
fn a_tmpfs_has_the_mode_of_the_folder_it_covers() {
    let container = Container::new();
    for (name, mode) in [("private", 0o2700), ("given", 0o700)] {
        fs::create_dir_all(container.path("rootfs").join(name)).unwrap();
        rustix::fs::chmod(container.path("rootfs").join(name), mode.into()).unwrap();
    }
    let mounts = [
        json!({"destination": "/private", "type": "tmpfs"}),
        json!({"destination": "/new/folder", "type": "tmpfs"}),
        json!({"destination": "/given", "type": "tmpfs", "options": ["mode=750"]}),
    ];
    let script = "busybox stat -c '%n %a' /private /new /new/folder /given";
    let out = container.run([usual_mounts(), mounts.into()].concat(), json!({}), script).unwrap();
    assert_eq!(out, "/private 2700\n/new 755\n/new/folder 1777\n/given 750\n");
}

#[test]
fn read_only_is_the_superblocks_too_and_sync_only_the_superblocks() {
    let mounts = [
        json!({"destination": "/proc2", "type": "proc", "options": ["ro"]}),
        json!({"destination": "/t", "type": "tmpfs", "options": ["sync", "dirsync", "lazytime", "defaults"]}),
    ];
    let out = Container::new().run([usual_mounts(), mounts.into()].concat(), json!({}), MOUNTINFO).unwrap();
    assert!(mount_line(&out, "/proc2").ends_with("- proc none ro"), "{out}");
    assert!(mount_line(&out, "/t").ends_with("- tmpfs none rw,sync,dirsync,lazytime"), "{out}");
}

#[test]
fn remount_changes_flags_and_the_superblock() {
    let mounts = [
        json!({"destination": "/t", "type": "tmpfs", "options": ["nosuid", "size=1m"]}),
        json!({"destination": "/t", "type": "tmpfs", "options": ["remount", "noexec", "size=2m"]}),
    ];
    let out = Container::new().run([usual_mounts(), mounts.into()].concat(), json!({}), MOUNTINFO).unwrap();
    assert_eq!(flags(&out, "/t"), ["rw", "nosuid", "noexec", "relatime"]);
    assert!(mount_line(&out, "/t").contains("size=2048k"));
}

#[test]
fn a_dev_that_is_remounted_read_only_has_its_devices() {
    let mut mounts = usual_mounts();
    mounts.push(json!({"destination": "/dev", "type": "tmpfs", "options": ["remount", "ro", "noexec"]}));
    let out = Container::new().run(mounts, json!({}), &format!("{MOUNTINFO}; echo hello > /dev/null")).unwrap();
    assert_eq!(flags(&out, "/dev")[0], "ro");
    assert!(flags(&out, "/dev").contains(&"noexec"), "{out}");
}

#[test]
fn the_kernel_takes_every_option() {
    let container = Container::new();
    folder_with(&container.path("data"), "file", "");
    for name in MOUNT_OPTIONS
        .iter()
        .map(|option| option.name)
        .filter(|name| !matches!(*name, "bind" | "rbind" | "remount" | "tmpcopyup" | "idmap" | "ridmap"))
    {
        let fresh = json!({"destination": "/t", "type": "tmpfs", "source": "t", "options": [name]});
        let bound = json!({"destination": "/b", "source": "data", "options": ["rbind", name]});
        let mounts = vec![usual_mounts()[0].clone(), fresh, bound];
        // Mandatory locking is gone, but the words stay.
        let out = container.run(mounts, json!({}), MOUNTINFO).unwrap_or_else(|error| panic!("{name}: {error}"));
        let flag = name.strip_prefix('r').filter(|rest| rest.starts_with("no") || *rest == "ro").unwrap_or(name);
        let shown = match flag {
            "ro" | "nosuid" | "nodev" | "noexec" | "noatime" | "nodiratime" | "nosymfollow" => flag,
            _ => continue,
        };
        for point in ["/t", "/b"] {
            assert!(flags(&out, point).contains(&shown), "{name}: {out}");
        }
    }
}

#[test]
fn paths_are_hidden_and_the_root_is_read_only() {
    let container = Container::new();
    folder_with(&container.path("rootfs/secret"), "file", "classified");
    folder_with(&container.path("rootfs/secret2"), "file", "classified");
    folder_with(&container.path("rootfs/etc"), "passwords", "classified");
    folder_with(&container.path("rootfs/fixed"), "file", "");
    let linux = json!({
        "maskedPaths": ["/secret", "/secret2", "/etc/passwords", "/not/there", "/proc/timer_list"],
        "readonlyPaths": ["/proc/sys", "/fixed", "/not/there"],
    });
    let script = "busybox ls /secret /secret2; busybox cat /etc/passwords; busybox stat -c '%F %t:%T' /proc/timer_list; \
                  echo > /secret/x; echo > /fixed/file; echo 1 > /proc/sys/kernel/domainname; echo > /newfile; echo > /dev/shmfile && echo writable; busybox cat /proc/self/mountinfo";
    let plan = container.plan_root(json!({"path": "rootfs", "readonly": true}), usual_mounts(), linux).unwrap();
    let out = container.run_plan(&plan, script).unwrap();
    assert!(!out.contains("classified"));
    assert!(out.contains("character special file 1:3"), "{out}");
    for path in ["/secret/x", "/fixed/file", "/proc/sys/kernel/domainname", "/newfile"] {
        assert!(out.contains(&format!("{path}: Read-only file system")), "{path}: {out}");
    }
    assert!(out.contains("writable"));
    // One tmpfs covers all folders.
    let device = |point| mount_line(&out, point).split(' ').nth(2).unwrap();
    assert_eq!(device("/secret"), device("/secret2"));
    assert_eq!(flags(&out, "/secret"), ["ro", "nosuid", "nodev", "noexec", "relatime"]);
}

#[test]
fn devices_are_exactly_as_listed() {
    let container = Container::new();
    let linux = json!({"devices": [
        {"path": "/dev/odd", "type": "c", "major": 10, "minor": 70000, "fileMode": 0o1321, "uid": 7, "gid": 9},
        {"path": "/dev/net/tun", "type": "u", "major": 10, "minor": 200},
        {"path": "/else/where/loop", "type": "b", "major": 7, "minor": 300, "fileMode": 0o640},
        {"path": "/dev/fifo", "type": "p", "major": -1, "minor": 99, "fileMode": 0o600},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600},
    ]});
    let script = "busybox stat -c '%n %F %t:%T %a %u:%g' /dev/odd /dev/net/tun /else/where/loop /dev/fifo /dev/null";
    let out = container.run(usual_mounts(), linux, script).unwrap();
    let expected = "\
/dev/odd character special file a:11170 1321 7:9
/dev/net/tun character special file a:c8 666 0:0
/else/where/loop block special file 7:12c 640 0:0
/dev/fifo fifo 0:0 600 0:0
/dev/null character special file 1:3 600 0:0
";
    assert_eq!(out, expected);
}

#[test]
fn another_file_in_a_devices_place_is_an_error() {
    let container = Container::new();
    folder_with(&container.path("rootfs/x"), "device", "");
    let linux = json!({"devices": [{"path": "/x/device", "type": "c", "major": 1, "minor": 3}]});
    let error = container.run(usual_mounts(), linux, "").unwrap_err();
    assert_eq!(error, "linux.devices[0] /x/device: another file is there: file exists");
}

#[test]
fn in_a_bound_dev_nothing_is_made() {
    let container = Container::new();
    fs::create_dir_all(container.path("hostdev")).unwrap();
    let linux = json!({"devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]});
    let mounts = vec![json!({"destination": "/dev/", "source": "hostdev", "options": ["rbind"]})];
    container.run(mounts, linux, "").unwrap();
    assert_eq!(fs::read_dir(container.path("hostdev")).unwrap().count(), 0);
}

#[test]
fn cgroups_of_version_1_are_those_of_the_container() {
    let hierarchy = |name: &str, links: &[&str]| {
        let links = links.iter().map(|&link| link.to_owned()).collect();
        CgroupHierarchy {
            name: name.to_owned(),
            links,
            folder: format!("/sys/fs/cgroup/{}", name.split(',').next().unwrap()).into(),
        }
    };
    if !std::path::Path::new("/sys/fs/cgroup/memory").exists() {
        eprintln!("skipped: no cgroup v1 here");
        return;
    }
    let mut container = Container::new();
    container.cgroups = CgroupMounts::V1(vec![hierarchy("memory", &[]), hierarchy("cpu,cpuacct", &["cpu", "cpuacct"])]);
    let mount = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]});
    let script = format!(
        "{MOUNTINFO}; busybox readlink /sys/fs/cgroup/cpuacct; busybox ls /sys/fs/cgroup/cpu/; echo > /sys/fs/cgroup/x"
    );
    let out = container.run(with(mount), json!({}), &script).unwrap();
    assert!(
        mount_line(&out, "/sys/fs/cgroup").contains("ro,nosuid,nodev,noexec,relatime - tmpfs cgroup rw,mode=755"),
        "{out}"
    );
    assert!(mount_line(&out, "/sys/fs/cgroup/memory").contains("ro,nosuid,nodev,noexec,relatime - cgroup cgroup"));
    assert!(out.contains("\ncpu,cpuacct\n") && out.contains("cpu.shares") && out.contains("Read-only"), "{out}");
}

/// A folder of one v1 hierarchy, removed when dropped.
struct Cgroup(std::path::PathBuf);

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).unwrap();
    }
}

#[test]
fn in_a_cgroup_namespace_the_containers_cgroup_is_the_root() {
    let name = format!("lightship-rootfs-{}", std::process::id());
    let cgroup = Cgroup(std::path::Path::new("/sys/fs/cgroup/freezer").join(&name));
    if fs::create_dir(&cgroup.0).is_err() {
        std::mem::forget(cgroup);
        eprintln!("skipped: no cgroup v1 freezer here");
        return;
    }
    let mut container = Container::new();
    let folder = cgroup.0.clone();
    container.cgroups = CgroupMounts::V1(vec![CgroupHierarchy { name: "freezer".to_owned(), links: vec![], folder }]);
    let mount = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro"]});
    let shared = container.run(with(mount.clone()), json!({}), MOUNTINFO).unwrap();
    assert_eq!(mount_line(&shared, "/sys/fs/cgroup/freezer").split(' ').nth(3), Some(format!("/{name}").as_str()));
    container.cgroup_namespace = Some(cgroup.0.clone());
    let own = container.run(with(mount), json!({}), MOUNTINFO).unwrap();
    assert_eq!(mount_line(&own, "/sys/fs/cgroup/freezer").split(' ').nth(3), Some("/"));
}

#[test]
fn a_user_namespace_gets_sources_from_the_runtime_and_devices_from_the_host() {
    let mut container = Container::new();
    container.user_namespace = true;
    folder_with(&container.path("private/data"), "file", "content");
    // Nobody but root gets there: the container's root is another user.
    rustix::fs::chmod(container.path("private"), 0o700.into()).unwrap();
    rustix::fs::chown(container.path("rootfs"), Some(rustix::fs::Uid::from_raw(HOST_ID)), None).unwrap();
    let mounts = with(json!({"destination": "/data", "source": "private/data", "options": ["rbind", "ro"]}));
    let linux = json!({"maskedPaths": ["/proc/kcore", "/proc/acpi"], "readonlyPaths": ["/proc/sys"],
                       "devices": [{"path": "/dev/fifo", "type": "p"}]});
    let script = "busybox cat /data/file; echo; busybox id -u; busybox stat -c '%n %F %t:%T' /dev/null /dev/fifo; busybox touch /made; echo x > /dev/null && echo wrote; busybox cat /proc/self/mountinfo";
    let out = container.run(mounts, linux, script).unwrap();
    assert!(out.starts_with("content\n0\n/dev/null character special file 1:3\n/dev/fifo fifo 0:0\nwrote\n"), "{out}");
    assert_eq!(fs::metadata(container.path("rootfs/made")).unwrap().uid(), HOST_ID);
    // The host's mounts are gone here as well.
    assert!(out.lines().all(|line| line.split(' ').nth(4) != Some("/sys")), "{out}");
}

#[test]
fn without_pivot_root_the_host_is_out_of_sight() {
    let mut container = Container::new();
    container.no_pivot = true;
    let out = container
        .run(
            usual_mounts(),
            json!({"maskedPaths": ["/proc/acpi"]}),
            "busybox ls /; busybox ls /..; cd /dev/../..; busybox pwd",
        )
        .unwrap();
    assert_eq!(out, "bin\ndev\nproc\nbin\ndev\nproc\n/\n");
}

#[test]
fn the_console_is_the_containers_own_terminal() {
    let mut container = Container::new();
    container.terminal = Some(ConsolePlan { rows: 24, columns: 80, uid: 7 });
    let script = "busybox stat -c '%n %F %t:%T %u' /dev/console /dev/pts/0; busybox stty -F /dev/console size; echo text > /dev/console; busybox head -n1 <&200";
    let out = container.run(usual_mounts(), json!({}), script).unwrap();
    assert_eq!(
        out,
        "/dev/console character special file 88:0 7\n/dev/pts/0 character special file 88:0 7\n24 80\ntext\r\n"
    );
    let error = container.run(vec![usual_mounts()[1].clone()], json!({}), "").unwrap_err();
    assert!(error.starts_with("process.terminal (it needs a mount of type devpts at /dev/pts): open"), "{error}");
}

#[test]
fn the_roots_propagation_is_as_asked() {
    for (asked, shown) in [("shared", "shared:"), ("unbindable", "unbindable"), ("private", "- "), ("slave", "- ")] {
        let out = Container::new().run(usual_mounts(), json!({"rootfsPropagation": asked}), MOUNTINFO).unwrap();
        let fields: Vec<&str> = mount_line(&out, "/").split(' ').collect();
        assert!(format!("{} ", fields[6]).starts_with(shown), "{asked}: {out}");
    }
}
