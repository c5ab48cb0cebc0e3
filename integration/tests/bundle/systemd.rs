//! systemd makes the cgroup: the unit, its limits in both places, and its end.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use integration::bundle::Bundle;
use integration::command::Output;
use integration::counter::{self, COUNT};
use integration::runtime::Runtime;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, command, host, leftover};
use serde_json::json;

use crate::{Stage, killpoints};

const NO_SYSTEMD: &str = "systemd does not run it";

pub fn scenes() -> Vec<Scene<Stage>> {
    let crun = Runtime::under_test().name() == "crun";
    let scenes = vec![
        scene!(a_scope_holds_the_container),
        scene!(without_a_path_it_has_a_place),
        scene!(another_form_of_path_is_refused).peer_cannot_if(crun, "crun takes other forms as well"),
        scene!(limits_are_in_the_unit_and_in_the_files),
        scene!(an_update_outlives_a_reload),
        scene!(annotations_are_properties).peer_cannot_if(crun, "crun refuses one of them"),
        scene!(a_bad_annotation_is_refused),
        scene!(denied_devices_stay_denied),
        scene!(a_paused_container_goes_on),
        scene!(a_restored_container_has_its_unit)
            .skip_if(!host::has_working_criu(), "no criu in PATH that passes its own check"),
        scene!(a_stopped_unit_is_a_stopped_container),
        scene!(a_unit_in_use_is_left_alone),
        scene!(a_killed_runtime_leaves_no_unit).peer_cannot(killpoints::PEERS_LEAK),
        scene!(a_users_own_systemd_will_do).peer_cannot("wants a user's D-Bus session"),
    ];
    let mut scenes: Vec<_> = scenes.into_iter().map(|scene| scene.skip_if(!host::has_systemd(), NO_SYSTEMD)).collect();
    scenes.push(scene!(without_systemd_it_says_so).skip_if(host::has_systemd(), "systemd runs it"));
    let populated = scene!(below_a_cgroup_with_processes_is_refused)
        .skip_if(!cgroup::is_v2(), "it has cgroup v1")
        .needs_controllers(&["memory"]);
    scenes.push(populated.peer_cannot_if(crun, "crun makes it all the same"));
    scenes
}

/// A bundle and its scope, `integration-PIDID.slice:test:ID`: the slice is its own, as to stop one stops all that is in it.
struct Scoped {
    bundle: Bundle,
    slice: String,
}

impl Scoped {
    fn new(stage: &Stage, mut bundle: Bundle) -> Scoped {
        let slice = format!("{}{}.slice", stage.ground.cgroup.trim_start_matches('/'), bundle.id);
        bundle.set("/linux/cgroupsPath", json!(format!("{slice}:test:{}", bundle.id)));
        // `Bundle::leftovers` looks here.
        bundle.cgroup = format!("/integration.slice/{slice}/test-{}.scope", bundle.id);
        Scoped { bundle, slice }
    }

    fn sleeper(stage: &Stage) -> Scoped {
        Scoped::new(stage, stage.sleeper())
    }

    fn unit(&self) -> String {
        format!("test-{}.scope", self.bundle.id)
    }

    #[track_caller]
    fn start(&self) -> &Self {
        create(&self.bundle).ok();
        self.bundle.verb(&["start"]).ok();
        self
    }

    /// A property of the unit, as systemctl writes it.
    fn property(&self, name: &str) -> String {
        show(&self.unit(), name)
    }

    /// The content of a file of the cgroup that holds `controller`.
    fn file(&self, controller: &str, v1: &str, v2: &str) -> String {
        cgroup::value(self.bundle.pid(), controller, v1, v2)
    }

    #[track_caller]
    fn is_gone(&self) {
        self.bundle.is_gone();
        assert_eq!(show(&self.unit(), "LoadState"), "not-found");
    }
}

impl Drop for Scoped {
    fn drop(&mut self) {
        // The container first: its init does not heed the signal that systemd begins with.
        self.bundle.verb(&["delete", "--force"]);
        command::run(Command::new("systemctl").args(["stop", &self.slice]));
    }
}

/// `--systemd-cgroup create`
#[track_caller]
fn create(bundle: &Bundle) -> Output {
    bundle.write();
    let line = bundle.create_line("create", &[]);
    bundle.on_own_streams(&mut bundle.command(&[&["--systemd-cgroup"], &line[..]].concat()))
}

fn show(unit: &str, property: &str) -> String {
    command::run(Command::new("systemctl").args(["show", "--value", "-p", property, unit])).text()
}

