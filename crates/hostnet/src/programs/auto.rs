//! `publish=auto`: a port that somebody already has is moved to a free one, which the kernel chooses, as it is bound.
//!
//! Who has it is asked of the kernel's own tables. A TCP socket that is bound but does not listen yet is not found there, nor
//! one on a single address of the host: then bind(2) fails as it would have. A search for a free port here would be a loop,
//! and the verifier takes a tenth of a second to follow one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use sys::bpf::{Assembler, Field, Helper, Hook, If, Label, Map, MapKind, Register, Width};

use super::find_map;
use super::socket::{ADDRESS, CONTEXT, Direction, Family, PORT, PROTOCOL, SCRATCH, STACK, SocketProgram, UDP};
use crate::rules::Protocol;

/// How many ports of one container can have been moved, both ways counted.
const ENTRIES: u32 = 512;

/// On the stack, below what the diagnosis has there: the key of the map, which is a protocol and a port,
const KEY: i16 = -16;
/// its value, the other port,
const VALUE: i16 = -20;
/// and the addresses and ports to look up: source and destination address, source and destination port.
const TUPLE: i16 = -64;

/// Added to the protocol in a key that leads from the host's port to the container's.
const BACK: i32 = 1 << 8;
/// Instead of a protocol, with the socket's cookie instead of a port: what the socket asked for whose port the kernel chooses.
const ASKED: i32 = 1 << 9;

const MAP: &str = "ls_moved";

pub(super) fn map() -> io::Result<Map> {
    Map::create(MapKind::Hash, MAP, 8, 4, ENTRIES)
}

/// Which port of the container, at the programs of its cgroup v2 directory, an earlier bind(2) has moved to the host's; none if
/// that is not one of them.
///
/// # Errors
/// Those of bpf(2).
pub fn moved_port(cgroup: impl AsFd, protocol: Protocol, host: u16) -> io::Result<Option<u16>> {
    let Some(map) = find_map(Hook::Bind4, cgroup, MAP)? else { return Ok(None) };
    let key = [i32::from(protocol.number()) + BACK, host.into()].map(i32::to_ne_bytes);
    let value = map.lookup(key.as_flattened())?;
    Ok(value.and_then(|value| Some(u32::from_ne_bytes(value.try_into().ok()?) as u16)))
}

/// Translates [`PORT`] as an earlier bind(2) has moved it.
pub(super) fn translate(program: &mut SocketProgram, map: &Map, direction: Direction, unmoved: Label) {
    let asm = &mut program.asm;
    store_key(asm, direction, PORT);
    look_key_up(asm, map, unmoved);
    asm.load(Width::Word, PORT, Register::R0, 0);
}

/// Makes [`PORT`] the one of an earlier bind(2), or leaves it if nobody has it, or lets the kernel choose one: then it becomes 0,
/// and [`learn`] is told later which one that was.
pub(super) fn choose(program: &mut SocketProgram, map: &Map) {
    let asm = &mut program.asm;
    let (done, unknown, taken) = (asm.label(), asm.label(), asm.label());
    asm.jump_if(PORT, If::Equal, 0, done);
    translate(program, map, Direction::ToHost, unknown);
    program.asm.jump(done);
    program.asm.place(unknown);
    look_up(program, taken);
    // Another socket of the container's may want to share it (SO_REUSEPORT), and finds the first one there.
    let asm = &mut program.asm;
    asm.copy(ADDRESS, PORT);
    remember(asm, map);
    asm.jump(done);
    asm.place(taken);
    store_cookie_key(asm);
    store_value(asm, map, PORT);
    asm.set(PORT, 0);
    asm.place(done);
}

/// In a program that runs after bind(2): writes down which port the kernel has chosen for a socket whose own one was taken.
pub(super) fn learn(asm: &mut Assembler, map: &Map) {
    /// `struct bpf_sock`; this port is in the host's order.
    const PROTOCOL_FIELD: Field = Field::word(12);
    const SOURCE_PORT: Field = Field::word(44);
    let not_asked = asm.label();
    store_cookie_key(asm);
    look_key_up(asm, map, not_asked);
    asm.load(Width::Word, ADDRESS, Register::R0, 0);
    asm.set_map(Register::R1, map);
    point(asm, Register::R2, KEY);
    asm.call(Helper::MapDelete);
    asm.load_field(PORT, CONTEXT, SOURCE_PORT);
    asm.load_field(PROTOCOL, CONTEXT, PROTOCOL_FIELD);
    remember(asm, map);
    asm.place(not_asked);
}

/// Goes to `taken` if somebody has [`PORT`] at the address of the call. For all addresses the loopback one is looked up, which
/// finds those who have all addresses as well.
fn look_up(program: &mut SocketProgram, taken: Label) {
    if program.family == Family::V4 {
        return look_up_v4(program, None, taken);
    }
    let (specific, done) = (program.asm.label(), program.asm.label());
    program.unless_v6(Ipv6Addr::UNSPECIFIED, 128, specific);
    // It may be a socket for both, so IPv4 counts too.
    look_up_v4(program, Some(Ipv4Addr::LOCALHOST), taken);
    store_tuple_v6(program, Some(Ipv6Addr::LOCALHOST));
    look_up_tuple(program, 36, taken);
    program.asm.jump(done);
    program.asm.place(specific);
    store_tuple_v6(program, None);
    look_up_tuple(program, 36, taken);
    program.asm.place(done);
}

