//! Published ports: the container binds 80, the host sees 8080, and neither learns of the other's view.
//!
//! bind(2), connect(2) and sendto(2) translate to the host's view; getsockname(2), getpeername(2), accept(2) and recvfrom(2)
//! translate back. Of another side only the container itself is translated: loopback addresses and those it publishes at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sys::bpf::{If, Label, Map};

use super::auto;
use super::search;
use super::socket::{ADDRESS, Direction, Family, LOOPBACK, PORT, SocketProgram};
use crate::rules::{Network, PortRange, Protocol, Publish, Published};

/// Moves the port that is bound, and confines it to its rule's address.
pub(super) fn bind(program: &mut SocketProgram, publish: &Publish, moved: Option<&Map>) {
    if publish.rules.is_empty() && moved.is_none() {
        return;
    }
    let (done, end) = (program.asm.label(), program.asm.label());
    let unpublished = if moved.is_some() { program.asm.label() } else { end };
    // A rule's address is that of its published port alone.
    let mut addresses: Vec<(IpAddr, Label)> = Vec::new();
    for rule in &publish.rules {
        if let Some(address) = rule.address.filter(|address| addresses.iter().all(|(known, _)| known != address)) {
            addresses.push((address, program.asm.label()));
        }
    }
    translate(program, publish, Direction::ToHost, end, unpublished, |rule| {
        addresses.iter().find(|(address, _)| rule.address == Some(*address)).map_or(done, |(_, label)| *label)
    });
    for (address, label) in addresses {
        program.asm.place(label);
        replace_wildcard(program, address, done);
    }
    if let Some(map) = moved {
        program.asm.place(unpublished);
        auto::choose(program, map);
    }
    program.asm.place(done);
    program.store_port();
    program.asm.place(end);
}

/// Translates the port of another side, if that is the container itself.
pub(super) fn other_side(
    program: &mut SocketProgram,
    publish: &Publish,
    moved: Option<&Map>,
    own: &[IpAddr],
    direction: Direction,
) {
    let other = program.asm.label();
    let single = |address: &IpAddr| Network { address: *address, prefix: if address.is_ipv4() { 32 } else { 128 } };
    let networks: Vec<Network> = LOOPBACK.into_iter().chain(own.iter().map(single)).collect();
    // The port first, which is another one most of the time.
    translate_known(program, publish, moved, direction, other);
    program.unless_in(&networks, other);
    program.store_port();
    program.asm.place(other);
}

/// Translates the container's own port back.
pub(super) fn own_side(program: &mut SocketProgram, publish: &Publish, moved: Option<&Map>) {
    let other = program.asm.label();
    translate_known(program, publish, moved, Direction::ToContainer, other);
    program.store_port();
    program.asm.place(other);
}

/// Translates [`PORT`] if it is published, or `auto` has moved it; else goes to `other`.
fn translate_known(
    program: &mut SocketProgram,
    publish: &Publish,
    moved: Option<&Map>,
    direction: Direction,
    other: Label,
) {
    let done = program.asm.label();
    let unpublished = if moved.is_some() { program.asm.label() } else { other };
    translate(program, publish, direction, other, unpublished, |_| done);
    if let Some(map) = moved {
        program.asm.place(unpublished);
        auto::translate(program, map, direction, other);
    }
    program.asm.place(done);
}

/// Translates [`PORT`] by the rules and goes on at the label that `then` has for the rule, or at `unpublished` if there is none;
/// with a protocol that has no ports at `other`.
fn translate(
    program: &mut SocketProgram,
    publish: &Publish,
    direction: Direction,
    other: Label,
    unpublished: Label,
    then: impl Fn(&Published) -> Label,
) {
    let has_rules = |protocol| publish.rules.iter().any(|rule| rule.protocol == protocol);
    let protocols = [Protocol::Tcp, Protocol::Udp].map(|protocol| (protocol, program.asm.label()));
    let start = |(protocol, label)| if has_rules(protocol) { label } else { unpublished };
    program.by_protocol(start(protocols[0]), start(protocols[1]), other);
    for (protocol, start) in protocols.into_iter().filter(|(protocol, _)| has_rules(*protocol)) {
        program.asm.place(start);
        let rules = sorted(publish, protocol, direction);
        let labelled: Vec<(PortRange, Label)> = rules.iter().map(|(from, ..)| (*from, program.asm.label())).collect();
        search::find(&mut program.asm, PORT, &labelled, unpublished);
        for ((_, label), (from, to, rule)) in labelled.iter().zip(rules) {
            program.asm.place(*label);
            program.asm.add(PORT, i32::from(to.first) - i32::from(from.first));
            program.asm.jump(then(rule));
        }
    }
}

/// The ranges of a protocol to translate from, in order, and those to translate to.
fn sorted(publish: &Publish, protocol: Protocol, direction: Direction) -> Vec<(PortRange, PortRange, &Published)> {
    let rules = publish.rules.iter().filter(|rule| rule.protocol == protocol);
    let mut rules: Vec<_> = rules
        .map(|rule| match direction {
            Direction::ToHost => (rule.inside, rule.host, rule),
            Direction::ToContainer => (rule.host, rule.inside, rule),
        })
        .collect();
    rules.sort_unstable_by_key(|(from, ..)| *from);
    rules
}

/// Puts an address in the place of "all addresses"; what the container itself has narrowed stays.
fn replace_wildcard(program: &mut SocketProgram, address: IpAddr, done: Label) {
    match program.family {
        Family::V4 => {
            program.load_address(done);
            program.asm.jump_if(ADDRESS, If::Differs, Ipv4Addr::UNSPECIFIED.to_bits(), done);
        }
        Family::V6 => program.unless_v6(Ipv6Addr::UNSPECIFIED, 128, done),
    }
    program.store_address(address, done);
}
