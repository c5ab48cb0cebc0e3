//! Checkpoint and restore by CRIU. Each container counts in a file of its rootfs, which tells whether it goes on, and from where.

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use integration::bundle::Bundle;
use integration::command::{self, Output};
use integration::console::ConsoleSocket;
use integration::counter::{self, COUNT};
use integration::scene::Scene;
use integration::terminal::Terminal;
use integration::wait::{PATIENCE, eventually};
use integration::{host, scene};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let criu = !host::has_working_criu();
    let why = "no criu in PATH that passes its own check";
    vec![
        scene!(container_goes_on_where_it_was).skip_if(criu, why),
        scene!(images_can_be_restored_twice).skip_if(criu, why),
        scene!(container_is_left_running).skip_if(criu, why),
        scene!(paused_container_is_dumped).skip_if(criu, why),
        scene!(memory_is_dumped_before)
            .skip_if(criu, why)
            .skip_if(!host::criu_has("mem_dirty_track"), "the kernel does not tell which memory has changed"),
        scene!(untold_memory_changes_have_crius_error)
            .skip_if(criu, why)
            .skip_if(host::criu_has("mem_dirty_track"), "the kernel tells which memory has changed")
            .peer_cannot("runc names no feature"),
        scene!(memory_goes_to_a_page_server).skip_if(criu, why),
        scene!(user_namespace_is_there_again)
            .skip_if(criu, why)
            .peer_cannot("runc's folder of images cannot be entered without CAP_DAC_OVERRIDE"),
        scene!(connection_of_the_hosts_network_survives)
            .skip_if(criu, why)
            .skip_if(!host::criu_dumps_tcp(), host::NO_TCP),
        scene!(options_are_taken_from_a_file).skip_if(criu, why).skip_if(!host::criu_dumps_tcp(), host::NO_TCP),
        scene!(joined_network_is_joined_again).skip_if(criu, why),
        scene!(settings_of_host_networking_are_in_force_again)
            .needs_unified()
            .skip_if(criu, why)
            .peer_cannot("settings of host networking are lightship's own"),
        scene!(guard_is_in_force_again_or_not_at_all)
            .needs_unified()
            .skip_if(criu, why)
            .peer_cannot("settings of host networking are lightship's own"),
        scene!(landlock_rules_out_checkpoint_and_restore)
            .skip_if(criu, why)
            .skip_if(!host::has_landlock_scopes(), host::NO_LANDLOCK_SCOPES)
            .peer_cannot("settings of host networking are lightship's own"),
        scene!(terminal_is_handed_over_anew).skip_if(criu, why),
        scene!(bind_mounts_and_masks_are_there_again).skip_if(criu, why),
        scene!(output_goes_to_the_pipe_that_is_handed).skip_if(criu, why),
        scene!(output_goes_on_in_the_file_that_is_handed)
            .skip_if(criu, why)
            .peer_cannot("runc dumps no container whose output is a file of the host's"),
        scene!(restore_in_the_foreground_gives_the_status).skip_if(criu, why),
        scene!(hooks_run_when_the_namespaces_are_there).skip_if(criu, why),
        scene!(failed_checkpoint_changes_nothing)
            .skip_if(criu, why)
            .skip_if(!host::criu_dumps_tcp(), host::NO_TCP)
            .peer_cannot("runc names no reason, and warns that the container still runs"),
        scene!(failed_restore_leaves_nothing)
            .skip_if(criu, why)
            .peer_cannot("runc's restore without images leaves a stopped container"),
        scene!(missing_criu_is_named).peer_cannot("runc's words are those of exec"),
        scene!(stopped_or_created_container_is_refused),
    ]
}

/// A bundle and the images of its container.
struct Dumped {
    bundle: Bundle,
    images: PathBuf,
}

impl Dumped {
    fn new(bundle: Bundle) -> Dumped {
        let images = bundle.folder.join("images");
        Dumped { bundle, images }
    }

    fn counter(stage: &Stage) -> Dumped {
        Dumped::new(stage.shell(COUNT))
    }

