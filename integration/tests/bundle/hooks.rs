//! Hooks: all six points, in their order, with the state on standard input.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use integration::bundle::{Bundle, is_empty};
use integration::http::first_answer;
use integration::runtime::Runtime;
use integration::scene::Scene;
use integration::{command, network, scene};
use serde_json::{Value, json};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let runc = Runtime::under_test().name() == "runc";
    vec![
        scene!(all_points_in_order_with_the_state).peer_cannot_if(runc, "runc 1.1 runs poststart hooks in create"),
        scene!(arguments_and_environment_are_the_hooks_own),
        scene!(failing_hook_fails_create_and_leaves_nothing),
        scene!(failing_poststop_hook_does_not_fail_delete),
        scene!(hook_that_outlives_its_timeout_is_killed),
        scene!(hooks_connect_the_container_and_take_it_down),
    ]
}

const POINTS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// An executable script that both the host and, by the same path, the container can run.
fn script(bundle: &mut Bundle, text: &str) -> String {
    let folder = bundle.folder.join("hooks");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("hook");
    fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    // startContainer runs after pivot_root: the folder is mounted at its own path.
    let path = folder.to_str().unwrap();
    fs::create_dir_all(bundle.in_rootfs(path)).unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": path, "type": "bind", "source": path, "options": ["rbind", "rw"] }));
    file.to_str().unwrap().to_owned()
}

fn all_points_in_order_with_the_state(stage: &Stage) {
    let mut bundle = stage.shell("echo process >>\"$0\"");
    let record = bundle.folder.join("hooks/record").to_str().unwrap().to_owned();
    bundle.set("/process/args", json!(["sh", "-c", format!("echo process >>{record}")]));
    let hook = script(&mut bundle, &format!("echo $1 >>{record}; cat >{record}.$1"));
    for point in POINTS {
        bundle.set(&format!("/hooks/{point}"), json!([{ "path": hook, "args": ["hook", point] }]));
    }
    let order = || fs::read_to_string(&record).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    bundle.create();
    let pid = bundle.pid();
    assert_eq!(order(), ["prestart", "createRuntime", "createContainer"]);
    bundle.verb(&["start"]).ok();
    bundle.exit_code(pid);
    bundle.verb(&["delete"]).ok();
    let mut order = order();
    // The process and the poststart hook run side by side.
    order[4..6].sort();
    assert_eq!(order[..4], ["prestart", "createRuntime", "createContainer", "startContainer"]);
    assert_eq!(order[4..], ["poststart", "process", "poststop"]);
    for (point, status) in POINTS.iter().zip(["creating", "creating", "creating", "created", "running", "stopped"]) {
        let state: Value = serde_json::from_slice(&fs::read(format!("{record}.{point}")).unwrap()).unwrap();
        assert_eq!(state["id"], bundle.id, "{point}");
        assert_eq!(state["bundle"], bundle.directory().to_str().unwrap(), "{point}");
        assert!(state["ociVersion"].is_string(), "{point}");
        // A short process may have ended before its poststart hook ran.
        // The hooks of create come after the environment is created (runtime.md, "Lifecycle", steps 2 to 5), which is what
        // "created" means; runc says "creating".
        let status_fits = state["status"] == status || (*status == *"creating" && state["status"] == "created");
        assert!(status_fits || *point == "poststart", "{point}: {state}");
        if ["prestart", "createRuntime"].contains(point) {
            assert_eq!(state["pid"], pid, "{point}");
        }
    }
}

fn arguments_and_environment_are_the_hooks_own(stage: &Stage) {
    let mut bundle = stage.bundle(&["true"]);
    let record = bundle.folder.join("record");
    let line = format!("{{ tr '\\0' '|' </proc/self/cmdline; echo; env | sort; }} >{}", record.display());
    let hook = json!({ "path": "/bin/busybox", "args": ["sh", "-c", line], "env": ["ONLY=this"] });
    bundle.set("/hooks/createRuntime", json!([hook]));
    bundle.create();
    let text = fs::read_to_string(record).unwrap();
    assert!(text.contains("ONLY=this"), "{text}");
    assert!(!text.contains("HOME="), "the caller's environment leaked into the hook: {text}");
}

