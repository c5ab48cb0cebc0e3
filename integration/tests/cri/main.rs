//! What Kubernetes sees: the scenes, asked of containerd by the Container Runtime Interface, with the runtime under test as its handler.
#![allow(clippy::disallowed_methods)] // the lints in clippy.toml guard the product; tests start programs and write files

mod containers;
mod exec;
mod host_network;
mod pods;

use std::process::ExitCode;
use std::sync::Arc;

use integration::cri::Cri;
use integration::ground::Ground;
use integration::runtime::Runtime;
use integration::{host, scene};

/// What every scene stands on.
struct Stage {
    ground: Arc<Ground>,
    runtime: Runtime,
    cri: Cri,
}

impl Stage {
    fn set(ground: Arc<Ground>, runtime: Runtime) -> Stage {
        println!("engine: containerd {} by CRI, {}", host::version("containerd"), host::release());
        let cri = Cri::start(&ground, &runtime);
        Stage { ground, runtime, cri }
    }
}

fn main() -> ExitCode {
    let scenes = [pods::scenes(), containers::scenes(), exec::scenes(), host_network::scenes()];
    scene::play(scenes.into_iter().flatten().collect(), Stage::set, |_| ())
}