    /// Starts the container with nothing of this test's as its streams.
    #[track_caller]
    fn start(&self) -> &Dumped {
        self.bundle.write();
        quiet(&mut self.bundle.command(&self.bundle.create_line("run", &["--detach"]))).ok();
        self
    }

    #[track_caller]
    fn checkpoint(&self, flags: &[&str]) -> Output {
        self.bundle.verb(&[&["checkpoint", "--image-path", self.images.to_str().unwrap()], flags].concat())
    }

    #[track_caller]
    fn restore(&self, flags: &[&str]) -> Output {
        quiet(&mut self.bundle.command(&self.restore_line(flags)))
    }

    fn restore_line<'a>(&'a self, flags: &[&'a str]) -> Vec<&'a str> {
        let images = self.images.to_str().unwrap();
        self.bundle.create_line("restore", &[&["--image-path", images], flags].concat())
    }

    /// Starts the container, which counts on after a checkpoint and a restore.
    #[track_caller]
    fn goes_on(&self) {
        self.start().counts_beyond(0);
        self.checkpoint(&[]).ok();
        let dumped = self.count();
        self.restore(&["--detach"]).ok();
        self.counts_beyond(dumped);
    }

    /// What the container has counted to.
    #[track_caller]
    fn count(&self) -> u64 {
        let file = self.bundle.in_rootfs("count");
        eventually(PATIENCE, "a count", || counter::latest(&fs::read_to_string(&file).ok()?))
    }

    /// Waits until the container has counted further than `from`.
    #[track_caller]
    fn counts_beyond(&self, from: u64) {
        eventually(PATIENCE, "the container to count on", || (self.count() > from + 2).then_some(()));
    }
}

#[track_caller]
fn quiet(command: &mut Command) -> Output {
    let stderr = command::scratch();
    let text = command::spell(command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let code = command::wait(&mut child, PATIENCE * 2);
    let output =
        Output { command: text, code: code.unwrap_or(-1), stdout: String::new(), stderr: command::content(&stderr) };
    assert!(code.is_some(), "did not end in time\n{output}");
    output
}

fn container_goes_on_where_it_was(stage: &Stage) {
    let it = Dumped::counter(stage);
    it.start().counts_beyond(0);
    it.checkpoint(&[]).ok();
    it.bundle.is_gone();
    it.bundle.verb(&["delete"]).fails().says("does not exist");
    let dumped = it.count();
    it.restore(&["--detach", "--pid-file", it.bundle.folder.join("pid").to_str().unwrap()]).ok();
    it.counts_beyond(dumped);
    assert_eq!(it.bundle.status(), "running");
    let pid = it.bundle.pid();
    assert_eq!(fs::read_to_string(it.bundle.folder.join("pid")).unwrap(), pid.to_string());
    it.bundle.call(&["exec", &it.bundle.id, "hostname"]).ok().says("bundle");
    it.bundle.verb(&["pause"]).ok();
    assert_eq!(it.bundle.status(), "paused");
    it.bundle.verb(&["resume"]).ok();
    it.bundle.kill("KILL").ok();
    assert_eq!(it.bundle.exit_code(pid), 137);
    it.bundle.verb(&["delete"]).ok();
    it.bundle.is_gone();
}

fn images_can_be_restored_twice(stage: &Stage) {
    let it = Dumped::counter(stage);
    it.start().counts_beyond(0);
    it.checkpoint(&[]).ok();
    let dumped = it.count();
    for _ in 0..2 {
        fs::write(it.bundle.in_rootfs("count"), "0\n").unwrap();
        it.restore(&["--detach"]).ok();
        it.counts_beyond(dumped);
        it.bundle.verb(&["delete", "--force"]).ok();
        it.bundle.is_gone();
    }
}

fn container_is_left_running(stage: &Stage) {
    let it = Dumped::counter(stage);
    it.start().counts_beyond(0);
    it.checkpoint(&["--leave-running"]).ok();
    assert_eq!(it.bundle.status(), "running");
    it.counts_beyond(it.count());
    it.bundle.verb(&["delete", "--force"]).ok();
    it.restore(&["--detach"]).ok();
    it.counts_beyond(it.count());
}

fn paused_container_is_dumped(stage: &Stage) {
    let it = Dumped::counter(stage);
    it.start().counts_beyond(0);
    it.bundle.verb(&["pause"]).ok();
    it.checkpoint(&["--leave-running"]).ok();
    assert_eq!(it.bundle.status(), "paused");
    it.checkpoint(&["--work-path", it.bundle.folder.to_str().unwrap()]).ok();
    assert!(it.bundle.folder.join("dump.log").exists());
    it.bundle.is_gone();
    it.restore(&["--detach"]).ok();
    it.counts_beyond(it.count());
}

fn memory_is_dumped_before(stage: &Stage) {
    let it = Dumped::counter(stage);
    it.start().counts_beyond(0);
    let before = it.bundle.folder.join("before");
    it.bundle.verb(&["checkpoint", "--pre-dump", "--image-path", before.to_str().unwrap()]).ok();
    it.counts_beyond(it.count());
    it.checkpoint(&["--parent-path", "../before"]).ok();
    assert!(it.images.join("parent").exists(), "no parent among the images");
    it.restore(&["--detach"]).ok();
    it.counts_beyond(it.count());
}

fn untold_memory_changes_have_crius_error(stage: &Stage) {
    let it = Dumped::counter(stage);
    it.start().counts_beyond(0);
    it.checkpoint(&["--pre-dump"]).code_is(1).says("Tracking memory is not available");
    it.counts_beyond(it.count());
}

/// The server ends with the one dump that it serves.
fn memory_goes_to_a_page_server(stage: &Stage) {
    let it = Dumped::counter(stage);
    it.start().counts_beyond(0);
    let (served, port) = (it.bundle.folder.join("served"), host::free_port().to_string());
    fs::create_dir(&served).unwrap();
    let mut criu = Command::new("criu");
    criu.args(["page-server", "--daemon", "--address", "127.0.0.1", "--port", &port, "--images-dir"]).arg(&served);
    quiet(&mut criu).ok();
    it.checkpoint(&["--page-server", &format!("127.0.0.1:{port}")]).ok();
    let dumped = it.count();
    assert!(!it.images.join("pages-1.img").exists(), "memory is among the images");
    for image in fs::read_dir(&served).unwrap().flatten() {
        fs::rename(image.path(), it.images.join(image.file_name())).unwrap();
    }
    it.restore(&["--detach"]).ok();
    it.counts_beyond(dumped);
}

/// Root inside is root outside, as CRIU may not look at others on some machines.
fn user_namespace_is_there_again(stage: &Stage) {
    let mut bundle = stage.shell(COUNT);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 1000 }]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let it = Dumped::new(bundle);
    it.goes_on();
    assert_ne!(host::namespace(it.bundle.pid(), "user"), host::namespace("self", "user"));
    let line = "cat /proc/self/uid_map; echo x >/dev/full";
    it.bundle.call(&["exec", &it.bundle.id, "sh", "-c", line]).fails().says("1000").says("No space left");
}

