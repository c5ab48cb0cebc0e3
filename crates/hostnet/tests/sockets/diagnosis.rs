//! What the diagnosis is told.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use hostnet::NetPlan;
use hostnet::programs::{Attempt, Attempts, Counters};
use hostnet::rules::Protocol;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};

use sys::bpf::{self, Hook, KernelTypes};

use crate::contained::{ANY4, ANY6, Cgroup, LOCAL4, LOCAL6, contained, new_network, published};

fn diagnosed() -> NetPlan {
    NetPlan { diagnose: true, ..NetPlan::default() }
}

/// The failed attempts of a cgroup since they were last asked for.
fn records(cgroup: &Path) -> impl Fn() -> Vec<Attempt> {
    let records = Attempts::find_records(File::open(cgroup).unwrap()).unwrap().unwrap();
    move || Attempt::take(&records).unwrap()
}

fn attempt(protocol: u8, inside_port: u16, host_port: u16, address: impl Into<IpAddr>) -> Attempt {
    Attempt { protocol, inside_port, host_port, address: address.into() }
}

fn tcp_attempt(port: u16) -> Attempt {
    attempt(6, port, port, ANY4)
}

fn tcp() -> OwnedFd {
    socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn any4(port: u16) -> SocketAddr {
    (ANY4, port).into()
}

#[test]
fn what_has_failed_is_told() {
    let plan = NetPlan { diagnose: true, ..published(&[(28_151, 2151, Protocol::Tcp)]) };
    contained("diagnosis::what_has_failed_is_told", &plan, |door| {
        let _taken = (TcpListener::bind((ANY4, 28_151)).unwrap(), UdpSocket::bind((LOCAL6, 2152)).unwrap());
        let failed = records(door.enter());
        // What succeeds is not, and "any free port" is none.
        drop((TcpListener::bind((ANY4, 2153)).unwrap(), UdpSocket::bind((LOCAL6, 0)).unwrap()));
        assert_eq!(failed(), []);
        assert!(TcpListener::bind((ANY4, 2151)).is_err());
        assert!(UdpSocket::bind((LOCAL6, 2152)).is_err());
        assert_eq!(failed(), [attempt(6, 2151, 28_151, ANY4), attempt(17, 2152, 2152, LOCAL6)]);
        assert_eq!(failed(), []);
    });
}

#[test]
fn of_several_addresses_each_counts_for_itself() {
    contained("diagnosis::of_several_addresses_each_counts_for_itself", &diagnosed(), |door| {
        let addresses: [IpAddr; 3] = [LOCAL4.into(), ANY6.into(), LOCAL4.to_ipv6_mapped().into()];
        let taken = addresses.map(|address| UdpSocket::bind((address, 0)).unwrap());
        let ports = taken.each_ref().map(|socket| socket.local_addr().unwrap().port());
        let failed = records(door.enter());
        for (address, port) in addresses.into_iter().zip(ports) {
            assert!(UdpSocket::bind((address, port)).is_err());
            TcpListener::bind((address, port)).unwrap();
        }
        UdpSocket::bind(("127.0.0.2", ports[0])).unwrap();
        let expected = [(LOCAL4.into(), ports[0]), (addresses[1], ports[1]), (LOCAL4.into(), ports[2])];
        assert_eq!(failed(), expected.map(|(address, port)| attempt(17, port, port, address)));
    });
}

#[test]
fn a_socket_that_tries_again_has_failed_before() {
    contained("diagnosis::a_socket_that_tries_again_has_failed_before", &diagnosed(), |door| {
        let taken = [2161, 2162].map(|port| TcpListener::bind((ANY4, port)).unwrap());
        let failed = records(door.enter());
        let socket = tcp();
        assert!(bind(&socket, &any4(2161)).is_err());
        assert_eq!(failed(), []);
        assert!(bind(&socket, &any4(2162)).is_err());
        assert_eq!(failed(), [tcp_attempt(2161)]);
        bind(&socket, &any4(2163)).unwrap();
        assert_eq!(failed(), [tcp_attempt(2162)]);
        // Now it has a port, and gets no other one.
        assert!(bind(&socket, &any4(2161)).is_err());
        drop((socket, taken));
        assert_eq!(failed(), []);
        // One that takes any free port in the end.
        let _taken = TcpListener::bind((ANY4, 2161)).unwrap();
        let socket = tcp();
        assert!(bind(&socket, &any4(2161)).is_err());
        bind(&socket, &any4(0)).unwrap();
        drop(socket);
        assert_eq!(failed(), [tcp_attempt(2161)]);
    });
}

#[test]
fn many_sockets_at_once() {
    contained("diagnosis::many_sockets_at_once", &diagnosed(), |door| {
        let _taken = TcpListener::bind((ANY4, 2164)).unwrap();
        let failed = records(door.enter());
        let sockets: Vec<OwnedFd> = (0..500).map(|_| tcp()).collect();
        let (before, rest) = sockets.split_at(1);
        assert!(bind(&before[0], &any4(2164)).is_err());
        // Sockets that share a port by agreement have it all the same.
        let (shared, after) = rest.split_at(498);
        for socket in shared {
            sockopt::set_socket_reuseport(socket, true).unwrap();
            bind(socket, &any4(2165)).unwrap();
        }
        assert!(bind(&after[0], &any4(2164)).is_err());
        drop(sockets);
        // The row of the first may have become another one's meanwhile; the last one has its own.
        let failed = failed();
        assert!(
            matches!(failed.len(), 1 | 2) && failed.iter().all(|failed| *failed == tcp_attempt(2164)),
            "{failed:?}"
        );
    });
}

#[test]
fn a_process_that_keeps_its_socket_is_explained_at_its_end() {
    contained("diagnosis::a_process_that_keeps_its_socket_is_explained_at_its_end", &diagnosed(), |door| {
        let _taken = TcpListener::bind((ANY4, 2166)).unwrap();
        let failed = records(door.enter());
        let socket = tcp();
        assert!(bind(&socket, &any4(2166)).is_err());
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(socket).spawn().unwrap();
        assert_eq!(failed(), []);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(failed(), [tcp_attempt(2166)]);
    });
}

#[test]
fn mptcp_is_explained_as_tcp_is() {
    contained("diagnosis::mptcp_is_explained_as_tcp_is", &diagnosed(), |door| {
        let socket = || {
            let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
            socket_with(family, kind, SocketFlags::CLOEXEC, Some(ipproto::MPTCP))
        };
        if let Err(error) = socket() {
            return eprintln!("skipped: there is no MPTCP here: {error}");
        }
        let _taken = TcpListener::bind((ANY4, 2167)).unwrap();
        let failed = records(door.enter());
        bind(socket().unwrap(), &any4(2168)).unwrap();
        assert_eq!(failed(), []);
        assert!(bind(socket().unwrap(), &any4(2167)).is_err());
        assert_eq!(failed(), [tcp_attempt(2167)]);
    });
}

#[test]
fn another_network_namespace_is_left_alone() {
    contained("diagnosis::another_network_namespace_is_left_alone", &diagnosed(), |door| {
        let failed = records(door.enter());
        new_network().unwrap();
        let _taken = TcpListener::bind((ANY4, 2169)).unwrap();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, 2169)).is_err());
        let socket = tcp();
        assert!(bind(&socket, &any4(2169)).is_err());
        assert!(bind(&socket, &any4(2169)).is_err());
        drop(socket);
        assert_eq!(failed(), []);
    });
}

