//! How long it takes to say who holds a port, and who holds every port, with as many sockets as the argument says
//! (default 10000): `cargo run --release -p hostnet --example holders -- 10000`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use hostnet::{Holders, sockets};
use rustix::process::{Resource, Rlimit};

fn main() {
    let count: u32 = std::env::args().nth(1).map_or(10_000, |count| count.parse().unwrap());
    let limit = Rlimit { current: Some(u64::from(count) + 64), maximum: Some(u64::from(count) + 64) };
    let raised = rustix::process::setrlimit(Resource::Nofile, limit);
    println!("descriptors: {raised:?}");
    // Many addresses, as there are not that many free ports at one.
    let address = |n: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + n);
    let listeners: Vec<_> = (0..count).map_while(|n| TcpListener::bind((address(n), 0)).ok()).collect();
    let port = listeners.last().unwrap().local_addr().unwrap().port();
    println!("{} sockets", listeners.len());
    report("list of one port", || sockets(Some(port)).unwrap().len());
    report("list of all", || sockets(None).unwrap().len());
    report("holder of one port", || holders(Some(port)));
    report("holders of all", || holders(None));
}

fn holders(port: Option<u16>) -> usize {
    let unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new).into_iter().find(|path| path.is_dir());
    let mut holders = Holders::new(unified, HashMap::new());
    sockets(port).unwrap().iter().filter(|socket| holders.of(socket).pid.is_some()).count()
}

/// The median and the least of 21.
fn report(what: &str, run: impl Fn() -> usize) {
    let mut times: Vec<(Duration, usize)> = (0..21)
        .map(|_| {
            let start = Instant::now();
            let found = run();
            (start.elapsed(), found)
        })
        .collect();
    times.sort_unstable();
    let (time, found) = times[times.len() / 2];
    let [median, least] = [time, times[0].0].map(|time| time.as_secs_f64() * 1e3);
    println!("{what:20} median {median:8.3} ms, least {least:8.3} ms, {found} found");
}
