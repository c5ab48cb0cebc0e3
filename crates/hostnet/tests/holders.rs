//! Sockets and cgroups of this machine: who is found to hold a port.
//!
//! Needs root and a cgroup v2 mount; a test that cannot run here says why and passes.
#![allow(clippy::disallowed_methods, reason = "the holder has to be another process")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hostnet::{Holder, Holders, Protocol, Socket, sockets};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Set for the process that the tests look at, which is this program once more.
const SERVE: &str = "HOSTNET_TEST_SERVE";
/// Set for one that asks who holds ports: a container's, and one of a process with many others.
const ASK: &str = "HOSTNET_TEST_ASK";

const ID: &str = "3d3718e30a4e5b6c7d8e9f00112233445566778899aabbccddeeff0011223344";

/// A cgroup of the test, with those above it that the test makes too; removed at the end.
struct Cgroup(PathBuf);

impl Cgroup {
    fn make(hierarchy: &Path, test: &str) -> Cgroup {
        let dir = hierarchy.join(format!("lightship-test-{}-{test}", std::process::id())).join(ID);
        fs::create_dir_all(&dir).unwrap();
        Cgroup(dir)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
        let removed = fs::remove_dir(self.0.parent().unwrap());
        assert!(std::thread::panicking() || removed.is_ok(), "{removed:?}");
    }
}

