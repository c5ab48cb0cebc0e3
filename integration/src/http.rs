//! The smallest HTTP client: one GET, the body back.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::wait::{PATIENCE, eventually};

/// The body that a server at `address:port` answers with, or the error of the attempt.
pub fn get(address: IpAddr, port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) => Ok(body.trim().to_owned()),
        None => Err(std::io::Error::other(format!("not an HTTP answer: {answer:?}"))),
    }
}

/// The first answer of a server that may still be starting.
#[track_caller]
pub fn first_answer(address: IpAddr, port: u16) -> String {
    eventually(PATIENCE, &format!("an HTTP answer on {address}:{port}"), || get(address, port).ok())
}
