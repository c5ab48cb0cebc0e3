//! Confinement to an address.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use hostnet::NetPlan;
use hostnet::rules::{Addresses, Protocol};

use crate::contained::{ANY4, ANY6, LOCAL4, LOCAL6, contained, give_every_address, published};
use crate::host;

const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

fn plan(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> NetPlan {
    NetPlan { address: Some(Addresses { v4, v6 }), ..NetPlan::default() }
}

#[test]
fn two_servers_have_the_same_port() {
    contained("address::two_servers_have_the_same_port", &plan(Some(OWN), None), |door| {
        let _other = TcpListener::bind((LOCAL4, 2111)).unwrap();
        door.enter();
        for asked in [ANY4, LOCAL4, OWN] {
            let server = TcpListener::bind((asked, 2111)).unwrap();
            assert!(host::has("tcp", OWN, 2111), "{asked}");
            TcpStream::connect((LOCAL4, 2111)).unwrap();
            server.accept().unwrap();
        }
        let both = TcpListener::bind((ANY6, 2111)).unwrap();
        assert!(host::has("tcp", OWN.to_ipv6_mapped(), 2111));
        TcpStream::connect((LOCAL6, 2111)).unwrap();
        both.accept().unwrap();
    });
}

#[test]
fn other_addresses_are_not_available() {
    contained("address::other_addresses_are_not_available", &plan(Some(OWN), None), |door| {
        give_every_address();
        door.enter();
        let refused = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        refused(TcpListener::bind(("192.0.2.2", 2112)).unwrap_err());
        refused(UdpSocket::bind(("fd00::2", 2112)).unwrap_err());
        refused(UdpSocket::bind(("::ffff:192.0.2.2", 2112)).unwrap_err());
        // Nor would connecting to it lead to the container.
        refused(TcpListener::bind(("127.0.0.2", 2112)).unwrap_err());
        refused(TcpListener::bind(("::ffff:127.0.0.2", 2112)).unwrap_err());
        for asked in [LOCAL4, OWN, ANY4].map(|asked| asked.to_ipv6_mapped()) {
            let server = TcpListener::bind((asked, 2112)).unwrap();
            TcpStream::connect((asked, 2112)).unwrap();
            server.accept().unwrap();
        }
    });
}

#[test]
fn of_ipv6_alone() {
    contained("address::of_ipv6_alone", &plan(None, Some(LOCAL6)), |door| {
        door.enter();
        let server = TcpListener::bind((ANY6, 2113)).unwrap();
        assert!(host::has("tcp", LOCAL6, 2113));
        TcpStream::connect((LOCAL6, 2113)).unwrap();
        server.accept().unwrap();
        assert_eq!(TcpListener::bind((ANY4, 2113)).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    });
}

/// As with a resolver of the host's at 127.0.0.53 and a port 53 of the container's that is elsewhere.
#[test]
fn the_hosts_other_loopback_addresses_stay_in_reach() {
    let plan = NetPlan { address: plan(Some(OWN), None).address, ..published(&[(28_114, 2114, Protocol::Tcp)]) };
    contained("address::the_hosts_other_loopback_addresses_stay_in_reach", &plan, |door| {
        let host = TcpListener::bind(("127.0.0.53", 2114)).unwrap();
        door.enter();
        let server = TcpListener::bind((ANY4, 2114)).unwrap();
        assert!(host::has("tcp", OWN, 28_114));
        TcpStream::connect(("127.0.0.53", 2114)).unwrap();
        host.accept().unwrap();
        for own in [LOCAL4, OWN, ANY4] {
            let client = TcpStream::connect((own, 2114)).unwrap();
            assert_eq!(client.peer_addr().unwrap(), SocketAddr::from((OWN, 2114)));
            server.accept().unwrap();
        }
    });
}
