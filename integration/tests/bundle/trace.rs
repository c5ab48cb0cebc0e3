//! `--trace`: where the time of a command went.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use integration::bundle::Bundle;
use integration::runtime::Runtime;
use integration::scene;
use integration::scene::Scene;
use integration::trace::{Trace, outermost};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let scenes = vec![
        scene!(run_shows_every_phase_and_operation),
        scene!(every_command_has_a_file_by_the_pattern),
        scene!(failed_create_is_traced_up_to_the_failure),
        scene!(failed_execve_is_traced_by_start),
        scene!(picture_is_whole_xml),
        scene!(file_is_made_anew_and_no_link_is_followed),
        scene!(own_time_namespace_has_the_same_clock),
    ];
    let peer = Runtime::under_test().is_peer();
    scenes.into_iter().map(|scene| scene.peer_cannot_if(peer, "--trace is lightship's own")).collect()
}

const FILTER: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["swapon", "clock_gettime"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;

/// A bundle with hooks, a kernel parameter and a filter that forbids to read the clock.
fn bundle(stage: &Stage, args: &[&str]) -> Bundle {
    let mut bundle = stage.bundle(args);
    let hook = json!([{ "path": "/bin/busybox", "args": ["true"] }]);
    for point in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        bundle.set(&format!("/hooks/{point}"), hook.clone());
    }
    bundle.set("/linux/seccomp", serde_json::from_str(FILTER).unwrap());
    bundle
}

fn file(bundle: &Bundle, name: &str) -> PathBuf {
    bundle.folder.join(name)
}

fn run_shows_every_phase_and_operation(stage: &Stage) {
    let bundle = bundle(stage, &["true"]);
    let path = file(&bundle, "trace.json");
    bundle.run_with(&["--trace", path.to_str().unwrap()]).ok();
    let trace = Trace::read(&path);
    assert_eq!((trace.about("command"), trace.about("error")), (&json!("lightship run"), &json!(null)));
    for name in ["configuration", "plan", "cgroup", "launch of init", "record", "removal of the cgroup"] {
        assert_eq!(trace.event(name).category, "step", "{name}");
    }
    for name in ["wait for init: hooks", "wait for init: ready", "wait for init: execve", "hooks: gate"] {
        assert_eq!(trace.event(name).category, "wait", "{name}");
    }
    for point in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        assert_eq!(trace.event(&format!("hooks.{point}[0] /bin/busybox")).category, "hook", "{point}");
    }
    let (runtime, init) = trace.by_process();
    for name in ["clone3", "mounts[0]", "move_mount", "pivot_root", "process.capabilities"] {
        assert!(init.iter().any(|event| event.name.starts_with(name)), "{name}: {init:#?}");
    }
    // The filter forbids to read the clock, so what comes behind it is one.
    assert_eq!(init.last().unwrap().name, "seccomp, execve");
    // All of it lies within the command, and its parts within it.
    assert!(trace.events().iter().all(|event| event.end <= runtime[0].end && !event.failed), "{trace:#?}");
    assert_eq!(outermost(&runtime), runtime[..1]);
    let phases = outermost(&runtime[1..]);
    let sum: u64 = phases.iter().map(|phase| phase.end - phase.begin).sum();
    assert!(sum <= runtime[0].end, "{phases:#?}");
    // Init's operations follow each other without a gap.
    let operations = outermost(&init);
    let gaps = operations.windows(2).filter(|pair| pair[0].end != pair[1].begin).count();
    assert_eq!(gaps, 0, "{operations:#?}");
}

fn every_command_has_a_file_by_the_pattern(stage: &Stage) {
    let bundle = bundle(stage, &["sleep", "1000"]);
    bundle.write();
    let pattern = file(&bundle, "%id-%command.json");
    let flag = ["--trace", pattern.to_str().unwrap()];
    let path = |command: &str| file(&bundle, &format!("{}-{command}.json", bundle.id));
    let create = [&flag[..], &bundle.create_line("create", &[])].concat();
    bundle.on_own_streams(&mut bundle.command(&create)).ok();
    let created = Trace::read(&path("create"));
    assert_eq!(created.about("container"), &json!(bundle.id));
    created.event("wait for init: ready");
    let call = |words: &[&str]| bundle.call(&[&flag[..], words].concat());
    call(&["state", &bundle.id]).ok();
    assert!(!path("state").exists(), "of some commands nobody wants to know");
    call(&["start", &bundle.id]).ok();
    let started = Trace::read(&path("start"));
    let (_, init) = started.by_process();
    assert_eq!(init.first().unwrap().name, "woken by start");
    assert_eq!(init.last().unwrap().name, "seccomp, execve");
    started.event("hooks.poststart[0]");
    call(&["exec", &bundle.id, "true"]).ok();
    let (_, init) = Trace::read(&path("exec")).by_process();
    assert!(init.iter().any(|event| event.name.contains("setns")), "{init:#?}");
    call(&["delete", "--force", &bundle.id]).ok();
    let deleted = Trace::read(&path("delete"));
    deleted.event("removal of the cgroup");
    deleted.event("hooks.poststop[0]");
    call(&["delete", "--force", &bundle.id]).ok();
    // containerd deletes twice: what was traced is not lost by it.
    Trace::read(&path("delete")).event("removal of the cgroup");
}

