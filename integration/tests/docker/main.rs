//! What callers of Docker see: the scenes, played on a daemon of our own that has the runtime under test as its default.
#![allow(clippy::disallowed_methods)] // the lints in clippy.toml guard the product; tests start programs and write files

mod bridge_publish;
mod build;
mod checkpoint;
mod compose;
mod crash;
mod default_runtime;
mod host_network;
mod host_publish;
mod illusion;
mod lifecycle;
mod live_restore;
mod network_modes;
mod newer;
mod overlay;
mod ports;
mod resources;
mod systemd_driver;
mod trace;
mod verbs_exec;
mod verbs_run;
mod walkthrough;

use std::process::ExitCode;
use std::sync::Arc;

use integration::daemon::Daemon;
use integration::docker::Docker;
use integration::ground::Ground;
use integration::runtime::Runtime;
use integration::{host, image, scene};
use serde_json::json;

/// What every scene stands on.
struct Stage {
    ground: Arc<Ground>,
    runtime: Runtime,
    daemon: Daemon,
    docker: Docker,
}

impl Stage {
    fn set(ground: Arc<Ground>, runtime: Runtime) -> Stage {
        let (docker, containerd) = (host::version("dockerd"), host::version("containerd"));
        println!("engine: Docker {docker} with containerd {containerd}, {}", host::release());
        let daemon = Daemon::start(&ground, &runtime, json!({ "experimental": true }));
        let docker = daemon.docker();
        image::import_all(&docker, &daemon.folder);
        Stage { ground, runtime, daemon, docker }
    }
}

fn main() -> ExitCode {
    let scenes = [
        host_network::scenes(),
        host_publish::scenes(),
        illusion::scenes(),
        walkthrough::scenes(),
        network_modes::scenes(),
        bridge_publish::scenes(),
        overlay::scenes(),
        ports::scenes(),
        verbs_run::scenes(),
        verbs_exec::scenes(),
        resources::scenes(),
        lifecycle::scenes(),
        default_runtime::scenes(),
        build::scenes(),
        checkpoint::scenes(),
        compose::scenes(),
        live_restore::scenes(),
        crash::scenes(),
        newer::scenes(),
        systemd_driver::scenes(),
        trace::scenes(),
    ];
    scene::play(scenes.into_iter().flatten().collect(), Stage::set, |stage| eprintln!("{}", stage.daemon.log()))
}
