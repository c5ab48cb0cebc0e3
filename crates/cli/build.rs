//! Records the commit the program is built from, for `lightship --version`, and gives the linker the order of a release's functions.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    record_commit();
    order_functions();
}

#[expect(clippy::disallowed_methods, reason = "a build script runs on the builder's machine, not in the product")]
fn record_commit() {
    let git = Path::new("../../.git");
    // A tarball has no history; asking git anyway would find the repository it was unpacked in.
    let describe = git.exists().then(|| {
        for changing in ["HEAD", "logs/HEAD"].map(|name| git.join(name)).iter().filter(|path| path.exists()) {
            println!("cargo::rerun-if-changed={}", changing.display());
        }
        std::process::Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output()
    });
    let commit = match describe {
        Some(Ok(output)) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    };
    println!("cargo::rustc-env=LIGHTSHIP_COMMIT={commit}");
}

/// Debug builds have other functions, and all of them beside the tests.
fn order_functions() {
    // By its whole name, which the linker needs: that is found to be missing as well when the repository has been moved.
    let order = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("order.ld");
    println!("cargo::rerun-if-changed={}", order.display());
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", order.display());
    }
}
