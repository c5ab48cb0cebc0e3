//! What bind(2), connect(2) and close(2) of sockets take in a container, where the programs of its cgroup are called.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::Result;
use crate::way::CALLS;

const REPEATED: usize = 20_000;

/// What each takes here, in nanoseconds: bind of a TCP socket, connect of a UDP socket (which sends nothing, so that the call
/// itself is most of what it takes), close of a UDP socket.
pub fn measure() -> Result<[u128; 3]> {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, CALLS);
    let clock = typical(&mut (0..REPEATED).map(|_| Instant::now().elapsed()).collect::<Vec<_>>());
    let binding = timed(SocketType::STREAM, |socket| bind(&socket, &address).map(|()| socket))?;
    let connecting = timed(SocketType::DGRAM, |socket| connect(&socket, &address).map(|()| socket))?;
    let closing = timed(SocketType::DGRAM, |socket| {
        drop(socket);
        Ok(())
    })?;
    Ok([binding, connecting, closing].map(|time| time.saturating_sub(clock).as_nanos()))
}

/// Prints them.
pub fn print() -> Result<()> {
    let [binding, connecting, closing] = measure()?;
    println!("{binding} {connecting} {closing}");
    Ok(())
}

fn timed<T>(kind: SocketType, call: impl Fn(OwnedFd) -> rustix::io::Result<T>) -> Result<Duration> {
    let mut times = Vec::with_capacity(REPEATED);
    for _ in 0..REPEATED {
        let socket = socket(AddressFamily::INET, kind, None)?;
        let begun = Instant::now();
        let _kept = call(socket)?;
        times.push(begun.elapsed());
    }
    Ok(typical(&mut times))
}

/// The mean of the faster half, which nothing else has disturbed. A median would be one of the few times that a clock can tell.
fn typical(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let faster = &times[..times.len() / 2];
    faster.iter().sum::<Duration>() / faster.len() as u32
}
