//! What the diagnosis is told.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};

use hostnet::NetPlan;
use hostnet::programs::{Attempt, Attempts};
use hostnet::rules::Protocol;

use crate::contained::{ANY4, LOCAL6, contained, published};

#[test]
fn attempts_without_success() {
    let plan = NetPlan { diagnose: true, ..published(&[(28_151, 2151, Protocol::Tcp)]) };
    contained("diagnosis::attempts_without_success", &plan, |door| {
        let _taken = (TcpListener::bind((ANY4, 28_151)).unwrap(), UdpSocket::bind((LOCAL6, 2152)).unwrap());
        let cgroup = File::open(door.enter()).unwrap();
        let maps = Attempts::find(&cgroup).unwrap().unwrap();
        let attempts = || Attempt::read(&maps.table).unwrap();
        // Those that succeed are struck out, and "any free port" was none.
        let _bound = (TcpListener::bind((ANY4, 2153)).unwrap(), UdpSocket::bind((LOCAL6, 0)).unwrap());
        assert_eq!(attempts(), []);
        assert!(TcpListener::bind((ANY4, 2151)).is_err());
        assert!(UdpSocket::bind((LOCAL6, 2152)).is_err());
        let mut failed = attempts();
        failed.sort_unstable_by_key(|attempt| attempt.inside_port);
        let [tcp, udp] = &failed[..] else { panic!("{failed:?}") };
        let expected =
            Attempt { socket: tcp.socket, protocol: 6, inside_port: 2151, host_port: 28_151, address: ANY4.into() };
        assert_eq!(*tcp, expected);
        assert_eq!((udp.protocol, udp.inside_port, udp.host_port, udp.address), (17, 2152, 2152, LOCAL6.into()));
        assert_ne!(udp.socket, tcp.socket);
    });
}
