//! Podman of a user without privileges: what carries its containers' traffic is a process of the user's, and publishing is as well.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use integration::command::{self, Output};
use integration::podman::containers_conf;
use integration::runtime::Runtime;
use integration::scene::Scene;
use integration::{host, image, scene};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let without = |name: &str| !host::has_program(name);
    let unmapped = without("newuidmap") || without("newgidmap");
    let scenes = vec![
        scene!(slirp4netns_publishes_a_port).skip_if(without("slirp4netns"), "slirp4netns is not installed"),
        scene!(pasta_publishes_a_port)
            .skip_if(host::major("podman") < 5 || without("pasta"), "Podman is older than 5, or has no pasta"),
        scene!(bridge_knows_names)
            .skip_if(without("slirp4netns") && without("pasta"), "neither slirp4netns nor pasta is installed"),
        scene!(hosts_network_is_shared),
    ];
    scenes.into_iter().map(|scene| scene.skip_if(unmapped, "the package uidmap is not installed")).collect()
}

/// The user's folder, with all that Podman keeps for it.
struct User {
    folder: PathBuf,
}

/// What root does before the user comes in, in a mount and a PID namespace that end with the user's line: ids of its own, and the device
/// that slirp4netns and pasta open, which everybody may open on most machines.
const PREPARE: &str = "mount --bind ids /etc/subuid && mount --bind ids /etc/subgid && mount -t tmpfs none /dev/net && \
    mknod -m 666 /dev/net/tun c 10 200 && cd / && \
    exec setpriv --reuid nobody --regid nogroup --clear-groups env --ignore-environment \"$@\"";

impl User {
    fn new(stage: &Stage, name: &str) -> User {
        let folder = stage.ground.folder.join(name);
        let made = |name: &str| folder.join(name);
        image::busybox_tree(&made("tree"));
        image::archive(&made("tree"));
        fs::create_dir(made("run")).unwrap();
        fs::write(made("ids"), "nobody:700000:65536\n").unwrap();
        let runtime = Runtime { path: made(&stage.runtime.name()) };
        // The way to the build need not be open to everybody.
        command::run(Command::new("cp").arg(&stage.runtime.path).arg(&runtime.path)).ok();
        fs::write(made("containers.conf"), containers_conf(&folder, &runtime)).unwrap();
        command::run(Command::new("chown").args(["-R", "nobody:nogroup"]).arg(&folder)).ok();
        command::run(Command::new("chmod").arg("a+x").arg(&stage.ground.folder)).ok();
        User { folder }
    }

    /// A shell line of the user's, which has the image of busybox.
    fn shell(&self, line: &str) -> Output {
        let set = |name: &str, file: &str| format!("{name}={}", self.folder.join(file).display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "shared", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-c", PREPARE, "sh"]).current_dir(&self.folder);
        command.arg(format!("PATH={}", std::env::var("PATH").unwrap_or_default()));
        command.args([set("HOME", ""), set("XDG_RUNTIME_DIR", "run"), set("CONTAINERS_CONF", "containers.conf")]);
        let import = "podman import -q --change 'ENV PATH=/bin:/usr/bin:/sbin' ~/tree.tar busybox >/dev/null";
        command::run(command.args(["sh", "-ec", &format!("{import}; {line}")]))
    }
}

fn publishes_a_port(stage: &Stage, network: &str) {
    let port = host::free_port();
    let line = format!(
        "podman run -d --name web --network {network} -p {port}:80 busybox \
             sh -c 'echo {network} >/tmp/index.html; exec httpd -f -p 80 -h /tmp' >/dev/null
         until busybox wget -qO- http://127.0.0.1:{port}/; do :; done
         podman exec web sh -c 'wget -qO- http://127.0.0.1/; ls /sys/class/net | wc -l'"
    );
    assert_eq!(User::new(stage, network).shell(&line).ok().stdout, format!("{network}\n{network}\n2\n"));
}

fn slirp4netns_publishes_a_port(stage: &Stage) {
    publishes_a_port(stage, "slirp4netns");
}

fn pasta_publishes_a_port(stage: &Stage) {
    publishes_a_port(stage, "pasta");
}

fn bridge_knows_names(stage: &Stage) {
    let line = "podman network create named >/dev/null
        podman run -d --name web --network named busybox \
            sh -c 'echo named >/tmp/index.html; exec httpd -f -p 80 -h /tmp' >/dev/null
        podman run --name asks --network named busybox sh -c 'until wget -qO- http://web/; do :; done' >/dev/null
        podman logs asks";
    assert_eq!(User::new(stage, "bridge").shell(line).ok().stdout, "named\n");
}

fn hosts_network_is_shared(stage: &Stage) {
    let line = "podman run --rm --network host busybox readlink /proc/self/ns/net";
    assert_eq!(User::new(stage, "host").shell(line).ok().text(), host::namespace("self", "net"));
}
