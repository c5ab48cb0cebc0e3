//! The sockets that hold the ports of this network namespace, as the kernel lists them (sock_diag(7)): no file of any process
//! is opened for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::netlink::SOCK_DIAG;
use sys::netlink::{NLM_F_DUMP, Netlink, attributes, number};

use crate::Protocol;

// linux/sock_diag.h, linux/inet_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_SKV6ONLY: u16 = 11;
const INET_DIAG_CGROUP_ID: u16 = 21;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Size of struct inet_diag_req_v2.
const REQUEST: usize = 56;
/// Size of struct inet_diag_msg, which attributes follow.
const MESSAGE: usize = 72;

// include/net/tcp_states.h, as bits: an idle UDP socket is in TCP_CLOSE.
const ESTABLISHED: u32 = 1 << 1;
const CLOSE: u32 = 1 << 7;
const LISTEN: u32 = 1 << 10;
/// Bound, and neither listening nor connected: Linux lists these since 6.8.
const BOUND_INACTIVE: u32 = 1 << 13;

/// A socket that holds a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address and port that it is bound to.
    pub address: SocketAddr,
    /// It is bound to `::` and takes no IPv4 (IPV6_V6ONLY, ipv6(7)).
    pub v6_only: bool,
    /// The number in the link `socket:[N]` of every descriptor of it.
    pub inode: u32,
    /// The id of the cgroup v2 that the socket was made in (Linux 5.8).
    pub cgroup: Option<u64>,
}

impl Socket {
    /// Whether another socket cannot have the same port at `address`: an address is the same, or one of the two is all of
    /// them. Sockets that share a port by SO_REUSEPORT are not told apart.
    #[must_use]
    pub fn is_in_the_way_of(&self, address: IpAddr) -> bool {
        let held = self.address.ip().to_canonical();
        match (held, address.to_canonical()) {
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(_)) => !self.v6_only,
            (IpAddr::V4(_), IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => true,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
            (held, wanted) => held == wanted || held.is_unspecified() || wanted.is_unspecified(),
        }
    }
}

/// Lists the sockets that hold a port: TCP sockets that listen, and UDP sockets that are not connected, in this order.
///
/// With a port given, those on it alone, and of these also TCP sockets that are bound without listening and UDP sockets that
/// are connected, which other lists leave out as they are mostly clients'.
///
/// # Errors
/// Those of netlink(7): `EPROTONOSUPPORT` or `ENOENT` where the kernel is built without CONFIG_INET_DIAG. Where it is built
/// without CONFIG_INET_UDP_DIAG alone, UDP sockets are missing.
pub fn sockets(port: Option<u16>) -> Result<Vec<Socket>, Errno> {
    let netlink = Netlink::open(Some(SOCK_DIAG))?;
    let (tcp, udp) = match port {
        Some(_) => (LISTEN | BOUND_INACTIVE, CLOSE | ESTABLISHED),
        None => (LISTEN, CLOSE),
    };
    let mut found: Vec<Socket> = Vec::new();
    for (protocol, states) in [(Protocol::Tcp, tcp), (Protocol::Udp, udp)] {
        for family in [AF_INET, AF_INET6] {
            let body = request(protocol, family, states, port.unwrap_or(0));
            let mut reply = |message: &[u8]| found.extend(parse(protocol, message));
            match netlink.ask(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &body, &[], &mut reply) {
                // Without CONFIG_INET_UDP_DIAG the kernel lists TCP alone.
                Err(Errno::NOENT) if protocol == Protocol::Udp => {}
                answer => answer?,
            }
        }
    }
    // Of TCP sockets that are only bound, the kernel lists those of every port.
    found.retain(|socket| port.is_none_or(|port| socket.address.port() == port));
    found.sort_unstable_by_key(|socket| (socket.protocol, socket.address.port(), socket.address.ip()));
    Ok(found)
}

/// struct inet_diag_req_v2. A source port in it filters in the kernel, for most states; 0 is any.
fn request(protocol: Protocol, family: u8, states: u32, port: u16) -> [u8; REQUEST] {
    let mut body = [0; REQUEST];
    body[0] = family;
    body[1] = protocol.number();
    body[4..8].copy_from_slice(&states.to_ne_bytes());
    body[8..10].copy_from_slice(&port.to_be_bytes());
    body
}

