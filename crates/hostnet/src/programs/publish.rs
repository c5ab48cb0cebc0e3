//! Published ports: the container binds 80, the host sees 8080, and neither learns of the other's view.
//!
//! bind(2), connect(2) and sendto(2) translate to the host's view; getsockname(2), getpeername(2), accept(2) and recvfrom(2)
//! translate back. Of another side only the container itself is translated: loopback addresses and those it publishes at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sys::bpf::Label;

use super::auto::{self, Moved};
use super::socket::{Direction, Family, Here, PORT, SocketProgram};
use super::{address, search};
use crate::rules::{Addresses, PortRange, Protocol, Publish, Published};

/// Moves the port that is bound, and confines it to its rule's address.
pub(super) fn bind(program: &mut SocketProgram, publish: &Publish, moved: Option<&Moved>) {
    if publish.rules.is_empty() && moved.is_none() {
        return;
    }
    let (done, end) = (program.asm.label(), program.asm.label());
    let unpublished = if moved.is_some() { program.asm.label() } else { end };
    let addresses = addresses(program, publish);
    translate(program, publish, Direction::ToHost, end, unpublished, |address| label_of(&addresses, address, done));
    for (address, label) in addresses {
        program.asm.place(label);
        confine(program, address, done);
    }
    if let Some(moved) = moved {
        program.asm.place(unpublished);
        auto::choose(program, moved);
    }
    program.asm.place(done);
    program.store_port();
    program.asm.place(end);
}

/// connect(2) and sendto(2) to the container itself: to the port where the host has it, and of `localhost` to its rule's address.
/// `may_map` is that of [`address::redirect_connect`].
pub(super) fn connect(
    program: &mut SocketProgram,
    publish: &Publish,
    moved: Option<&Moved>,
    own: &Here,
    may_map: bool,
) {
    itself(program, publish, moved, own, Direction::ToHost, |program, address| {
        if address.is_ipv4() && !may_map {
            program.refuse_ipv6();
        }
        address::redirect_connect(program, &Addresses::from(address), may_map);
    });
}

/// Translates the port of another side back, if that is the container itself.
pub(super) fn other_side(program: &mut SocketProgram, publish: &Publish, moved: Option<&Moved>, own: &Here) {
    itself(program, publish, moved, own, Direction::ToContainer, |_, _| {});
}

/// Translates the port of another side, if that is the container itself, and does `then` for a rule at an address.
fn itself(
    program: &mut SocketProgram,
    publish: &Publish,
    moved: Option<&Moved>,
    own: &Here,
    direction: Direction,
    then: impl Fn(&mut SocketProgram, IpAddr),
) {
    let (other, anywhere) = (program.asm.label(), program.asm.label());
    let addresses = addresses(program, publish);
    if !addresses.is_empty() {
        // Once, ahead of the ways that part here.
        program.guard();
    }
    // The port first, which is another one most of the time.
    translate_known(program, publish, moved, direction, other, |address| label_of(&addresses, address, anywhere));
    program.asm.place(anywhere);
    program.unless_here(own, other);
    program.guard();
    program.store_port();
    for (address, label) in addresses {
        program.asm.jump(other);
        program.asm.place(label);
        program.unless_here(&own.and(address), other);
        program.store_port();
        then(program, address);
    }
    program.asm.place(other);
}

/// Translates the container's own port back.
pub(super) fn own_side(program: &mut SocketProgram, publish: &Publish, moved: Option<&Moved>) {
    let (done, other) = (program.asm.label(), program.asm.label());
    translate_known(program, publish, moved, Direction::ToContainer, other, |_| done);
    program.asm.place(done);
    program.guard();
    program.store_port();
    program.asm.place(other);
}

/// The addresses of rules, each with a label. A rule's address is that of its published port alone.
fn addresses(program: &mut SocketProgram, publish: &Publish) -> Vec<(IpAddr, Label)> {
    let mut addresses: Vec<(IpAddr, Label)> = Vec::new();
    for rule in &publish.rules {
        if let Some(address) = rule.address.filter(|address| addresses.iter().all(|(known, _)| known != address)) {
            addresses.push((address, program.asm.label()));
        }
    }
    addresses
}

fn label_of(addresses: &[(IpAddr, Label)], address: Option<IpAddr>, anywhere: Label) -> Label {
    addresses.iter().find(|(known, _)| address == Some(*known)).map_or(anywhere, |(_, label)| *label)
}

