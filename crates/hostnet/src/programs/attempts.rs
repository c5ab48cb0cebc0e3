//! What the diagnosis is told: every bind(2) as it begins, and every socket that has been bound. An attempt that is not followed
//! by its success has failed.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;

use sys::bpf::{Hook, Map, MapKind, RingBuffer, page_size};

use super::find_map;
use super::socket::{CONTEXT, PORT, PROTOCOL, STACK, SocketProgram};
use crate::assembler::{Assembler, Helper, If, Register, Width};

const MAP: &str = "ls_attempts";

/// A record, as it lies on the stack and in the ring buffer: the socket's cookie (8 bytes), the protocol's number, the port as
/// the container sees it and as the host does (4 each), 4 bytes of nothing, the address as an IPv6 one (16).
const RECORD: i16 = -40;
const LENGTH: usize = 40;
const PROTOCOL_AT: i16 = RECORD + 8;
const INSIDE_AT: i16 = RECORD + 12;
const HOST_AT: i16 = RECORD + 16;
const PADDING_AT: i16 = RECORD + 20;
const ADDRESS_AT: i16 = RECORD + 24;
/// Of a socket that has been bound there is the cookie alone.
const BOUND_LENGTH: usize = 8;

/// A bind(2) of the container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The number that only this socket has.
    pub socket: u64,
    /// The protocol's number, as in `/etc/protocols`.
    pub protocol: u32,
    /// The port as the container asked for it.
    pub inside_port: u16,
    /// The port as the host sees it.
    pub host_port: u16,
    /// The address.
    pub address: IpAddr,
}

/// A record of the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A socket is about to be bound.
    Attempt(Attempt),
    /// The socket with this number has been bound.
    Bound(u64),
}

impl Event {
    /// The number of the socket that it is about.
    #[must_use]
    pub fn socket(&self) -> u64 {
        match self {
            Event::Attempt(attempt) => attempt.socket,
            Event::Bound(socket) => *socket,
        }
    }

    /// Reads a record; `None` if it is none.
    #[must_use]
    pub fn parse(record: &[u8]) -> Option<Event> {
        let number = |at: usize| Some(u32::from_ne_bytes(record.get(at..at + 4)?.try_into().ok()?));
        let socket = u64::from_ne_bytes(record.get(..8)?.try_into().ok()?);
        if record.len() < LENGTH {
            return Some(Event::Bound(socket));
        }
        let address: [u8; 16] = record.get(24..40)?.try_into().ok()?;
        Some(Event::Attempt(Attempt {
            socket,
            protocol: number(8)?,
            inside_port: number(12)? as u16,
            host_port: number(16)? as u16,
            address: Ipv6Addr::from(address).to_canonical(),
        }))
    }
}

pub(super) fn map() -> io::Result<Map> {
    // One page is a hundred attempts that nobody has read yet. More are lost.
    Map::create(MapKind::RingBuffer, MAP, 0, 0, page_size() as u32)
}

/// The ring buffer of the programs on a cgroup v2 directory; `None` if they tell nothing.
///
/// # Errors
/// Those of bpf(2) and mmap(2).
pub fn events(cgroup: impl AsFd) -> io::Result<Option<RingBuffer>> {
    find_map(Hook::PostBind4, cgroup, MAP)?.map(RingBuffer::open).transpose()
}

/// Keeps the port that the container asked for, before anything is translated.
pub(super) fn keep_port(program: &mut SocketProgram) {
    program.asm.store(Width::Word, STACK, INSIDE_AT, PORT);
}

/// Tells of the attempt to bind a port; "any free one" cannot be held by anybody.
pub(super) fn attempt(program: &mut SocketProgram, map: &Map) {
    let done = program.asm.label();
    program.asm.jump_if(PORT, If::Equal, 0, done);
    for (word, at) in (ADDRESS_AT..0).step_by(4).enumerate() {
        program.load_as_ip6(Register::R1, word);
        program.asm.store(Width::Word, STACK, at, Register::R1);
    }
    let asm = &mut program.asm;
    asm.store(Width::Word, STACK, PROTOCOL_AT, PROTOCOL);
    asm.store(Width::Word, STACK, HOST_AT, PORT);
    asm.store_number(Width::Word, STACK, PADDING_AT, 0);
    output(asm, map, LENGTH, 0);
    asm.place(done);
}

/// Tells that a socket has been bound.
pub(super) fn bound(asm: &mut Assembler, map: &Map) {
    /// The reader waits for failures, so a success need not wake it (BPF_RB_NO_WAKEUP).
    const NO_WAKEUP: i32 = 1;
    output(asm, map, BOUND_LENGTH, NO_WAKEUP);
}

/// Puts the socket's number at the beginning of the record and writes the record.
fn output(asm: &mut Assembler, map: &Map, length: usize, flags: i32) {
    asm.copy(Register::R1, CONTEXT);
    asm.call(Helper::SocketCookie);
    asm.store(Width::Double, STACK, RECORD, Register::R0);
    asm.set_map(Register::R1, map);
    asm.copy(Register::R2, STACK);
    asm.add(Register::R2, RECORD.into());
    asm.set(Register::R3, length as i32);
    asm.set(Register::R4, flags);
    asm.call(Helper::RingOutput);
}
