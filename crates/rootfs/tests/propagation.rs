//! What travels between the container and a host whose `/` is shared, as systemd has it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a helper that fails is a failed test")]

mod container;

use std::fs;

use container::{Container, HostMounts, mount_line, on_a_host, usual_mounts};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::json;

/// A mount of the host's in the bundle, gone with the test.
struct Volume(std::path::PathBuf);

impl Volume {
    fn new(container: &Container) -> Volume {
        let path = container.path("volume");
        fs::create_dir_all(&path).unwrap();
        mount("volume", &path, "tmpfs", MountFlags::empty(), None).unwrap();
        fs::create_dir_all(path.join("sub")).unwrap();
        Volume(path)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

fn with_volume(options: &[&str]) -> Vec<serde_json::Value> {
    let mut mounts = usual_mounts();
    mounts.push(json!({"destination": "/volume", "source": "volume", "options": options}));
    mounts
}

const MOUNT_INSIDE: &str = "busybox mount -t tmpfs inside /volume/sub && busybox mkdir /x && busybox mount -t tmpfs inside /x; busybox cat /proc/self/mountinfo";

#[test]
fn nothing_reaches_the_host_unasked() {
    on_a_host(|| {
        let container = Container::new();
        let volume = Volume::new(&container);
        let before = HostMounts::now();
        for (options, linux) in [
            (vec!["rbind"], json!({})),
            (vec!["rbind", "rslave"], json!({"rootfsPropagation": "shared"})),
            (
                vec!["rbind", "rprivate"],
                json!({"rootfsPropagation": "rprivate", "maskedPaths": ["/volume", "/proc/acpi"]}),
            ),
            (vec!["bind", "unbindable"], json!({"rootfsPropagation": "unbindable"})),
        ] {
            container.run(with_volume(&options), linux, MOUNT_INSIDE).unwrap();
            before.assert_unchanged();
        }
        drop(volume);
    });
}

#[test]
fn a_shared_volume_and_only_that_is_shared_with_the_host() {
    on_a_host(|| {
        let container = Container::new();
        let volume = Volume::new(&container);
        for linux in [json!({}), json!({"rootfsPropagation": "rshared"}), json!({"rootfsPropagation": "private"})] {
            let before = HostMounts::now();
            let out = container.run(with_volume(&["rbind", "rshared"]), linux, MOUNT_INSIDE).unwrap();
            assert!(mount_line(&out, "/volume").contains(" shared:"), "{out}");
            let added = before.added();
            assert_eq!(added.len(), 1, "{added:?}");
            assert!(added[0].contains(&format!("{}/sub", volume.0.display())));
            unmount(volume.0.join("sub"), UnmountFlags::DETACH).unwrap();
        }
    });
}

#[test]
fn a_shared_volume_is_mounted_when_its_turn_comes() {
    on_a_host(|| {
        let mut container = Container::new();
        let volume = Volume::new(&container);
        let mut mounts = with_volume(&["rbind", "rshared"]);
        mounts.push(json!({"destination": "/after", "type": "tmpfs"}));
        let script = "busybox cat /proc/self/mountinfo";
        let running = container.kernel;
        // Before Linux 6.15 it is cloned once, before all others.
        for kernel in [running, running.min((6, 14))] {
            container.kernel = kernel;
            let out = container.run(mounts.clone(), json!({}), script).unwrap();
            assert!(mount_line(&out, "/volume").contains(" shared:"), "{out}");
            let at = |point| out.find(mount_line(&out, point)).unwrap();
            assert!(at("/volume") < at("/after"), "{out}");
            assert_eq!(at("/proc") < at("/volume"), !((6, 8)..(6, 15)).contains(&kernel), "{out}");
        }
        drop(volume);
    });
}

#[test]
fn a_slave_volume_sees_what_the_host_mounts() {
    on_a_host(|| {
        let container = Container::new();
        let volume = Volume::new(&container);
        for linux in [json!({}), json!({"rootfsPropagation": "private"})] {
            for (options, master) in [(["rbind", "rslave"], true), (["rbind", "rprivate"], false)] {
                let out =
                    container.run(with_volume(&options), linux.clone(), "busybox cat /proc/self/mountinfo").unwrap();
                assert_eq!(mount_line(&out, "/volume").contains(" master:"), master, "{options:?} {linux}: {out}");
            }
        }
        drop(volume);
    });
}

#[test]
fn without_a_mount_namespace_only_the_empty_root_travels() {
    on_a_host(|| {
        let mut container = Container::new();
        container.on_host = true;
        let volume = Volume::new(&container);
        let before = HostMounts::now();
        let out = container.run(with_volume(&["rbind"]), json!({}), MOUNT_INSIDE).unwrap();
        assert!(!out.contains(" shared:"), "{out}");
        assert!(mount_line(&out, "/volume/sub").contains("tmpfs inside"), "{out}");
        let root = container.path("rootfs");
        assert_eq!(container.plan(vec![], json!({})).unwrap().attached_on_host(), Some(root.as_path()));
        assert!(before.added().iter().all(|line| line.contains(root.to_str().unwrap())));
        unmount(root, UnmountFlags::DETACH).unwrap();
        before.assert_unchanged();
        drop(volume);
    });
}

#[test]
fn a_user_namespace_shares_nothing_with_the_host() {
    on_a_host(|| {
        let mut container = Container::new();
        container.user_namespace = true;
        let volume = Volume::new(&container);
        rustix::fs::chown(container.path("rootfs"), Some(rustix::fs::Uid::from_raw(container::HOST_ID)), None).unwrap();
        let before = HostMounts::now();
        let out = container
            .run(with_volume(&["rbind", "rshared"]), json!({"rootfsPropagation": "shared"}), MOUNT_INSIDE)
            .unwrap();
        assert!(mount_line(&out, "/volume/sub").contains("tmpfs inside"), "{out}");
        before.assert_unchanged();
        drop(volume);
    });
}
