//! `publish=auto`: a port that somebody else already has is moved to a free one, which the kernel chooses, as it is bound.
//!
//! Who has it is asked of the kernel's own tables. A TCP socket that is bound but does not listen yet is not found there, nor
//! one on a single address of the host: then bind(2) fails as it would have. Nor is a port moved that a socket of the container's own
//! has, which another one may want to share (SO_REUSEPORT), or else gets EADDRINUSE for. So each socket of the container is marked as
//! it is bound. A search for a free port here would be a loop, and the verifier takes a tenth of a second to follow one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use sys::bpf::{Assembler, Field, Helper, Hook, If, Label, Map, MapKind, Register, Width};

use super::find_map;
use super::socket::{ADDRESS, CONTEXT, Direction, Family, PORT, PROTOCOL, SCRATCH, STACK, SocketProgram, UDP, field};
use crate::rules::Protocol;

/// How many ports of one container can be moved, both ways counted; bind(2) of one more fails with EPERM.
const ENTRIES: u32 = 512;

/// On the stack, below what the diagnosis has there: the key of the map of ports, which is a protocol and a port,
const KEY: i16 = -16;
/// its value, the other port,
const VALUE: i16 = -20;
/// the port that the container asked for,
const ASKED: i16 = -24;
/// and the addresses and ports to look up: source and destination address, source and destination port.
const TUPLE: i16 = -64;

/// Added to the protocol in a key that leads from the host's port to the container's.
const BACK: i32 = 1 << 8;

const PORTS: &str = "ls_moved";
const SOCKETS: &str = "ls_sockets";

/// The maps of `publish=auto`.
#[derive(Debug)]
pub struct Moved {
    /// The ports that have been moved.
    ports: Map,
    /// The sockets that the container has bound or tried to. The value is the port that it asked for, if the kernel chooses another one,
    /// and 0 else.
    sockets: Map,
}

impl Moved {
    pub(super) fn create() -> io::Result<Moved> {
        Ok(Moved { ports: Map::create(MapKind::Hash, PORTS, 8, 4, ENTRIES)?, sockets: Map::of_sockets(SOCKETS)? })
    }
}

/// Which port of the container, at the programs of its cgroup v2 directory, an earlier bind(2) has moved to the host's; none if
/// that is not one of them.
///
/// # Errors
/// Those of bpf(2).
pub fn moved_port(cgroup: impl AsFd, protocol: Protocol, host: u16) -> io::Result<Option<u16>> {
    let Some(map) = find_map(Hook::Bind4, cgroup, PORTS)? else { return Ok(None) };
    let key = [i32::from(protocol.number()) + BACK, host.into()].map(i32::to_ne_bytes);
    let value = map.lookup(key.as_flattened())?;
    Ok(value.and_then(|value| Some(u32::from_ne_bytes(value.try_into().ok()?) as u16)))
}

/// Translates [`PORT`] as an earlier bind(2) has moved it.
pub(super) fn translate(program: &mut SocketProgram, moved: &Moved, direction: Direction, unmoved: Label) {
    let asm = &mut program.asm;
    store_key(asm, direction, PORT);
    call_with_key(asm, moved, Helper::MapLookup);
    asm.jump_if_zero(Register::R0, If::Equal, unmoved);
    asm.load(Width::Word, PORT, Register::R0, 0);
}

/// Marks the socket as the container's, which has not asked for anything yet: an earlier bind(2) of it may have failed.
pub(super) fn own(program: &mut SocketProgram, moved: &Moved) {
    let asm = &mut program.asm;
    let no_memory = asm.label();
    asm.load_field(Register::R2, CONTEXT, field::SOCKET);
    find_socket(asm, moved, IfNone::Make, no_memory);
    asm.store_number(Width::Word, Register::R0, 0, 0);
    asm.place(no_memory);
}

/// Makes [`PORT`] the one of an earlier bind(2), or leaves it. If somebody else has that, the kernel is to choose one: then it
/// becomes 0, and [`learn`] is told later which one that was.
pub(super) fn choose(program: &mut SocketProgram, moved: &Moved) {
    let asm = &mut program.asm;
    let (done, unmoved, taken) = (asm.label(), asm.label(), asm.label());
    asm.jump_if(PORT, If::Equal, 0, done);
    asm.store(Width::Word, STACK, ASKED, PORT);
    translate(program, moved, Direction::ToHost, unmoved);
    program.asm.place(unmoved);
    look_up(program, moved, done, taken);
    let asm = &mut program.asm;
    asm.jump(done);
    asm.place(taken);
    asm.load_field(Register::R2, CONTEXT, field::SOCKET);
    find_socket(asm, moved, IfNone::Skip, done);
    asm.load(Width::Word, SCRATCH, STACK, ASKED);
    asm.store(Width::Word, Register::R0, 0, SCRATCH);
    asm.set(PORT, 0);
    asm.place(done);
}

/// In a program that runs after bind(2): writes down which port the kernel has chosen for a socket whose own one was taken. Goes to
/// `refused` if there is no room for it.
pub(super) fn learn(asm: &mut Assembler, moved: &Moved, refused: Label) {
    /// `struct bpf_sock`; this port is in the host's order.
    const PROTOCOL_FIELD: Field = Field::word(12);
    const SOURCE_PORT: Field = Field::word(44);
    let not_asked = asm.label();
    asm.copy(Register::R2, CONTEXT);
    find_socket(asm, moved, IfNone::Skip, not_asked);
    asm.load(Width::Word, ADDRESS, Register::R0, 0);
    asm.jump_if(ADDRESS, If::Equal, 0, not_asked);
    asm.load_field(PORT, CONTEXT, SOURCE_PORT);
    asm.load_field(PROTOCOL, CONTEXT, PROTOCOL_FIELD);
    forget_former(asm, moved);
    // The way back first: a port that bind(2) is led to must not be one that nothing leads back from.
    for (direction, from, to) in [(Direction::ToContainer, PORT, ADDRESS), (Direction::ToHost, ADDRESS, PORT)] {
        store_key(asm, direction, from);
        asm.store(Width::Word, STACK, VALUE, to);
        point(asm, Register::R3, VALUE);
        asm.set(Register::R4, 0);
        call_with_key(asm, moved, Helper::MapUpdate);
        asm.jump_if_zero(Register::R0, If::Differs, refused);
    }
    asm.place(not_asked);
}

