//! What callers of containerd alone see: the scenes, played by `ctr` with the runtime under test as the shim's binary.
#![allow(clippy::disallowed_methods)] // the lints in clippy.toml guard the product; tests start programs and write files

mod checkpoint;
mod crash;
mod run;
mod tasks;

use std::process::ExitCode;
use std::sync::Arc;

use integration::containerd::Containerd;
use integration::ground::Ground;
use integration::runtime::Runtime;
use integration::{host, scene};

/// What every scene stands on.
struct Stage {
    ground: Arc<Ground>,
    runtime: Runtime,
    containerd: Containerd,
}

impl Stage {
    fn set(ground: Arc<Ground>, runtime: Runtime) -> Stage {
        println!("engine: containerd {} alone, {}", host::version("containerd"), host::release());
        let containerd = Containerd::start(&ground, &runtime);
        Stage { ground, runtime, containerd }
    }
}

fn main() -> ExitCode {
    let scenes = [run::scenes(), tasks::scenes(), checkpoint::scenes(), crash::scenes()];
    scene::play(scenes.into_iter().flatten().collect(), Stage::set, |_| ())
}
