//! The diagnosis as it happens: from what a container's programs report to who was in the way of its bind(2).

use rustix::io::Errno;

use crate::programs::{Attempt, Event};
use crate::{BindFailed, Held, Holders, Protocol};

/// The attempts that have failed: those that are not followed by the success of the same socket.
#[must_use]
pub fn failed(events: &[Event]) -> Vec<Attempt> {
    let attempt = |(at, event): (usize, &Event)| match *event {
        Event::Attempt(attempt) => Some((at, attempt)),
        Event::Bound(_) => None,
    };
    let has_failed = |(at, attempt): &(usize, Attempt)| {
        let next = events[at + 1..].iter().find(|event| event.socket() == attempt.socket);
        !matches!(next, Some(Event::Bound(_)))
    };
    events.iter().enumerate().filter_map(attempt).filter(has_failed).map(|(_, attempt)| attempt).collect()
}

/// Looks who is in the way of failed attempts. Those that failed for another reason are left out.
///
/// # Errors
/// As [`crate::sockets`].
pub fn explain(failed: &[Attempt], holders: &mut Holders) -> Result<Vec<BindFailed>, Errno> {
    let mut explained = Vec::new();
    for attempt in failed {
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn attempt(socket: u64, port: u16) -> Event {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Event::Attempt(Attempt { socket, protocol: 6, inside_port: port, host_port: port, address })
    }

    #[test]
    fn an_attempt_without_its_success_has_failed() {
        let ports =
            |events: &[Event]| -> Vec<u16> { failed(events).iter().map(|attempt| attempt.inside_port).collect() };
        assert!(ports(&[]).is_empty());
        assert_eq!(ports(&[attempt(1, 80)]), [80]);
        assert!(ports(&[attempt(1, 80), Event::Bound(1)]).is_empty());
        assert_eq!(ports(&[attempt(1, 80), attempt(2, 81), Event::Bound(1)]), [81]);
        // One socket that goes on to the next port.
        assert_eq!(ports(&[attempt(1, 80), attempt(1, 81), Event::Bound(1)]), [80]);
        assert_eq!(ports(&[Event::Bound(1), attempt(1, 80)]), [80]);
    }
}
