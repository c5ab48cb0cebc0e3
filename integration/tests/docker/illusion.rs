//! What a program in a container sees of its published ports, and what it leaves: unmodified servers of three kinds, networks
//! inside the container, and the kernel's objects afterwards.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use integration::container::Container;
use integration::image::{self, BUSYBOX, NGINX, PYTHON, REDIS};
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};
use integration::{cgroup, host};
use sys::bpf::{self, Hook, Map};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let ours = "settings of host networking are lightship's own";
    let no_redis = !host::has_program("redis-server") || !host::has_program("redis-cli");
    let scenes = vec![
        scene!(two_databases_have_the_same_port)
            .peer_cannot(ours)
            .skip_if(no_redis, "redis is not installed (packages redis-server, redis-tools)"),
        scene!(dual_stack_and_datagrams_have_the_same_port)
            .peer_cannot(ours)
            .skip_if(!Path::new(image::PYTHON_PROGRAM).exists(), "no /usr/bin/python3 (package python3)"),
        scene!(network_inside_the_container_is_left_alone).peer_cannot(ours),
        scene!(programs_and_maps_go_with_the_container).peer_cannot(ours),
    ];
    scenes.into_iter().map(Scene::needs_unified).collect()
}

/// A container that shows the host its `inside` port at `outside`, TCP and UDP.
fn start(stage: &Stage, name: &str, (outside, inside): (u16, u16), rest: &[&str]) -> Container {
    let container = stage.docker.container(name);
    let publish = format!("LIGHTSHIP_NET_PUBLISH={outside}:{inside},{outside}:{inside}/udp");
    container.start_detached(&[&["--network", "host", "-e", &publish], rest].concat());
    container
}

fn two_databases_have_the_same_port(stage: &Stage) {
    image::import_redis(&stage.docker, &stage.daemon.folder);
    let ports = [host::free_port(), host::free_port()];
    let databases = ports.map(|port| start(stage, "redis", (port, 6379), &[REDIS]));
    for (database, port) in databases.iter().zip(ports) {
        database.logs_show("Ready to accept connections");
        // The client is as unmodified as the server.
        assert_eq!(database.exec(&["redis-cli", "set", "me", &database.name]), "OK");
        assert!(database.exec(&["redis-cli", "info", "server"]).contains("tcp_port:6379"));
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_eq!(said(stream, "GET me\r\n").lines().nth(1), Some(database.name.as_str()));
    }
    assert_eq!(databases[0].exec(&["redis-cli", "get", "me"]), databases[0].name);
}

