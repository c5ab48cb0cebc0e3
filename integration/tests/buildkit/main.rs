//! What callers of BuildKit alone see. It is no package of Debian: `scripts/peers --buildkit` builds it.
#![allow(clippy::disallowed_methods)] // the lints in clippy.toml guard the product; tests start programs and write files

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use integration::buildkit::BuildKit;
use integration::ground::Ground;
use integration::runtime::Runtime;
use integration::{command, host, image, scene};

/// What every scene stands on.
struct Stage {
    ground: Arc<Ground>,
    buildkit: BuildKit,
}

impl Stage {
    fn set(ground: Arc<Ground>, runtime: Runtime) -> Stage {
        println!("engine: BuildKit {} alone, {}", host::version("buildkitd"), host::release());
        let buildkit = BuildKit::start(&ground, &runtime);
        Stage { ground, buildkit }
    }

    /// A build context with busybox in an archive, and this Dockerfile after it.
    fn context(&self, name: &str, dockerfile: &str) -> PathBuf {
        let folder = self.ground.folder.join(name);
        let tree = folder.join("busybox");
        image::busybox_tree(&tree);
        image::archive(&tree);
        fs::write(folder.join("Dockerfile"), format!("FROM scratch\nADD busybox.tar /\n{dockerfile}")).unwrap();
        folder
    }
}

fn main() -> ExitCode {
    scene::play(vec![scene!(run_lines), scene!(failing_run_line_fails_the_build)], Stage::set, |_| ())
}

fn run_lines(stage: &Stage) {
    let dockerfile = "ENV WHO=builder\nRUN echo \"made by $WHO\" >/made && readlink /proc/self/ns/net >>/made\n\
                      RUN --network=none ls /sys/class/net >>/made\nUSER 1000:1000\nWORKDIR /home\n\
                      RUN --mount=type=cache,target=/cache,uid=1000 id -u >/tmp/uid && touch /cache/file\n";
    let context = stage.context("lines", dockerfile);
    let result = context.join("result.tar");
    stage.buildkit.build(&context, &result).ok();
    let printed = |file: &str| command::run(Command::new("tar").arg("-xOf").arg(&result).arg(file)).ok().text();
    assert_eq!(printed("made"), format!("made by builder\n{}\nlo", host::namespace("self", "net")));
    assert_eq!(printed("tmp/uid"), "1000");
}

fn failing_run_line_fails_the_build(stage: &Stage) {
    let context = stage.context("failing", "RUN exit 12\n");
    stage.buildkit.build(&context, &context.join("result.tar")).fails().says("exit code: 12");
}
