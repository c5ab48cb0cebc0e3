//! Counters.

use std::fs::File;
use std::net::UdpSocket;

use hostnet::NetPlan;
use hostnet::programs::Counters;

use crate::contained::{LOCAL4, contained};

#[test]
fn packets_of_the_container_are_counted() {
    let plan = NetPlan { counters: true, ..NetPlan::default() };
    contained("counters::packets_of_the_container_are_counted", &plan, |door| {
        let outside = UdpSocket::bind((LOCAL4, 0)).unwrap();
        let cgroup = File::open(door.enter()).unwrap();
        assert_eq!(Counters::read(&cgroup).unwrap(), Some(Counters::default()));
        let inside = UdpSocket::bind((LOCAL4, 0)).unwrap();
        for _ in 0..5 {
            inside.send_to(&[0; 100], outside.local_addr().unwrap()).unwrap();
        }
        outside.send_to(&[0; 10], inside.local_addr().unwrap()).unwrap();
        inside.recv(&mut [0; 16]).unwrap();
        let counters = Counters::read(&cgroup).unwrap().unwrap();
        // With the headers of IP (20) and UDP (8).
        assert_eq!((counters.sent.packets, counters.sent.bytes), (5, 5 * 128));
        assert_eq!((counters.received.packets, counters.received.bytes), (1, 38));
    });
}

#[test]
fn without_counters_there_is_nothing_to_read() {
    contained("counters::without_counters_there_is_nothing_to_read", &NetPlan::default(), |door| {
        assert_eq!(Counters::read(File::open(door.enter()).unwrap()).unwrap(), None);
    });
}