/// struct inet_diag_msg and its attributes; none for a socket without a port.
fn parse(protocol: Protocol, message: &[u8]) -> Option<Socket> {
    let port = u16::from_be_bytes(message.get(4..6)?.try_into().ok()?);
    let address: [u8; 16] = message.get(8..24)?.try_into().ok()?;
    let [a, b, c, d, ..] = address;
    let address = match *message.first()? {
        AF_INET => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(address)),
        _ => return None,
    };
    let mut socket = Socket {
        protocol,
        address: SocketAddr::new(address, port),
        v6_only: false,
        inode: number(message, MESSAGE - 4)?,
        cgroup: None,
    };
    for (kind, value) in attributes(message.get(MESSAGE..)?) {
        match kind {
            INET_DIAG_SKV6ONLY => socket.v6_only = value.first() == Some(&1),
            INET_DIAG_CGROUP_ID => socket.cgroup = value.try_into().ok().map(u64::from_ne_bytes),
            _ => {}
        }
    }
    (port != 0).then_some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(address: &str, v6_only: bool) -> Socket {
        let address = SocketAddr::new(address.parse().unwrap(), 80);
        Socket { protocol: Protocol::Tcp, address, v6_only, inode: 1, cgroup: None }
    }

    #[test]
    fn who_is_in_whose_way() {
        for (held, v6_only, wanted, expected) in [
            ("0.0.0.0", false, "0.0.0.0", true),
            ("127.0.0.1", false, "0.0.0.0", true),
            ("0.0.0.0", false, "127.0.0.4", true),
            ("127.0.0.1", false, "127.0.0.4", false),
            ("::", false, "0.0.0.0", true),
            ("::", false, "127.0.0.1", true),
            ("::", true, "0.0.0.0", false),
            ("::", true, "::1", true),
            ("::1", false, "0.0.0.0", false),
            ("::1", false, "::", true),
            ("0.0.0.0", false, "::", true),
            ("0.0.0.0", false, "::1", false),
            ("::ffff:127.0.0.1", false, "127.0.0.1", true),
            ("::ffff:127.0.0.1", false, "127.0.0.2", false),
        ] {
            let answer = socket(held, v6_only).is_in_the_way_of(wanted.parse().unwrap());
            assert_eq!(answer, expected, "{held} {v6_only} {wanted}");
        }
    }

    #[test]
    fn a_torn_message_is_no_socket() {
        let mut message = [0; MESSAGE];
        message[0] = AF_INET;
        message[4..6].copy_from_slice(&80u16.to_be_bytes());
        for len in 0..MESSAGE {
            assert_eq!(parse(Protocol::Tcp, &message[..len]), None, "{len}");
        }
        assert_eq!(parse(Protocol::Tcp, &message).unwrap().address.to_string(), "0.0.0.0:80");
        message[4..6].fill(0);
        assert_eq!(parse(Protocol::Tcp, &message), None);
    }

    #[test]
    fn sockets_of_this_process_are_listed() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("[::1]:0").unwrap();
        for (protocol, address) in [(Protocol::Tcp, tcp.local_addr()), (Protocol::Udp, udp.local_addr())] {
            let address = address.unwrap();
            let is_it = |socket: &&Socket| socket.protocol == protocol && socket.address == address;
            assert_eq!(sockets(None).unwrap().iter().filter(is_it).count(), 1);
            let by_port = sockets(Some(address.port())).unwrap();
            assert!(by_port.iter().all(|socket| socket.address.port() == address.port()));
            // Others may have the same port at another address.
            let [socket] = by_port.iter().filter(is_it).collect::<Vec<_>>()[..] else { panic!("{by_port:?}") };
            assert!(socket.cgroup.is_some() && socket.inode != 0);
        }
    }

    #[test]
    fn a_socket_that_does_not_listen_is_listed_for_its_own_port_alone() {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let bound = || {
            let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            bind(&socket, &any).unwrap();
            let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
            (socket, address)
        };
        let ((_one, address), (_another, other)) = (bound(), bound());
        let listed: Vec<_> = sockets(Some(address.port())).unwrap().iter().map(|socket| socket.address).collect();
        assert!(!listed.contains(&other), "{listed:?}");
    }
}
