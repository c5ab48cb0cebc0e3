//! What the diagnosis is told: an attempt to bind a port is written down as bind(2) begins, and struck out when it has succeeded.
//! What stays has failed.
//!
//! The attempts are in a table that the watcher has in its memory. A doorbell wakes it, and is rung only when the watcher has
//! put into the table that it sleeps, so that most calls of bind(2) cost no more than writing the table. An attempt is known by what
//! is bound and not by its socket, as to ask for that takes a call of the kernel's, which costs more than all of this.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;

use sys::bpf::{Assembler, Field, Helper, Hook, If, Map, MapKind, Register, Width, page_size};

use super::find_map;
use super::socket::{CONTEXT, Family, PORT, PROTOCOL, STACK, SocketProgram};

const TABLE: &str = "ls_attempts";
const DOORBELL: &str = "ls_doorbell";

/// Rows for each family. Which of them an attempt has is told by the port, the protocol and the address's last byte; of attempts that
/// meet in a row, the first one counts.
const ROWS: u32 = 32;
const FAMILIES: u32 = 2;
/// A row: the attempt (8 bytes: 0 in an empty row, else from the low end on the port as the host sees it, the protocol, the port as the
/// container sees it, the attempt's number; 16 bits each), the address as an IPv6 one (16), how many attempts the row has had (8).
const ROW: u32 = 1 << ROW_BITS;
const ROW_BITS: u32 = 5;
const ADDRESS_AT: i16 = 8;
/// Of an address, its last four bytes tell it from another one.
const ADDRESS_END_AT: i16 = ADDRESS_AT + 12;
const COUNT_AT: i16 = 24;
/// Behind the rows: 1 when the watcher sleeps (8 bytes).
const ASLEEP_AT: u32 = FAMILIES * ROWS * ROW;
const TABLE_SIZE: u32 = ASLEEP_AT + 8;

/// On the stack: the port as the container asked for it.
const INSIDE: i16 = -8;

/// A bind(2) of the container's that has not succeeded.
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
    /// Tells it from others for the same.
    pub number: u16,
}

impl Attempt {
    /// Reads the attempts in a table.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn read(table: &Map) -> io::Result<Vec<Attempt>> {
        let table = table.lookup(&[0; 4])?.unwrap_or_default();
        Ok(table.chunks_exact(ROW as usize).take((FAMILIES * ROWS) as usize).filter_map(Attempt::parse).collect())
    }

    fn parse(row: &[u8]) -> Option<Attempt> {
        let (attempt, row) = row.split_first_chunk()?;
        let (address, _) = row.split_first_chunk::<16>()?;
        let attempt = u64::from_ne_bytes(*attempt);
        (attempt != 0).then_some(Attempt {
            protocol: (attempt >> 16) as u8,
            inside_port: (attempt >> 32) as u16,
            host_port: attempt as u16,
            address: Ipv6Addr::from(*address).to_canonical(),
            number: (attempt >> 48) as u16,
        })
    }
}

/// The maps of the diagnosis.
#[derive(Debug)]
pub struct Attempts {
    /// The attempts that have not succeeded.
    pub table: Map,
    /// What the watcher waits for.
    pub doorbell: Map,
}

impl Attempts {
    pub(super) fn create() -> io::Result<Attempts> {
        let table = Map::create_mappable(TABLE, TABLE_SIZE)?;
        Ok(Attempts { table, doorbell: Map::create(MapKind::RingBuffer, DOORBELL, 0, 0, page_size() as u32)? })
    }

    /// Finds those of the programs on a cgroup v2 directory; `None` if they tell nothing.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn find(cgroup: impl AsFd) -> io::Result<Option<Attempts>> {
        let maps = (find_map(Hook::Bind4, &cgroup, TABLE)?, find_map(Hook::Bind4, &cgroup, DOORBELL)?);
        Ok(maps.0.zip(maps.1).map(|(table, doorbell)| Attempts { table, doorbell }))
    }
}

/// Keeps the port that the container asked for, before anything is translated.
pub(super) fn keep_port(program: &mut SocketProgram) {
    program.asm.store(Width::Double, STACK, INSIDE, PORT);
}

