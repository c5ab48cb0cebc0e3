//! The diagnosis as it happens: from the attempts of a container that have failed to who was in their way.

use rustix::io::Errno;

use crate::programs::Attempt;
use crate::{BindFailed, Held, Holders, Protocol};

/// Looks who is in the way of attempts that have not succeeded. Those that failed for another reason are left out.
///
/// # Errors
/// As [`crate::sockets`].
pub fn explain(attempts: &[Attempt], holders: &mut Holders) -> Result<Vec<BindFailed>, Errno> {
    let mut explained = Vec::new();
    for attempt in attempts {
        let protocols = [Protocol::Tcp, Protocol::Udp];
        let protocol = protocols.into_iter().find(|protocol| u32::from(protocol.number()) == attempt.protocol);
        let Some(protocol) = protocol else { continue };
        let held = Held::find(protocol, attempt.address, attempt.host_port, holders)?;
        // A socket that has its port after all was only slow.
        let held = held.filter(|held| held.socket.cookie != attempt.socket);
        explained.extend(held.map(|held| BindFailed { inside_port: attempt.inside_port, held }));
    }
    Ok(explained)
}
