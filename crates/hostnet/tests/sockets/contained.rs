//! A test inside a container's cgroup: the test's program starts itself once more for it, as a process is in one cgroup.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hostnet::NetPlan;
use hostnet::rules::{PortRange, Protocol, Publish, Published};
use sys::bpf::KernelTypes;
use sys::netlink::{NLM_F_ACK, Netlink};

/// Names the cgroup for the process inside.
const CGROUP: &str = "HOSTNET_TEST_CGROUP";

/// A directory of the unified hierarchy with a plan in force, removed at the end.
pub(crate) struct Cgroup(pub(crate) PathBuf);

impl Cgroup {
    /// `None` where there is no such hierarchy.
    pub(crate) fn new(name: &str, plan: &NetPlan, types: Option<KernelTypes>) -> Option<Cgroup> {
        let unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let Some(unified) = unified.into_iter().find(|path| path.join("cgroup.controllers").exists()) else {
            eprintln!("skipped: this host has no cgroup v2 hierarchy");
            return None;
        };
        let path = unified.join(format!("hostnet-test-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let cgroup = Cgroup(path);
        hostnet::attach::apply(plan, types, File::open(&cgroup.0).unwrap()).unwrap();
        Some(cgroup)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // With those that the test has made below it.
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(entry.path());
        }
        // A process that has closed all it had (a watcher) is still in there for a moment.
        let deadline = Instant::now() + Duration::from_secs(20);
        let is_busy = |error: &std::io::Error| error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline;
        let mut removed = std::fs::remove_dir(&self.0);
        while removed.as_ref().is_err_and(is_busy) {
            std::thread::yield_now();
            removed = std::fs::remove_dir(&self.0);
        }
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

/// Whom a test's body asks to enter the cgroup; sockets that it makes before are the host's.
pub(crate) struct Door(PathBuf);

impl Door {
    pub(crate) fn enter(&self) -> &Path {
        std::fs::write(self.0.join("cgroup.procs"), "0").unwrap();
        &self.0
    }
}

/// Runs `body` in a process of its own, with `plan` in force for a new cgroup that it may enter, in a network where all ports are
/// free; and once more, as it is on a kernel that does not tell its types. `test` is the test's full name.
pub(crate) fn contained(test: &str, plan: &NetPlan, body: impl FnOnce(&Door)) {
    if let Some(cgroup) = std::env::var_os(CGROUP) {
        return body(&Door(cgroup.into()));
    }
    for types in ways() {
        if let Err(error) = new_network() {
            return eprintln!("skipped: no network namespace can be made here: {error}");
        }
        let Some(cgroup) = Cgroup::new(&test.replace(':', "-"), plan, types) else { return };
        let mut inside = Command::new(std::env::current_exe().unwrap());
        let status = inside.args(["--exact", test, "--nocapture"]).env(CGROUP, &cgroup.0).status().unwrap();
        assert!(status.success(), "{test}, with {types:?}: {status}");
    }
}

/// What programs may know of the kernel's types: what this one tells, if it does, and nothing.
pub(crate) fn ways() -> impl Iterator<Item = Option<KernelTypes>> {
    KernelTypes::read().map(Some).into_iter().chain([None])
}

/// Moves this thread, which is the test's, into a new network namespace, and brings its loopback device up.
pub(crate) fn new_network() -> std::io::Result<()> {
    const CLONE_NEWNET: u64 = 0x4000_0000;
    const RTM_NEWLINK: u16 = 16;
    /// struct ifinfomsg: the first device, and of its flags IFF_UP is set.
    const UP: [u32; 4] = [0, 1, 1, 1];
    sys::process::unshare(CLONE_NEWNET)?;
    let body = UP.map(u32::to_ne_bytes);
    Ok(Netlink::open(None)?.ask(RTM_NEWLINK, NLM_F_ACK, body.as_flattened(), &[], &mut |_| {})?)
}

/// From now on the kernel lets bind(2) have any address in the test's network, so that only a program refuses one.
pub(crate) fn give_every_address() {
    for family in ["ipv4", "ipv6"] {
        std::fs::write(format!("/proc/sys/net/{family}/ip_nonlocal_bind"), "1").unwrap();
    }
}

pub(crate) fn published(rules: &[(u16, u16, Protocol)]) -> NetPlan {
    let one = |port| PortRange { first: port, last: port };
    let rules = rules.iter().map(|&(host, inside, protocol)| Published {
        address: None,
        host: one(host),
        inside: one(inside),
        protocol,
    });
    NetPlan { publish: Publish { rules: rules.collect(), auto: false }, ..NetPlan::default() }
}

pub(crate) const ANY4: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
pub(crate) const ANY6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
pub(crate) const LOCAL4: Ipv4Addr = Ipv4Addr::LOCALHOST;
pub(crate) const LOCAL6: Ipv6Addr = Ipv6Addr::LOCALHOST;
