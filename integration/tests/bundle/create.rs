//! `create`: what exists when it returns, and every way to call it.

use std::fs;
use std::process::Command;

use integration::bundle::Bundle;
use integration::console::ConsoleSocket;
use integration::scene;
use integration::scene::Scene;
use integration::terminal::Terminal;
use integration::{cgroup, command, host, leftover};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(init_waits_in_its_cgroup),
        scene!(pid_file_holds_digits_only),
        scene!(bundle_flag_in_all_its_forms),
        scene!(flags_in_any_order_and_form),
        scene!(works_without_a_root_flag),
        scene!(ids_with_all_allowed_characters),
        scene!(id_in_use_is_refused_and_the_owner_unharmed),
        scene!(one_of_two_creates_wins).peer_cannot("racing creates may all fail over the shared cgroup"),
        scene!(console_socket_gets_one_terminal),
        scene!(terminal_without_a_console_socket_is_refused),
        scene!(preserved_descriptors_arrive),
        scene!(a_descriptor_that_is_not_open_is_no_other).peer_cannot("takes files of its own for those of the caller"),
        scene!(listen_fds_arrive),
        scene!(rootfs_may_be_elsewhere),
        scene!(namespaces_by_path_are_joined),
        scene!(user_namespace_maps_ids),
    ]
}

fn init_waits_in_its_cgroup(stage: &Stage) {
    let bundle = stage.shell("echo has run");
    bundle.create();
    let pid = bundle.pid();
    assert!(host::is_alive(pid));
    assert_eq!(bundle.stdout(), "", "the process ran before start");
    assert_eq!(leftover::members(&bundle.cgroup), [pid]);
    for directory in cgroup::directories(&bundle.cgroup) {
        let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap();
        assert_eq!(members, format!("{pid}\n"), "{}", directory.display());
    }
    bundle.verb(&["start"]).ok();
    assert_eq!(bundle.exit_code(pid), 0);
    assert_eq!(bundle.stdout(), "has run\n");
}

fn pid_file_holds_digits_only(stage: &Stage) {
    let bundle = stage.sleeper();
    let file = bundle.folder.join("pid");
    bundle.create_with(&["--pid-file", file.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), bundle.pid().to_string());
}

fn bundle_flag_in_all_its_forms(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.write();
    let directory = bundle.directory();
    let path = directory.to_str().unwrap();
    let joined = format!("--bundle={path}");
    for form in [vec!["--bundle", path], vec![&joined], vec!["-b", path], vec!["-bundle", path]] {
        bundle.on_own_streams(&mut bundle.command(&[&["create"], &form[..], &[&bundle.id]].concat())).ok();
        assert_eq!(bundle.state()["bundle"], path, "{form:?}");
        bundle.verb(&["delete", "--force"]).ok();
    }
    // Without the flag, the bundle is the working directory.
    bundle.on_own_streams(bundle.command(&["create", &bundle.id]).current_dir(&directory)).ok();
    assert_eq!(bundle.state()["bundle"], path);
}

fn flags_in_any_order_and_form(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.write();
    let (directory, file) = (bundle.directory(), bundle.folder.join("pid"));
    let mut command = Command::new(&stage.runtime.path);
    command.arg("--debug").arg(format!("--log={}", bundle.log().display())).arg("--log-format=json");
    command.arg(format!("--root={}", bundle.root().display()));
    command
        .args(["create", "--no-new-keyring", "--pid-file"])
        .arg(&file)
        .arg(format!("-bundle={}", directory.display()));
    bundle.on_own_streams(command.arg(&bundle.id)).ok();
    assert_eq!(fs::read_to_string(file).unwrap(), bundle.pid().to_string());
}

fn works_without_a_root_flag(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.id = format!("integration-{}-{}", std::process::id(), bundle.id);
    bundle.write();
    let call = |args: &[&str]| bundle.on_own_streams(Command::new(&stage.runtime.path).args(args));
    let directory = bundle.directory();
    call(&["create", "-b", directory.to_str().unwrap(), &bundle.id]).ok();
    let listed = call(&["list", "-q"]);
    let state = call(&["state", &bundle.id]);
    call(&["delete", "--force", &bundle.id]).ok();
    assert!(listed.ok().lines().contains(&bundle.id));
    state.ok().says("\"created\"");
}

fn ids_with_all_allowed_characters(stage: &Stage) {
    for id in ["buildah-buildah1626364256", "a_b.c+d", "A", "0"] {
        let mut bundle = stage.sleeper();
        bundle.id = id.to_owned();
        bundle.create();
        assert_eq!(bundle.state()["id"], id);
        bundle.verb(&["delete", "--force"]).ok();
        bundle.is_gone();
    }
}

fn id_in_use_is_refused_and_the_owner_unharmed(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    let before = bundle.state();
    bundle.call(&bundle.create_line("create", &[])).fails();
    assert_eq!(bundle.state(), before);
    assert_eq!(leftover::members(&bundle.cgroup), [bundle.pid()]);
}

