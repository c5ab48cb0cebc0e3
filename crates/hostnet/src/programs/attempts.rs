//! What the diagnosis is told: an attempt to bind a port is written down as bind(2) begins, and struck out when it has succeeded.
//! What stays has failed.
//!
//! The attempts are in a table that the watcher has in its memory. A doorbell wakes it, and is rung only when the watcher has
//! put into the table that it sleeps, so that most calls of bind(2) cost no more than writing the table.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;

use sys::bpf::{Assembler, Helper, Hook, If, Map, MapKind, Register, Width, page_size};

use super::find_map;
use super::socket::{CONTEXT, PORT, PROTOCOL, STACK, SocketProgram};

const TABLE: &str = "ls_attempts";
const DOORBELL: &str = "ls_doorbell";

/// Which row of the table an attempt has is told by the low bits of the socket's number. Of a socket that tries several ports, and
/// of two sockets that meet in a row, the last attempt counts.
const ROWS: u32 = 64;
/// A row: the socket's number, 0 in an empty one (8 bytes), the address as an IPv6 one (16), the port as the container sees it
/// and as the host does (2 each), the protocol's number (4).
const ROW: u32 = 1 << ROW_BITS;
const ROW_BITS: u32 = 5;
const ADDRESS_AT: i16 = 8;
const INSIDE_AT: i16 = 24;
const HOST_AT: i16 = 26;
const PROTOCOL_AT: i16 = 28;
/// Behind the rows: 1 when the watcher sleeps (8 bytes).
const ASLEEP_AT: u32 = ROWS * ROW;
const TABLE_SIZE: u32 = ASLEEP_AT + 8;

/// On the stack: the port as the container asked for it. It is also what the doorbell's record has, which nobody reads.
const INSIDE: i16 = -8;

/// A bind(2) of the container's that has not succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The number that only this socket has.
    pub socket: u64,
    /// The protocol's number, as in `/etc/protocols`; TCP's for MPTCP.
    pub protocol: u32,
    /// The port as the container asked for it.
    pub inside_port: u16,
    /// The port as the host sees it.
    pub host_port: u16,
    /// The address.
    pub address: IpAddr,
}

impl Attempt {
    /// Reads the attempts in a table.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn read(table: &Map) -> io::Result<Vec<Attempt>> {
        let table = table.lookup(&[0; 4])?.unwrap_or_default();
        Ok(table.chunks_exact(ROW as usize).take(ROWS as usize).filter_map(Attempt::parse).collect())
    }

    fn parse(row: &[u8]) -> Option<Attempt> {
        let short = |at: i16| Some(u16::from_ne_bytes(row.get(at as usize..at as usize + 2)?.try_into().ok()?));
        let socket = u64::from_ne_bytes(row.get(..8)?.try_into().ok()?);
        let address: [u8; 16] = row.get(ADDRESS_AT as usize..INSIDE_AT as usize)?.try_into().ok()?;
        (socket != 0).then_some(Attempt {
            socket,
            protocol: u32::from_ne_bytes(row.get(PROTOCOL_AT as usize..)?.try_into().ok()?),
            inside_port: short(INSIDE_AT)?,
            host_port: short(HOST_AT)?,
            address: Ipv6Addr::from(address).to_canonical(),
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

/// Writes down the attempt to bind a port; "any free one" cannot be held by anybody.
pub(super) fn attempt(program: &mut SocketProgram, maps: &Attempts) {
    const ROW_OF: Register = Register::R1;
    /// Wakes the watcher also if it has not read the last record yet (BPF_RB_FORCE_WAKEUP).
    const FORCE_WAKEUP: i32 = 2;
    let done = program.asm.label();
    program.asm.jump_if(PORT, If::Equal, 0, done);
    find_row(&mut program.asm, &maps.table, ROW_OF);
    program.write_as_ip6(ROW_OF, ADDRESS_AT, Register::R2);
    let asm = &mut program.asm;
    asm.load(Width::Double, Register::R2, STACK, INSIDE);
    asm.store(Width::Half, ROW_OF, INSIDE_AT, Register::R2);
    asm.store(Width::Half, ROW_OF, HOST_AT, PORT);
    asm.store(Width::Word, ROW_OF, PROTOCOL_AT, PROTOCOL);
    asm.store(Width::Double, ROW_OF, 0, Register::R0);
    // The row must be there before the watcher is seen awake, as it looks at the rows once more before it sleeps.
    asm.set(Register::R2, 0);
    asm.set_map_value(Register::R3, &maps.table, ASLEEP_AT as i32);
    asm.exchange(Register::R3, 0, Register::R2);
    asm.jump_if_zero(Register::R2, If::Equal, done);
    asm.set_map(Register::R1, &maps.doorbell);
    asm.copy(Register::R2, STACK);
    asm.add(Register::R2, INSIDE.into());
    asm.set(Register::R3, -i32::from(INSIDE));
    asm.set(Register::R4, FORCE_WAKEUP);
    asm.call(Helper::RingOutput);
    asm.place(done);
}

/// Strikes out the attempt of a socket that has been bound.
pub(super) fn bound(asm: &mut Assembler, maps: &Attempts) {
    let other = asm.label();
    find_row(asm, &maps.table, Register::R1);
    asm.load(Width::Double, Register::R2, Register::R1, 0);
    asm.jump_if_register(Register::R2, If::Differs, Register::R0, other);
    asm.store_number(Width::Double, Register::R1, 0, 0);
    asm.place(other);
}

/// Makes `row` point to the row of the context's socket, whose number is in R0 then.
fn find_row(asm: &mut Assembler, table: &Map, row: Register) {
    asm.copy(Register::R1, CONTEXT);
    asm.call(Helper::SocketCookie);
    asm.copy(Register::R2, Register::R0);
    asm.shift_left(Register::R2, ROW_BITS as i32);
    asm.and(Register::R2, (ROWS - 1) << ROW_BITS);
    asm.set_map_value(row, table, 0);
    asm.add_register(row, Register::R2);
}
