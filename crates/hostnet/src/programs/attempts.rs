//! What the diagnosis is told: the attempts to bind a port that have failed.
//!
//! As bind(2) begins, the attempt is written down for its socket. One that is still there as the socket tries again, or is closed without
//! that port, has failed and becomes a record for the watcher, which sleeps until then. A program sees the port of a socket that is closed
//! only with the kernel's types; without them one more program, which runs after bind(2), strikes out what has succeeded. A socket is
//! known by its place in the kernel's memory, as to ask for its number takes a call, which costs more than all of this.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;

use sys::bpf::{Assembler, Field, Helper, Hook, If, KernelTypes, Label, Map, MapKind, Register, Width, page_size};

use super::socket::{self, ADDRESS, CONTEXT, PORT, PROTOCOL, STACK, SocketProgram, field};
use super::{Host, find_map};

const RECORDS: &str = "ls_failed";
const TABLE: &str = "ls_attempts";

/// Which row a socket has is told by its place. Of attempts that meet in a row, the last one counts.
const ROWS: u32 = 64;
/// A row: the socket (8 bytes, 0 in an empty row), and what becomes the record: the attempt (8, from the low end on the port as the
/// host sees it, the protocol, the port as the container sees it, 16 bits each), the address as an IPv6 one (16).
const ROW: u32 = 1 << ROW_BITS;
const ROW_BITS: u32 = 5;
const ATTEMPT_AT: i16 = 8;
const ADDRESS_AT: i16 = 16;
const RECORD: i32 = ROW as i32 - ATTEMPT_AT as i32;

/// Behind the rows: the socket of the last attempt (8 bytes).
const LAST_AT: i32 = (ROWS * ROW) as i32;
const TABLE_SIZE: u32 = ROWS * ROW + 8;

/// On the stack: the port as the container asked for it.
const INSIDE: i16 = -8;

/// A bind(2) of the container's that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The low byte of the protocol's number, as in `/etc/protocols`: MPTCP has TCP's.
    pub protocol: u8,
    /// The port as the container asked for it.
    pub inside_port: u16,
    /// The port as the host sees it.
    pub host_port: u16,
    /// The address.
    pub address: IpAddr,
}

impl Attempt {
    /// Takes the failed attempts out of the ring buffer that [`Attempts`] has for them.
    ///
    /// # Errors
    /// As [`Map::take_records`].
    pub fn take(records: &Map) -> io::Result<Vec<Attempt>> {
        Ok(records.take_records()?.iter().filter_map(|record| Attempt::parse(record)).collect())
    }

    fn parse(record: &[u8]) -> Option<Attempt> {
        let (attempt, address) = record.split_first_chunk()?;
        let attempt = u64::from_ne_bytes(*attempt);
        Some(Attempt {
            protocol: (attempt >> 16) as u8,
            inside_port: (attempt >> 32) as u16,
            host_port: attempt as u16,
            address: Ipv6Addr::from(*address.first_chunk::<16>()?).to_canonical(),
        })
    }
}

/// The maps of the diagnosis.
#[derive(Debug)]
pub struct Attempts {
    /// The attempts that have not succeeded yet.
    table: Map,
    /// Those that have failed, for the watcher.
    pub records: Map,
}

impl Attempts {
    pub(super) fn create() -> io::Result<Attempts> {
        let table = Map::create(MapKind::Array, TABLE, 4, TABLE_SIZE, 1)?;
        Ok(Attempts { table, records: Map::create(MapKind::RingBuffer, RECORDS, 0, 0, page_size() as u32)? })
    }

    /// The failed attempts of the programs on a cgroup v2 directory, for [`Attempt::take`]; `None` if none of them tells.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn find_records(cgroup: impl AsFd) -> io::Result<Option<Map>> {
        find_map(Hook::SockRelease, cgroup, RECORDS)
    }
}

/// Keeps the port that the container asked for, before anything is translated.
pub(super) fn keep_port(program: &mut SocketProgram) {
    program.asm.store(Width::Double, STACK, INSIDE, PORT);
}

/// Writes down the attempt to bind a port. If the port may be 0, "any free one", that is none: nobody can hold it.
pub(super) fn attempt(program: &mut SocketProgram, maps: &Attempts, host: Host, may_be_any: bool) {
    let unguarded = program.unguarded;
    let (first, done) = (program.asm.label(), program.asm.label());
    let asm = &mut program.asm;
    if may_be_any {
        asm.jump_if(PORT, If::Equal, 0, done);
    }
    asm.load_field(SOCKET, CONTEXT, field::SOCKET);
    // A socket that has a port gets no second one, whoever holds that.
    asm.load_field(Register::R4, SOCKET, SOURCE_PORT);
    asm.jump_if(Register::R4, If::Differs, 0, done);
    if let Some(types) = host.types {
        load_identity(asm, types);
    }
    set_number(asm, maps);
    asm.store(Width::Double, TABLE_START, LAST_AT as i16, SOCKET);
    find_row(asm);
    asm.load(Width::Double, Register::R4, ROW_OF, 0);
    asm.store(Width::Double, ROW_OF, 0, SOCKET);
    asm.jump_if_register(Register::R4, If::Differs, SOCKET, first);
    tell(asm, maps, unguarded);
    asm.place(first);
    program.write_as_ip6(ROW_OF, ADDRESS_AT, Register::R4);
    let asm = &mut program.asm;
    asm.load(Width::Double, Register::R4, STACK, INSIDE);
    for part in [PROTOCOL, PORT] {
        asm.shift_left(Register::R4, 16);
        asm.add_register(Register::R4, part);
    }
    asm.store(Width::Double, ROW_OF, ATTEMPT_AT, Register::R4);
    asm.place(done);
}