#[test]
fn below_programs_that_bind_elsewhere_there_is_none() {
    let outer = published(&[(28_154, 2154, Protocol::Tcp)]);
    contained("diagnosis::below_programs_that_bind_elsewhere_there_is_none", &outer, |door| {
        let inner = door.enter().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let inner = File::open(inner).unwrap();
        hostnet::attach::apply(&NetPlan { diagnose: true, counters: true, ..NetPlan::default() }, None, &inner)
            .unwrap();
        assert!(Attempts::find_records(&inner).unwrap().is_none());
        assert!(Counters::read(&inner).unwrap().is_some());
    });
}

#[test]
fn with_the_kernels_types_nothing_runs_after_bind() {
    let types = KernelTypes::read();
    if types.is_none() {
        return eprintln!("skipped: this kernel does not tell the types that programs need");
    }
    for (name, types, after_bind) in [("typed", types, 0), ("untyped", None, 1)] {
        let Some(cgroup) = Cgroup::new(name, &diagnosed(), types) else { return };
        let directory = File::open(&cgroup.0).unwrap();
        assert_eq!(bpf::attached(Hook::Bind4, &directory).unwrap().len(), 1);
        assert_eq!(bpf::attached(Hook::PostBind4, &directory).unwrap().len(), after_bind, "{name}");
    }
}
