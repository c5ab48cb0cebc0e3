//! Counters: how much the container's sockets have received and sent.

use std::io;
use std::os::fd::AsFd;

use serde::Serialize;
use sys::bpf::{Assembler, AssemblyError, Field, Helper, Hook, If, Instruction, Map, MapKind, Register, Width};

use super::find_map;

/// The keys of the map.
const SENT: i32 = 0;
const RECEIVED: i32 = 1;

const MAP: &str = "ls_traffic";
/// A value: bytes, packets.
const VALUE_SIZE: usize = 16;

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Bytes, with the headers of IP and above.
    pub bytes: u64,
    /// Packets as sockets see them; the network card may make one of several, or several of one.
    pub packets: u64,
}

/// What a container's sockets have received and sent since it was created, loopback included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// What has reached its sockets.
    pub received: Traffic,
    /// What they have sent.
    pub sent: Traffic,
}

impl Counters {
    /// Reads what the programs on a cgroup v2 directory have counted; `None` if none of them counts.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn read(cgroup: impl AsFd) -> io::Result<Option<Counters>> {
        let Some(map) = find_map(Hook::Egress, cgroup, MAP)? else { return Ok(None) };
        let traffic = |key: i32| Ok::<_, io::Error>(sum(&map.lookup(&key.to_ne_bytes())?.unwrap_or_default()));
        Ok(Some(Counters { received: traffic(RECEIVED)?, sent: traffic(SENT)? }))
    }
}

/// Adds up the values of all CPUs.
fn sum(values: &[u8]) -> Traffic {
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    values.chunks_exact(VALUE_SIZE).fold(Traffic::default(), |sum, value| Traffic {
        bytes: sum.bytes + number(&value[..8]),
        packets: sum.packets + number(&value[8..]),
    })
}

pub(super) fn map() -> io::Result<Map> {
    Map::create(MapKind::PerCpuArray, MAP, 4, VALUE_SIZE as u32, 2)
}

/// Counts a packet, either way, and lets it pass.
pub(super) fn program(map: &Map) -> Result<Vec<Instruction>, AssemblyError> {
    /// `struct __sk_buff`: the length in bytes, and the number of the interface that it came in by, 0 for one that is sent.
    const LENGTH: Field = Field::word(0);
    const CAME_BY: Field = Field::word(36);
    const KEY: i16 = -4;
    let mut asm = Assembler::default();
    let pass = asm.label();
    asm.copy(Register::R6, Register::R1);
    asm.load_field(Register::R2, Register::R6, CAME_BY);
    // 1 unless it is 0: without a branch, which the verifier would follow twice.
    asm.negate(Register::R2);
    asm.shift_right(Register::R2, 63);
    asm.store(Width::Word, Register::R10, KEY, Register::R2);
    asm.set_map(Register::R1, map);
    asm.copy(Register::R2, Register::R10);
    asm.add(Register::R2, KEY.into());
    asm.call(Helper::MapLookup);
    asm.jump_if_zero(Register::R0, If::Equal, pass);
    // A packet received can interrupt one that is being sent, on the same CPU.
    asm.load_field(Register::R1, Register::R6, LENGTH);
    asm.add_atomically(Register::R0, 0, Register::R1);
    asm.set(Register::R1, 1);
    asm.add_atomically(Register::R0, 8, Register::R1);
    asm.place(pass);
    asm.answer(1);
    asm.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpus_are_added_up() {
        let values: Vec<u8> = [100u64, 1, 50, 2].into_iter().flat_map(u64::to_ne_bytes).collect();
        assert_eq!(sum(&values), Traffic { bytes: 150, packets: 3 });
        assert_eq!(sum(&[]), Traffic::default());
    }
}
