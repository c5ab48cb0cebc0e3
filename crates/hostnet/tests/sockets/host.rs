//! What the host sees: the kernel's own tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The local addresses of the listening TCP sockets, or of all UDP ones, of this thread's network namespace.
pub(crate) fn bound(protocol: &str) -> Vec<SocketAddr> {
    const LISTEN: &str = "0A";
    let mut found = Vec::new();
    for table in [protocol.to_owned(), format!("{protocol}6")] {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if protocol == "udp" || fields[3] == LISTEN {
                found.push(address(fields[1]));
            }
        }
    }
    found
}

/// `0100007F:1F90`: each word of the address in the machine's order.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let word = |at: usize| u32::from_str_radix(&ip[8 * at..8 * at + 8], 16).unwrap().to_ne_bytes();
    let ip: IpAddr = if ip.len() == 8 {
        Ipv4Addr::from(word(0)).into()
    } else {
        let words: [[u8; 4]; 4] = std::array::from_fn(word);
        Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).unwrap()).into()
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
}

/// Whether somebody has this address and port.
pub(crate) fn has(protocol: &str, ip: impl Into<IpAddr>, port: u16) -> bool {
    bound(protocol).contains(&SocketAddr::new(ip.into(), port))
}
