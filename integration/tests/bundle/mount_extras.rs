//! What `mounts` can do beyond the usual, and containers without a mount namespace of their own.

use std::fs;
use std::process::{Child, Command};

use integration::bundle::Bundle;
use integration::scene::Scene;
use integration::{command, host, leftover, scene};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let old_runc = "Debian 12's runc has no idmapped mounts";
    let leaves_mounts = "it leaves its mounts on the host";
    vec![
        scene!(no_namespaces_at_all).peer_cannot(leaves_mounts),
        scene!(without_a_mount_namespace_nothing_is_left_of_a_failed_create).peer_cannot(leaves_mounts),
        scene!(without_a_mount_namespace_a_killed_create_is_undone).peer_cannot(leaves_mounts),
        scene!(a_shared_volume_outlives_a_container_without_a_mount_namespace).peer_cannot(leaves_mounts),
        scene!(the_hosts_mount_namespace_by_path_is_refused).peer_cannot("it changes the host's root"),
        scene!(a_mount_namespace_by_path_is_joined),
        scene!(a_tmpfs_starts_with_what_it_covers).peer_cannot("runc fails over a device, and copies no times"),
        scene!(a_tmpfs_does_not_copy_without_end).peer_cannot("it has no bound"),
        scene!(bind_mounts_are_idmapped).peer_cannot(old_runc),
        scene!(an_idmapped_mount_has_the_containers_own_maps).peer_cannot(old_runc),
        scene!(a_new_tmpfs_is_idmapped).peer_cannot(old_runc),
        scene!(an_idmapped_mount_that_cannot_be_is_an_error).peer_cannot(old_runc),
    ]
}

/// A bundle that shares every namespace with the host.
fn without_namespaces(stage: &Stage, line: &str) -> Bundle {
    let mut bundle = stage.shell(line);
    bundle.set("/linux/namespaces", json!([]));
    for property in ["maskedPaths", "readonlyPaths"] {
        bundle.set(&format!("/linux/{property}"), json!([]));
    }
    bundle.config.as_object_mut().unwrap().remove("hostname");
    bundle
}

/// The host's mounts, but those that others' containers may make meanwhile.
fn host_table(bundle: &Bundle) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let of_interest = |line: &&str| {
        let point = line.split(' ').nth(4).unwrap();
        point.starts_with(bundle.folder.to_str().unwrap()) || !point[1..].contains('/')
    };
    table.lines().filter(of_interest).map(str::to_owned).collect()
}

fn exec(bundle: &Bundle, command: &[&str]) -> String {
    bundle.call(&[&["exec", &bundle.id], command].concat()).ok().stdout
}

fn no_namespaces_at_all(stage: &Stage) {
    let bundle = without_namespaces(stage, "touch /dev/here && echo up && exec sleep 1000");
    let before = host_table(&bundle);
    fs::write(bundle.in_rootfs("/inside"), "").unwrap();
    bundle.start().says("up");
    let pid = bundle.pid();
    for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time"] {
        assert_eq!(host::namespace(pid, kind), host::namespace("self", kind), "{kind}");
    }
    // What is executed later is in the container's root as well.
    assert_eq!(exec(&bundle, &["ls", "/inside", "/dev/here"]), "/dev/here\n/inside\n");
    assert_eq!(exec(&bundle, &["sh", "-c", "cd ..; pwd; ls inside"]), "/\ninside\n");
    let mounted = exec(&bundle, &["cat", "/proc/self/mountinfo"]);
    assert!(mounted.lines().count() >= 5 && !mounted.contains("shared:"), "{mounted}");
    bundle.kill("KILL").ok();
    assert_eq!(bundle.exit_code(pid), 137);
    bundle.verb(&["delete"]).ok();
    assert_eq!(host_table(&bundle), before);
    bundle.is_gone();
}

fn without_a_mount_namespace_nothing_is_left_of_a_failed_create(stage: &Stage) {
    let mut bundle = without_namespaces(stage, "true");
    let before = host_table(&bundle);
    bundle.set("/process/args", json!(["/nosuch"]));
    bundle.create_with(&[]).fails();
    assert_eq!(host_table(&bundle), before);
    bundle.is_gone();
}