fn failing_hook_fails_create_and_leaves_nothing(stage: &Stage) {
    for point in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = stage.bundle(&["true"]);
        let hook = script(&mut bundle, "echo why it failed >&2; exit 3");
        bundle.set(&format!("/hooks/{point}"), json!([{ "path": hook }]));
        bundle.create_with(&[]).fails();
        let errors = bundle.logged_errors();
        assert_eq!(errors.len(), 1, "{point}: {errors:?}");
        assert!(errors[0].contains("hook"), "{point}: {errors:?}");
        bundle.is_gone();
    }
}

fn failing_poststop_hook_does_not_fail_delete(stage: &Stage) {
    let mut bundle = stage.bundle(&["true"]);
    bundle.set("/hooks/poststop", json!([{ "path": "/bin/false" }]));
    bundle.start();
    bundle.stops();
    bundle.verb(&["delete"]).ok();
    bundle.is_gone();
}

fn hook_that_outlives_its_timeout_is_killed(stage: &Stage) {
    let mut bundle = stage.bundle(&["true"]);
    let hook = json!({ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 });
    bundle.set("/hooks/createRuntime", json!([hook]));
    bundle.create_with(&[]).fails();
    bundle.is_gone();
}

/// What a CNI plugin does for ADD and DEL: the state on standard input tells the network namespace; a bridge with the gateway's address on
/// the host, a pair of devices, an address and a route inside, and a note of the address that is taken.
const PLUGIN: &str = r#"
state=$(cat)
field() { echo "$state" | sed -n "s/.*\"$1\": *\"*\([^\",}]*\).*/\1/p"; }
case $1 in
add)
    pid=$(field pid)
    ip link add hooks type bridge && ip address add 10.88.7.1/24 dev hooks && ip link set hooks up &&
    ip link add port type veth peer name eth0 netns "$pid" && ip link set port master hooks up &&
    nsenter -t "$pid" -n ip address add 10.88.7.2/24 dev eth0 && nsenter -t "$pid" -n ip link set eth0 up &&
    nsenter -t "$pid" -n ip route add default via 10.88.7.1 && echo 10.88.7.2 >"$LEASES/$(field id)" ;;
del) ip link delete hooks && rm "$LEASES/$(field id)" ;;
esac
"#;

fn hooks_connect_the_container_and_take_it_down(stage: &Stage) {
    let mut bundle = stage.shell("echo hooked >/tmp/index.html; httpd -f -p 80 -h /tmp");
    let leases = bundle.folder.join("leases");
    fs::create_dir(&leases).unwrap();
    let plugin = script(&mut bundle, PLUGIN);
    let path = std::env::var("PATH").unwrap_or_default();
    for (point, verb) in [("createRuntime", "add"), ("poststop", "del")] {
        let env = [format!("PATH={path}:/usr/sbin:/sbin"), format!("LEASES={}", leases.display())];
        bundle.set(&format!("/hooks/{point}"), json!([{ "path": plugin, "args": ["plugin", verb], "env": env }]));
    }
    network::in_own(|| {
        bundle.start();
        assert_eq!(first_answer([10, 88, 7, 2].into(), 80), "hooked");
        assert_eq!(fs::read_to_string(leases.join(&bundle.id)).unwrap(), "10.88.7.2\n");
        // By the default route to an address of the host that is not on the bridge.
        let host = Ipv4Addr::from(network::ADDRESS).to_string();
        bundle.call(&["exec", "--cap", "CAP_NET_RAW", &bundle.id, "ping", "-c", "1", &host]).ok();
        bundle.verb(&["delete", "--force"]).ok();
        command::run(Command::new("ip").args(["link", "show", "hooks"])).fails();
    });
    assert!(is_empty(&leases));
    bundle.is_gone();
}