fn options_are_taken_from_a_file(stage: &Stage) {
    let mut bundle = stage.shell(&counter::over_connection(host::free_port()));
    let options = bundle.folder.join("criu.conf");
    fs::write(&options, "tcp-established\n").unwrap();
    bundle.share_namespace("network").set("/annotations/org.criu.config", json!(options));
    let it = Dumped::new(bundle);
    it.goes_on();
}

fn connection_of_the_hosts_network_survives(stage: &Stage) {
    let mut bundle = stage.shell(&counter::over_connection(host::free_port()));
    bundle.share_namespace("network");
    let it = Dumped::new(bundle);
    it.start().counts_beyond(0);
    it.checkpoint(&[]).fails();
    it.counts_beyond(it.count());
    it.checkpoint(&["--tcp-established"]).ok();
    let dumped = it.count();
    it.restore(&["--detach", "--tcp-established"]).ok();
    it.counts_beyond(dumped);
    assert_eq!(host::namespace(it.bundle.pid(), "net"), host::namespace("self", "net"));
}

fn joined_network_is_joined_again(stage: &Stage) {
    let mut owner = Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
    let theirs = || host::namespace(owner.id(), "net");
    eventually(PATIENCE, "a network namespace", || (theirs() != host::namespace("self", "net")).then_some(()));
    let mut bundle = stage.shell(COUNT);
    bundle.share_namespace("network");
    let namespace = json!({ "type": "network", "path": format!("/proc/{}/ns/net", owner.id()) });
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(namespace);
    let it = Dumped::new(bundle);
    it.start().counts_beyond(0);
    it.checkpoint(&[]).ok();
    it.restore(&["--detach"]).ok();
    it.counts_beyond(it.count());
    assert_eq!(host::namespace(it.bundle.pid(), "net"), theirs());
    owner.kill().unwrap();
    owner.wait().unwrap();
}