fn look_up_v4(program: &mut SocketProgram, address: Option<Ipv4Addr>, taken: Label) {
    match address {
        Some(address) => program.asm.set(SCRATCH, i32::from_ne_bytes(address.octets())),
        None => {
            let specific = program.asm.label();
            program.load_ip4(SCRATCH);
            program.asm.jump_if(SCRATCH, If::Differs, 0, specific);
            program.asm.set(SCRATCH, i32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets()));
            program.asm.place(specific);
        }
    }
    let asm = &mut program.asm;
    asm.store_number(Width::Word, STACK, TUPLE, 0);
    asm.store(Width::Word, STACK, TUPLE + 4, SCRATCH);
    store_ports(program, TUPLE + 8);
    look_up_tuple(program, 12, taken);
}

fn store_tuple_v6(program: &mut SocketProgram, address: Option<Ipv6Addr>) {
    for word in 0..4 {
        let at = TUPLE + 4 * word as i16;
        program.asm.store_number(Width::Word, STACK, at, 0);
        match address {
            Some(address) => {
                let octets = address.octets();
                let bytes = std::array::from_fn(|byte| octets[4 * word + byte]);
                program.asm.set(SCRATCH, i32::from_ne_bytes(bytes));
            }
            None => program.load_ip6(SCRATCH, word),
        }
        program.asm.store(Width::Word, STACK, at + 16, SCRATCH);
    }
    store_ports(program, TUPLE + 32);
}

/// No source port, and [`PORT`] as the destination's.
fn store_ports(program: &mut SocketProgram, at: i16) {
    let asm = &mut program.asm;
    asm.copy(SCRATCH, PORT);
    asm.swap(SCRATCH, 16);
    asm.store_number(Width::Half, STACK, at, 0);
    asm.store(Width::Half, STACK, at + 2, SCRATCH);
}

fn look_up_tuple(program: &mut SocketProgram, size: i32, taken: Label) {
    const CURRENT_NAMESPACE: i32 = -1;
    let (udp, found, none) = (program.asm.label(), program.asm.label(), program.asm.label());
    program.asm.copy(Register::R1, CONTEXT);
    let asm = &mut program.asm;
    point(asm, Register::R2, TUPLE);
    asm.set(Register::R3, size);
    asm.set(Register::R4, CURRENT_NAMESPACE);
    asm.set(Register::R5, 0);
    asm.jump_if(PROTOCOL, If::Equal, UDP, udp);
    asm.call(Helper::LookupTcp);
    asm.jump_if_zero(Register::R0, If::Equal, none);
    asm.jump(found);
    asm.place(udp);
    asm.call(Helper::LookupUdp);
    asm.jump_if_zero(Register::R0, If::Equal, none);
    asm.place(found);
    asm.copy(Register::R1, Register::R0);
    asm.call(Helper::Release);
    asm.jump(taken);
    asm.place(none);
}

/// Writes down for both directions that the port in [`ADDRESS`] is the one in [`PORT`] on the host.
fn remember(asm: &mut Assembler, map: &Map) {
    for (direction, from, to) in [(Direction::ToHost, ADDRESS, PORT), (Direction::ToContainer, PORT, ADDRESS)] {
        store_key(asm, direction, from);
        store_value(asm, map, to);
    }
}

/// Goes on with a pointer to the value of the key in R0, or to `none`.
fn look_key_up(asm: &mut Assembler, map: &Map, none: Label) {
    asm.set_map(Register::R1, map);
    point(asm, Register::R2, KEY);
    asm.call(Helper::MapLookup);
    asm.jump_if_zero(Register::R0, If::Equal, none);
}

fn store_value(asm: &mut Assembler, map: &Map, value: Register) {
    asm.store(Width::Word, STACK, VALUE, value);
    asm.set_map(Register::R1, map);
    point(asm, Register::R2, KEY);
    point(asm, Register::R3, VALUE);
    asm.set(Register::R4, 0);
    asm.call(Helper::MapUpdate);
}

/// The key of the context's socket; of the cookie, a number that counts up, the low half is enough.
fn store_cookie_key(asm: &mut Assembler) {
    asm.copy(Register::R1, CONTEXT);
    asm.call(Helper::SocketCookie);
    asm.store_number(Width::Word, STACK, KEY, ASKED);
    asm.store(Width::Word, STACK, KEY + 4, Register::R0);
}

fn store_key(asm: &mut Assembler, direction: Direction, port: Register) {
    asm.copy(SCRATCH, PROTOCOL);
    if direction == Direction::ToContainer {
        asm.add(SCRATCH, BACK);
    }
    asm.store(Width::Word, STACK, KEY, SCRATCH);
    asm.store(Width::Word, STACK, KEY + 4, port);
}

/// Makes a register point to a place on the stack.
fn point(asm: &mut Assembler, to: Register, at: i16) {
    asm.copy(to, STACK);
    asm.add(to, at.into());
}
