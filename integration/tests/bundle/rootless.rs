//! Containers of a user without privileges.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Mutex;

use integration::bundle::Bundle;
use integration::command::{self, Output};
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, host, scene};
use serde_json::{Value, json};

use crate::Stage;

/// newuidmap(1) knows nobody who is not in /etc/passwd; this user is in every one.
const USER: &str = "nobody";
const UID: u32 = 65534;

const EARLIER: &str = "runc 1.1 cannot";

pub fn scenes() -> Vec<Scene<Stage>> {
    let no_helpers = !["newuidmap", "newgidmap"].iter().all(|name| host::has_program(name));
    vec![
        scene!(own_id_alone_is_mapped),
        scene!(granted_ids_are_mapped).skip_if(no_helpers, "the package uidmap is not installed"),
        scene!(ids_not_granted_are_named).skip_if(no_helpers, "the package uidmap is not installed"),
        scene!(verbs_work_without_a_cgroup).peer_cannot("runc has no ps and no kill --all without a cgroup"),
        scene!(limits_without_a_cgroup_are_refused),
        scene!(cgroup_not_writable_is_done_without).peer_cannot("runc refuses a cgroupsPath that it cannot make"),
        scene!(delegated_cgroup_has_limits)
            .needs_controllers(&["memory", "pids"])
            .peer_cannot("runc needs every hierarchy that is mounted"),
        scene!(own_namespaces_are_joined).peer_cannot(EARLIER),
        scene!(time_has_an_offset).peer_cannot(EARLIER),
        scene!(hosts_file_systems_are_shown).peer_cannot("runc leaves it to the configuration"),
        scene!(locked_options_are_kept).peer_cannot(EARLIER),
        scene!(what_a_user_cannot_have_is_refused).peer_cannot("the words are our own"),
        scene!(state_root_is_below_the_runtime_directory),
        scene!(without_a_runtime_directory_the_error_says_so).peer_cannot("the words are our own"),
    ]
}

/// A container of the user, with its own ids mapped and none of what only root has.
pub struct Rootless {
    pub bundle: Bundle,
    runtime: PathBuf,
    /// The cgroup v2 directory that the user calls from.
    inside: Option<PathBuf>,
}

impl Rootless {
    fn new(stage: &Stage, args: &[&str]) -> Rootless {
        let mut bundle = stage.bundle(args);
        bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        let map = json!([{ "containerID": 0, "hostID": UID, "size": 1 }]);
        bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
        let linux = bundle.config["linux"].as_object_mut().unwrap();
        linux.remove("resources");
        linux.remove("cgroupsPath");
        // A copy, since the way to the build need not be open to everybody; and by another process, since what this one has open for
        // writing, a scene that starts a program beside this one may have open too for a moment (execve(2), ETXTBSY).
        let runtime = bundle.folder.join(stage.runtime.name());
        command::run(Command::new("cp").arg(&stage.runtime.path).arg(&runtime)).ok();
        command::run(Command::new("chown").args(["-R", USER]).arg(&bundle.folder)).ok();
        command::run(Command::new("chmod").arg("a+x").arg(&stage.ground.folder)).ok();
        Rootless { bundle, runtime, inside: None }
    }

    pub fn shell(stage: &Stage, line: &str) -> Rootless {
        Rootless::new(stage, &["sh", "-c", line])
    }

    fn map_more(&mut self, first: u32, size: u32) {
        let map = json!([{ "containerID": 0, "hostID": UID, "size": 1 },
            { "containerID": 1, "hostID": first, "size": size }]);
        self.bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    }

