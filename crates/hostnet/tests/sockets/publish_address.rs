//! Ports that are published at one address, and at one of each family.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;

use hostnet::NetPlan;
use hostnet::rules::{PortRange, Protocol, Publish, Published};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

use crate::contained::{ANY4, ANY6, LOCAL4, LOCAL6, contained, give_every_address};
use crate::host;

/// The `inside` port at each address with its own port of the host, TCP and UDP.
fn at(addresses: &[(IpAddr, u16)], inside: u16) -> NetPlan {
    let one = |port| PortRange { first: port, last: port };
    let rules = addresses.iter().flat_map(|&(address, host)| {
        [Protocol::Tcp, Protocol::Udp].map(|protocol| Published {
            address: Some(address),
            host: one(host),
            inside: one(inside),
            protocol,
        })
    });
    NetPlan { publish: Publish { rules: rules.collect(), auto: false }, ..NetPlan::default() }
}

/// A socket for IPv6 alone on all addresses, as of nginx with `listen [::]:80`.
fn v6_only(kind: SocketType, port: u16) -> Result<OwnedFd, Errno> {
    let socket = socket(AddressFamily::INET6, kind, None)?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    bind(&socket, &SocketAddr::from((ANY6, port)))?;
    Ok(socket)
}

fn listen_v6_only(port: u16) -> Result<TcpListener, Errno> {
    let socket = v6_only(SocketType::STREAM, port)?;
    listen(&socket, 8)?;
    Ok(socket.into())
}

#[test]
fn each_family_has_its_own() {
    let plan = at(&[(LOCAL4.into(), 28_171), (LOCAL6.into(), 28_172)], 2171);
    contained("publish_address::each_family_has_its_own", &plan, |door| {
        door.enter();
        let v4 = TcpListener::bind((ANY4, 2171)).unwrap();
        let v6 = listen_v6_only(2171).unwrap();
        assert!(host::has("tcp", LOCAL4, 28_171) && host::has("tcp", LOCAL6, 28_172));
        for (server, dial) in [
            (&v4, SocketAddr::from((LOCAL4, 2171))),
            (&v4, SocketAddr::from((LOCAL4.to_ipv6_mapped(), 2171))),
            (&v6, SocketAddr::from((LOCAL6, 2171))),
        ] {
            let client = TcpStream::connect(dial).unwrap();
            assert_eq!(client.peer_addr().unwrap(), dial);
            let (accepted, _) = server.accept().unwrap();
            assert_eq!((accepted.local_addr().unwrap().port(), server.local_addr().unwrap().port()), (2171, 2171));
        }
    });
}

