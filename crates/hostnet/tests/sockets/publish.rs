//! Published ports: the illusion inside, the truth outside.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use hostnet::NetPlan;
use hostnet::rules::{PortRange, Protocol, Publish, Published};
use rustix::net::{AddressFamily, SocketType};

use crate::contained::{ANY4, ANY6, Cgroup, LOCAL4, LOCAL6, contained, published};
use crate::host;

/// A server at `bind`, and a client of the same cgroup that asks for it at `dial`.
pub(crate) fn talk_tcp(bind: impl Into<IpAddr>, dial: impl Into<IpAddr>, port: u16) {
    let (bind, dial) = (bind.into(), SocketAddr::new(dial.into(), port));
    let server = TcpListener::bind((bind, port)).unwrap();
    assert_eq!(server.local_addr().unwrap(), SocketAddr::new(bind, port));
    let mut client = TcpStream::connect(dial).unwrap();
    assert_eq!(client.peer_addr().unwrap(), dial);
    let (mut accepted, peer) = server.accept().unwrap();
    assert_eq!(peer, accepted.peer_addr().unwrap());
    assert_eq!((accepted.local_addr().unwrap().port(), peer.port()), (port, client.local_addr().unwrap().port()));
    accepted.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn tcp_of_ipv4() {
    contained("publish::tcp_of_ipv4", &published(&[(28_081, 2081, Protocol::Tcp)]), |door| {
        door.enter();
        let server = TcpListener::bind((ANY4, 2081)).unwrap();
        assert!(host::has("tcp", ANY4, 28_081) && !host::has("tcp", ANY4, 2081));
        drop(server);
        talk_tcp(ANY4, LOCAL4, 2081);
        talk_tcp(LOCAL4, LOCAL4, 2081);
        let server = TcpListener::bind((ANY4, 2081)).unwrap();
        TcpStream::connect((ANY4, 2081)).unwrap();
        server.accept().unwrap();
    });
}

#[test]
fn tcp_of_ipv6_and_of_both() {
    contained("publish::tcp_of_ipv6_and_of_both", &published(&[(28_082, 2082, Protocol::Tcp)]), |door| {
        door.enter();
        talk_tcp(ANY6, LOCAL6, 2082);
        talk_tcp(LOCAL6, LOCAL6, 2082);
        // `[::]` of the standard library is for both families.
        talk_tcp(ANY6, LOCAL4, 2082);
        talk_tcp(ANY6, LOCAL4.to_ipv6_mapped(), 2082);
        let _server = TcpListener::bind((ANY6, 2082)).unwrap();
        assert!(host::has("tcp", ANY6, 28_082) && !host::has("tcp", ANY6, 2082));
    });
}

#[test]
fn clients_of_the_host_use_the_hosts_port() {
    contained(
        "publish::clients_of_the_host_use_the_hosts_port",
        &published(&[(28_083, 2083, Protocol::Tcp)]),
        |door| {
            // Somebody else has the container's port on the host; a socket belongs to where it was made.
            let other = TcpListener::bind((ANY4, 2083)).unwrap();
            let outside = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            door.enter();
            let server = TcpListener::bind((ANY4, 2083)).unwrap();
            rustix::net::connect(&outside, &SocketAddr::from((LOCAL4, 28_083))).unwrap();
            let (accepted, _) = server.accept().unwrap();
            assert_eq!(accepted.local_addr().unwrap().port(), 2083);
            let peer = SocketAddr::try_from(rustix::net::getpeername(&outside).unwrap().unwrap()).unwrap();
            assert_eq!(peer.port(), 28_083);
            // Inside, localhost is the container itself and not the other.
            TcpStream::connect((LOCAL4, 2083)).unwrap();
            server.accept().unwrap();
            other.set_nonblocking(true).unwrap();
            assert!(other.accept().is_err());
        },
    );
}

/// A server at `bind`, and clients that ask for it at `dial`, connected and not.
pub(crate) fn talk_udp(bind: impl Into<IpAddr>, dial: impl Into<IpAddr>, port: u16) {
    let (bind, dial) = (bind.into(), SocketAddr::new(dial.into(), port));
    let wildcard = if dial.is_ipv4() { IpAddr::from(ANY4) } else { ANY6.into() };
    let server = UdpSocket::bind((bind, port)).unwrap();
    assert_eq!(server.local_addr().unwrap(), SocketAddr::new(bind, port));
    for connected in [false, true] {
        let client = UdpSocket::bind((wildcard, 0)).unwrap();
        if connected {
            client.connect(dial).unwrap();
            assert_eq!(client.peer_addr().unwrap(), dial);
            client.send(b"ask").unwrap();
        } else {
            client.send_to(b"ask", dial).unwrap();
        }
        let mut buffer = [0; 8];
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(b"answer", from).unwrap();
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"answer"[..], dial));
    }
}