fn reload() {
    command::run(Command::new("systemctl").arg("daemon-reload")).ok();
}

fn a_scope_holds_the_container(stage: &Stage) {
    let scoped = Scoped::sleeper(stage);
    let bundle = &scoped.bundle;
    create(bundle).ok();
    let pid = bundle.pid();
    assert_eq!(bundle.status(), "created");
    assert_eq!(scoped.property("ActiveState"), "active");
    assert_eq!((scoped.property("Slice"), scoped.property("Delegate")), (scoped.slice.clone(), "yes".to_owned()));
    assert_eq!(leftover::members(&bundle.cgroup), [pid]);
    bundle.verb(&["start"]).ok();
    assert_eq!(bundle.status(), "running");
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    // What is executed later is in the same unit, by what was recorded: the flag is not given again.
    assert_eq!(bundle.call(&["exec", &bundle.id, "cat", "/proc/self/cgroup"]).ok().stdout, own);
    bundle.kill("KILL").ok();
    bundle.stops();
    bundle.verb(&["delete"]).ok();
    scoped.is_gone();
}

fn without_a_path_it_has_a_place(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
    let name = format!("it{}-{}", std::process::id(), bundle.id);
    bundle.id = name;
    create(&bundle).ok();
    let runtime = stage.runtime.name();
    let unit = format!("{runtime}-{}.scope", bundle.id);
    assert_eq!(show(&unit, "ControlGroup"), format!("/system.slice/{unit}"));
    bundle.verb(&["delete", "--force"]).ok();
    assert_eq!(show(&unit, "LoadState"), "not-found");
}

fn another_form_of_path_is_refused(stage: &Stage) {
    let mut bundle = stage.sleeper();
    for (path, text) in [("/docker/c1", "slice:prefix:name"), ("a:b:c", "slice"), ("a--b.slice:p:n", "slice")] {
        bundle.set("/linux/cgroupsPath", json!(path));
        create(&bundle).fails().says(text);
        bundle.is_gone();
    }
}

fn limits_are_in_the_unit_and_in_the_files(stage: &Stage) {
    let mut scoped = Scoped::sleeper(stage);
    scoped.bundle.set("/linux/resources/memory", json!({ "limit": 64 << 20, "reservation": 32 << 20 }));
    scoped.bundle.set("/linux/resources/cpu", json!({ "shares": 512, "quota": 30_000, "period": 50_000 }));
    scoped.bundle.set("/linux/resources/pids", json!({ "limit": 33 }));
    scoped.start();
    let check = || {
        assert_eq!(scoped.property(if cgroup::is_v2() { "MemoryMax" } else { "MemoryLimit" }), "67108864");
        assert_eq!((scoped.property("CPUQuotaPerSecUSec"), scoped.property("TasksMax")), ("600ms".into(), "33".into()));
        assert_eq!(scoped.file("memory", "memory.limit_in_bytes", "memory.max"), "67108864");
        assert_eq!(scoped.file("pids", "pids.max", "pids.max"), "33");
        let quota = scoped.file("cpu", "cpu.cfs_quota_us", "cpu.max");
        assert!(["30000", "30000 50000"].contains(&quota.as_str()), "{quota}");
        if cgroup::is_v2() {
            assert_eq!(scoped.file("memory", "memory.low", "memory.low"), "33554432");
            assert_eq!(scoped.property("CPUWeight"), scoped.file("cpu", "cpu.weight", "cpu.weight"));
        }
    };
    check();
    reload();
    check();
}

fn an_update_outlives_a_reload(stage: &Stage) {
    let mut scoped = Scoped::sleeper(stage);
    scoped.bundle.set("/linux/resources/memory", json!({ "limit": 64 << 20 }));
    scoped.start();
    let update =
        ["update", "--memory", "33554432", "--cpu-period", "50000", "--cpu-quota", "20000", "--pids-limit", "11"];
    scoped.bundle.verb(&update).ok();
    let check = || {
        assert_eq!(scoped.file("memory", "memory.limit_in_bytes", "memory.max"), "33554432");
        assert_eq!(scoped.file("pids", "pids.max", "pids.max"), "11");
        let quota = scoped.file("cpu", "cpu.cfs_quota_us", "cpu.max");
        assert!(["20000", "20000 50000"].contains(&quota.as_str()), "{quota}");
        assert_eq!((scoped.property("CPUQuotaPerSecUSec"), scoped.property("TasksMax")), ("400ms".into(), "11".into()));
    };
    check();
    reload();
    check();
}

