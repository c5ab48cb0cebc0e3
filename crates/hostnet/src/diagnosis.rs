//! The diagnosis as it happens: from the attempts of a container that have failed to who was in their way.

use std::io;

use sys::bpf::Map;

use crate::programs::Attempt;
use crate::{BindFailed, Held, Holders, Protocol};

/// Looks who is in the way of the attempts in a table, which have not succeeded. Those that failed for another reason are left out.
///
/// # Errors
/// Those of bpf(2), and those of [`crate::sockets`].
pub fn explain(table: &Map, holders: &mut Holders) -> io::Result<Vec<BindFailed>> {
    let mut explained = Vec::new();
    for attempt in Attempt::read(table)? {
        let protocol = [Protocol::Tcp, Protocol::Udp].into_iter().find(|known| known.number() == attempt.protocol);
        let Some(protocol) = protocol else { continue };
        if let Some(held) = Held::find(protocol, attempt.address, attempt.host_port, holders)? {
            explained.push((attempt, BindFailed { inside_port: attempt.inside_port, held }));
        }
    }
    // Who was found may be the container's own socket, if its bind(2) was only slow: then it is struck out by now.
    let failed = Attempt::read(table)?;
    Ok(explained.into_iter().filter(|(attempt, _)| failed.contains(attempt)).map(|(_, explained)| explained).collect())
}