/// Where the port in [`ADDRESS`] has been moved before, somebody else is now: nothing leads back from there any more.
fn forget_former(asm: &mut Assembler, moved: &Moved) {
    let none = asm.label();
    store_key(asm, Direction::ToHost, ADDRESS);
    call_with_key(asm, moved, Helper::MapLookup);
    asm.jump_if_zero(Register::R0, If::Equal, none);
    asm.load(Width::Word, Register::R2, Register::R0, 0);
    store_key(asm, Direction::ToContainer, Register::R2);
    call_with_key(asm, moved, Helper::MapDelete);
    asm.place(none);
}

/// Goes to `taken` if somebody else has [`PORT`] at the address of the call, to `own` if the container itself has it, and on if nobody
/// has. For all addresses the loopback one is looked up, which finds those who have all addresses as well.
fn look_up(program: &mut SocketProgram, moved: &Moved, own: Label, taken: Label) {
    let look_up_tuple = |program: &mut SocketProgram, size| look_up_tuple(program, moved, size, own, taken);
    let asm = &mut program.asm;
    let (v4, v6, specific, done) = (asm.label(), asm.label(), asm.label(), asm.label());
    program.load_address(v6);
    program.asm.jump_if(ADDRESS, If::Differs, Ipv4Addr::UNSPECIFIED.to_bits(), v4);
    program.asm.set(ADDRESS, Ipv4Addr::LOCALHOST.to_bits() as i32);
    program.asm.place(v4);
    store_tuple_v4(program);
    look_up_tuple(program, V4_TUPLE);
    program.asm.jump(done);
    program.asm.place(v6);
    if program.family == Family::V6 {
        program.unless_v6(Ipv6Addr::UNSPECIFIED, 128, specific);
        // It may be a socket for both, so IPv4 counts too.
        program.asm.set(ADDRESS, Ipv4Addr::LOCALHOST.to_bits() as i32);
        store_tuple_v4(program);
        look_up_tuple(program, V4_TUPLE);
        store_tuple_v6(program, Some(Ipv6Addr::LOCALHOST));
        look_up_tuple(program, V6_TUPLE);
        program.asm.jump(done);
        program.asm.place(specific);
        store_tuple_v6(program, None);
        look_up_tuple(program, V6_TUPLE);
    }
    program.asm.place(done);
}

const V4_TUPLE: i32 = 12;
const V6_TUPLE: i32 = 36;

/// The IPv4 address is taken from [`ADDRESS`], where it is lost.
fn store_tuple_v4(program: &mut SocketProgram) {
    let asm = &mut program.asm;
    asm.swap(ADDRESS, 32);
    asm.store_number(Width::Word, STACK, TUPLE, 0);
    asm.store(Width::Word, STACK, TUPLE + 4, ADDRESS);
    store_ports(program, TUPLE + 8);
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

fn look_up_tuple(program: &mut SocketProgram, moved: &Moved, size: i32, own: Label, taken: Label) {
    const CURRENT_NAMESPACE: i32 = -1;
    /// The socket that was found.
    const FOUND: Register = ADDRESS;
    let asm = &mut program.asm;
    let (udp, found, other, none) = (asm.label(), asm.label(), asm.label(), asm.label());
    asm.copy(Register::R1, CONTEXT);
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
    asm.copy(FOUND, Register::R0);
    asm.copy(Register::R2, FOUND);
    find_socket(asm, moved, IfNone::Skip, other);
    release(asm, FOUND);
    asm.jump(own);
    asm.place(other);
    release(asm, FOUND);
    asm.jump(taken);
    asm.place(none);
}

fn release(asm: &mut Assembler, socket: Register) {
    asm.copy(Register::R1, socket);
    asm.call(Helper::Release);
}

/// What becomes of a socket that is not marked.
#[derive(Clone, Copy)]
enum IfNone {
    Skip = 0,
    Make = 1,
}

/// Goes on with a pointer in R0 to what is written down for the socket in R2, or to `none`.
fn find_socket(asm: &mut Assembler, moved: &Moved, if_none: IfNone, none: Label) {
    asm.set_map(Register::R1, &moved.sockets);
    asm.set(Register::R3, 0);
    asm.set(Register::R4, if_none as i32);
    asm.call(Helper::SocketStorage);
    asm.jump_if_zero(Register::R0, If::Equal, none);
}

fn store_key(asm: &mut Assembler, direction: Direction, port: Register) {
    asm.copy(SCRATCH, PROTOCOL);
    if direction == Direction::ToContainer {
        asm.add(SCRATCH, BACK);
    }
    asm.store(Width::Word, STACK, KEY, SCRATCH);
    asm.store(Width::Word, STACK, KEY + 4, port);
}

/// Calls a helper for the key that is stored.
fn call_with_key(asm: &mut Assembler, moved: &Moved, helper: Helper) {
    asm.set_map(Register::R1, &moved.ports);
    point(asm, Register::R2, KEY);
    asm.call(helper);
}

/// Makes a register point to a place on the stack.
fn point(asm: &mut Assembler, to: Register, at: i16) {
    asm.copy(to, STACK);
    asm.add(to, at.into());
}