fn annotations_are_properties(stage: &Stage) {
    let mut scoped = Scoped::sleeper(stage);
    scoped.bundle.set(
        "/annotations",
        json!({
            "org.systemd.property.TimeoutStopSec": "7",
            "org.systemd.property.SendSIGHUP": "true",
            "org.systemd.property.After": "['multi-user.target']",
            "org.systemd.property.RuntimeMaxUSec": "uint64 3600000000",
        }),
    );
    scoped.start();
    for (name, value) in [("TimeoutStopUSec", "7s"), ("SendSIGHUP", "yes"), ("RuntimeMaxUSec", "1h")] {
        assert_eq!(scoped.property(name), value, "{name}");
    }
    assert!(scoped.property("After").contains("multi-user.target"));
}

fn a_bad_annotation_is_refused(stage: &Stage) {
    let mut scoped = Scoped::sleeper(stage);
    for (name, value) in [("TimeoutStopUSec", "uint64"), ("NoSuchProperty", "'x'")] {
        scoped.bundle.set("/annotations", json!({ format!("org.systemd.property.{name}"): value }));
        create(&scoped.bundle).fails();
        scoped.is_gone();
    }
}

fn denied_devices_stay_denied(stage: &Stage) {
    let mut scoped = Scoped::sleeper(stage);
    for set in ["bounding", "effective", "permitted"] {
        scoped.bundle.config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_MKNOD"));
    }
    scoped.start();
    // A terminal that no rule allows, whether there is one or not, and /dev/full, which every container has.
    let line = "test -c /dev/other || mknod /dev/other c 4 99; : </dev/full && : </dev/other";
    for _ in 0..2 {
        scoped
            .bundle
            .call(&["exec", &scoped.bundle.id, "sh", "-c", line])
            .fails()
            .says("/dev/other: Operation not permitted");
        reload();
    }
}

fn a_paused_container_goes_on(stage: &Stage) {
    let scoped = Scoped::sleeper(stage);
    let bundle = &scoped.start().bundle;
    bundle.verb(&["pause"]).ok();
    assert_eq!(bundle.status(), "paused");
    reload();
    assert_eq!(bundle.status(), "paused");
    bundle.verb(&["resume"]).ok();
    assert_eq!(bundle.status(), "running");
    bundle.verb(&["pause"]).ok();
    bundle.verb(&["delete", "--force"]).ok();
    scoped.is_gone();
}

fn a_restored_container_has_its_unit(stage: &Stage) {
    let scoped = Scoped::new(stage, stage.shell(COUNT));
    let bundle = &scoped.start().bundle;
    let file = bundle.in_rootfs("count");
    let count = || counter::latest(&fs::read_to_string(&file).ok()?);
    let counts_beyond = |from: u64| eventually(PATIENCE, "a count", || count().filter(|now| *now > from));
    counts_beyond(0);
    let images = bundle.folder.join("images");
    let images = ["--image-path", images.to_str().unwrap()];
    bundle.verb(&[&["checkpoint"], &images[..]].concat()).ok();
    scoped.is_gone();
    let dumped = counts_beyond(0);
    let line = bundle.create_line("restore", &[&images[..], &["--detach"]].concat());
    bundle.on_own_streams(&mut bundle.command(&[&["--systemd-cgroup"], &line[..]].concat())).ok();
    assert_eq!(scoped.property("ActiveState"), "active");
    assert!(leftover::members(&bundle.cgroup).contains(&bundle.pid()));
    counts_beyond(dumped);
    bundle.verb(&["delete", "--force"]).ok();
    scoped.is_gone();
}

fn a_stopped_unit_is_a_stopped_container(stage: &Stage) {
    let scoped = Scoped::new(stage, stage.shell("trap 'exit 0' TERM; echo ready; while :; do sleep 1 & wait $!; done"));
    scoped.start().bundle.says("ready");
    command::run(Command::new("systemctl").args(["stop", &scoped.unit()])).ok();
    scoped.bundle.stops();
    scoped.bundle.verb(&["delete"]).ok();
    scoped.is_gone();
}

fn a_unit_in_use_is_left_alone(stage: &Stage) {
    let owner = Scoped::sleeper(stage);
    owner.start();
    let mut other = stage.sleeper();
    other.set("/linux/cgroupsPath", owner.bundle.config["linux"]["cgroupsPath"].clone());
    create(&other).fails();
    other.is_gone();
    assert_eq!((owner.bundle.status().as_str(), owner.property("ActiveState").as_str()), ("running", "active"));
}

