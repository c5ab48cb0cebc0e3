//! What a client measures, one sample of each: by this program where the usual tools do not measure it, else by them.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;

const ROUND_TRIPS: usize = 4000;
const CONNECTIONS: usize = 600;

/// The median time from a byte sent to its echo, in microseconds.
pub fn round_trip(server: SocketAddrV4) -> Result<f64> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    median_of(ROUND_TRIPS, || exchange(&mut stream))
}

/// The median time of a connection with one round trip, in microseconds.
pub fn connection(server: SocketAddrV4) -> Result<f64> {
    median_of(CONNECTIONS, || {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        exchange(&mut stream)
    })
}

fn exchange(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

fn median_of(count: usize, mut action: impl FnMut() -> std::io::Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        action()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times[count / 2].as_secs_f64() * 1e6)
}

/// What iperf3 sends over one connection in a second, in gigabits.
pub fn throughput(server: SocketAddrV4) -> Result<f64> {
    let (address, port) = (server.ip().to_string(), server.port().to_string());
    let text = output(Command::new("iperf3").args(["-J", "-t", "1", "-c", &address, "-p", &port]))?;
    let report: Value = serde_json::from_str(&text)?;
    let rate = report.pointer("/end/sum_received/bits_per_second").and_then(Value::as_f64);
    Ok(rate.ok_or_else(|| format!("iperf3: {text}"))? / 1e9)
}

/// Requests that nginx answers in a second, asked for by wrk on eight connections, in thousands.
pub fn nginx(server: SocketAddrV4) -> Result<f64> {
    let address = format!("http://{server}/");
    let text = output(Command::new("wrk").args(["-t", "1", "-c", "8", "-d", "1s", &address]))?;
    number_after(&text, "Requests/sec:").map(|rate| rate / 1e3)
}

/// GET requests that redis answers in a second, on eight connections, in thousands.
pub fn redis(server: SocketAddrV4) -> Result<f64> {
    let (address, port) = (server.ip().to_string(), server.port().to_string());
    let text = output(
        Command::new("redis-benchmark")
            .args(["-h", &address, "-p", &port, "-t", "get", "-n", "30000", "-c", "8", "--csv"]),
    )?;
    number_after(&text.replace(['"', ','], " "), " GET ").map(|rate| rate / 1e3)
}

fn number_after(text: &str, word: &str) -> Result<f64> {
    let number = text.split(word).nth(1).and_then(|rest| rest.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("no {word:?} in {text:?}"))?.parse()?)
}

fn output(command: &mut Command) -> Result<String> {
    let output = integration::command::run(command);
    if output.code != 0 { Err(output.to_string().into()) } else { Ok(output.stdout) }
}

/// Waits until something answers there.
pub fn wait_for(server: SocketAddrV4) {
    integration::wait::eventually(Duration::from_secs(30), &format!("a server at {server}"), || {
        TcpStream::connect(server).ok()
    });
}