/// Translates [`PORT`] if it is published, or `auto` has moved it, and goes on at the label that `then` has for the rule's address;
/// else goes to `other`.
fn translate_known(
    program: &mut SocketProgram,
    publish: &Publish,
    moved: Option<&Moved>,
    direction: Direction,
    other: Label,
    then: impl Fn(Option<IpAddr>) -> Label,
) {
    let unpublished = if moved.is_some() { program.asm.label() } else { other };
    translate(program, publish, direction, other, unpublished, &then);
    if let Some(moved) = moved {
        program.asm.place(unpublished);
        auto::translate(program, moved, direction, other);
        program.asm.jump(then(None));
    }
}

/// Translates [`PORT`] by the rules for the address's family and goes on at the label that `then` has for the rule's address, or at
/// `unpublished` if there is none; with a protocol that has no ports at `other`.
fn translate(
    program: &mut SocketProgram,
    publish: &Publish,
    direction: Direction,
    other: Label,
    unpublished: Label,
    then: impl Fn(Option<IpAddr>) -> Label,
) {
    let [v4, v6] = [false, true].map(|ipv6| publish.of_family(ipv6));
    if program.family == Family::V4 {
        return translate_by(program, &v4, direction, other, unpublished, &then);
    }
    if v4 != v6 {
        let not_v4 = program.asm.label();
        program.load_address(not_v4);
        translate_by(program, &v4, direction, other, unpublished, &then);
        program.asm.place(not_v4);
    }
    translate_by(program, &v6, direction, other, unpublished, &then);
}

fn translate_by(
    program: &mut SocketProgram,
    rules: &[Published],
    direction: Direction,
    other: Label,
    unpublished: Label,
    then: &impl Fn(Option<IpAddr>) -> Label,
) {
    let [tcp, udp] = [Protocol::Tcp, Protocol::Udp].map(|protocol| sorted(rules, protocol, direction));
    let start = |program: &mut SocketProgram, rules: &[Translation]| match rules {
        [] => unpublished,
        _ => program.asm.label(),
    };
    let first = start(program, &tcp);
    // The verifier follows a search that both protocols share once. What has neither protocol may share it too (UDP-Lite), unless
    // `auto` has a say.
    let second = if tcp == udp { first } else { start(program, &udp) };
    if tcp == udp && unpublished == other {
        program.asm.jump(first);
    } else {
        program.by_protocol(first, second, other);
    }
    let mut searches = vec![(first, tcp), (second, udp)];
    searches.dedup_by_key(|(start, _)| *start);
    for (start, rules) in searches.into_iter().filter(|(_, rules)| !rules.is_empty()) {
        program.asm.place(start);
        let labelled: Vec<(PortRange, Label)> = rules.iter().map(|(from, ..)| (*from, program.asm.label())).collect();
        search::find(&mut program.asm, PORT, &labelled, unpublished);
        for ((_, label), (from, to, address)) in labelled.iter().zip(rules) {
            program.asm.place(*label);
            program.asm.add(PORT, i32::from(to.first) - i32::from(from.first));
            program.asm.jump(then(address));
        }
    }
}

/// The ports to translate from and to, and the address of the rule.
type Translation = (PortRange, PortRange, Option<IpAddr>);

/// The translations of a protocol, in order.
fn sorted(rules: &[Published], protocol: Protocol, direction: Direction) -> Vec<Translation> {
    let rules = rules.iter().filter(|rule| rule.protocol == protocol);
    let mut rules: Vec<Translation> = rules
        .map(|rule| match direction {
            Direction::ToHost => (rule.inside, rule.host, rule.address),
            Direction::ToContainer => (rule.host, rule.inside, rule.address),
        })
        .collect();
    rules.sort_unstable();
    rules
}

/// Confines bind(2) to a rule's address; what the container itself keeps on loopback stays there.
fn confine(program: &mut SocketProgram, address: IpAddr, done: Label) {
    let (v6, elsewhere) = (program.asm.label(), program.asm.label());
    program.load_address(v6);
    program.unless_v4(Ipv4Addr::new(127, 0, 0, 0), 8, elsewhere);
    program.asm.jump(done);
    program.asm.place(v6);
    program.unless_v6(Ipv6Addr::LOCALHOST, 128, elsewhere);
    program.asm.jump(done);
    program.asm.place(elsewhere);
    address::confine_bind(program, &Addresses::from(address));
    program.asm.jump(done);
}