/// A process that listens on a port; killed at the end.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts it in the cgroup, if one is given.
    fn start(cgroup: Option<&Cgroup>) -> Server {
        let dir = cgroup.map_or_else(|| "/nonexistent".to_owned(), |cgroup| cgroup.0.display().to_string());
        let enter = "if test -d $0; then echo $$ >$0/cgroup.procs || exit 1; fi; exec \"$@\"";
        let exe = std::env::current_exe().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", enter, &dir])
            .arg(exe)
            .args(["--exact", "other_processes_are_no_container", "--nocapture"])
            .env(SERVE, "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // The harness's own words may be on the same line.
        let port = lines.map_while(Result::ok).find_map(|line| line.split_once("port ")?.1.parse().ok());
        Server { process, port: port.expect("the server's port") }
    }

    fn holder(&self, known: HashMap<PathBuf, String>) -> Holder {
        let holder = Holders::new(unified().as_deref(), known).of(&socket_at(self.port));
        assert_eq!(holder.pid, Some(self.process.id() as i32));
        let name = fs::read_to_string(format!("/proc/{}/comm", self.process.id())).unwrap();
        assert_eq!(holder.process.as_deref(), Some(name.trim_end()));
        holder
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server's socket: others may have the same port at another address.
fn socket_at(port: u16) -> Socket {
    let found = sockets(Some(port)).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let is_it = |socket: &&Socket| (socket.protocol, socket.address) == (Protocol::Tcp, address);
    found.iter().find(is_it).unwrap_or_else(|| panic!("no {address} in {found:?}")).clone()
}

fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("\nport {}", listener.local_addr().unwrap().port());
    let _ = std::io::stdin().read(&mut [0]);
}

/// Where cgroup v2 is mounted.
fn unified() -> Option<PathBuf> {
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    places.into_iter().find(|place| place.join("cgroup.procs").exists() && place.join("cgroup.controllers").exists())
}

/// The hierarchy, or the reason why a test cannot be played.
fn writable(hierarchy: Option<PathBuf>) -> Option<PathBuf> {
    let is_writable = |dir: &PathBuf| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
    let found = hierarchy.filter(is_writable);
    if found.is_none() {
        eprintln!("skipped: no writable cgroup hierarchy of that kind");
    }
    found
}

fn id_of(holder: &Holder) -> Option<&str> {
    holder.container.as_ref().map(|container| container.id.as_str())
}

#[test]
fn a_socket_leads_to_its_container_and_process() {
    let Some(unified) = writable(unified()) else { return };
    let cgroup = Cgroup::make(&unified, "container");
    let server = Server::start(Some(&cgroup));
    let holder = server.holder(HashMap::new());
    assert_eq!(id_of(&holder), Some(ID));
    assert!(holder.to_string().starts_with("container 3d3718e30a4e, process "), "{holder}");
    let known = HashMap::from([(cgroup.0.clone(), "web1".to_owned())]);
    assert_eq!(id_of(&server.holder(known)), Some("web1"));
    let pid = server.process.id() as i32;
    for (pids, expected) in [(vec![pid], Some(pid)), (vec![std::process::id() as i32], None)] {
        let holder = Holders::new(Some(&unified), HashMap::new()).within(pids).of(&socket_at(server.port));
        assert_eq!((holder.pid, id_of(&holder)), (expected, Some(ID)));
    }
}

/// What takes time is counted, as times depend on the machine.
#[test]
fn among_ten_thousand_sockets_few_files_are_opened() {
    if let Ok(asked) = std::env::var(ASK) {
        let [server, early, pid] = asked.split(' ').collect::<Vec<_>>()[..] else { panic!("{asked}") };
        let (holders, pid) = (|| Holders::new(unified().as_deref(), HashMap::new()), pid.parse().unwrap());
        assert_eq!(id_of(&holders().of(&socket_at(server.parse().unwrap()))), Some(ID));
        assert_eq!(holders().within(vec![pid]).of(&socket_at(early.parse().unwrap())).pid, Some(pid));
        return;
    }
    let Some(unified) = writable(unified()) else { return };
    if !Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: strace is not installed");
    }
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let early = TcpListener::bind("127.0.0.1:0").unwrap();
    // No container's, and at one port, as the other tests look for their own; with its place at 127.0.0.1 nobody gets it there.
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = first.local_addr().unwrap().port();
    let address = |n: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + n);
    let others: Vec<_> = (0..10_000).map_while(|n| TcpListener::bind((address(n), port)).ok()).collect();
    assert!(others.len() >= 1_000, "{} sockets", others.len());
    let cgroup = Cgroup::make(&unified, "many");
    let server = Server::start(Some(&cgroup));
    let asked = format!("{} {} {}", server.port, early.local_addr().unwrap().port(), std::process::id());
    let mut asking = Command::new("strace");
    asking.args(["-f", "-qq", "-e", "trace=openat,readlinkat,recvmsg,recvfrom"]).arg(std::env::current_exe().unwrap());
    asking.args(["--exact", "among_ten_thousand_sockets_few_files_are_opened"]).env(ASK, asked);
    let output = asking.output().unwrap();
    let calls = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{calls}");
    // With those of the loader and the test itself.
    assert!(calls.lines().count() < 100, "{calls}");
}

#[test]
fn a_process_that_has_left_its_cgroup_is_still_found() {
    let Some(unified) = writable(unified()) else { return };
    let cgroup = Cgroup::make(&unified, "left");
    let server = Server::start(Some(&cgroup));
    fs::write(unified.join("cgroup.procs"), server.process.id().to_string()).unwrap();
    assert_eq!(id_of(&server.holder(HashMap::new())), Some(ID));
    // Nor does it hold the cgroup.
    fs::remove_dir(&cgroup.0).unwrap();
    assert_eq!(id_of(&server.holder(HashMap::new())), None);
}

#[test]
fn a_container_without_a_unified_cgroup_is_found_by_its_process() {
    let Some(pids) = writable(Some("/sys/fs/cgroup/pids".into())) else { return };
    let cgroup = Cgroup::make(&pids, "v1");
    let server = Server::start(Some(&cgroup));
    assert_eq!(id_of(&server.holder(HashMap::new())), Some(ID));
}

#[test]
fn other_processes_are_no_container() {
    if std::env::var_os(SERVE).is_some() {
        return serve();
    }
    let holder = Server::start(None).holder(HashMap::new());
    assert_eq!(holder.container, None);
    assert!(holder.to_string().starts_with("process "), "{holder}");
}