fn a_killed_runtime_leaves_no_unit(stage: &Stage) {
    let scoped = Scoped::sleeper(stage);
    scoped.bundle.write();
    let line = scoped.bundle.create_line("create", &[]);
    let create = [&["--systemd-cgroup"], &line[..]].concat();
    let mut points = 0;
    for call in ["sendto", "recvfrom", "clone3", "write", "renameat2"] {
        for count in [1, 2, 3, 5, 8, 13] {
            let hit = killpoints::killed_at(&scoped.bundle, call, count, &create);
            killpoints::clears(&scoped.bundle, &format!("at {call} number {count}"));
            assert_eq!(show(&scoped.unit(), "LoadState"), "not-found", "killed at {call} number {count}");
            if !hit {
                break;
            }
            points += 1;
        }
    }
    assert!(points >= 12, "only {points} points were reached: does strace inject here?");
}

fn a_users_own_systemd_will_do(stage: &Stage) {
    // Nobody, who has a name everywhere and is logged in nowhere.
    const USER: &str = "65534";
    let service = format!("user@{USER}.service");
    command::run(Command::new("systemctl").args(["start", &service])).ok();
    let mut bundle = stage.shell("cat /proc/self/cgroup; sleep 1000");
    let map = json!([{ "containerID": 0, "hostID": 65_534, "size": 1 }]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.set("/linux/cgroupsPath", json!(format!(":test:{}", bundle.id)));
    bundle.set("/linux/resources/memory", json!({ "limit": 64 << 20 }));
    bundle.set("/mounts", json!([{ "destination": "/proc", "type": "proc", "source": "proc" }]));
    bundle.write();
    // A copy, since the way to the build need not be open to everybody.
    let runtime = bundle.folder.join("runtime");
    fs::copy(&stage.runtime.path, &runtime).unwrap();
    command::run(Command::new("chown").args(["-R", USER]).arg(&bundle.folder)).ok();
    command::run(Command::new("chmod").arg("a+x").arg(&stage.ground.folder)).ok();
    let call = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
            .arg(&runtime)
            .arg("--root")
            .arg(bundle.root());
        command.env("XDG_RUNTIME_DIR", format!("/run/user/{USER}")).env_remove("DBUS_SESSION_BUS_ADDRESS");
        bundle.on_own_streams(command.args(arguments))
    };
    let directory = bundle.directory().display().to_string();
    call(&["--systemd-cgroup", "create", "--bundle", &directory, &bundle.id]).ok();
    let unit = format!("user@{USER}.service/user.slice/test-{}.scope", bundle.id);
    let path: PathBuf = format!("/sys/fs/cgroup/user.slice/user-{USER}.slice/{unit}").into();
    assert_eq!(fs::read_to_string(path.join("memory.max")).unwrap(), "67108864\n");
    call(&["start", &bundle.id]).ok();
    let executed = call(&["exec", &bundle.id, "cat", "/proc/self/cgroup"]).ok();
    assert!(executed.stdout.trim_end().ends_with(&unit), "{executed}");
    call(&["update", "--memory", "33554432", &bundle.id]).ok();
    assert_eq!(fs::read_to_string(path.join("memory.max")).unwrap(), "33554432\n");
    call(&["delete", "--force", &bundle.id]).ok();
    assert!(!path.exists(), "the scope is still there");
    command::run(Command::new("systemctl").args(["stop", &service])).ok();
}

fn without_systemd_it_says_so(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/linux/cgroupsPath", json!(":test:c"));
    create(&bundle).fails().says("systemd not running on this host, cannot use systemd cgroups manager");
    bundle.is_gone();
}

fn below_a_cgroup_with_processes_is_refused(stage: &Stage) {
    let mut bundle = stage.sleeper();
    let parent = PathBuf::from("/sys/fs/cgroup").join(stage.ground.cgroup.trim_start_matches('/')).join("populated");
    fs::create_dir_all(&parent).unwrap();
    let mut inside = Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(parent.join("cgroup.procs"), inside.id().to_string()).unwrap();
    bundle.cgroup = format!("{}/populated/{}", stage.ground.cgroup, bundle.id);
    bundle.set("/linux/cgroupsPath", json!(bundle.cgroup));
    bundle.set("/linux/resources/memory", json!({ "limit": 64 << 20 }));
    let output = bundle.create_with(&[]).fails();
    if !stage.runtime.is_peer() {
        output.says("/linux/cgroupsPath").says("has processes of its own").says("move them");
    }
    bundle.is_gone();
    inside.kill().unwrap();
    inside.wait().unwrap();
    eventually(PATIENCE, "the cgroup to be empty", || fs::remove_dir(&parent).ok());
}