fn one_of_two_creates_wins(stage: &Stage) {
    for _ in 0..5 {
        let bundle = stage.sleeper();
        bundle.write();
        let line = bundle.create_line("create", &[]);
        let streams = |name: &str| fs::File::create(bundle.folder.join(name)).unwrap();
        let mut racers: Vec<_> = ["first", "second", "third"]
            .iter()
            .map(|name| bundle.command(&line).stdout(streams(name)).stderr(streams(name)).spawn().unwrap())
            .collect();
        let codes: Vec<_> = racers.iter_mut().map(|racer| command::wait(racer, integration::wait::PATIENCE)).collect();
        assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
        assert_eq!(bundle.status(), "created");
        assert_eq!(leftover::members(&bundle.cgroup), [bundle.pid()]);
        bundle.verb(&["delete", "--force"]).ok();
        bundle.is_gone();
    }
}

/// A bundle whose process has a terminal, created; the terminal's other side.
fn on_terminal(stage: &Stage, line: &str) -> (Bundle, Terminal) {
    let mut bundle = stage.shell(line);
    bundle.set("/process/terminal", json!(true));
    let socket = ConsoleSocket::listen(&bundle.folder.join("console"));
    bundle.create_with(&["--console-socket", socket.word()]).ok();
    let mut messages = socket.messages();
    assert_eq!(messages.len(), 1, "messages on the console socket");
    assert_eq!(messages[0].len(), 1, "descriptors in the message");
    let master = messages.remove(0).remove(0);
    (bundle, Terminal::of_container(master))
}

fn console_socket_gets_one_terminal(stage: &Stage) {
    let (bundle, mut terminal) =
        on_terminal(stage, "tty; stty size; echo ctl >/dev/tty; echo con >/dev/console; exec sh");
    terminal.resize(33, 77);
    let pid = bundle.pid();
    bundle.verb(&["start"]).ok();
    for text in ["/dev/", "33 77", "ctl", "con"] {
        terminal.shows(text);
    }
    terminal.types("exit 5\n");
    assert_eq!(bundle.exit_code(pid), 5);
}

fn terminal_without_a_console_socket_is_refused(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/process/terminal", json!(true));
    bundle.create_with(&[]).fails();
    assert_eq!(bundle.logged_errors().len(), 1);
    bundle.is_gone();
}

const DESCRIPTORS: &str =
    "cd /proc/self/fd; for f in 3 4 5 6; do test -e $f && echo $f $(cat <&$f); done; env | grep LISTEN; true";

fn preserved_descriptors_arrive(stage: &Stage) {
    let bundle = stage.shell(DESCRIPTORS);
    let line = bundle.create_line("run", &["--preserve-fds", "2"]);
    bundle.call_after("exec 3<<<three 4<<<four 5<<<five;", &line).ok();
    assert_eq!(bundle.stdout(), "3 three\n4 four\n");
}

fn a_descriptor_that_is_not_open_is_no_other(stage: &Stage) {
    let bundle = stage.shell(DESCRIPTORS);
    let line = bundle.create_line("run", &["--preserve-fds", "2"]);
    bundle.call_after("exec 3<<<three 4<&-;", &line).fails().says("descriptor 4 is not open");
    bundle.is_gone();
}

fn listen_fds_arrive(stage: &Stage) {
    let bundle = stage.shell(DESCRIPTORS);
    let line = bundle.create_line("run", &[]);
    bundle.call_after("exec 3<<<three 4<<<four; export LISTEN_FDS=1 LISTEN_PID=$$; exec", &line).ok();
    let mut lines: Vec<String> = bundle.stdout().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["3 three", "LISTEN_FDS=1", "LISTEN_PID=1"]);
}

fn rootfs_may_be_elsewhere(stage: &Stage) {
    let mut bundle = stage.bundle(&["echo", "from there"]);
    let elsewhere = bundle.folder.join("elsewhere");
    fs::rename(bundle.in_rootfs(""), &elsewhere).unwrap();
    bundle.set("/root/path", json!(elsewhere));
    assert_eq!(bundle.run().ok().stdout, "from there\n");
}

fn namespaces_by_path_are_joined(stage: &Stage) {
    let owner = stage.sleeper();
    owner.start();
    let pid = owner.pid();
    let kinds = [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")];
    let mut guest = stage.sleeper();
    guest.config.as_object_mut().unwrap().remove("hostname");
    for (kind, file) in kinds {
        guest.share_namespace(kind);
        let entry = json!({ "type": kind, "path": format!("/proc/{pid}/ns/{file}") });
        guest.config["linux"]["namespaces"].as_array_mut().unwrap().push(entry);
    }
    guest.start();
    for (kind, file) in kinds {
        assert_eq!(host::namespace(guest.pid(), file), host::namespace(pid, file), "{kind}");
    }
    assert_ne!(host::namespace(guest.pid(), "mnt"), host::namespace(pid, "mnt"));
}

fn user_namespace_maps_ids(stage: &Stage) {
    let mut bundle =
        stage.shell("id -u; cat /proc/self/uid_map | tr -s ' '; echo x >/tmp/mine && stat -c %u /tmp/mine");
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    command::run(Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.in_rootfs(""))).ok();
    // The mapped root must be able to walk down to its root filesystem.
    command::run(Command::new("chmod").arg("a+x").args([&stage.ground.folder, &bundle.folder, &bundle.directory()]))
        .ok();
    assert_eq!(bundle.run().ok().stdout, "0\n 0 100000 65536\n0\n");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(bundle.in_rootfs("/tmp/mine")).unwrap().uid(), 100_000);
}