/// The runtime and its container are killed by a hook, while everything is mounted.
fn without_a_mount_namespace_a_killed_create_is_undone(stage: &Stage) {
    let mut bundle = without_namespaces(stage, "true");
    let before = host_table(&bundle);
    bundle.set("/hooks/prestart", json!([{ "path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"] }]));
    assert_ne!(bundle.create_with(&[]).code, 0);
    assert!(!leftover::mounts(&bundle.folder).is_empty());
    bundle.verb(&["delete", "--force"]).ok();
    assert_eq!(host_table(&bundle), before);
    bundle.is_gone();
}

/// A mount of the host's, unmounted when dropped.
struct HostMount(std::path::PathBuf);

impl HostMount {
    /// A tmpfs that is its own peer group.
    fn shared(path: std::path::PathBuf) -> HostMount {
        fs::create_dir_all(&path).unwrap();
        let mount = |args: &[&str]| command::run(Command::new("mount").args(args).arg(&path)).ok();
        mount(&["-t", "tmpfs", "volume"]);
        mount(&["--make-shared"]);
        HostMount(path)
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        command::run(Command::new("umount").arg("--recursive").arg(&self.0));
    }
}

fn a_shared_volume_outlives_a_container_without_a_mount_namespace(stage: &Stage) {
    let mut bundle = without_namespaces(stage, "exec sleep 1000");
    let volume = HostMount::shared(bundle.folder.join("volume"));
    let below = HostMount::shared(volume.0.join("below"));
    let before = host_table(&bundle);
    let entry = |destination: &str, options: [&str; 2]| json!({ "destination": destination, "source": volume.0, "options": options });
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(entry("/shared", ["rbind", "rshared"]));
    mounts.push(entry("/plain", ["rbind", "rw"]));
    // It would appear in the volume if `/plain` were its peer.
    mounts.push(json!({ "destination": "/plain/inner", "type": "tmpfs" }));
    bundle.start();
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains("volume/inner"));
    bundle.verb(&["delete", "--force"]).ok();
    fs::remove_dir(volume.0.join("inner")).unwrap();
    assert_eq!(host_table(&bundle), before);
    drop(below);
}

fn the_hosts_mount_namespace_by_path_is_refused(stage: &Stage) {
    let mut bundle = stage.shell("true");
    bundle.share_namespace("mount");
    let entry = json!({ "type": "mount", "path": "/proc/self/ns/mnt" });
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(entry);
    bundle.create_with(&[]).fails().says("leave the entry out");
    bundle.is_gone();
}

/// A process in a mount namespace of its own, ended when dropped.
struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn a_mount_namespace_by_path_is_joined(stage: &Stage) {
    let mut bundle = stage.shell("echo up && exec sleep 1000");
    let before = host_table(&bundle);
    let ready = bundle.folder.join("ready");
    let script = format!("touch {} && exec sleep 1000", ready.display());
    let line = ["--mount", "--propagation", "private", "sh", "-c", &script];
    let owner = Owner(Command::new("unshare").args(line).spawn().unwrap());
    integration::wait::eventually(integration::wait::PATIENCE, "a mount namespace", || ready.exists().then_some(()));
    bundle.share_namespace("mount");
    let path = format!("/proc/{}/ns/mnt", owner.0.id());
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "mount", "path": path }));
    bundle.start().says("up");
    assert_eq!(host::namespace(bundle.pid(), "mnt"), host::namespace(owner.0.id(), "mnt"));
    assert!(!exec(&bundle, &["ls", "/"]).contains("boot"));
    bundle.verb(&["delete", "--force"]).ok();
    assert_eq!(host_table(&bundle), before);
    drop(owner);
    bundle.is_gone();
}

/// Everything in a folder of the image, with owners and modes, and things that a copy could fall for.
const FURNISH: &str = r#"
    mkdir -p deep/er && echo text >deep/er/file && chown 5:6 deep deep/er/file && chmod 2751 deep && chmod 4755 deep/er/file
    touch -d @1000000000 deep/er/file && : >empty
    ln -s /etc/passwd outside && ln -s nowhere dangling && chown -h 7:8 outside
    mknod pipe p && mknod null c 1 3 && chmod 620 null && chown 9:9 pipe
    chmod 1777 . && chown 3:4 .
"#;

