//! Network namespaces for scenes: every port is free in there, the low ones as well, the packet filter's rules are nobody else's, and
//! two of them can be joined like two machines. Addresses for bridges on the machine's own network.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};

use crate::{command, host};

/// A network's own address beside the loopback ones (TEST-NET-1, RFC 5737).
pub const ADDRESS: [u8; 4] = [192, 0, 2, 80];

/// A network namespace. It goes, with its devices, once this value and all processes in it are gone.
#[derive(Debug)]
pub struct Network {
    namespace: File,
}

impl Network {
    /// Makes one that has the loopback device, with [`ADDRESS`] on it.
    pub fn new() -> Network {
        let [a, b, c, d] = ADDRESS;
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests make network namespaces: run them as root");
            ip("link set lo up");
            ip(&format!("address add {a}.{b}.{c}.{d}/24 dev lo"));
            Network::here()
        })
    }

    /// Plays in there: what `play` starts is in there as well.
    pub fn inside<T: Send>(&self, play: impl FnOnce() -> T + Send) -> T {
        on_own_thread(|| {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET).unwrap();
            play()
        })
    }

    /// The caller's.
    pub fn here() -> Network {
        Network { namespace: File::open("/proc/thread-self/ns/net").unwrap() }
    }

    /// What setns(2) takes.
    pub fn namespace(&self) -> std::io::Result<File> {
        self.namespace.try_clone()
    }

    /// Joins it to another one, by a pair of devices without addresses: `device` here, and `peer` there.
    pub fn join(&self, device: &str, other: &Network, peer: &str) {
        let there = format!("/proc/{}/fd/{}", std::process::id(), other.namespace.as_raw_fd());
        self.inside(|| {
            ip(&format!("link add {device} type veth peer name {peer} netns {there}"));
            ip(&format!("link set {device} up"));
        });
        other.inside(|| ip(&format!("link set {peer} up")));
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

/// Plays in a network of its own.
pub fn in_own<T: Send>(play: impl FnOnce() -> T + Send) -> T {
    Network::new().inside(play)
}

/// `ip LINE`, in the caller's network; it must succeed.
#[track_caller]
pub fn ip(line: &str) {
    command::run(Command::new("ip").args(line.split(' '))).ok();
}

/// Whether the kernel has devices of this type that lie on another one: `macvlan`, `ipvlan`.
pub fn has_devices(kind: &str) -> bool {
    in_own(|| {
        ip("link add below type veth peer name other");
        let line = ["link", "add", "above", "link", "below", "type", kind];
        command::run(Command::new("ip").args(line)).code == 0
    })
}

/// Whether the packet filter translates addresses here, which Docker's name server and its ports without a proxy need.
pub fn has_translation() -> bool {
    let line = "--table nat --append OUTPUT --protocol udp --dport 53 --jump DNAT --to-destination 127.0.0.1:5353";
    host::has_program("iptables") && in_own(|| command::run(Command::new("iptables").args(line.split(' '))).code == 0)
}

/// A namespace is a thread's, and the tests' threads are used again.
fn on_own_thread<T: Send>(play: impl FnOnce() -> T + Send) -> T {
    let outcome = std::thread::scope(|scope| scope.spawn(play).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The address with number `host` (0 to 15) in a /28 network that belongs to this process, the `number`th of its eight.
pub fn subnet(number: u8, host: u8) -> String {
    // 198.18.0.0/15 is set aside for testing (RFC 2544): no real network of this machine is in it.
    let block = std::process::id() % 2000 * 8 + u32::from(number % 8);
    format!("198.{}.{}.{}", 18 + block / 8192 % 2, block / 16 % 256, block % 16 * 16 + u32::from(host))
}