    /// The runtime, to be called by the user.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = as_user();
        command.arg(&self.runtime).arg("--root").arg(self.bundle.root()).args(args);
        let Some(cgroup) = &self.inside else { return command };
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo 0 >\"$0/cgroup.procs\" && exec \"$@\""]).arg(cgroup).current_dir("/");
        shell.arg(command.get_program()).args(command.get_args());
        shell
    }

    #[track_caller]
    fn call(&self, args: &[&str]) -> Output {
        command::run(&mut self.command(args))
    }

    #[track_caller]
    fn verb(&self, verb: &[&str]) -> Output {
        self.call(&[verb, &[&self.bundle.id]].concat())
    }

    #[track_caller]
    fn run(&self) -> Output {
        self.bundle.write();
        self.call(&self.bundle.create_line("run", &[]))
    }

    #[track_caller]
    fn start(&self) {
        self.bundle.write();
        self.bundle.on_own_streams(&mut self.command(&self.bundle.create_line("run", &["--detach"]))).ok();
    }
}

fn as_user() -> Command {
    let mut command = Command::new("setpriv");
    let id = UID.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).env_remove("XDG_RUNTIME_DIR").current_dir("/");
    command
}

/// Lines of /etc/subuid and /etc/subgid, taken out again at the end.
struct Grant(String);

static GRANTS: Mutex<()> = Mutex::new(());
const GRANT_FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

impl Grant {
    fn new(first: u32, count: u32) -> Grant {
        let _alone = GRANTS.lock();
        let line = format!("{USER}:{first}:{count}\n");
        for path in GRANT_FILES {
            fs::File::options().create(true).append(true).open(path).unwrap().write_all(line.as_bytes()).unwrap();
        }
        Grant(line)
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let _alone = GRANTS.lock();
        for path in GRANT_FILES {
            let text = fs::read_to_string(path).unwrap_or_default();
            fs::write(path, text.replacen(&self.0, "", 1)).ok();
        }
    }
}

fn own_id_alone_is_mapped(stage: &Stage) {
    let line = "id -u; tr -s ' ' </proc/self/uid_map; cat /proc/self/setgroups; echo x >/tmp/mine && stat -c %u /tmp/mine; \
        test -c /dev/null && echo device";
    let container = Rootless::shell(stage, line);
    assert_eq!(container.run().ok().stdout, format!("0\n 0 {UID} 1\ndeny\n0\ndevice\n"));
    container.bundle.is_gone();
}

fn granted_ids_are_mapped(stage: &Stage) {
    let _grant = Grant::new(700_000, 1000);
    // runc gives a user no further groups.
    let (groups, shown): (&[u32], _) = if stage.runtime.is_peer() { (&[], "6") } else { (&[7], "6 7") };
    let mut container =
        Rootless::shell(stage, "id -u; id -G; cut -d: -f2 </proc/self/setgroups; tr -s ' ' </proc/self/uid_map");
    container.map_more(700_000, 1000);
    container.bundle.set("/process/user", json!({ "uid": 5, "gid": 6, "additionalGids": groups }));
    assert_eq!(container.run().ok().stdout, format!("5\n{shown}\nallow\n 0 {UID} 1\n 1 700000 1000\n"));
}

fn ids_not_granted_are_named(stage: &Stage) {
    let _grant = Grant::new(700_000, 1000);
    let mut container = Rootless::shell(stage, "true");
    container.map_more(700_000, 1001);
    let refused = container.run().fails();
    if !stage.runtime.is_peer() {
        refused.says("/linux/gidMappings/1").says("/etc/subgid").says("700000 to 701000").says("nobody:700000:1001");
        let mut poor = as_user();
        poor.args(["env", "PATH=/nowhere"]).arg(&container.runtime).arg("--root").arg(container.bundle.root());
        let refused = command::run(poor.args(container.bundle.create_line("run", &[]))).fails();
        refused.says("newgidmap is not in PATH").says("uidmap");
    }
    container.bundle.is_gone();
}