fn settings_of_host_networking_are_in_force_again(stage: &Stage) {
    let mut bundle = stage.shell(COUNT);
    bundle.share_namespace("network").set("/annotations/io.lightship.net.low-ports", json!("on"));
    // Root, as on some machines CRIU may not look at others; but without CAP_NET_BIND_SERVICE.
    bundle.set("/process/capabilities", json!({}));
    let it = Dumped::new(bundle);
    it.start().counts_beyond(0);
    it.checkpoint(&[]).ok();
    it.restore(&["--detach"]).ok();
    // busybox's timeout ends it, if it listens at all.
    let line = ["exec", &it.bundle.id, "sh", "-c", "timeout 1 nc -l -p 618; echo $?"];
    it.bundle.call(&line).says("143");
    it.bundle.call(&["net", &it.bundle.id]).ok().says("low-ports");
}

fn guard_is_in_force_again_or_not_at_all(stage: &Stage) {
    let guard = "/annotations/io.lightship.net.guard";
    let mut bundle = stage.shell(COUNT);
    bundle.share_namespace("network");
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(&format!("/process/capabilities/{set}"), json!(["CAP_NET_ADMIN"]));
    }
    let mut it = Dumped::new(bundle);
    it.start().counts_beyond(0);
    it.checkpoint(&[]).ok();
    it.bundle.set(guard, json!("on")).write();
    it.restore(&["--detach"]).fails().says("/annotations/io.lightship.net.guard").says("CAP_NET_ADMIN");
    it.bundle.is_gone();
    fs::remove_dir_all(&it.images).unwrap();
    it.goes_on();
    it.bundle.call(&["net", &it.bundle.id]).ok().says("guard=on");
    let status = fs::read_to_string(format!("/proc/{}/status", it.bundle.pid())).unwrap();
    assert!(status.contains("CapBnd:\t0000000000000000"), "{status}");
}

fn landlock_rules_out_checkpoint_and_restore(stage: &Stage) {
    let setting = "/annotations/io.lightship.net.abstract-sockets";
    let mut bundle = stage.shell(COUNT);
    bundle.share_namespace("network").set(setting, json!("off"));
    let mut it = Dumped::new(bundle);
    it.start().counts_beyond(0);
    it.checkpoint(&[]).fails().says(setting).says("Landlock");
    it.bundle.verb(&["delete", "--force"]).ok();
    it.bundle.set(setting, json!("on"));
    it.start().counts_beyond(0);
    it.checkpoint(&[]).ok();
    it.bundle.set(setting, json!("off")).write();
    it.restore(&["--detach"]).fails().says(setting).says("Landlock");
    it.bundle.is_gone();
}

