//! The diagnosis as it happens: from the attempts of a container that have failed to who was in their way.

use std::io;

use sys::bpf::Map;

use crate::programs::Attempt;
use crate::{BindFailed, Held, Holders, Protocol};

/// Takes the failed attempts out of their ring buffer, and looks who is in their way. Those that failed for another reason are left out.
///
/// # Errors
/// Those of [`Attempt::take`] and of [`crate::sockets`].
pub fn explain(records: &Map, holders: &mut Holders) -> io::Result<Vec<BindFailed>> {
    let mut explained = Vec::new();
    for attempt in Attempt::take(records)? {
        let protocol = [Protocol::Tcp, Protocol::Udp].into_iter().find(|known| known.number() == attempt.protocol);
        let Some(protocol) = protocol else { continue };
        if let Some(held) = Held::find(protocol, attempt.address, attempt.host_port, holders)? {
            explained.push(BindFailed { inside_port: attempt.inside_port, held });
        }
    }
    Ok(explained)
}
