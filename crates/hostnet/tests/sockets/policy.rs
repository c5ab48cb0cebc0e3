//! Allow lists, and low ports without a capability.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use hostnet::NetPlan;
use hostnet::rules::{Addresses, AllowedBind, AllowedConnect, Network, PortRange, Protocol};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RawProtocol, SocketFlags, SocketType, socket_with};

use crate::contained::{ANY4, ANY6, LOCAL4, LOCAL6, contained, new_network, published};

fn denied<T>(what: std::io::Result<T>) -> bool {
    what.err().is_some_and(|error| error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()))
}

#[test]
fn bind_only_what_is_listed() {
    let ports = |first, last, protocol| AllowedBind { ports: PortRange { first, last }, protocol };
    let rules = vec![ports(2121, 2125, Some(Protocol::Tcp)), ports(2130, 2130, None)];
    contained("policy::bind_only_what_is_listed", &NetPlan { allow_bind: Some(rules), ..NetPlan::default() }, |door| {
        door.enter();
        for port in [2121, 2123, 2125, 2130, 0] {
            TcpListener::bind((ANY4, port)).unwrap();
            TcpListener::bind((ANY6, port)).unwrap();
        }
        for port in [2120, 2126, 2129, 2131, 65_535, 1] {
            assert!(denied(TcpListener::bind((ANY4, port))), "{port}");
            assert!(denied(TcpListener::bind((ANY6, port))), "{port}");
        }
        UdpSocket::bind((ANY4, 2130)).unwrap();
        assert!(denied(UdpSocket::bind((ANY4, 2121))));
    });
}

#[test]
fn connect_only_to_what_is_listed() {
    let network = |address, prefix| Some(Network { address, prefix });
    let one = |port| PortRange { first: port, last: port };
    let rules = vec![
        AllowedConnect { network: network([127, 0, 0, 0].into(), 8), ports: one(2141), protocol: Some(Protocol::Tcp) },
        AllowedConnect { network: network(LOCAL6.into(), 128), ports: one(2142), protocol: None },
        AllowedConnect { network: None, ports: one(2143), protocol: Some(Protocol::Udp) },
    ];
    let plan = NetPlan { allow_connect: Some(rules), ..NetPlan::default() };
    contained("policy::connect_only_to_what_is_listed", &plan, |door| {
        let _servers = [2141, 2142, 2143].map(|port| TcpListener::bind((ANY6, port)).unwrap());
        door.enter();
        TcpStream::connect((LOCAL4, 2141)).unwrap();
        TcpStream::connect(("127.3.4.5", 2141)).unwrap();
        TcpStream::connect((LOCAL4.to_ipv6_mapped(), 2141)).unwrap();
        TcpStream::connect((LOCAL6, 2142)).unwrap();
        for port in [2140, 2142, 2143] {
            assert!(denied(TcpStream::connect((LOCAL4, port))), "{port}");
        }
        assert!(denied(TcpStream::connect((LOCAL6, 2141))) && denied(TcpStream::connect((LOCAL6, 2143))));
        for (from, to) in [(ANY4.into(), LOCAL4.into()), (std::net::IpAddr::from(ANY6), std::net::IpAddr::from(LOCAL6))]
        {
            let socket = UdpSocket::bind((from, 0)).unwrap();
            socket.send_to(b"x", (to, 2143)).unwrap();
            assert!(denied(socket.send_to(b"x", (to, 2141))) && denied(socket.connect((to, 2141))));
        }
    });
}

#[test]
fn a_list_holds_where_the_environment_moves_ports_and_addresses() {
    let to = |address: [u8; 4], first, last| AllowedConnect {
        network: Some(Network { address: address.into(), prefix: 32 }),
        ports: PortRange { first, last },
        protocol: None,
    };
    let list = Some(vec![to([127, 0, 0, 1], 2151, 2152), to([127, 0, 0, 1], 2162, 2162)]);
    let test = "policy::a_list_holds_where_the_environment_moves_ports_and_addresses";
    let rules = published(&[(2161, 2151, Protocol::Tcp), (2162, 2152, Protocol::Tcp), (2161, 2151, Protocol::Udp)]);
    let plan = NetPlan { allow_connect: list.clone(), list_holds_where_moved: true, ..rules };
    contained(test, &plan, |door| {
        let _servers = [2161, 2162].map(|port| TcpListener::bind((ANY4, port)).unwrap());
        door.enter();
        assert!(denied(TcpStream::connect((LOCAL4, 2161))) && denied(TcpStream::connect((LOCAL4, 2151))));
        assert!(denied(TcpStream::connect((LOCAL4.to_ipv6_mapped(), 2151))));
        TcpStream::connect((LOCAL4, 2152)).unwrap();
        let socket = UdpSocket::bind((ANY4, 0)).unwrap();
        assert!(denied(socket.send_to(b"x", (LOCAL4, 2151))) && denied(socket.connect((LOCAL4, 2151))));
    });
}