fn terminal_is_handed_over_anew(stage: &Stage) {
    let mut bundle = stage.shell("while read -r word; do echo \"<$word>\"; done");
    bundle.set("/process/terminal", json!(true));
    let it = Dumped::new(bundle);
    let socket = ConsoleSocket::listen(&it.bundle.folder.join("console"));
    it.bundle.write();
    let flags = ["--detach", "--console-socket", socket.word()];
    quiet(&mut it.bundle.command(&it.bundle.create_line("run", &flags))).ok();
    let (_, masters) = socket.letter();
    let mut terminal = Terminal::of_container(masters.into_iter().next().unwrap());
    terminal.types("one\n");
    terminal.shows("<one>");
    it.checkpoint(&[]).ok();
    drop(terminal);
    it.restore(&flags).ok();
    let (_, masters) = socket.letter();
    let mut terminal = Terminal::of_container(masters.into_iter().next().unwrap());
    terminal.types("two\n");
    terminal.shows("<two>");
}

fn bind_mounts_and_masks_are_there_again(stage: &Stage) {
    let mut bundle = stage.shell("i=0; while :; do i=$((i+1)); echo $i >>/var/run/data/count; sleep 0.05; done");
    let volume = bundle.folder.join("volume");
    fs::create_dir_all(&volume).unwrap();
    fs::create_dir_all(bundle.in_rootfs("run")).unwrap();
    std::os::unix::fs::symlink("../run", bundle.in_rootfs("var/run")).unwrap();
    fs::write(bundle.folder.join("file"), "of the host").unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    // Through a link of the image.
    mounts.push(json!({ "destination": "/var/run/data", "source": volume, "type": "bind", "options": ["bind"] }));
    let file = bundle.folder.join("file");
    mounts.push(json!({ "destination": "/etc/file", "source": file, "type": "bind", "options": ["rbind", "ro"] }));
    let it = Dumped::new(bundle);
    let count = || counter::latest(&fs::read_to_string(volume.join("count")).ok()?);
    let counted = |from: u64| eventually(PATIENCE, "a count", || count().filter(|now| *now > from));
    it.start();
    counted(2);
    it.checkpoint(&[]).ok();
    it.bundle.is_gone();
    // Another copy of the image, where nothing has been mounted yet.
    fs::remove_dir(it.bundle.in_rootfs("run/data")).unwrap();
    fs::remove_file(it.bundle.in_rootfs("etc/file")).unwrap();
    let dumped = counted(0);
    it.restore(&["--detach"]).ok();
    counted(dumped + 2);
    let exec = |line: &str| it.bundle.call(&["exec", &it.bundle.id, "sh", "-c", line]);
    exec("cat /etc/file").ok().says("of the host");
    exec("echo x >/etc/file").fails().says("Read-only");
    exec("wc -c </proc/keys").ok().says("0");
    exec("echo 1 >/proc/sys/kernel/domainname").fails();
}

/// CRIU takes a file that is handed to it for the dumped one if it is as long.
fn output_goes_on_in_the_file_that_is_handed(stage: &Stage) {
    let it = Dumped::new(stage.shell("i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"));
    it.bundle.start().says("line 3");
    it.checkpoint(&[]).ok();
    let dumped = it.bundle.stdout().lines().count();
    let file = |name: &str| fs::File::options().append(true).open(it.bundle.folder.join(name)).unwrap();
    let mut command = it.bundle.command(&it.restore_line(&["--detach"]));
    let mut child = command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
    assert_eq!(command::wait(&mut child, PATIENCE), Some(0));
    eventually(PATIENCE, "further lines", || (it.bundle.stdout().lines().count() > dumped + 2).then_some(()));
    for (index, line) in it.bundle.stdout().lines().enumerate() {
        assert_eq!(line, format!("line {}", index + 1));
    }
}

fn output_goes_to_the_pipe_that_is_handed(stage: &Stage) {
    let it = Dumped::new(stage.shell("echo 1 >/count; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"));
    it.bundle.write();
    let piped = |words: &[&str]| {
        let mut command = it.bundle.command(words);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(command::wait(&mut child, PATIENCE), Some(0));
        std::io::BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap)
    };
    let mut lines = piped(&it.bundle.create_line("run", &["--detach"]));
    assert_eq!(lines.next().unwrap(), "line 1");
    it.checkpoint(&[]).ok();
    let dumped = lines.count() + 1;
    let mut lines = piped(&it.restore_line(&["--detach"]));
    assert_eq!(lines.next().unwrap(), format!("line {}", dumped + 1));
}

