//! The diagnosis as it happens: from the attempts of a container that have failed to who was in their way.

use std::io;
use std::net::{IpAddr, UdpSocket};

use sys::bpf::Map;

use crate::programs::Attempt;
use crate::{BindFailed, Held, Holders, Protocol};

/// Takes the failed attempts out of their ring buffer, and looks who is in their way. Those that failed for another reason are left out.
///
/// # Errors
/// Those of [`Attempt::take`] and of [`crate::sockets`].
pub fn explain(records: &Map, holders: &mut Holders) -> io::Result<Vec<BindFailed>> {
    let mut explained = Vec::new();
    for attempt in Attempt::take(records)?.into_iter().filter(|attempt| is_here(attempt.address)) {
        let protocol = [Protocol::Tcp, Protocol::Udp].into_iter().find(|known| known.number() == attempt.protocol);
        let Some(protocol) = protocol else { continue };
        if let Some(held) = Held::find(protocol, attempt.address, attempt.host_port, holders)? {
            explained.push(BindFailed { inside_port: attempt.inside_port, held });
        }
    }
    Ok(explained)
}

/// Whether the host has the address. Without it a bind fails whoever holds the port (EADDRNOTAVAIL).
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).err().is_none_or(|error| error.kind() != io::ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_machine_is_not_here() {
        for (address, here) in [("0.0.0.0", true), ("127.0.0.9", true), ("192.0.2.1", false), ("2001:db8::1", false)] {
            assert_eq!(is_here(address.parse().unwrap()), here, "{address}");
        }
    }
}
