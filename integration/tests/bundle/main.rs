//! What callers of the runtime's own command line see: plain bundles, no Docker in between.
#![allow(clippy::disallowed_methods)] // the lints in clippy.toml guard the product; tests start programs and write files

mod bad_input;
mod checkpoint;
mod concurrent;
mod create;
mod delete;
mod errors;
mod exec;
mod features;
mod hooks;
mod host_settings;
mod intel_rdt;
mod kill;
mod killpoints;
mod leaks;
mod memory;
mod mount_extras;
mod net_devices;
mod notify;
mod process_extras;
mod rootless;
mod seccomp_listener;
mod selinux;
mod start;
mod state;
mod systemd;
mod trace;
mod verbs;

use std::process::ExitCode;
use std::sync::Arc;

use integration::bundle::{Bundle, adopt_containers};
use integration::ground::Ground;
use integration::runtime::Runtime;
use integration::scene;

/// What every scene stands on.
struct Stage {
    ground: Arc<Ground>,
    runtime: Runtime,
}

impl Stage {
    fn set(ground: Arc<Ground>, runtime: Runtime) -> Stage {
        adopt_containers();
        Stage { ground, runtime }
    }

    /// A bundle whose process is `args`.
    fn bundle(&self, args: &[&str]) -> Bundle {
        Bundle::new(&self.ground, &self.runtime, args)
    }

    /// A bundle whose process is a shell line.
    fn shell(&self, line: &str) -> Bundle {
        self.bundle(&["sh", "-c", line])
    }

    /// A bundle whose process does nothing until it is killed.
    fn sleeper(&self) -> Bundle {
        self.bundle(&["sleep", "1000"])
    }
}

fn main() -> ExitCode {
    let scenes = [
        create::scenes(),
        seccomp_listener::scenes(),
        selinux::scenes(),
        start::scenes(),
        state::scenes(),
        kill::scenes(),
        delete::scenes(),
        exec::scenes(),
        concurrent::scenes(),
        verbs::scenes(),
        hooks::scenes(),
        host_settings::scenes(),
        features::scenes(),
        intel_rdt::scenes(),
        errors::scenes(),
        bad_input::scenes(),
        checkpoint::scenes(),
        leaks::scenes(),
        memory::scenes(),
        mount_extras::scenes(),
        net_devices::scenes(),
        notify::scenes(),
        process_extras::scenes(),
        rootless::scenes(),
        systemd::scenes(),
        trace::scenes(),
        killpoints::scenes(),
    ];
    scene::play(scenes.into_iter().flatten().collect(), Stage::set, |_| ())
}
