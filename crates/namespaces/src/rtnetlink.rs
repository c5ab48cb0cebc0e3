//! The few messages of rtnetlink(7) that moving a network device takes: links and addresses, in one network namespace.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use sys::netlink::{NLM_F_ACK, NLM_F_CREATE_EXCL, NLM_F_DUMP, Netlink, attributes, number};

// linux/rtnetlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_PERMANENT: u32 = 0x80;
const RT_SCOPE_UNIVERSE: u8 = 0;
const IFF_UP: u32 = 1;
/// Sizes of the fixed parts: struct ifinfomsg, struct ifaddrmsg.
const LINK: usize = 16;
const ADDRESS: usize = 8;

/// A socket to the routing layer of one network namespace: the one that the calling thread was in when it was opened.
pub(crate) struct Route(Netlink);

/// An address of a device that is to be kept when the device moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    family: u8,
    prefix: u8,
    flags: u32,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Route {
    pub(crate) fn open() -> Result<Route, Errno> {
        Netlink::open(None).map(Route)
    }

    /// The index of the device of that name.
    pub(crate) fn index(&self, name: &str) -> Result<u32, Errno> {
        rustix::net::netdevice::name_to_index(&self.0, name)
    }

    /// The indexes of all devices.
    pub(crate) fn links(&self) -> Result<Vec<u32>, Errno> {
        let replies = self.ask(RTM_GETLINK, NLM_F_DUMP, &[0; LINK], &[])?;
        Ok(replies.iter().filter_map(|link| number(link, 4)).collect())
    }

    /// The permanent addresses of a device with global scope (config-linux.md, "Network Devices").
    pub(crate) fn addresses(&self, index: u32) -> Result<Vec<Address>, Errno> {
        let replies = self.ask(RTM_GETADDR, NLM_F_DUMP, &[0; ADDRESS], &[])?;
        let of_device = replies.iter().filter(|address| number(address, 4) == Some(index));
        Ok(of_device.filter_map(|address| Address::parse(address)).collect())
    }

    /// Moves a device into another network namespace under a new name, which may hold `%d`.
    pub(crate) fn move_link(&self, index: u32, namespace: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        let mut name = name.as_bytes().to_vec();
        name.push(0);
        let attributes = [(IFLA_NET_NS_FD, namespace.as_raw_fd().to_ne_bytes().to_vec()), (IFLA_IFNAME, name)];
        self.ask(RTM_NEWLINK, NLM_F_ACK, &link(index, 0), &attributes).map(drop)
    }

    /// Brings a device up.
    pub(crate) fn set_up(&self, index: u32) -> Result<(), Errno> {
        self.ask(RTM_NEWLINK, NLM_F_ACK, &link(index, IFF_UP), &[]).map(drop)
    }

    /// Gives a device an address.
    pub(crate) fn add_address(&self, index: u32, address: &Address) -> Result<(), Errno> {
        let mut body = vec![address.family, address.prefix, 0, RT_SCOPE_UNIVERSE];
        body.extend(index.to_ne_bytes());
        let mut attributes = address.attributes.clone();
        attributes.push((IFA_FLAGS, address.flags.to_ne_bytes().to_vec()));
        self.ask(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE_EXCL, &body, &attributes).map(drop)
    }

    /// Sends a request and collects the replies up to their end, or the error that the kernel answers.
    fn ask(&self, kind: u16, flags: u16, body: &[u8], attributes: &[(u16, Vec<u8>)]) -> Result<Vec<Vec<u8>>, Errno> {
        let mut replies = Vec::new();
        self.0.ask(kind, flags, body, attributes, &mut |reply| replies.push(reply.to_vec()))?;
        Ok(replies)
    }
}

impl Address {
    fn parse(message: &[u8]) -> Option<Address> {
        let (&[family, prefix, flags, scope], rest) = message.split_first_chunk::<4>()?;
        let mut flags = u32::from(flags);
        let mut kept = Vec::new();
        for (kind, value) in attributes(rest.get(4..)?) {
            match kind {
                IFA_FLAGS => flags = number(value, 0)?,
                IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST => kept.push((kind, value.to_vec())),
                _ => {}
            }
        }
        let global = scope == RT_SCOPE_UNIVERSE && flags & IFA_F_PERMANENT != 0;
        global.then_some(Address { family, prefix, flags, attributes: kept })
    }
}

/// struct ifinfomsg, with the one flag that is set.
fn link(index: u32, up: u32) -> [u8; LINK] {
    let mut body = [0; LINK];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&up.to_ne_bytes());
    body[12..16].copy_from_slice(&up.to_ne_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_found_and_has_its_addresses() {
        let route = Route::open().unwrap();
        let lo = route.index("lo").unwrap();
        assert!(route.links().unwrap().contains(&lo));
        // They have host scope, and so would not move.
        assert!(route.addresses(lo).unwrap().is_empty());
        assert_eq!(route.index("nosuch0"), Err(Errno::NODEV));
    }

    #[test]
    fn a_torn_address_is_none() {
        assert!(Address::parse(&[2, 24]).is_none());
    }
}