fn verbs_work_without_a_cgroup(stage: &Stage) {
    let container = Rootless::shell(stage, "trap 'echo told' USR1; sleep 1000 & while :; do wait; done");
    container.start();
    let state: Value = serde_json::from_str(&container.verb(&["state"]).ok().stdout).unwrap();
    assert_eq!(state["status"], "running");
    container.call(&["list", "-q"]).ok().says(&container.bundle.id);
    let inside =
        container.call(&["exec", &container.bundle.id, "sh", "-c", "id -u; readlink /proc/self/ns/pid; echo $$"]).ok();
    let namespace = fs::read_link(format!("/proc/{}/ns/pid", state["pid"])).unwrap();
    assert_eq!(inside.lines()[..2], ["0".to_owned(), namespace.display().to_string()]);
    assert_eq!(container.verb(&["ps", "--format", "json"]).ok().text().matches(',').count(), 1, "two processes");
    container.verb(&["pause"]).fails().says("no cgroup").says("/linux/cgroupsPath");
    container.call(&["events", "--stats", &container.bundle.id]).fails().says("no cgroup");
    container.call(&["kill", "--all", &container.bundle.id, "USR1"]).ok();
    container.bundle.says("told");
    container.call(&["kill", &container.bundle.id, "KILL"]).ok();
    eventually(PATIENCE, "the container to stop", || {
        container.verb(&["state"]).ok().stdout.contains("\"stopped\"").then_some(())
    });
    container.verb(&["delete"]).ok();
    container.bundle.is_gone();
}

fn limits_without_a_cgroup_are_refused(stage: &Stage) {
    let mut container = Rootless::shell(stage, "true");
    container.bundle.set("/linux/resources", json!({ "memory": { "limit": 100_000_000 } }));
    let refused = container.run().fails();
    if !stage.runtime.is_peer() {
        refused.says("/linux/resources/memory/limit").says("delegated to you in /linux/cgroupsPath");
    }
    container.bundle.set("/linux/cgroupsPath", json!("/not-mine/c"));
    let refused = container.run().fails();
    if !stage.runtime.is_peer() {
        refused.says("/linux/resources/memory/limit").says("have root delegate");
        container
            .call(&["--rootless", "false", "run", "--bundle", container.bundle.directory().to_str().unwrap(), "f"])
            .fails();
    }
    container.bundle.is_gone();
}

fn cgroup_not_writable_is_done_without(stage: &Stage) {
    let mut container = Rootless::shell(stage, "cat /proc/self/cgroup");
    let own = command::run(as_user().args(["cat", "/proc/self/cgroup"])).ok().stdout;
    container.bundle.set("/linux/cgroupsPath", json!("/not-mine/c"));
    container.bundle.set("/linux/resources", json!({ "devices": [{ "allow": false, "access": "rwm" }] }));
    assert_eq!(container.run().ok().stdout, own);
}

fn delegated_cgroup_has_limits(stage: &Stage) {
    let mut container = Rootless::new(stage, &["sleep", "1000"]);
    let mine = format!("{}/mine", stage.ground.cgroup);
    container.inside = delegate(&mine);
    container.bundle.set("/linux/cgroupsPath", json!(format!("{mine}/c")));
    let devices = json!([{ "allow": false, "access": "rwm" }]);
    let limits = json!({ "memory": { "limit": 104_857_600 }, "pids": { "limit": 44 }, "devices": devices });
    container.bundle.set("/linux/resources", limits);
    container.start();
    let pid = container.bundle.pid();
    assert_eq!(cgroup::value(pid, "memory", "memory.limit_in_bytes", "memory.max"), "104857600");
    assert_eq!(cgroup::value(pid, "pids", "pids.max", "pids.max"), "44");
    container.call(&["update", "--pids-limit", "55", &container.bundle.id]).ok();
    assert_eq!(cgroup::value(pid, "pids", "pids.max", "pids.max"), "55");
    container.verb(&["pause"]).ok();
    container.verb(&["state"]).ok().says("paused");
    container.verb(&["resume"]).ok();
    let exec = ["exec", &container.bundle.id, "cat", "/proc/self/cgroup"];
    assert!(container.call(&exec).ok().stdout.contains(&format!("{mine}/c")));
    container.verb(&["delete", "--force"]).ok();
    assert_eq!(cgroup::directories(&format!("{mine}/c")), [] as [PathBuf; 0]);
    container.inside = None;
    container.bundle.set("/linux/cgroupsPath", json!("/not-mine/c"));
    container.run().fails().says("/linux/resources/memory/limit").says("delegate");
}

