//! `publish=auto`: what of the container's is moved, and what must stay.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use hostnet::NetPlan;
use hostnet::programs::moved_port;
use hostnet::rules::{Protocol, Publish};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, ipproto, listen, socket, sockopt};

use crate::contained::{ANY4, ANY6, Door, LOCAL4, LOCAL6, contained};
use crate::host;
use crate::publish::{talk_tcp, talk_udp};

/// Runs `body` as [`contained`] does, with `publish=auto` in force.
fn auto(test: &str, body: impl FnOnce(&Door)) {
    let plan = NetPlan { publish: Publish { rules: Vec::new(), auto: true }, ..NetPlan::default() };
    contained(&format!("auto::{test}"), &plan, body);
}

/// An IPv4 socket that belongs to where this process is now, wherever it is bound later.
fn unbound(kind: SocketType) -> OwnedFd {
    socket(AddressFamily::INET, kind, None).unwrap()
}

fn at(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

/// The port that a socket believes to have.
fn port_of(socket: impl AsFd) -> u16 {
    SocketAddr::try_from(getsockname(socket).unwrap()).unwrap().port()
}

#[test]
fn only_what_somebody_has_is_moved() {
    auto("only_what_somebody_has_is_moved", |door| {
        let _taken4 = TcpListener::bind((ANY4, 2101)).unwrap();
        let _taken_udp = UdpSocket::bind((LOCAL4, 2103)).unwrap();
        let cgroup = std::fs::File::open(door.enter()).unwrap();
        let free = TcpListener::bind((ANY4, 2102)).unwrap();
        assert!(host::has("tcp", ANY4, 2102));
        drop(free);
        talk_tcp(ANY4, LOCAL4, 2102);
        talk_tcp(ANY4, LOCAL4, 2101);
        let before = host::bound("tcp");
        let moved = TcpListener::bind((ANY4, 2101)).unwrap();
        assert_eq!(moved.local_addr().unwrap().port(), 2101);
        // Other tests come and go meanwhile.
        let is_it = |address: &&SocketAddr| moved_port(&cgroup, Protocol::Tcp, address.port()).unwrap() == Some(2101);
        let now = host::bound("tcp");
        assert!(now.iter().filter(|address| !before.contains(address)).any(|address| is_it(&address)), "{now:?}");
        talk_udp(ANY4, LOCAL4, 2103);
        talk_tcp(ANY6, LOCAL6, 2104);
        drop(moved);
        talk_tcp(ANY6, LOCAL6, 2101);
    });
}

#[test]
fn what_is_bound_and_not_listening_is_moved_once_it_listens() {
    auto("what_is_bound_and_not_listening_is_moved_once_it_listens", |door| {
        let holder = unbound(SocketType::STREAM);
        bind(&holder, &at(ANY4, 2110)).unwrap();
        door.enter();
        assert_eq!(TcpListener::bind((ANY4, 2110)).unwrap_err().kind(), ErrorKind::AddrInUse);
        listen(&holder, 1).unwrap();
        talk_tcp(ANY4, LOCAL4, 2110);
    });
}

#[test]
fn what_the_host_takes_meanwhile_is_moved() {
    auto("what_the_host_takes_meanwhile_is_moved", |door| {
        let [first, second] = [(); 2].map(|()| unbound(SocketType::STREAM));
        let udp = unbound(SocketType::DGRAM);
        door.enter();
        drop(TcpListener::bind((ANY4, 2111)).unwrap());
        drop(UdpSocket::bind((ANY4, 2111)).unwrap());
        bind(&first, &at(ANY4, 2111)).unwrap();
        listen(&first, 1).unwrap();
        bind(&udp, &at(ANY4, 2111)).unwrap();
        talk_tcp(ANY4, LOCAL4, 2111);
        talk_udp(ANY4, LOCAL4, 2111);
        // So is what has been moved already, to a port that the host takes as well.
        let moved = TcpListener::bind((ANY4, 2111)).unwrap();
        let elsewhere = host::bound("tcp").into_iter().find(|address| address.port() != 2111).unwrap();
        drop(moved);
        // A connection of before is still in TIME_WAIT there.
        sockopt::set_socket_reuseaddr(&second, true).unwrap();
        bind(&second, &elsewhere).unwrap();
        listen(&second, 1).unwrap();
        talk_tcp(ANY4, LOCAL4, 2111);
        let host = at(LOCAL4, elsewhere.port());
        assert_eq!(TcpStream::connect(host).unwrap().peer_addr().unwrap(), host);
    });
}

#[test]
fn what_stays_takes_no_room() {
    auto("what_stays_takes_no_room", |door| {
        let _taken = UdpSocket::bind((ANY4, 2112)).unwrap();
        door.enter();
        for port in 3000..3600 {
            drop(TcpListener::bind((ANY4, port)).unwrap());
        }
        for port in 3000..3300 {
            drop(UdpSocket::bind((ANY4, port)).unwrap());
        }
        talk_udp(ANY4, LOCAL4, 2112);
    });
}

#[test]
fn an_ipv4_address_of_an_ipv6_socket_is_looked_up_as_one() {
    auto("an_ipv4_address_of_an_ipv6_socket_is_looked_up_as_one", |door| {
        let _taken = TcpListener::bind((LOCAL4, 2113)).unwrap();
        let _taken_udp = UdpSocket::bind((LOCAL4, 2113)).unwrap();
        door.enter();
        talk_tcp(LOCAL4.to_ipv6_mapped(), LOCAL4, 2113);
        talk_tcp(ANY4.to_ipv6_mapped(), LOCAL4, 2113);
        talk_udp(LOCAL4.to_ipv6_mapped(), LOCAL4, 2113);
        talk_tcp(Ipv4Addr::new(127, 0, 0, 9).to_ipv6_mapped(), Ipv4Addr::new(127, 0, 0, 9), 2113);
    });
}

#[test]
fn sockets_of_the_container_share_a_port() {
    auto("sockets_of_the_container_share_a_port", |door| {
        let _taken = TcpListener::bind((ANY4, 2114)).unwrap();
        let _taken_udp = UdpSocket::bind((ANY4, 2114)).unwrap();
        door.enter();
        for (protocol, kind) in [("tcp", SocketType::STREAM), ("udp", SocketType::DGRAM)] {
            for port in [2114, 2115] {
                let before = host::bound(protocol);
                let both = [(); 2].map(|()| {
                    let socket = unbound(kind);
                    sockopt::set_socket_reuseport(&socket, true).unwrap();
                    bind(&socket, &at(ANY4, port)).unwrap();
                    // UDP has nothing to listen for.
                    let _ = listen(&socket, 1);
                    socket
                });
                assert_eq!(both.each_ref().map(port_of), [port; 2]);
                let mut now = host::bound(protocol);
                now.retain(|address| !before.contains(address));
                assert!(now.len() == 2 && now[0] == now[1], "{protocol} {port}: {now:?}");
            }
        }
    });
}

#[test]
fn the_containers_own_port_is_in_the_way() {
    auto("the_containers_own_port_is_in_the_way", |door| {
        let _taken = TcpListener::bind((ANY4, 2116)).unwrap();
        let _taken_udp = UdpSocket::bind((ANY4, 2116)).unwrap();
        door.enter();
        for port in [2116, 2117, 0] {
            let first = TcpListener::bind((ANY4, port)).unwrap();
            let again = first.local_addr().unwrap();
            assert_eq!(TcpListener::bind(again).unwrap_err().kind(), ErrorKind::AddrInUse, "tcp {port}");
            let first = UdpSocket::bind((ANY4, port)).unwrap();
            let again = first.local_addr().unwrap();
            assert_eq!(UdpSocket::bind(again).unwrap_err().kind(), ErrorKind::AddrInUse, "udp {port}");
            assert_eq!(UdpSocket::bind((ANY6, again.port())).unwrap_err().kind(), ErrorKind::AddrInUse, "udp6 {port}");
        }
    });
}

#[test]
fn a_bind_that_fails_leaves_nothing_behind() {
    auto("a_bind_that_fails_leaves_nothing_behind", |door| {
        let _taken = TcpListener::bind((ANY4, 2118)).unwrap();
        let cgroup = std::fs::File::open(door.enter()).unwrap();
        let socket = unbound(SocketType::STREAM);
        let not_here = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(bind(&socket, &at(not_here, 2118)), Err(Errno::ADDRNOTAVAIL));
        bind(&socket, &at(LOCAL4, 0)).unwrap();
        assert_ne!(port_of(&socket), 2118);
        assert_eq!(moved_port(&cgroup, Protocol::Tcp, port_of(&socket)).unwrap(), None);
    });
}

#[test]
fn one_more_than_can_be_moved_is_refused() {
    auto("one_more_than_can_be_moved_is_refused", |door| {
        const ROOM: u16 = 256;
        let ports = 4000..=4000 + ROOM;
        let _taken: Vec<UdpSocket> = ports.clone().map(|port| UdpSocket::bind((ANY4, port)).unwrap()).collect();
        door.enter();
        let mut moved: Vec<UdpSocket> = Vec::new();
        for port in ports.take(ROOM.into()) {
            moved.push(UdpSocket::bind((ANY4, port)).unwrap());
            assert_eq!(port_of(&moved[moved.len() - 1]), port);
        }
        for _again in 0..2 {
            assert_eq!(
                UdpSocket::bind((ANY4, 4000 + ROOM)).unwrap_err().raw_os_error(),
                Some(Errno::PERM.raw_os_error())
            );
        }
        // All else goes on.
        drop(moved.pop());
        talk_udp(ANY4, LOCAL4, 4000 + ROOM - 1);
        talk_udp(ANY4, LOCAL4, 2119);
    });
}

#[test]
fn mptcp_is_tcp() {
    auto("mptcp_is_tcp", |door| {
        let _taken = TcpListener::bind((ANY4, 2120)).unwrap();
        door.enter();
        for port in [2120, 2121] {
            let Ok(first) = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::MPTCP)) else {
                return eprintln!("skipped: this kernel has no MPTCP");
            };
            bind(&first, &at(ANY4, port)).unwrap();
            listen(&first, 1).unwrap();
            assert_eq!(port_of(&first), port);
            assert_eq!(TcpListener::bind((ANY4, port)).unwrap_err().kind(), ErrorKind::AddrInUse);
            TcpStream::connect((LOCAL4, port)).unwrap();
            rustix::net::accept(&first).unwrap();
        }
    });
}

#[test]
fn another_network_namespace_is_left_alone() {
    auto("another_network_namespace_is_left_alone", |door| {
        const CLONE_NEWNET: u64 = 0x4000_0000;
        sys::process::unshare(CLONE_NEWNET).unwrap();
        let _taken = TcpListener::bind((ANY4, 2122)).unwrap();
        let _taken_udp = UdpSocket::bind((ANY4, 2122)).unwrap();
        door.enter();
        assert_eq!(TcpListener::bind((ANY4, 2122)).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(UdpSocket::bind((ANY4, 2122)).unwrap_err().kind(), ErrorKind::AddrInUse);
    });
}