#[test]
fn datagrams_of_each_family() {
    let plan = at(&[(LOCAL4.into(), 28_173), (LOCAL6.into(), 28_174)], 2173);
    contained("publish_address::datagrams_of_each_family", &plan, |door| {
        door.enter();
        let v4 = UdpSocket::bind((ANY4, 2173)).unwrap();
        let v6 = UdpSocket::from(v6_only(SocketType::DGRAM, 2173).unwrap());
        assert!(host::has("udp", LOCAL4, 28_173) && host::has("udp", LOCAL6, 28_174));
        for (server, from, dial) in [
            (&v4, IpAddr::from(ANY4), IpAddr::from(LOCAL4)),
            (&v4, ANY6.into(), LOCAL4.to_ipv6_mapped().into()),
            (&v6, ANY6.into(), LOCAL6.into()),
        ] {
            let dial = SocketAddr::new(dial, 2173);
            let client = UdpSocket::bind((from, 0)).unwrap();
            let mut buffer = [0; 8];
            client.send_to(b"ask", dial).unwrap();
            let (_, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(b"answer", from).unwrap();
            assert_eq!(client.recv_from(&mut buffer).unwrap(), (6, dial));
        }
    });
}

/// With `address` of both families it is the same.
#[test]
fn a_socket_for_both_families_has_the_ipv6_address() {
    let plan = at(&[(LOCAL4.into(), 28_175), (LOCAL6.into(), 28_176)], 2175);
    contained("publish_address::a_socket_for_both_families_has_the_ipv6_address", &plan, |door| {
        door.enter();
        let both = TcpListener::bind((ANY6, 2175)).unwrap();
        assert!(host::has("tcp", LOCAL6, 28_176));
        assert_eq!(both.local_addr().unwrap().port(), 2175);
        let _v4 = TcpListener::bind((ANY4.to_ipv6_mapped(), 2175)).unwrap();
        assert!(host::has("tcp", LOCAL4.to_ipv6_mapped(), 28_175));
    });
}

#[test]
fn with_an_ipv4_address_alone_there_is_no_place_for_ipv6_alone() {
    let plan = at(&[(LOCAL4.into(), 28_177)], 2177);
    contained("publish_address::with_an_ipv4_address_alone_there_is_no_place_for_ipv6_alone", &plan, |door| {
        door.enter();
        assert_eq!(listen_v6_only(2177).unwrap_err(), Errno::INVAL);
        let _both = TcpListener::bind((ANY6, 2177)).unwrap();
        assert!(host::has("tcp", LOCAL4.to_ipv6_mapped(), 28_177));
    });
}

#[test]
fn other_addresses_are_not_available() {
    const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
    const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    let plan = at(&[(OWN.into(), 28_178)], 2178);
    contained("publish_address::other_addresses_are_not_available", &plan, |door| {
        give_every_address();
        door.enter();
        let elsewhere = [IpAddr::from(DEVICE), DEVICE.to_ipv6_mapped().into(), "fd00::2".parse().unwrap()];
        for asked in elsewhere {
            let refused = TcpListener::bind((asked, 2178)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable, "{asked}");
            assert_eq!(UdpSocket::bind((asked, 2178)).unwrap_err().kind(), ErrorKind::AddrNotAvailable, "{asked}");
        }
        for asked in [IpAddr::from(OWN), OWN.to_ipv6_mapped().into()] {
            let server = TcpListener::bind((asked, 2178)).unwrap();
            assert!(host::has("tcp", asked, 28_178), "{asked}");
            TcpStream::connect((asked, 2178)).unwrap();
            server.accept().unwrap();
        }
        // What the program keeps to loopback itself is published nowhere else.
        for asked in [IpAddr::from(LOCAL4), LOCAL6.into()] {
            let _server = TcpListener::bind((asked, 2178)).unwrap();
            assert!(host::has("tcp", asked, 28_178), "{asked}");
        }
        // All IPv4 addresses, as IPv6 writes them, are not all of the host's.
        let _mapped = TcpListener::bind((ANY4.to_ipv6_mapped(), 2178)).unwrap();
        assert!(host::has("tcp", OWN.to_ipv6_mapped(), 28_178) && !host::has("tcp", ANY4.to_ipv6_mapped(), 28_178));
    });
}

#[test]
fn of_ipv6_alone() {
    let plan = at(&[(LOCAL6.into(), 28_179)], 2179);
    contained("publish_address::of_ipv6_alone", &plan, |door| {
        door.enter();
        let _v6 = listen_v6_only(2179).unwrap();
        assert!(host::has("tcp", LOCAL6, 28_179));
        for asked in [IpAddr::from(ANY4), ANY4.to_ipv6_mapped().into()] {
            let refused = TcpListener::bind((asked, 2179)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable, "{asked}");
        }
    });
}

#[test]
fn localhost_leads_to_the_address() {
    let elsewhere = Ipv4Addr::new(127, 0, 0, 3);
    let plan = at(&[(elsewhere.into(), 28_181)], 2181);
    contained("publish_address::localhost_leads_to_the_address", &plan, |door| {
        door.enter();
        let server = TcpListener::bind((ANY6, 2181)).unwrap();
        for local in [IpAddr::from(LOCAL4), ANY4.into(), LOCAL6.into(), LOCAL4.to_ipv6_mapped().into()] {
            let client = TcpStream::connect((local, 2181)).unwrap();
            let peer = client.peer_addr().unwrap();
            assert_eq!((peer.ip().to_canonical(), peer.port()), (elsewhere.into(), 2181), "{local}");
            assert_eq!(server.accept().unwrap().0.local_addr().unwrap().port(), 2181);
        }
        let server = UdpSocket::bind((ANY4, 2181)).unwrap();
        let client = UdpSocket::bind((ANY4, 0)).unwrap();
        client.send_to(b"x", (LOCAL4, 2181)).unwrap();
        assert_eq!(server.recv_from(&mut [0; 1]).unwrap().0, 1);
        // Another loopback address is not `localhost`.
        let own = TcpListener::bind(("127.0.0.2", 2181)).unwrap();
        TcpStream::connect(("127.0.0.2", 2181)).unwrap();
        own.accept().unwrap();
    });
}

#[test]
fn an_address_is_its_own_ports_alone() {
    let (one, other) = (Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(192, 0, 2, 2));
    let mut plan = at(&[(one.into(), 28_191)], 2191);
    plan.publish.rules.extend(at(&[(other.into(), 28_192)], 2192).publish.rules);
    contained("publish_address::an_address_is_its_own_ports_alone", &plan, |door| {
        let added = Command::new("ip").args(["address", "add", &other.to_string(), "dev", "lo"]).status().unwrap();
        assert!(added.success());
        let theirs = TcpListener::bind((other, 2191)).unwrap();
        door.enter();
        let client = TcpStream::connect((other, 2191)).unwrap();
        assert_eq!(client.peer_addr().unwrap(), (other, 2191).into());
        theirs.accept().unwrap();
        // Nor does a datagram go where the port is somebody else's.
        let v6 = UdpSocket::bind((ANY6, 0)).unwrap();
        let refused = v6.send_to(b"x", (LOCAL6, 2191)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable);
    });
}
