//! Images that try to have the runtime mount, make or write something outside, or cover a part of procfs.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a helper that fails is a failed test")]

mod container;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use container::{Container, HostMounts, folder_with, on_a_host, usual_mounts};
use rootfs::ConsolePlan;
use serde_json::{Value, json};

/// A container beside a folder of the host's that nothing may change.
struct Scene {
    container: Container,
    mounts: HostMounts,
}

impl Scene {
    fn new() -> Scene {
        let container = Container::new();
        folder_with(&container.path("outside"), "file", "untouched");
        Scene { container, mounts: HostMounts::now() }
    }

    /// A link in the image.
    fn link(&self, name: &str, target: impl AsRef<Path>) {
        let link = self.container.path("rootfs").join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, link).unwrap();
    }

    fn check_outside(&self) {
        let outside = self.container.path("outside");
        let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["file"]);
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "untouched");
        self.mounts.assert_unchanged();
    }

    fn run(&self, mounts: Vec<Value>, linux: Value, script: &str) -> Result<String, String> {
        let answer = self.container.run(mounts, linux, script);
        self.check_outside();
        answer
    }
}

#[test]
fn proc_sys_and_dev_must_be_real_folders() {
    on_a_host(|| {
        for (name, kind) in [("proc", "proc"), ("sys", "sysfs")] {
            let scene = Scene::new();
            scene.link(name, scene.container.path("outside"));
            let mount = json!({"destination": format!("/{name}"), "type": kind, "source": kind});
            let error = scene.run(vec![mount], json!({}), "").unwrap_err();
            assert!(
                error.starts_with(&format!("mounts[0] /{name}: openat2: too many levels of symbolic links")),
                "{error}"
            );
        }
        let scene = Scene::new();
        scene.link("dev", "/volume");
        let volume = json!({"destination": "/volume", "source": "outside", "options": ["rbind"]});
        let error = scene.run(vec![volume], json!({}), "").unwrap_err();
        assert!(error.starts_with("/dev: openat2: too many levels"), "{error}");
    });
}

#[test]
fn a_link_on_the_way_to_proc_does_not_help_either() {
    on_a_host(|| {
        let scene = Scene::new();
        scene.link("proc", "/fake");
        fs::create_dir_all(scene.container.path("rootfs/fake")).unwrap();
        let error = scene.run(usual_mounts(), json!({}), "").unwrap_err();
        assert!(error.contains("mounts[0] /proc: openat2: too many levels"), "{error}");
    });
}

#[test]
fn targets_stay_inside() {
    on_a_host(|| {
        let scene = Scene::new();
        let outside = scene.container.path("outside");
        scene.link("absolute", &outside);
        scene.link("upwards", "../../../../../../../../etc");
        scene.link("dangling", outside.join("new/folder"));
        scene.link("chain", "absolute/../dangling");
        let mut mounts = usual_mounts();
        for destination in ["/absolute/x", "/upwards/x", "/dangling", "/chain/y", "/../../../../tmp/z", "/absolute"] {
            mounts.push(json!({"destination": destination, "type": "tmpfs"}));
        }
        let script = format!("busybox cat /proc/self/mountinfo; busybox ls {}", outside.display());
        let out = scene.run(mounts, json!({}), &script).unwrap();
        // What the links mean is meant inside.
        for point in ["/etc/x", "/tmp/z", &format!("{}/new/folder", outside.display())] {
            assert!(out.contains(&format!(" {point} ")), "{point}: {out}");
        }
        assert!(!Path::new("/etc/x").exists() && !Path::new("/tmp/z").exists());
    });
}

#[test]
fn nothing_is_led_into_procfs() {
    on_a_host(|| {
        for (link, destination) in [("data", "/data"), ("data", "/data/attr"), ("far/away", "/far/away/x")] {
            let scene = Scene::new();
            scene.link(link, "/proc/self");
            let mut mounts = usual_mounts();
            mounts.push(json!({"destination": destination, "source": "outside", "options": ["rbind"]}));
            let error = scene.run(mounts, json!({}), "").unwrap_err();
            assert!(error.starts_with("mounts[3]"), "{error}");
        }
        let scene = Scene::new();
        scene.link("data", "/proc/sys");
        let mut mounts = usual_mounts();
        mounts.push(json!({"destination": "/data", "type": "tmpfs"}));
        let error = scene.run(mounts, json!({}), "").unwrap_err();
        assert!(error.starts_with("mounts[3] /data: a symbolic link leads into another file system"), "{error}");
    });
}