fn failed_create_is_traced_up_to_the_failure(stage: &Stage) {
    let mut bundle = bundle(stage, &["true"]);
    bundle.set("/linux/sysctl", json!({ "net.core.no_such_parameter": "1" }));
    let path = file(&bundle, "trace.json");
    let error = bundle.create_with(&["--trace", path.to_str().unwrap()]).fails();
    bundle.is_gone();
    let trace = Trace::read(&path);
    assert!(error.stderr.contains(trace.about("error").as_str().unwrap()), "{error:?}");
    let (runtime, init) = trace.by_process();
    let last = init.last().unwrap();
    assert!(last.failed && last.name.starts_with("linux.sysctl net.core.no_such_parameter"), "{last:?}");
    let failed: Vec<_> = runtime.iter().filter(|event| event.failed).map(|event| event.name.as_str()).collect();
    assert_eq!(failed, ["lightship create", "wait for init: ready"]);
    trace.event("removal of the cgroup");
}

fn failed_execve_is_traced_by_start(stage: &Stage) {
    let bundle = bundle(stage, &["/etc/script"]);
    let script = bundle.in_rootfs("etc/script");
    fs::write(&script, "#!/no/interpreter\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bundle.create();
    let path = file(&bundle, "trace.json");
    bundle.verb(&["start", "--trace", path.to_str().unwrap()]).fails();
    let (_, init) = Trace::read(&path).by_process();
    let last = init.last().unwrap();
    assert!(last.failed && last.name == "seccomp, execve", "{init:#?}");
}

fn picture_is_whole_xml(stage: &Stage) {
    let mut bundle = bundle(stage, &["true"]);
    bundle.set("/hooks/prestart/0/args", json!(["true", "<&>"]));
    let path = file(&bundle, "trace.svg");
    bundle.run_with(&["--trace", path.to_str().unwrap()]).ok();
    let picture = fs::read_to_string(&path).unwrap();
    assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && picture.ends_with("</svg>\n"));
    for element in ["text", "title"] {
        let count = |tag: String| picture.matches(&tag).count();
        assert_eq!(count(format!("<{element}")), count(format!("</{element}>")), "{picture}");
    }
    // Operations too short to be seen share a row; these two are always there.
    assert!(picture.contains(">launch of init<") && picture.contains(">hooks.prestart[0] /bin/busybox<"), "{picture}");
}

fn file_is_made_anew_and_no_link_is_followed(stage: &Stage) {
    let bundle = bundle(stage, &["true"]);
    let (link, target) = (file(&bundle, "link.json"), file(&bundle, "target"));
    fs::write(&target, "precious").unwrap();
    symlink(&target, &link).unwrap();
    let trace = |path: &PathBuf| bundle.run_with(&["--trace", path.to_str().unwrap()]);
    trace(&link).fails().says("--trace").says("no regular file");
    trace(&file(&bundle, "missing/trace.json")).fails().says("cannot write the trace in").says("missing");
    bundle.is_gone();
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    // A hard link to it stays what it is as well, and so does a reader of the old file.
    fs::remove_file(&link).unwrap();
    fs::hard_link(&target, &link).unwrap();
    trace(&link).ok();
    Trace::read(&link);
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
}

fn own_time_namespace_has_the_same_clock(stage: &Stage) {
    let mut bundle = bundle(stage, &["true"]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
    bundle.set("/linux/timeOffsets", json!({ "monotonic": { "secs": 100_000 }, "boottime": { "secs": 100_000 } }));
    let path = file(&bundle, "trace.json");
    bundle.run_with(&["--trace", path.to_str().unwrap()]).ok();
    let (runtime, init) = Trace::read(&path).by_process();
    assert!(init.iter().all(|event| event.end <= runtime[0].end), "{init:#?}");
}
