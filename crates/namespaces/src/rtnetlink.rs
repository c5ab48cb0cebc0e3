//! The few messages of rtnetlink(7) that moving a network device takes: links and addresses, in one network namespace.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

// linux/rtnetlink.h, linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE_EXCL: u16 = 0x600;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_PERMANENT: u32 = 0x80;
const RT_SCOPE_UNIVERSE: u8 = 0;
const IFF_UP: u32 = 1;
/// Sizes of the fixed parts: struct nlmsghdr, struct ifinfomsg, struct ifaddrmsg, struct rtattr.
const HEADER: usize = 16;
const LINK: usize = 16;
const ADDRESS: usize = 8;
const ATTRIBUTE: usize = 4;

/// A socket to the routing layer of one network namespace: the one that the calling thread was in when it was opened.
pub(crate) struct Route(OwnedFd);

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
        // Protocol 0 is NETLINK_ROUTE.
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).map(Route)
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
        rustix::net::send(&self.0, &request(kind, flags, body, attributes), SendFlags::empty())?;
        let mut replies = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (_, len) =
                rustix::io::retry_on_intr(|| rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::empty()))?;
            let mut rest = buffer.get(..len).unwrap_or_default();
            while let Some((kind, message, after)) = message(rest) {
                match kind {
                    NLMSG_DONE => return Ok(replies),
                    NLMSG_ERROR => {
                        return match number(message, 0).map(u32::cast_signed) {
                            Some(0) => Ok(replies),
                            Some(error) => Err(Errno::from_raw_os_error(-error)),
                            None => Err(Errno::BADMSG),
                        };
                    }
                    _ => replies.push(message.to_vec()),
                }
                rest = after;
            }
        }
    }
}

impl Address {
    fn parse(message: &[u8]) -> Option<Address> {
        let (&[family, prefix, flags, scope], rest) = message.split_first_chunk::<4>()?;
        let mut flags = u32::from(flags);
        let mut attributes = Vec::new();
        let mut rest = rest.get(4..)?;
        while let Some((kind, value, after)) = attribute(rest) {
            match kind {
                IFA_FLAGS => flags = number(value, 0)?,
                IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST => attributes.push((kind, value.to_vec())),
                _ => {}
            }
            rest = after;
        }
        let kept = scope == RT_SCOPE_UNIVERSE && flags & IFA_F_PERMANENT != 0;
        kept.then_some(Address { family, prefix, flags, attributes })
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

fn request(kind: u16, flags: u16, body: &[u8], attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut message = vec![0; HEADER];
    message.extend(body);
    for (kind, value) in attributes {
        message.extend(((ATTRIBUTE + value.len()) as u16).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    }
    let len = message.len() as u32;
    message[..4].copy_from_slice(&len.to_ne_bytes());
    message[4..6].copy_from_slice(&kind.to_ne_bytes());
    message[6..8].copy_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
    message
}

/// The first message of a reply: its kind, what it holds, and what follows it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = number(bytes, 0)? as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    Some((kind, bytes.get(HEADER..len)?, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

fn attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
    Some((kind, bytes.get(ATTRIBUTE..len)?, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
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
    fn torn_messages_end_the_reading() {
        let whole = request(RTM_NEWLINK, 0, &link(1, 0), &[(IFLA_IFNAME, b"eth0\0".to_vec())]);
        for len in 0..whole.len() {
            assert!(message(&whole[..len]).is_none(), "{len}");
        }
        let (kind, body, rest) = message(&whole).unwrap();
        assert_eq!((kind, rest.len()), (RTM_NEWLINK, 0));
        assert_eq!(attribute(&body[LINK..]).unwrap().1, b"eth0\0");
        assert!(Address::parse(&[2, 24]).is_none());
    }
}
