//! Facts about this machine that decide what can be tested on it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;

use crate::command;
use crate::image::PYTHON_PROGRAM;

/// Whether this process holds capability number `cap`.
pub fn has_capability(cap: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(effective.trim(), 16).unwrap() & (1 << cap) != 0
}

/// CAP_SYS_RESOURCE: raising rlimits, lowering oom_score_adj.
pub fn may_raise_limits() -> bool {
    has_capability(24)
}

/// Whether systemd runs this machine (sd_booted(3)).
pub fn has_systemd() -> bool {
    std::path::Path::new("/run/systemd/system").is_dir()
}

/// The address by which others reach this machine; the loopback address if it has no network.
pub fn address() -> IpAddr {
    // Connecting a datagram socket sends nothing: it only asks the routing table for the source address.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    match socket.connect("198.51.100.1:9") {
        Ok(()) => socket.local_addr().unwrap().ip(),
        Err(_) => Ipv4Addr::LOCALHOST.into(),
    }
}

/// A port that nobody holds, by TCP or UDP.
pub fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let address = listener.local_addr().unwrap();
        // A resolver's socket may have the same number.
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}

/// The identity of a namespace of process `pid` ("self", or a number), such as `net:[4026531840]`.
pub fn namespace(pid: impl std::fmt::Display, kind: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().to_string_lossy().into_owned()
}

/// One field of `/proc/PID/status`.
pub fn status_field(pid: impl std::fmt::Display, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(|value| value.trim().to_owned())
}

/// Whether `pid` is a process that still runs: neither gone nor a zombie.
pub fn is_alive(pid: i32) -> bool {
    status_field(pid, "State").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// All process ids of this machine.
pub fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a program is in PATH.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// What this system calls itself (os-release(5)), such as `Debian GNU/Linux 13 (trixie)`.
pub fn release() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("an unnamed system").trim_matches('"').to_owned()
}

/// The version in what `program --version` says.
pub fn version(program: &str) -> String {
    let said = command::run(Command::new(program).arg("--version")).ok().text();
    let is_version = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
    let word = said.split_whitespace().find(is_version).unwrap_or_else(|| panic!("no version in {said:?}"));
    word.split(['+', '~', ',']).next().unwrap_or(word).to_owned()
}

/// The first number of [`version`].
pub fn major(program: &str) -> u32 {
    numbers(&version(program)).0
}

/// Whether there is a `criu` that can do its work with this kernel, as it says itself.
pub fn has_working_criu() -> bool {
    Command::new("criu").arg("check").output().is_ok_and(|output| output.status.success())
}

/// Whether CRIU has this feature here, in its own words for them.
pub fn criu_has(feature: &str) -> bool {
    Command::new("criu").args(["check", "--feature", feature]).output().is_ok_and(|output| output.status.success())
}

/// Why [`criu_dumps_tcp`] may say no.
pub const NO_TCP: &str = "CRIU older than 4.2 cannot dump a TCP socket of Linux 6.16 or newer";

/// Whether CRIU can dump a TCP socket with this kernel: up to 4.1 it asks it for options that are now those of Unix sockets alone.
pub fn criu_dumps_tcp() -> bool {
    let release = rustix::system::uname();
    let kernel = numbers(&release.release().to_string_lossy());
    !has_program("criu") || numbers(&version("criu")) >= (4, 2) || kernel < (6, 16)
}

/// Why [`has_landlock_scopes`] may say no.
pub const NO_LANDLOCK_SCOPES: &str = "no /usr/bin/python3, or no Landlock of ABI 6 (Linux 6.12, lsm=)";

/// Whether Landlock keeps processes from abstract unix sockets; landlock_create_ruleset(2), number 444, answers the ABI's version.
pub fn has_landlock_scopes() -> bool {
    let version = "import ctypes; assert ctypes.CDLL(None).syscall(444, None, 0, 1) >= 6";
    Command::new(PYTHON_PROGRAM).args(["-c", version]).output().is_ok_and(|output| output.status.success())
}

/// The first two numbers of a version.
fn numbers(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
