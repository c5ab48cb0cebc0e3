//! What callers of Podman and Buildah see: the scenes, played with the runtime under test as the default.
#![allow(clippy::disallowed_methods)] // the lints in clippy.toml guard the product; tests start programs and write files

mod build;
mod checkpoint;
mod lifecycle;
mod networks;
mod pods;
mod rootless;
mod run;

use std::process::ExitCode;
use std::sync::Arc;

use integration::ground::Ground;
use integration::podman::Podman;
use integration::runtime::Runtime;
use integration::{host, scene};

/// What every scene stands on.
struct Stage {
    ground: Arc<Ground>,
    runtime: Runtime,
    podman: Podman,
}

impl Stage {
    fn set(ground: Arc<Ground>, runtime: Runtime) -> Stage {
        let (podman, buildah) = (host::version("podman"), host::version("buildah"));
        println!("engine: Podman {podman} and Buildah {buildah}, {}", host::release());
        let podman = Podman::set_up(&ground, &runtime);
        Stage { ground, runtime, podman }
    }
}

fn main() -> ExitCode {
    let scenes = [
        run::scenes(),
        networks::scenes(),
        lifecycle::scenes(),
        checkpoint::scenes(),
        pods::scenes(),
        rootless::scenes(),
        build::scenes(),
    ];
    scene::play(scenes.into_iter().flatten().collect(), Stage::set, |_| ())
}
