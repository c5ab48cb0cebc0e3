//! Allow lists, and low ports without a capability.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};

use hostnet::NetPlan;
use hostnet::rules::{AllowedBind, AllowedConnect, Network, PortRange, Protocol};

use crate::contained::{ANY4, ANY6, LOCAL4, LOCAL6, contained};

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