/// Gives the user the cgroup `path` where there are the controllers that are needed. On cgroup v2 a process can go there only
/// from the cgroup that is the answer.
fn delegate(path: &str) -> Option<PathBuf> {
    const WANTED: [&str; 3] = ["memory", "pids", "freezer"];
    let path = path.trim_start_matches('/');
    let mut from = None;
    for hierarchy in cgroup::hierarchies() {
        let directory = hierarchy.mount.join(path);
        let is_v2 = hierarchy.controllers.is_empty();
        if is_v2 && !cgroup::is_v2()
            || !is_v2 && !hierarchy.controllers.iter().any(|name| WANTED.contains(&name.as_str()))
        {
            continue;
        }
        fs::create_dir_all(directory.join("from")).unwrap();
        if is_v2 {
            for above in [&hierarchy.mount, directory.parent().unwrap()] {
                fs::write(above.join("cgroup.subtree_control"), "+memory +pids").unwrap();
            }
            from = Some(directory.join("from"));
        }
        command::run(Command::new("chown").args(["-R", USER]).arg(&directory)).ok();
    }
    from
}

fn own_namespaces_are_joined(stage: &Stage) {
    let mut owner = as_user();
    owner.args(["unshare", "-Urnpuf", "--kill-child", "sh", "-c", "echo ready; exec sleep 1000"]);
    let mut owner = Ended(owner.stdout(std::process::Stdio::piped()).spawn().unwrap());
    let mut ready = [0; 6];
    std::io::Read::read_exact(owner.0.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", owner.0.id())).unwrap();
    let namespaces = format!("/proc/{}/ns", children.trim());
    let mut container =
        Rootless::shell(stage, "for i in user net pid uts mnt; do readlink /proc/self/ns/$i; done; id -u");
    container.bundle.set("/linux/uidMappings", json!([])).set("/linux/gidMappings", json!([]));
    for entry in container.bundle.config["linux"]["namespaces"].as_array_mut().unwrap() {
        let name = match entry["type"].as_str().unwrap() {
            "network" => "net",
            kind @ ("user" | "pid" | "uts") => kind,
            _ => continue,
        };
        entry["path"] = json!(format!("{namespaces}/{name}"));
    }
    let lines = container.run().ok().lines();
    let theirs = |name: &str| fs::read_link(format!("{namespaces}/{name}")).unwrap().display().to_string();
    assert_eq!(lines[..4], ["user", "net", "pid", "uts"].map(theirs));
    assert_ne!(lines[4], theirs("mnt"));
    assert_eq!(lines[5], "0");
}

/// A process that ends with the scene, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn time_has_an_offset(stage: &Stage) {
    let mut container = Rootless::shell(stage, "cut -d. -f1 /proc/uptime; echo $$; readlink /proc/self/ns/time");
    container.bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
    container.bundle.set("/linux/timeOffsets", json!({ "boottime": { "secs": 1_000_000_000 } }));
    let lines = container.run().ok().lines();
    assert!(lines[0].parse::<u64>().unwrap() >= 1_000_000_000, "{}", lines[0]);
    assert_eq!(lines[1], "1");
    assert_ne!(lines[2], host::namespace("self", "time"));
}

fn hosts_file_systems_are_shown(stage: &Stage) {
    let line = "grep -c ' /sys sysfs ' /proc/mounts; grep ' /sys ' /proc/mounts | cut -d' ' -f4; readlink /proc/self/ns/pid; \
        touch /sys/fs/cgroup/x 2>/dev/null || echo sealed";
    let mut container = Rootless::shell(stage, line);
    container.bundle.share_namespace("network").share_namespace("pid");
    let cgroups = json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"] });
    container.bundle.config["mounts"].as_array_mut().unwrap().push(cgroups);
    let lines = container.run().ok().lines();
    assert_eq!(lines[2], fs::read_link("/proc/self/ns/pid").unwrap().display().to_string());
    assert!(lines[1].starts_with("ro,nosuid,nodev,noexec"), "{}", lines[1]);
    assert_eq!(lines[3], "sealed");
}