#[test]
fn a_list_holds_at_the_address_that_the_environment_chooses() {
    let local = Network { address: LOCAL4.into(), prefix: 32 };
    let list = vec![AllowedConnect { network: Some(local), ports: PortRange::ALL, protocol: None }];
    let address = Some(Addresses { v4: Some([127, 0, 0, 7].into()), v6: None });
    let plan = NetPlan { allow_connect: Some(list), address, list_holds_where_moved: true, ..NetPlan::default() };
    contained("policy::a_list_holds_at_the_address_that_the_environment_chooses", &plan, |door| {
        let _server = TcpListener::bind((ANY4, 2171)).unwrap();
        door.enter();
        assert!(denied(TcpStream::connect((LOCAL4, 2171))));
    });
}

#[test]
fn under_a_list_there_are_no_sockets_that_it_does_not_see() {
    const UDP_LITE: Kind = Kind(136, SocketType::DGRAM);
    const RAW_TCP: Kind = Kind(6, SocketType::RAW);
    const RAW: Kind = Kind(255, SocketType::RAW);
    const TCP: Kind = Kind(0, SocketType::STREAM);
    const UDP: Kind = Kind(0, SocketType::DGRAM);
    const PING: Kind = Kind(1, SocketType::DGRAM);
    const RAW_PING: Kind = Kind(1, SocketType::RAW);
    let plan = NetPlan { allow_connect: Some(Vec::new()), ..NetPlan::default() };
    contained("policy::under_a_list_there_are_no_sockets_that_it_does_not_see", &plan, |door| {
        let sockets = [UDP_LITE, RAW_TCP, RAW, TCP, UDP, PING, RAW_PING];
        let outside = sockets.map(|kind| kind.open(AddressFamily::INET).is_ok());
        door.enter();
        for (kind, there) in sockets.into_iter().zip(outside) {
            for family in [AddressFamily::INET, AddressFamily::INET6] {
                let opened = kind.open(family);
                match kind {
                    TCP | UDP | PING => assert_eq!(opened.is_ok(), there, "{kind:?} {family:?}"),
                    _ if there => assert_eq!(opened.err(), Some(Errno::PERM), "{kind:?} {family:?}"),
                    // Newer kernels have no UDP-Lite.
                    _ => assert!(opened.is_err(), "{kind:?} {family:?}"),
                }
            }
        }
        // Of a network that the container has made for itself nothing is said.
        new_network().unwrap();
        assert_eq!(RAW.open(AddressFamily::INET).is_ok(), outside[2]);
    });
}

/// A protocol's number, and the type of its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind(u32, SocketType);

impl Kind {
    fn open(self, family: AddressFamily) -> Result<OwnedFd, Errno> {
        let protocol = RawProtocol::new(self.0).map(rustix::net::Protocol::from_raw);
        socket_with(family, self.1, SocketFlags::CLOEXEC, protocol)
    }
}

#[test]
fn a_low_port_takes_no_capability() {
    contained("policy::a_low_port_takes_no_capability", &NetPlan { low_ports: true, ..NetPlan::default() }, |door| {
        let nobody = rustix::fs::Uid::from_raw(65_534);
        rustix::thread::set_thread_res_uid(nobody, nobody, rustix::fs::Uid::ROOT).unwrap();
        assert_eq!(TcpListener::bind((ANY4, 613)).unwrap_err().kind(), ErrorKind::PermissionDenied);
        let back = rustix::fs::Uid::ROOT;
        rustix::thread::set_thread_res_uid(back, back, back).unwrap();
        door.enter();
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        TcpListener::bind((ANY4, 613)).unwrap();
        TcpListener::bind((ANY6, 613)).unwrap();
        UdpSocket::bind((ANY4, 613)).unwrap();
    });
}