/// What a server answers to a line, as far as one read goes.
fn said(mut stream: TcpStream, line: &str) -> String {
    use std::io::Write;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    let mut buffer = [0; 512];
    let length = stream.read(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Answers over TCP and UDP with its own port and the other side's, on one socket of each for IPv4 and IPv6.
const SERVER: &str = r#"
import socket, selectors
def bound(kind):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", 7))
    return s
tcp, udp = bound(socket.SOCK_STREAM), bound(socket.SOCK_DGRAM)
tcp.listen()
ready = selectors.DefaultSelector()
for s in tcp, udp: ready.register(s, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in ready.select():
        if key.fileobj is tcp:
            c, peer = tcp.accept()
            c.sendall(f"tcp {c.getsockname()[1]} {peer[1]} {c.getpeername()[1]}".encode())
            c.close()
        else:
            _, peer = udp.recvfrom(64)
            udp.sendto(f"udp {udp.getsockname()[1]} {peer[1]} -".encode(), peer)
"#;

/// Asks the server for both protocols and families, and prints from which port the answer came.
const CLIENT: &str = r#"
import socket
for family, address in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"):
    c = socket.socket(family, socket.SOCK_STREAM)
    c.connect((address, 7))
    print(c.recv(64).decode().split()[1], c.getpeername()[1])
    u = socket.socket(family, socket.SOCK_DGRAM)
    u.sendto(b"x", (address, 7))
    answer, source = u.recvfrom(64)
    print(answer.decode().split()[1], source[1])
"#;

fn dual_stack_and_datagrams_have_the_same_port(stage: &Stage) {
    image::import_python(&stage.docker, &stage.daemon.folder, SERVER);
    let ports = [host::free_port(), host::free_port()];
    let servers = ports.map(|port| start(stage, "python", (port, 7), &[PYTHON]));
    for (server, port) in servers.iter().zip(ports) {
        server.logs_show("ready");
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let address = SocketAddr::new(address, port);
            let stream = TcpStream::connect(address).unwrap();
            let own = stream.local_addr().unwrap().port();
            assert_eq!(said(stream, ""), format!("tcp 7 {own} {own}"));
            let (own, answer, source) = datagram(address);
            assert_eq!((answer, source), (format!("udp 7 {own} -"), address));
        }
        // A command in the container goes to port 7 and gets its answers from there.
        assert_eq!(server.exec(&["python3", "-S", "-c", CLIENT]), ["7 7"; 4].join("\n"));
    }
}

/// The own port, the answer, and where that came from.
fn datagram(address: SocketAddr) -> (u16, String, SocketAddr) {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(b"x", address).unwrap();
    let mut buffer = [0; 64];
    let (length, source) = socket.recv_from(&mut buffer).unwrap();
    let own = socket.local_addr().unwrap().port();
    (own, String::from_utf8_lossy(&buffer[..length]).into_owned(), source)
}

/// /proc/net/tcp shows ports as they are, whoever reads it.
fn network_inside_the_container_is_left_alone(stage: &Stage) {
    let port = host::free_port();
    let options = ["--privileged", BUSYBOX, "sleep", "1000"];
    let container = start(stage, "nested", (port, 80), &options);
    let listens = "nc -l -p 80 & trap 'kill %1' EXIT; while ! netstat -ltn | grep -E \":(80|$0) \"; do :; done";
    let there = |shell: &[&str]| container.exec(&[shell, &["sh", "-c", listens, &port.to_string()]].concat());
    let nested = there(&["unshare", "-n"]);
    assert!(nested.contains(":80 ") && !nested.contains(&format!(":{port} ")), "{nested}");
    let own = there(&[]);
    assert!(own.contains(&format!(":{port} ")), "{own}");
}

/// All hooks that lightship has programs for.
const HOOKS: [Hook; 18] = [
    Hook::Ingress,
    Hook::Egress,
    Hook::Bind4,
    Hook::Bind6,
    Hook::Connect4,
    Hook::Connect6,
    Hook::PostBind4,
    Hook::PostBind6,
    Hook::SendMsg4,
    Hook::SendMsg6,
    Hook::Sysctl,
    Hook::RecvMsg4,
    Hook::RecvMsg6,
    Hook::GetPeerName4,
    Hook::GetPeerName6,
    Hook::GetSockName4,
    Hook::GetSockName6,
    Hook::SockRelease,
];

fn programs_and_maps_go_with_the_container(stage: &Stage) {
    let container = stage.docker.container("leaves");
    let (auto, guard) = ("LIGHTSHIP_NET_PUBLISH=auto", "LIGHTSHIP_NET_GUARD=on");
    container.start_detached(&["--network", "host", "-e", auto, "-e", guard, NGINX]);
    let directory = std::fs::File::open(cgroup::directory_of(container.pid(), "cgroup2")).unwrap();
    let mut programs: Vec<u32> = Vec::new();
    for hook in HOOKS {
        let attached = bpf::attached(hook, &directory).unwrap();
        assert_eq!(attached.len(), 1, "{}", hook.name());
        programs.extend(attached);
    }
    let program = |id: u32| -> std::io::Result<OwnedFd> { bpf::program_by_id(id) };
    let mut maps: Vec<u32> = programs.iter().flat_map(|&id| bpf::maps_of(program(id).unwrap()).unwrap()).collect();
    maps.sort_unstable();
    maps.dedup();
    assert_eq!(maps.len(), 5, "counters, moved ports, sockets, attempts, failed attempts");
    drop(directory);
    container.verb(&["rm", "-f"]).ok();
    // A link would keep its program. The kernel lets go of both a moment after the directory.
    eventually(PATIENCE, "all programs and maps to be gone", || {
        let left = programs.iter().filter(|&&id| program(id).is_ok()).count()
            + maps.iter().filter(|&&id| Map::by_id(id).is_ok()).count();
        (left == 0).then_some(())
    });
}
