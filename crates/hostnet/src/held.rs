//! Ports that are held by others: those that a container wants before it is made, and the one that it has just failed to bind.

use std::cell::LazyCell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use rustix::io::Errno;

use crate::rules::WantedPorts;
use crate::{Holder, Holders, Protocol, Socket, sockets};

/// A socket that is in somebody's way, and who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The socket.
    pub socket: Socket,
    /// Who holds it.
    pub holder: Holder,
}

impl Held {
    /// Looks for what is in the way of a socket that is to be bound: first among sockets of the same family, as an IPv6 socket
    /// need not want IPv4.
    ///
    /// # Errors
    /// As [`sockets`].
    pub fn find(protocol: Protocol, address: IpAddr, port: u16, holders: &mut Holders) -> Result<Option<Held>, Errno> {
        let found = sockets(Some(port))?;
        let in_the_way =
            found.into_iter().filter(|socket| socket.protocol == protocol && socket.is_in_the_way_of(address));
        let socket = in_the_way.min_by_key(|socket| socket.address.is_ipv6() != address.is_ipv6());
        Ok(socket.map(|socket| Held { holder: holders.of(&socket), socket }))
    }

    /// `tcp 0.0.0.0:80`
    fn place(&self) -> String {
        format!("{} {}", self.socket.protocol, self.socket.address)
    }

    /// What Docker calls the container: at the end, as it may be unknown.
    fn name(&self) -> String {
        let name = self.holder.container.as_ref().and_then(|container| container.name.as_deref());
        name.map_or_else(String::new, |name| format!(", container name {name}"))
    }
}

/// Looks whether the ports are free that a container will want; the answer is the first that is not, unless `shared` tells that
/// its holder and the container may both name it. A port without an address is looked at as one for all IPv4 addresses.
///
/// # Errors
/// As [`sockets`].
pub fn first_held(
    wanted: &[WantedPorts],
    holders: impl FnOnce() -> Holders,
    shared: impl Fn(&Holder) -> bool,
) -> Result<Option<AlreadyHeld>, Errno> {
    let mut holders = LazyCell::new(holders);
    for want in wanted {
        let address = want.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        // One port alone is found by the kernel.
        let found = sockets((want.ports.first == want.ports.last).then_some(want.ports.first))?;
        let is_wanted = |socket: &Socket| {
            socket.protocol == want.protocol
                && (want.ports.first..=want.ports.last).contains(&socket.address.port())
                && socket.is_in_the_way_of(address)
        };
        let mut held = found.into_iter().filter(is_wanted).map(|socket| Held { holder: holders.of(&socket), socket });
        if let Some(held) = held.find(|held| !shared(&held.holder)) {
            return Ok(Some(AlreadyHeld(Box::new(held))));
        }
    }
    Ok(None)
}

/// Why a container cannot be made: somebody has its port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct AlreadyHeld(Box<Held>);

impl fmt::Display for AlreadyHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AlreadyHeld(held) = self;
        write!(f, "port {} is already held by ", held.socket.address.port())?;
        held.holder.describe(f, &format!(", {}", held.place()))?;
        f.write_str(&held.name())
    }
}

/// Why a bind(2) of a container has failed: somebody has its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindFailed {
    /// The port as the container knows it.
    pub inside_port: u16,
    /// Who has it on the host.
    pub held: Held,
}

impl fmt::Display for BindFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindFailed { inside_port, held } = self;
        write!(f, "lightship: bind to port {inside_port} failed: port held by ")?;
        held.holder.describe(f, "")?;
        write!(f, " at {}{}", held.place(), held.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Container;

    fn held(name: Option<&str>) -> Held {
        let id = "3d3718e30a4e5b6c7d8e9f00112233445566778899aabbccddeeff0011223344".to_owned();
        let container = Container { id, name: name.map(str::to_owned) };
        let socket = Socket {
            protocol: Protocol::Tcp,
            address: "0.0.0.0:8080".parse().unwrap(),
            v6_only: false,
            inode: 1,
            cgroup: None,
        };
        let holder = Holder {
            container: Some(container),
            pid: Some(13232),
            process: Some("nginx".to_owned()),
            inside_port: Some(80),
        };
        Held { socket, holder }
    }

    #[test]
    fn the_texts_name_the_holder() {
        assert_eq!(
            AlreadyHeld(Box::new(held(None))).to_string(),
            "port 8080 is already held by container 3d3718e30a4e, process nginx (pid 13232, tcp 0.0.0.0:8080)"
        );
        assert_eq!(
            BindFailed { inside_port: 80, held: held(Some("web1")) }.to_string(),
            "lightship: bind to port 80 failed: port held by container 3d3718e30a4e, process nginx (pid 13232) \
             at tcp 0.0.0.0:8080, container name web1"
        );
        let stranger = Held { holder: Holder::default(), ..held(None) };
        assert_eq!(
            BindFailed { inside_port: 80, held: stranger }.to_string(),
            "lightship: bind to port 80 failed: port held by a process that cannot be seen from here at tcp 0.0.0.0:8080"
        );
    }
}