/// In a program that runs after bind(2): strikes out the attempt, which has succeeded. A former one, for another port, stays.
pub(super) fn bound(asm: &mut Assembler, maps: &Attempts) {
    let other = asm.label();
    asm.copy(SOCKET, CONTEXT);
    asm.load_field(Register::R5, CONTEXT, SOURCE_PORT);
    set_number(asm, maps);
    find_row(asm);
    asm.load(Width::Double, Register::R4, ROW_OF, 0);
    asm.jump_if_register(Register::R4, If::Differs, SOCKET, other);
    asm.load(Width::Double, Register::R4, ROW_OF, ATTEMPT_AT);
    asm.and(Register::R4, 0xffff);
    asm.jump_if_register(Register::R4, If::Differs, Register::R5, other);
    asm.store_number(Width::Double, ROW_OF, 0, 0);
    asm.place(other);
}

/// In a program that runs as a socket is closed: what is still written down for it has failed, unless it has that port.
pub(super) fn closed(asm: &mut Assembler, maps: &Attempts, host: Host) {
    let other = asm.label();
    asm.copy(SOCKET, CONTEXT);
    match host.types {
        Some(types) => {
            load_identity(asm, types);
            asm.load(Width::Half, Register::R5, Register::R0, types.port);
            set_number(asm, maps);
        }
        None => set_number_of_closed(asm, maps, other),
    }
    find_row(asm);
    asm.load(Width::Double, Register::R4, ROW_OF, 0);
    asm.jump_if_register(Register::R4, If::Differs, SOCKET, other);
    asm.store_number(Width::Double, ROW_OF, 0, 0);
    if host.types.is_some() {
        asm.load(Width::Double, Register::R4, ROW_OF, ATTEMPT_AT);
        asm.and(Register::R4, 0xffff);
        asm.jump_if_register(Register::R4, If::Equal, Register::R5, other);
    }
    tell(asm, maps, Some(host));
    asm.place(other);
}

/// Without the types: what MPTCP binds is a subflow, another socket than the one that is closed; so the last attempt is taken for its
/// own.
fn set_number_of_closed(asm: &mut Assembler, maps: &Attempts, other: Label) {
    /// `struct bpf_sock`
    const PROTOCOL_FIELD: Field = Field::word(12);
    const STATE_FIELD: Field = Field::word(72);
    const MPTCP: u32 = 262;
    /// Neither does it listen nor has it a connection (TCP_CLOSE).
    const CLOSED: u32 = 7;
    let known = asm.label();
    set_number(asm, maps);
    asm.load_field(Register::R4, CONTEXT, PROTOCOL_FIELD);
    asm.jump_if(Register::R4, If::Differs, MPTCP, known);
    asm.load_field(Register::R4, CONTEXT, STATE_FIELD);
    asm.jump_if(Register::R4, If::Differs, CLOSED, other);
    asm.load(Width::Double, SOCKET, TABLE_START, LAST_AT as i16);
    asm.place(known);
}

/// The port of `struct bpf_sock`, in the host's order.
const SOURCE_PORT: Field = Field::word(44);

/// First a pointer to the socket, then the number that it is known by.
const SOCKET: Register = Register::R2;
/// No address is needed in its register any more.
const ROW_OF: Register = ADDRESS;
const TABLE_START: Register = ROW_OF;

/// With the types, a socket is known by its `struct socket`, which MPTCP's subflows share.
fn load_identity(asm: &mut Assembler, types: KernelTypes) {
    asm.copy(Register::R1, SOCKET);
    socket::cast(asm, types);
    asm.load(Width::Double, SOCKET, Register::R0, types.socket);
}

/// Makes [`SOCKET`] the number of the socket that it points to, its distance from the table, and [`TABLE_START`] point to that.
fn set_number(asm: &mut Assembler, maps: &Attempts) {
    asm.set_map_value(TABLE_START, &maps.table, 0);
    asm.subtract_register(SOCKET, TABLE_START);
}

/// Makes [`ROW_OF`] point to the socket's row, from the table's start on.
fn find_row(asm: &mut Assembler) {
    /// Sockets are some hundred bytes apart.
    const APART: i32 = 7;
    asm.copy(Register::R3, SOCKET);
    asm.shift_right(Register::R3, APART);
    asm.and(Register::R3, ROWS - 1);
    asm.shift_left(Register::R3, ROW_BITS as i32);
    asm.add_register(ROW_OF, Register::R3);
}

/// Tells the watcher of the attempt in the row, unless the socket is of another network namespace, if that has still to be asked.
fn tell(asm: &mut Assembler, maps: &Attempts, unguarded: Option<Host>) {
    /// Wakes the watcher also if it has not read the last record yet (BPF_RB_FORCE_WAKEUP).
    const FORCE_WAKEUP: i32 = 2;
    let elsewhere = asm.label();
    if let Some(host) = unguarded {
        asm.copy(Register::R1, CONTEXT);
        socket::leave_other_namespaces(asm, host, elsewhere);
    }
    asm.set_map(Register::R1, &maps.records);
    asm.copy(Register::R2, ROW_OF);
    asm.add(Register::R2, ATTEMPT_AT.into());
    asm.set(Register::R3, RECORD);
    asm.set(Register::R4, FORCE_WAKEUP);
    asm.call(Helper::RingOutput);
    asm.place(elsewhere);
}
