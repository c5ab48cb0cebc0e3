//! What the diagnosis is told.

use std::fs::File;
use std::net::{IpAddr, TcpListener, UdpSocket};

use hostnet::NetPlan;
use hostnet::programs::{Attempt, Attempts, Counters};
use hostnet::rules::Protocol;

use crate::contained::{ANY4, ANY6, LOCAL4, LOCAL6, contained, published};

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
        let expected = |protocol, inside_port, host_port, address| Attempt {
            protocol,
            inside_port,
            host_port,
            address,
            number: 1,
        };
        assert_eq!(failed, [expected(6, 2151, 28_151, ANY4.into()), expected(17, 2152, 2152, LOCAL6.into())]);
    });
}

#[test]
fn of_several_addresses_each_counts_for_itself() {
    let plan = NetPlan { diagnose: true, ..NetPlan::default() };
    contained("diagnosis::of_several_addresses_each_counts_for_itself", &plan, |door| {
        let addresses: [IpAddr; 3] = [LOCAL4.into(), ANY6.into(), LOCAL4.to_ipv6_mapped().into()];
        let taken = addresses.map(|address| UdpSocket::bind((address, 0)).unwrap());
        let ports = taken.each_ref().map(|socket| socket.local_addr().unwrap().port());
        let cgroup = File::open(door.enter()).unwrap();
        let maps = Attempts::find(&cgroup).unwrap().unwrap();
        for (address, port) in addresses.into_iter().zip(ports) {
            assert!(UdpSocket::bind((address, port)).is_err());
            // What succeeds afterwards is another protocol's.
            TcpListener::bind((address, port)).unwrap();
        }
        // And another address's.
        UdpSocket::bind(("127.0.0.2", ports[0])).unwrap();
        let mut failed: Vec<_> = Attempt::read(&maps.table).unwrap();
        failed.sort_unstable_by_key(|attempt| ports.iter().position(|port| *port == attempt.host_port));
        let failed: Vec<_> = failed.iter().map(|attempt| (attempt.protocol, attempt.host_port)).collect();
        assert_eq!(failed, ports.map(|port| (17, port)));
        // One that succeeds in the end has not failed.
        drop(taken);
        let _bound = UdpSocket::bind((addresses[0], ports[0])).unwrap();
        assert_eq!(Attempt::read(&maps.table).unwrap().len(), 2);
    });
}

#[test]
fn below_programs_that_bind_elsewhere_there_is_none() {
    let outer = published(&[(28_154, 2154, Protocol::Tcp)]);
    contained("diagnosis::below_programs_that_bind_elsewhere_there_is_none", &outer, |door| {
        let inner = door.enter().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let inner = File::open(inner).unwrap();
        hostnet::attach::apply(&NetPlan { diagnose: true, counters: true, ..NetPlan::default() }, &inner).unwrap();
        assert!(Attempts::find(&inner).unwrap().is_none());
        assert!(Counters::read(&inner).unwrap().is_some());
    });
}