fn a_tmpfs_starts_with_what_it_covers(stage: &Stage) {
    let list = "cd /data && stat -c '%n %a %u:%g %F %t,%T' . deep deep/er deep/er/file empty outside dangling pipe null \
                && stat -c %Y deep/er/file && cat deep/er/file && readlink outside && readlink dangling && echo new >new";
    let mut bundle = stage.shell(list);
    let folder = bundle.in_rootfs("/data");
    fs::create_dir(&folder).unwrap();
    let line = format!("cd {} && {FURNISH}", folder.display());
    command::run(Command::new("sh").arg("-c").arg(line)).ok();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    let entry = json!({ "destination": "/data", "type": "tmpfs", "options": ["nosuid", "tmpcopyup"] });
    bundle.config["mounts"].as_array_mut().unwrap().push(entry);
    let copied = bundle.run().ok().stdout;
    assert!(!folder.join("new").exists(), "that went to the image");
    bundle.verb(&["delete", "--force"]);
    bundle.config["mounts"].as_array_mut().unwrap().pop();
    let original = bundle.run().ok().stdout;
    assert_eq!(copied, original);
}

fn a_tmpfs_does_not_copy_without_end(stage: &Stage) {
    let mut bundle = stage.shell("true");
    fs::create_dir_all(bundle.in_rootfs(&format!("/data{}", "/d".repeat(200)))).unwrap();
    let entry = json!({ "destination": "/data", "type": "tmpfs", "options": ["tmpcopyup"] });
    bundle.config["mounts"].as_array_mut().unwrap().push(entry);
    bundle.create_with(&[]).fails().says("too many levels");
    bundle.is_gone();
}

/// A volume whose file belongs to root, with another mount below it.
fn volume(bundle: &Bundle) -> HostMount {
    let path = bundle.folder.join("volume");
    fs::create_dir_all(path.join("below")).unwrap();
    fs::write(path.join("file"), "").unwrap();
    HostMount::shared(path.join("below"))
}

fn push_mount(bundle: &mut Bundle, entry: serde_json::Value) {
    bundle.config["mounts"].as_array_mut().unwrap().push(entry);
}

const OWNERS: &str = "stat -c %u:%g /plain/file /plain/below /all/file /all/below";

fn bind_mounts_are_idmapped(stage: &Stage) {
    let mut bundle = stage.shell(OWNERS);
    let below = volume(&bundle);
    let source = bundle.folder.join("volume");
    let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1000 }]);
    for (destination, option) in [("/plain", "idmap"), ("/all", "ridmap")] {
        push_mount(
            &mut bundle,
            json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind", option],
                    "uidMappings": map(5000), "gidMappings": map(7000) }),
        );
    }
    assert_eq!(bundle.run().ok().stdout, "5000:7000\n0:0\n5000:7000\n5000:7000\n");
    drop(below);
}

fn an_idmapped_mount_has_the_containers_own_maps(stage: &Stage) {
    let mut bundle = stage.shell("stat -c %u:%g /plain/file && touch /plain/new && stat -c %u:%g /plain/new");
    let below = volume(&bundle);
    let source = bundle.folder.join("volume");
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    command::run(Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.in_rootfs(""))).ok();
    command::run(Command::new("chmod").arg("a+x").args([&stage.ground.folder, &bundle.folder, &bundle.directory()]))
        .ok();
    push_mount(
        &mut bundle,
        json!({ "destination": "/plain", "type": "bind", "source": source, "options": ["bind", "idmap"] }),
    );
    assert_eq!(bundle.run().ok().stdout, "0:0\n0:0\n");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(source.join("new")).unwrap().uid(), 0);
    drop(below);
}

fn a_new_tmpfs_is_idmapped(stage: &Stage) {
    let mut bundle = stage.shell("stat -c %u:%g /data");
    let map = json!([{ "containerID": 0, "hostID": 5000, "size": 10 }]);
    push_mount(&mut bundle, json!({ "destination": "/data", "type": "tmpfs", "uidMappings": map, "gidMappings": map }));
    assert_eq!(bundle.run().ok().stdout, "5000:5000\n");
}

fn an_idmapped_mount_that_cannot_be_is_an_error(stage: &Stage) {
    let map = json!([{ "containerID": 0, "hostID": 5000, "size": 10 }]);
    for (entry, text) in [
        (json!({ "destination": "/x", "type": "bind", "source": "/tmp", "options": ["bind", "idmap"] }), "mapping"),
        (json!({ "destination": "/x", "type": "proc", "uidMappings": map, "gidMappings": map }), "/x"),
        (
            json!({ "destination": "/x", "type": "bind", "source": "/proc", "options": ["bind"],
                    "uidMappings": map, "gidMappings": map }),
            "/proc",
        ),
    ] {
        let mut bundle = stage.shell("true");
        push_mount(&mut bundle, entry);
        bundle.create_with(&[]).fails().says(text);
        bundle.is_gone();
    }
}