#[test]
fn only_procfs_can_be_bound_to_proc() {
    on_a_host(|| {
        let scene = Scene::new();
        let fake = json!({"destination": "/proc", "type": "bind", "source": "outside", "options": ["rbind"]});
        let error = scene.run(vec![fake], json!({}), "").unwrap_err();
        assert_eq!(error, "mounts[0] /proc: it is not on the file system that it has to be on");
        let real = json!({"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind", "ro"]});
        assert!(scene.run(vec![real], json!({}), "busybox cat /proc/self/mountinfo").unwrap().contains(" /proc ro"));
    });
}

#[test]
fn files_of_procfs_can_be_covered_through_no_link() {
    on_a_host(|| {
        let scene = Scene::new();
        let mut mounts = usual_mounts();
        mounts.push(json!({"destination": "/proc/uptime", "source": "outside/file", "options": ["bind", "ro"]}));
        let out = scene.run(mounts, json!({}), "busybox cat /proc/uptime").unwrap();
        assert_eq!(out, "untouched");
    });
}

#[test]
fn the_console_follows_no_link() {
    on_a_host(|| {
        let mut scene = Scene::new();
        scene.container.terminal = Some(ConsolePlan::default());
        // Without a tmpfs at /dev, the image decides what is there.
        scene.link("dev/console", "/proc/sys/kernel/domainname");
        let mounts = vec![usual_mounts()[0].clone(), usual_mounts()[2].clone()];
        let error = scene.run(mounts, json!({}), "").unwrap_err();
        assert!(error.starts_with("/dev/console: openat2: too many levels"), "{error}");
        let mut scene = Scene::new();
        scene.container.terminal = Some(ConsolePlan::default());
        scene.link("dev/pts", "/bin");
        let error = scene.container.run(vec![usual_mounts()[0].clone()], json!({}), "").unwrap_err();
        assert!(error.contains("open: too many levels"), "{error}");
    });
}

#[test]
fn masks_are_the_hosts_null_whatever_the_image_has() {
    on_a_host(|| {
        let scene = Scene::new();
        folder_with(&scene.container.path("rootfs/dev"), "null", "not a device");
        folder_with(&scene.container.path("rootfs/etc"), "secret", "classified");
        scene.link("alias", "/etc/secret");
        let linux = json!({"maskedPaths": ["/alias"], "readonlyPaths": ["/etc/../etc/secret"]});
        // The image's /dev/null is not the device that a container has to have.
        let error = scene.run(vec![usual_mounts()[0].clone()], linux.clone(), "").unwrap_err();
        assert_eq!(error, "default device /dev/null: another file is there: file exists");
        let out = scene.run(usual_mounts(), linux, "busybox cat /etc/secret").unwrap();
        assert_eq!(out, "");
    });
}

#[test]
fn devices_are_made_inside() {
    on_a_host(|| {
        let scene = Scene::new();
        let outside = scene.container.path("outside");
        scene.link("out", &outside);
        scene.link("node", outside.join("node"));
        let linux = json!({"devices": [{"path": "/out/device", "type": "c", "major": 1, "minor": 3}]});
        let script = format!("busybox stat -c %F {}/device", outside.display());
        assert_eq!(scene.run(usual_mounts(), linux, &script).unwrap(), "character special file\n");
        let linux = json!({"devices": [{"path": "/node", "type": "c", "major": 1, "minor": 3}]});
        let error = scene.run(usual_mounts(), linux, "").unwrap_err();
        assert!(error.contains("another file is there"), "{error}");
    });
}

#[test]
fn masks_are_copies_of_the_true_null_device() {
    on_a_host(|| {
        let scene = Scene::new();
        let file = scene.container.path("outside/file");
        rustix::mount::mount_bind(&file, "/dev/null").unwrap();
        let linux = json!({"maskedPaths": ["/proc/kcore"]});
        let error = scene.container.run(usual_mounts(), linux, "true").unwrap_err();
        assert_eq!(error, "linux.maskedPaths: /dev/null: the host has another file or device there");
        rustix::mount::unmount("/dev/null", rustix::mount::UnmountFlags::empty()).unwrap();
        scene.check_outside();
    });
}
