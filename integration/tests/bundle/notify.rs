//! Readiness that reaches the service manager which started the runtime (sd_notify(3)).

use std::fs::File;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use integration::bundle::Bundle;
use integration::scene::Scene;
use integration::wait::PATIENCE;
use integration::{command, scene};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr};

use crate::Stage;
use crate::rootless::Rootless;

const STORY: &str = "echo $NOTIFY_SOCKET; test -S $NOTIFY_SOCKET && echo there; sleep 1000";

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(start_waits_for_readiness),
        scene!(start_ends_with_the_container).peer_cannot("runc 1.1 takes a zombie for alive"),
        scene!(run_in_front_is_the_main_process),
        scene!(run_detached_waits_as_well),
        scene!(barrier_is_kept).peer_cannot("runc 1.1 leaves the container's barrier alone"),
        scene!(a_user_has_a_manager_too),
        scene!(without_a_manager_nothing_is_changed),
    ]
}

/// What systemd is to a service.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(bundle: &Bundle) -> Manager {
        let path = bundle.folder.join("manager");
        let socket = UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, path }
    }

    /// The lines of one message. A descriptor that comes with it is closed, which is the answer to a barrier.
    fn told(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let len = self.socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).lines().map(str::to_owned).collect()
    }

    /// Everything up to the barrier that the runtime sets behind readiness; runc 1.1 sets none.
    fn told_of_readiness(&self, stage: &Stage) -> Vec<String> {
        let last = if stage.runtime.is_peer() { "MAINPID=" } else { "BARRIER=1" };
        let mut all = Vec::new();
        while !all.iter().any(|line: &String| line.starts_with(last)) {
            all.extend(self.told());
        }
        all
    }
}

/// Starts `command`, whose container prints to the bundle's files.
fn spawn(bundle: &Bundle, mut command: Command, manager: &Manager) -> Child {
    let file = |name: &str| File::options().create(true).append(true).open(bundle.folder.join(name)).unwrap();
    command.env("NOTIFY_SOCKET", &manager.path).stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
    command.spawn().unwrap()
}

#[track_caller]
fn create(bundle: &Bundle, manager: &Manager) -> i32 {
    bundle.write();
    let mut command = bundle.command(&bundle.create_line("create", &[]));
    bundle.on_own_streams(command.env("NOTIFY_SOCKET", &manager.path)).ok();
    bundle.pid()
}

/// The container's own socket.
fn inside(pid: i32) -> PathBuf {
    format!("/proc/{pid}/root/run/notify/notify.sock").into()
}

fn say(pid: i32, message: &str) {
    UnixDatagram::unbound().unwrap().send_to(message.as_bytes(), inside(pid)).unwrap();
}

#[track_caller]
fn ends(child: &mut Child) -> i32 {
    command::wait(child, PATIENCE).expect("it ends")
}

fn start_waits_for_readiness(stage: &Stage) {
    let bundle = stage.shell(STORY);
    let manager = Manager::new(&bundle);
    let pid = create(&bundle, &manager);
    let mut start = spawn(&bundle, bundle.command(&["start", &bundle.id]), &manager);
    bundle.says("/run/notify/notify.sock\nthere\n");
    say(pid, "WATCHDOG=trigger\nMAINPID=1");
    assert!(start.try_wait().unwrap().is_none(), "it is not ready yet");
    say(pid, "READY=1");
    let told = manager.told_of_readiness(stage);
    assert!(told.contains(&"READY=1".to_owned()) && told.contains(&format!("MAINPID={pid}")), "{told:?}");
    assert_eq!(
        told.iter().filter(|line| line.starts_with("MAINPID") || line.starts_with("WATCHDOG")).count(),
        1,
        "{told:?}"
    );
    assert_eq!(ends(&mut start), 0);
    assert_eq!(bundle.status(), "running");
    bundle.verb(&["delete", "--force"]).ok();
    bundle.is_gone();
}

fn start_ends_with_the_container(stage: &Stage) {
    let bundle = stage.shell(STORY);
    let manager = Manager::new(&bundle);
    create(&bundle, &manager);
    let mut start = spawn(&bundle, bundle.command(&["start", &bundle.id]), &manager);
    bundle.says("there");
    bundle.kill("KILL").ok();
    assert_eq!(ends(&mut start), 0);
}

fn run_in_front_is_the_main_process(stage: &Stage) {
    let bundle = stage.shell(STORY);
    let manager = Manager::new(&bundle);
    bundle.write();
    let mut run = spawn(&bundle, bundle.command(&bundle.create_line("run", &[])), &manager);
    bundle.says("there");
    let pid = bundle.pid();
    say(pid, "READY=1");
    let told = manager.told_of_readiness(stage);
    assert!(told.contains(&"READY=1".to_owned()) && told.contains(&format!("MAINPID={}", run.id())), "{told:?}");
    if !stage.runtime.is_peer() {
        say(pid, "STATUS=so far so good");
        assert_eq!(manager.told(), ["STATUS=so far so good"]);
    }
    bundle.kill("KILL").ok();
    assert_eq!(ends(&mut run), 137);
    bundle.is_gone();
}

fn run_detached_waits_as_well(stage: &Stage) {
    let bundle = stage.shell(STORY);
    let manager = Manager::new(&bundle);
    bundle.write();
    let mut run = spawn(&bundle, bundle.command(&bundle.create_line("run", &["--detach"])), &manager);
    bundle.says("there");
    let pid = bundle.pid();
    say(pid, "READY=1");
    assert!(manager.told_of_readiness(stage).contains(&format!("MAINPID={pid}")));
    assert_eq!(ends(&mut run), 0);
    assert_eq!(bundle.status(), "running");
}

fn barrier_is_kept(stage: &Stage) {
    let bundle = stage.shell(STORY);
    let manager = Manager::new(&bundle);
    let pid = create(&bundle, &manager);
    let mut start = spawn(&bundle, bundle.command(&["start", &bundle.id]), &manager);
    bundle.says("there");
    let (mut read, write) = std::io::pipe().unwrap();
    {
        let socket = UnixDatagram::unbound().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [write.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let address = SocketAddrUnix::new(inside(pid)).unwrap();
        sendmsg_addr(&socket, &address, &[IoSlice::new(b"BARRIER=1")], &mut control, SendFlags::empty()).unwrap();
    }
    drop(write);
    assert_eq!(manager.told(), ["BARRIER=1"]);
    assert_eq!(read.read(&mut [0]).unwrap(), 0, "the descriptor is closed");
    bundle.kill("KILL").ok();
    assert_eq!(ends(&mut start), 0);
}

fn a_user_has_a_manager_too(stage: &Stage) {
    let container = Rootless::shell(stage, STORY);
    let bundle = &container.bundle;
    let manager = Manager::new(bundle);
    bundle.write();
    let mut run = spawn(bundle, container.command(&bundle.create_line("run", &["--detach"])), &manager);
    bundle.says("there");
    say(bundle.pid(), "READY=1");
    assert!(manager.told_of_readiness(stage).contains(&"READY=1".to_owned()));
    assert_eq!(ends(&mut run), 0);
}

fn without_a_manager_nothing_is_changed(stage: &Stage) {
    let mut bundle = stage.shell("echo \"<$NOTIFY_SOCKET>\"; test -e /run/notify || echo none");
    assert_eq!(bundle.set("/process/cwd", "/".into()).run().ok().stdout, "<>\nnone\n");
}