fn locked_options_are_kept(stage: &Stage) {
    let mut container =
        Rootless::shell(stage, "grep ' /v ' /proc/mounts | cut -d' ' -f4; touch /v/x 2>/dev/null || echo read-only");
    let volume = container.bundle.folder.join("volume");
    fs::create_dir(&volume).unwrap();
    let tmpfs = ["-t", "tmpfs", "-o", "nosuid,nodev,noexec,mode=777", "volume"];
    command::run(Command::new("mount").args(tmpfs).arg(&volume)).ok();
    let mounts = container.bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": "/v", "type": "bind", "source": volume, "options": ["rbind", "ro"] }));
    let lines = container.run().ok().lines();
    assert!(lines[0].starts_with("ro,nosuid,nodev,noexec"), "{}", lines[0]);
    assert_eq!(lines[1], "read-only");
    if !stage.runtime.is_peer() {
        let last = container.bundle.config["mounts"].as_array().unwrap().len() - 1;
        container
            .bundle
            .set(&format!("/mounts/{last}/options"), json!(["rbind", "rw", "suid", "dev", "exec", "strictatime"]));
        assert!(container.run().ok().lines()[0].starts_with("rw,nosuid,nodev,noexec"));
    }
    command::run(Command::new("umount").arg(&volume)).ok();
}

fn what_a_user_cannot_have_is_refused(stage: &Stage) {
    let mut container = Rootless::shell(stage, "cat /proc/self/oom_score_adj");
    container.bundle.set("/process/user/additionalGids", json!([0]));
    container.run().fails().says("/process/user/additionalGids").says("/etc/subgid");
    container.bundle.set("/process/user", json!({ "uid": 0, "gid": 0 }));
    container.bundle.set("/mounts/2/options", json!(["gid=5"]));
    container.run().fails().says("/mounts/2/options").says("/linux/gidMappings");
    container.bundle.set("/mounts/2/options", json!([]));
    container.bundle.set("/process/oomScoreAdj", json!(-10));
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(container.run().ok().stdout, own);
    container.bundle.share_namespace("user").set("/linux/uidMappings", json!([])).set("/linux/gidMappings", json!([]));
    container.run().fails().says("/linux/namespaces").says("spec --rootless");
    container.bundle.is_gone();
}

fn state_root_is_below_the_runtime_directory(stage: &Stage) {
    let container = Rootless::new(stage, &["sleep", "1000"]);
    let directory = container.bundle.folder.join("runtime-directory");
    fs::create_dir(&directory).unwrap();
    command::run(Command::new("chown").arg(USER).arg(&directory)).ok();
    container.bundle.write();
    let call = |args: &[&str]| {
        let mut command = as_user();
        command.env("XDG_RUNTIME_DIR", &directory).arg(&container.runtime).args(args);
        command
    };
    container.bundle.on_own_streams(&mut call(&container.bundle.create_line("create", &[]))).ok();
    let root = directory.join(stage.runtime.name());
    assert!(root.join(&container.bundle.id).is_dir());
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o7777, 0o1700);
    command::run(&mut call(&["delete", "--force", &container.bundle.id])).ok();
    container.bundle.is_gone();
}

fn without_a_runtime_directory_the_error_says_so(stage: &Stage) {
    let container = Rootless::shell(stage, "true");
    container.bundle.write();
    let mut run = as_user();
    run.arg(&container.runtime).args(container.bundle.create_line("run", &[]));
    command::run(&mut run).fails().says("XDG_RUNTIME_DIR").says("--root");
}