fn restore_in_the_foreground_gives_the_status(stage: &Stage) {
    let it = Dumped::new(stage.shell("echo 1 >/count; until [ -e /end ]; do sleep 0.05; done; exit 7"));
    it.start();
    it.count();
    it.checkpoint(&[]).ok();
    fs::write(it.bundle.in_rootfs("end"), "").unwrap();
    it.restore(&[]).code_is(7);
    it.bundle.is_gone();
}

fn hooks_run_when_the_namespaces_are_there(stage: &Stage) {
    let mut bundle = stage.shell(COUNT);
    let told = bundle.folder.join("told");
    let hook = |name: &str| {
        let script =
            format!("readlink /proc/$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')/ns/net >{}-{name}", told.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
    };
    bundle.set("/hooks/prestart", hook("prestart")).set("/hooks/createRuntime", hook("createRuntime"));
    let it = Dumped::new(bundle);
    it.start().counts_beyond(0);
    it.checkpoint(&[]).ok();
    it.restore(&["--detach"]).ok();
    for name in ["prestart", "createRuntime"] {
        let namespace = fs::read_to_string(format!("{}-{name}", told.display())).unwrap();
        assert_eq!(namespace.trim(), host::namespace(it.bundle.pid(), "net"), "{name}");
    }
}

fn failed_checkpoint_changes_nothing(stage: &Stage) {
    // A connection that CRIU is not told to keep.
    let port = host::free_port();
    let line = format!("nc -l -p {port} -e cat & sleep 0.5; sleep 1000 | nc 127.0.0.1 {port} & {COUNT}");
    let mut bundle = stage.shell(&line);
    bundle.share_namespace("network");
    let it = Dumped::new(bundle);
    it.start().counts_beyond(20);
    let refused = it.checkpoint(&[]).code_is(1);
    let log = it.images.join("dump.log");
    refused.says("failed to dump").says("tcp").says(log.to_str().unwrap());
    assert_eq!(it.bundle.status(), "running");
    it.counts_beyond(it.count());
}

fn failed_restore_leaves_nothing(stage: &Stage) {
    let it = Dumped::counter(stage);
    it.bundle.write();
    it.restore(&["--detach"]).code_is(1).says("--image-path");
    it.bundle.is_gone();
    it.start().counts_beyond(0);
    it.checkpoint(&[]).ok();
    remove_one(&it.images, "core-");
    let log = it.images.join("restore.log");
    it.restore(&["--detach"]).code_is(1).says("failed to restore").says(log.to_str().unwrap());
    it.bundle.is_gone();
}

fn remove_one(folder: &Path, prefix: &str) {
    let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(prefix);
    fs::remove_file(fs::read_dir(folder).unwrap().flatten().find(named).unwrap().path()).unwrap();
}

fn missing_criu_is_named(stage: &Stage) {
    let bundle = stage.sleeper();
    bundle.start();
    let images = bundle.folder.join("images");
    let line = ["checkpoint", "--image-path", images.to_str().unwrap(), &bundle.id];
    command::run(bundle.command(&line).env("PATH", "/nowhere")).code_is(1).says("criu is not installed");
    assert_eq!(bundle.status(), "running");
}

fn stopped_or_created_container_is_refused(stage: &Stage) {
    let bundle = stage.shell("true");
    bundle.create();
    let images = bundle.folder.join("images");
    let line = ["checkpoint", "--image-path", images.to_str().unwrap(), &bundle.id];
    bundle.call(&line).fails().says("created");
    bundle.verb(&["start"]).ok();
    bundle.stops();
    bundle.call(&line).fails().says("stopped");
}
