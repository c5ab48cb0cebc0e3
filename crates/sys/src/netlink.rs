//! The framing of netlink(7): requests, replies and their attributes, whatever they are about.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
/// The kernel answers with success or an error.
pub const NLM_F_ACK: u16 = 0x4;
/// The kernel answers with all there are.
pub const NLM_F_DUMP: u16 = 0x300;
/// What exists already is an error.
pub const NLM_F_CREATE_EXCL: u16 = 0x600;

/// The sizes of struct nlmsghdr and struct nlattr.
const HEADER: usize = 16;
const ATTRIBUTE: usize = 4;

/// A socket to one part of the kernel in one network namespace: the one that the calling thread was in when it was opened.
pub struct Netlink(OwnedFd);

impl Netlink {
    /// Opens a socket; no protocol is NETLINK_ROUTE, others are in `rustix::net::netlink`.
    ///
    /// # Errors
    /// Those of socket(2): `EPROTONOSUPPORT` where the kernel is built without the protocol.
    pub fn open(protocol: Option<Protocol>) -> Result<Netlink, Errno> {
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).map(Netlink)
    }

    /// Sends a request and hands over each reply up to their end, or gives the error that the kernel answers.
    ///
    /// # Errors
    /// Those of the request; `EBADMSG` for an answer that is none.
    pub fn ask(
        &self,
        kind: u16,
        flags: u16,
        body: &[u8],
        attributes: &[(u16, Vec<u8>)],
        reply: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Errno> {
        rustix::net::send(&self.0, &request(kind, flags, body, attributes), SendFlags::empty())?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (_, len) =
                rustix::io::retry_on_intr(|| rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::empty()))?;
            let mut rest = buffer.get(..len).unwrap_or_default();
            while let Some((kind, message, after)) = message(rest) {
                match kind {
                    // A dump that fails says so at its end.
                    NLMSG_DONE | NLMSG_ERROR => return status(message),
                    _ => reply(message),
                }
                rest = after;
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The error number that a message begins with, negative as the kernel writes it.
fn status(message: &[u8]) -> Result<(), Errno> {
    match number(message, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(error) => Err(Errno::from_raw_os_error(error.wrapping_neg())),
        None => Err(Errno::BADMSG),
    }
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

/// The attributes in the rest of a message, each with its kind; those after a torn one are left out.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(ATTRIBUTE..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The number at a place of a message, in the host's byte order as most are.
pub fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_messages_end_the_reading() {
        let whole = request(16, 0, &[7; 16], &[(3, b"eth0\0".to_vec()), (4, b"x".to_vec())]);
        for len in 0..whole.len() {
            assert!(message(&whole[..len]).is_none(), "{len}");
        }
        let (kind, body, rest) = message(&whole).unwrap();
        assert_eq!((kind, rest.len()), (16, 0));
        assert!(attributes(&body[16..]).eq([(3, &b"eth0\0"[..]), (4, b"x")]));
        for len in 16..body.len() - 4 {
            assert!(attributes(&body[16..len]).count() < 2, "{len}");
        }
    }

    #[test]
    fn the_kernels_error_is_the_answer() {
        let route = Netlink::open(None).unwrap();
        // RTM_GETLINK of a device that is not there.
        let mut body = [0; 16];
        body[4..8].copy_from_slice(&0x7fff_fffe_u32.to_ne_bytes());
        assert_eq!(route.ask(18, 0, &body, &[], &mut |_| {}), Err(Errno::NODEV));
    }
}
