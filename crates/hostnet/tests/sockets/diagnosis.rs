//! What the diagnosis is told.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};

use hostnet::NetPlan;
use hostnet::programs::{Attempt, Event};
use hostnet::rules::Protocol;

use crate::contained::{ANY4, LOCAL6, contained, published};

#[test]
fn attempts_and_successes() {
    let plan = NetPlan { diagnose: true, ..published(&[(28_151, 2151, Protocol::Tcp)]) };
    contained("diagnosis::attempts_and_successes", &plan, |door| {
        let _taken = TcpListener::bind((ANY4, 28_151)).unwrap();
        let cgroup = File::open(door.enter()).unwrap();
        let mut events = hostnet::programs::events(&cgroup).unwrap().unwrap();
        assert!(TcpListener::bind((ANY4, 2151)).is_err());
        let _other = UdpSocket::bind((LOCAL6, 2152)).unwrap();
        let mut next = || Event::parse(&events.next_record().unwrap()).unwrap();
        let Event::Attempt(failed) = next() else { panic!("the first event is an attempt") };
        let expected =
            Attempt { socket: failed.socket, protocol: 6, inside_port: 2151, host_port: 28_151, address: ANY4.into() };
        assert_eq!(failed, expected);
        let Event::Attempt(second) = next() else { panic!("the failed socket was never bound") };
        assert_eq!((second.protocol, second.inside_port, second.address), (17, 2152, LOCAL6.into()));
        assert_ne!(second.socket, failed.socket);
        assert_eq!(next(), Event::Bound(second.socket));
        assert!(events.next_record().is_none());
    });
}
