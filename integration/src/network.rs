//! A network namespace for one scene, in which every port is free, the low ones as well.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use crate::command;

/// The scene's own address beside the loopback ones (TEST-NET-1, RFC 5737).
pub const ADDRESS: [u8; 4] = [192, 0, 2, 80];

/// Plays in a network of its own: what `play` starts is in there as well.
pub fn in_own<T: Send>(play: impl FnOnce() -> T + Send) -> T {
    // A namespace is a thread's, and the tests' threads are used again.
    let outcome = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let [a, b, c, d] = ADDRESS;
            let ip = |args: &[&str]| command::run(Command::new("ip").args(args)).ok();
            ip(&["link", "set", "lo", "up"]);
            ip(&["address", "add", &format!("{a}.{b}.{c}.{d}/24"), "dev", "lo"]);
            play()
        });
        thread.join()
    });
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
