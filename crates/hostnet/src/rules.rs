//! What can be in force for a container: ports, addresses and lists of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The protocols that have ports to publish and to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, and MPTCP, which goes over the same ports.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its number, as in `/etc/protocols`.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// Ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port, not below the first.
    pub last: u16,
}

impl PortRange {
    /// All ports.
    pub const ALL: PortRange = PortRange { first: 0, last: u16::MAX };

    /// Whether the other's ports are all among these.
    #[must_use]
    pub fn contains(self, other: PortRange) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Whether the two have a port in common.
    #[must_use]
    pub fn overlaps(self, other: PortRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// A range of the container's ports that the host sees elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The one address of the host where it is to be reached, instead of all.
    pub address: Option<IpAddr>,
    /// The ports as the host sees them.
    pub host: PortRange,
    /// The ports as the container sees them; as many.
    pub inside: PortRange,
    /// Of which protocol.
    pub protocol: Protocol,
}

impl Published {
    /// Whether the two move the same ports, one at an IPv4 address and one at an IPv6 address.
    pub(crate) fn is_twin_of(&self, other: &Published) -> bool {
        let are_of_both = |one: IpAddr, another: IpAddr| one.is_ipv4() != another.is_ipv4();
        (self.inside, self.protocol) == (other.inside, other.protocol)
            && self.address.zip(other.address).is_some_and(|(one, another)| are_of_both(one, another))
    }
}

/// Which of the container's ports are elsewhere on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// Ports that are always moved; no two of a protocol overlap, inside or on the host, but for twins.
    pub rules: Vec<Published>,
    /// Any other port is moved to a free one if somebody already has it.
    pub auto: bool,
}

impl Publish {
    /// The rules for addresses of one family: all, but of twins the one for its own.
    pub(crate) fn of_family(&self, ipv6: bool) -> Vec<Published> {
        let is_others = |rule: &Published| rule.address.is_some_and(|address| address.is_ipv6() != ipv6);
        let has_twin = |rule: &Published| self.rules.iter().any(|other| rule.is_twin_of(other));
        self.rules.iter().filter(|rule| !(is_others(rule) && has_twin(rule))).copied().collect()
    }
}

/// The addresses that a container is confined to, at least one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Instead of all IPv4 addresses.
    pub v4: Option<Ipv4Addr>,
    /// Instead of all IPv6 addresses.
    pub v6: Option<Ipv6Addr>,
}

impl From<IpAddr> for Addresses {
    fn from(address: IpAddr) -> Addresses {
        match address {
            IpAddr::V4(address) => Addresses { v4: Some(address), v6: None },
            IpAddr::V6(address) => Addresses { v4: None, v6: Some(address) },
        }
    }
}

/// Ports that a container may bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedBind {
    /// The ports, as the container sees them.
    pub ports: PortRange,
    /// Of which protocol; of all if absent.
    pub protocol: Option<Protocol>,
}

/// An address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The address; bits that do not count are ignored.
    pub address: IpAddr,
    /// At most 32 or 128.
    pub prefix: u8,
}

/// What a container may connect or send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedConnect {
    /// The other side's address; any if absent.
    pub network: Option<Network>,
    /// The other side's ports.
    pub ports: PortRange,
    /// Of which protocol; of all if absent.
    pub protocol: Option<Protocol>,
}

/// Ranges in order, with those that overlap or touch made one.
#[must_use]
pub(crate) fn merged(ranges: impl Iterator<Item = PortRange>) -> Vec<PortRange> {
    let mut sorted: Vec<PortRange> = ranges.collect();
    sorted.sort_unstable();
    let mut merged: Vec<PortRange> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => last.last = last.last.max(range.last),
            _ => merged.push(range),
        }
    }
    merged
}

/// Ports that must be free when the container is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedPorts {
    /// The address where they must be free, instead of all.
    pub address: Option<IpAddr>,
    /// The ports.
    pub ports: PortRange,
    /// Of which protocol.
    pub protocol: Protocol,
}