/// Writes down the attempt to bind a port. If the port may be 0, "any free one", that is none: nobody can hold it.
pub(super) fn attempt(program: &mut SocketProgram, maps: &Attempts, may_be_any: bool) {
    /// Wakes the watcher also if it has not read the last record yet (BPF_RB_FORCE_WAKEUP).
    const FORCE_WAKEUP: i32 = 2;
    let done = program.asm.label();
    if may_be_any {
        program.asm.jump_if(PORT, If::Equal, 0, done);
    }
    program.load_address_end(ADDRESS_END);
    find_row(&mut program.asm, maps, program.family);
    program.asm.load(Width::Double, Register::R4, ROW_OF, 0);
    program.asm.jump_if_zero(Register::R4, If::Differs, done);
    program.write_as_ip6(ROW_OF, ADDRESS_AT, Register::R4);
    let asm = &mut program.asm;
    asm.load(Width::Double, Register::R4, STACK, INSIDE);
    asm.shift_left(Register::R4, 32);
    asm.add_register(BOUND, Register::R4);
    asm.load(Width::Double, Register::R4, ROW_OF, COUNT_AT);
    asm.add(Register::R4, 1);
    asm.store(Width::Double, ROW_OF, COUNT_AT, Register::R4);
    asm.shift_left(Register::R4, 48);
    asm.add_register(BOUND, Register::R4);
    asm.store(Width::Double, ROW_OF, 0, BOUND);
    // Without a barrier, this may be read before the watcher can see the row: so it looks again when it has slept a moment.
    asm.set_map_value(Register::R3, &maps.table, ASLEEP_AT as i32);
    asm.load(Width::Double, Register::R2, Register::R3, 0);
    asm.jump_if_zero(Register::R2, If::Equal, done);
    asm.store_number(Width::Double, Register::R3, 0, 0);
    // Nobody reads the record.
    asm.copy(Register::R2, ROW_OF);
    asm.set_map(Register::R1, &maps.doorbell);
    asm.set(Register::R3, 8);
    asm.set(Register::R4, FORCE_WAKEUP);
    asm.call(Helper::RingOutput);
    asm.place(done);
}

/// In a program that runs after bind(2): strikes out the attempt, which has succeeded.
pub(super) fn bound(asm: &mut Assembler, maps: &Attempts, family: Family) {
    /// `struct bpf_sock`; the port is in the host's order.
    const PROTOCOL_FIELD: Field = Field::word(12);
    const IP4_FIELD: Field = Field::word(24);
    const IP6_END_FIELD: Field = Field::word(40);
    const PORT_FIELD: Field = Field::word(44);
    let other = asm.label();
    asm.load_field(PORT, CONTEXT, PORT_FIELD);
    asm.load_field(PROTOCOL, CONTEXT, PROTOCOL_FIELD);
    asm.and(PROTOCOL, 0xff);
    asm.load_field(ADDRESS_END, CONTEXT, if family == Family::V4 { IP4_FIELD } else { IP6_END_FIELD });
    find_row(asm, maps, family);
    asm.load(Width::Double, Register::R4, ROW_OF, 0);
    // Without the container's own port.
    asm.and(Register::R4, u32::MAX);
    asm.jump_if_register(Register::R4, If::Differs, BOUND, other);
    asm.load(Width::Word, Register::R4, ROW_OF, ADDRESS_END_AT);
    asm.jump_if_register(Register::R4, If::Differs, ADDRESS_END, other);
    asm.store_number(Width::Double, ROW_OF, 0, 0);
    asm.place(other);
}

/// The last four bytes of the address, in the network's order.
const ADDRESS_END: Register = Register::R2;
/// Port and protocol as a row has them.
const BOUND: Register = Register::R3;
const ROW_OF: Register = Register::R1;

/// Makes [`ROW_OF`] point to the row of what is bound, and [`BOUND`] what it has of that.
fn find_row(asm: &mut Assembler, maps: &Attempts, family: Family) {
    let first = if family == Family::V4 { 0 } else { ROWS * ROW };
    asm.copy(Register::R4, ADDRESS_END);
    // On a big-endian machine that is the first byte, which does as well.
    asm.shift_right(Register::R4, 24);
    asm.add_register(Register::R4, PORT);
    asm.add_register(Register::R4, PROTOCOL);
    asm.and(Register::R4, ROWS - 1);
    asm.shift_left(Register::R4, ROW_BITS as i32);
    asm.set_map_value(ROW_OF, &maps.table, first as i32);
    asm.add_register(ROW_OF, Register::R4);
    asm.copy(BOUND, PROTOCOL);
    asm.shift_left(BOUND, 16);
    asm.add_register(BOUND, PORT);
}
