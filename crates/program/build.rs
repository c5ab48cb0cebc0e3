#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a build script runs the compiler, and has nobody to report to but cargo"
)]

//! Compiles the tiny static programs that the library embeds, each with one call of rustc, as they have no dependency and need
//! other flags (no libc, no unwinding, not position-independent) than everything else.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    for source in ["init", "src/op.rs", "../sys/src/arch"] {
        println!("cargo:rerun-if-changed={source}");
    }
    compile("init", "init/main.rs");
    compile("watcher", "init/watcher.rs");
}

fn compile(name: &str, source: &str) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(name);
    let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"));
    rustc.args(["--edition", "2024", "--crate-name", name, "--crate-type", "bin", source, "-o"]).arg(&out);
    // They have no C library, and musl's target would link its own start files.
    rustc.arg("--target").arg(env::var("TARGET").expect("cargo sets TARGET").replace("musl", "gnu"));
    rustc.args([
        "-C",
        "opt-level=s",
        "-C",
        "panic=abort",
        "-C",
        "lto=fat",
        "-C",
        "codegen-units=1",
        "-C",
        "strip=symbols",
    ]);
    rustc.args(["-C", "target-feature=+crt-static", "-C", "relocation-model=static", "-C", "debug-assertions=off"]);
    // One loadable segment less and no build id: what a created container costs in memory is mostly this file's pages.
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-z,noseparate-code"] {
        rustc.arg("-C").arg(format!("link-arg={argument}"));
    }
    let status = rustc.status().expect("rustc can be run");
    assert!(status.success(), "{name} does not compile");
}