#[test]
fn udp() {
    contained("publish::udp", &published(&[(28_084, 2084, Protocol::Udp)]), |door| {
        door.enter();
        talk_udp(ANY4, LOCAL4, 2084);
        talk_udp(ANY6, LOCAL6, 2084);
        talk_udp(ANY6, LOCAL4.to_ipv6_mapped(), 2084);
        let _server = UdpSocket::bind((ANY4, 2084)).unwrap();
        assert!(host::has("udp", ANY4, 28_084) && !host::has("udp", ANY4, 2084));
        // The rule is of UDP alone.
        let _other = TcpListener::bind((ANY4, 2084)).unwrap();
        assert!(host::has("tcp", ANY4, 2084));
    });
}

#[test]
fn a_range_and_an_address() {
    let range = |first| PortRange { first, last: first + 9 };
    let rule = Published {
        address: Some([127, 0, 0, 3].into()),
        host: range(28_090),
        inside: range(2090),
        protocol: Protocol::Tcp,
    };
    let plan = NetPlan { publish: Publish { rules: vec![rule], auto: false }, ..NetPlan::default() };
    contained("publish::a_range_and_an_address", &plan, |door| {
        door.enter();
        let _first = TcpListener::bind((ANY4, 2090)).unwrap();
        let last = TcpListener::bind((ANY6, 2099)).unwrap();
        assert!(host::has("tcp", [127, 0, 0, 3], 28_090));
        assert!(!host::has("tcp", ANY4, 28_090));
        let mapped = std::net::Ipv4Addr::new(127, 0, 0, 3).to_ipv6_mapped();
        assert!(host::has("tcp", mapped, 28_099));
        assert_eq!(last.local_addr().unwrap().port(), 2099);
        // What the program has narrowed itself stays.
        let _narrow = TcpListener::bind((LOCAL4, 2091)).unwrap();
        assert!(host::has("tcp", LOCAL4, 28_091));
    });
}

#[test]
fn a_hundred_have_the_same_port() {
    contained("publish::a_hundred_have_the_same_port", &NetPlan::default(), |door| {
        let folder = door.enter();
        let mut servers = Vec::new();
        for number in 0..100 {
            let cgroup = folder.join(number.to_string());
            std::fs::create_dir(&cgroup).unwrap();
            let plan = published(&[(29_000 + number, 2106, Protocol::Tcp)]);
            hostnet::attach::apply(&plan, None, std::fs::File::open(&cgroup).unwrap()).unwrap();
            // One process goes from one to the next: a socket stays where it was made.
            std::fs::write(cgroup.join("cgroup.procs"), "0").unwrap();
            servers.push(TcpListener::bind((ANY4, 2106)).unwrap());
            TcpStream::connect((LOCAL4, 2106)).unwrap();
            servers.last().unwrap().accept().unwrap();
        }
        let bound = host::bound("tcp");
        assert!((29_000..29_100).all(|port| bound.contains(&SocketAddr::from((ANY4, port)))), "{bound:?}");
        assert!(servers.iter().all(|server| server.local_addr().unwrap().port() == 2106));
    });
}

#[test]
fn another_network_namespace_is_left_alone() {
    let plan = published(&[(28_085, 2085, Protocol::Tcp)]);
    contained("publish::another_network_namespace_is_left_alone", &plan, |door| {
        door.enter();
        const CLONE_NEWNET: u64 = 0x4000_0000;
        sys::process::unshare(CLONE_NEWNET).unwrap();
        let server = TcpListener::bind((ANY4, 2085)).unwrap();
        assert_eq!(server.local_addr().unwrap().port(), 2085);
        assert_eq!(host::bound("tcp"), [SocketAddr::from((ANY4, 2085))]);
        // The host's port is an ordinary one here.
        let _other = TcpListener::bind((ANY4, 28_085)).unwrap();
    });
}

#[test]
fn nothing_is_left_behind() {
    use std::os::fd::AsFd;
    use sys::bpf::{self, Hook, KernelTypes};
    let mut programs = Vec::new();
    let plan = NetPlan { counters: true, ..published(&[(28_086, 2086, Protocol::Tcp)]) };
    let Some(cgroup) = Cgroup::new("left", &plan, KernelTypes::read()) else { return };
    let directory = std::fs::File::open(&cgroup.0).unwrap();
    for hook in [Hook::Bind4, Hook::Egress] {
        programs.extend(bpf::attached(hook, directory.as_fd()).unwrap());
    }
    assert_eq!(programs.len(), 2);
    let map = bpf::maps_of(bpf::program_by_id(programs[1]).unwrap()).unwrap()[0];
    drop((directory, cgroup));
    // The kernel takes programs off a removed cgroup a moment later.
    let gone = || programs.iter().all(|id| bpf::program_by_id(*id).is_err()) && bpf::Map::by_id(map).is_err();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !gone() {
        assert!(std::time::Instant::now() < deadline, "programs {programs:?} or map {map} are left");
        std::thread::yield_now();
    }
}
