//! A small assembler for BPF: instructions by their meaning, jumps to labels, fields of contexts and helpers by name.
//!
//! Names follow the instruction set's own documentation (Documentation/bpf/standardization/instruction-set.rst). Arithmetic
//! is on 64 bits; comparisons with numbers are on the low 32, as ports, addresses and device numbers are all that is compared.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};

use super::{Instruction, Map};

/// What an instruction does ([`Instruction::code`]): a [`Width`] is added to loads and stores, an [`If`] to conditional jumps.
#[allow(missing_docs)]
pub mod opcode {
    pub const ADD: u8 = 0x07;
    pub const AND: u8 = 0x54;
    pub const ATOMIC: u8 = 0xdb;
    pub const CALL: u8 = 0x85;
    pub const COPY: u8 = 0xbf;
    pub const EXIT: u8 = 0x95;
    /// Added to an operation on numbers whose second operand is a register.
    pub const FROM_REGISTER: u8 = 0x08;
    pub const JUMP: u8 = 0x05;
    /// Compares 64 bits with a number.
    pub const JUMP_IF_WIDE: u8 = 0x05;
    /// Compares the low 32 bits with a number.
    pub const JUMP_IF: u8 = 0x06;
    /// Compares 64 bits with a register.
    pub const JUMP_IF_REGISTER: u8 = 0x0d;
    pub const LOAD: u8 = 0x61;
    pub const MULTIPLY: u8 = 0x27;
    pub const NEGATE: u8 = 0x87;
    pub const OR: u8 = 0x47;
    pub const SET: u8 = 0xb7;
    pub const SET_WIDE: u8 = 0x18;
    pub const SHIFT_LEFT: u8 = 0x67;
    pub const SHIFT_RIGHT: u8 = 0x77;
    pub const STORE: u8 = 0x63;
    pub const STORE_NUMBER: u8 = 0x62;
    pub const SUBTRACT: u8 = 0x17;
    pub const SWAP: u8 = 0xdc;
    pub const XOR: u8 = 0xa4;
    pub const XOR_WIDE: u8 = 0xa7;
}

/// A register. `R0` holds what a helper or the program answers, `R1` to `R5` are a helper's arguments and lost after it, `R6` to
/// `R9` are kept, `R10` is the end of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// How much a load or store moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 2 bytes.
    Half = 0x08,
    /// 4 bytes.
    Word = 0x00,
    /// 8 bytes.
    Double = 0x18,
}

/// Something in the context of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    offset: i16,
    width: Width,
}

impl Field {
    /// A field of 4 bytes, at an offset in bytes.
    #[must_use]
    pub const fn word(offset: i16) -> Field {
        Field { offset, width: Width::Word }
    }

    /// A field of 8 bytes, at an offset in bytes.
    #[must_use]
    pub const fn double(offset: i16) -> Field {
        Field { offset, width: Width::Double }
    }
}

/// A function of the kernel that programs may call (`enum bpf_func_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// The value of a key: map, key. 0 if there is none.
    MapLookup = 1,
    /// Sets the value of a key: map, key, value, flags.
    MapUpdate = 2,
    /// Removes a key: map, key.
    MapDelete = 3,
    /// The UDP socket that would receive: context, tuple, its size, namespace, flags. 0 or a reference (4.20).
    LookupUdp = 85,
    /// Gives a reference back: socket.
    Release = 86,
    /// The TCP socket that would receive, of any state: as [`Helper::LookupUdp`] (5.2).
    LookupTcp = 99,
    /// The name of the sysctl: context, buffer, its size, flags (5.2).
    SysctlName = 101,
    /// What a [`Map::of_sockets`] has for a socket: map, socket (after bind(2) the context), 0, 1 to make it if there is none. 0 if
    /// there is none (5.9).
    SocketStorage = 107,
    /// A number that only this network namespace has: context (5.7).
    NetnsCookie = 122,
    /// Adds a record: ring buffer, data, size, flags (5.8).
    RingOutput = 130,
    /// The errno that the system call fails with: negative number (5.18).
    SetRetval = 187,
}

/// A condition of a jump; numbers are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum If {
    /// Equal.
    Equal = 0x10,
    /// Greater or equal.
    AtLeast = 0x30,
    /// Any of these bits is set.
    AnyOf = 0x40,
    /// Less.
    Below = 0xa0,
    /// Not equal.
    Differs = 0x50,
}

/// A place in a program that jumps lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// Why a program could not be put together. Both are mistakes of the generator or far too many rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssemblyError {
    /// A jump leads to a label that was never placed.
    Unplaced,
    /// A jump is longer than 32,767 instructions.
    TooFar,
}

impl fmt::Display for AssemblyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AssemblyError::Unplaced => "a jump leads nowhere",
            AssemblyError::TooFar => "the program is too long for its jumps: use fewer rules",
        })
    }
}

impl std::error::Error for AssemblyError {}

/// A program in the making.
#[derive(Debug, Default)]
pub struct Assembler {
    code: Vec<Instruction>,
    places: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    /// A label to be placed later.
    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// Puts a label here.
    pub fn place(&mut self, label: Label) {
        if let Some(place) = self.places.get_mut(label.0) {
            *place = Some(self.code.len());
        }
    }

    /// `to = from`
    pub fn copy(&mut self, to: Register, from: Register) {
        self.push(opcode::COPY, to, from, 0, 0);
    }

    /// `to = number`
    pub fn set(&mut self, to: Register, number: i32) {
        self.push(opcode::SET, to, Register::R0, 0, number);
    }

    /// `to = number`, all 64 bits of it.
    pub fn set_wide(&mut self, to: Register, number: u64) {
        self.push(opcode::SET_WIDE, to, Register::R0, 0, number as i32);
        self.push(0, Register::R0, Register::R0, 0, (number >> 32) as i32);
    }

    /// `to = map`
    pub fn set_map(&mut self, to: Register, map: &Map) {
        // The pseudo source register says that the number is a descriptor (BPF_PSEUDO_MAP_FD).
        self.push(opcode::SET_WIDE, to, Register::R1, 0, map.as_fd().as_raw_fd());
        self.push(0, Register::R0, Register::R0, 0, 0);
    }

    /// `to = &value[offset]`, of the only value of an array, the offset in bytes (Linux 5.2).
    pub fn set_map_value(&mut self, to: Register, map: &Map, offset: i32) {
        // BPF_PSEUDO_MAP_VALUE
        self.push(opcode::SET_WIDE, to, Register::R2, 0, map.as_fd().as_raw_fd());
        self.push(0, Register::R0, Register::R0, 0, offset);
    }

    /// `to += number`
    pub fn add(&mut self, to: Register, number: i32) {
        self.push(opcode::ADD, to, Register::R0, 0, number);
    }

    /// `to += from`
    pub fn add_register(&mut self, to: Register, from: Register) {
        self.push(opcode::ADD | opcode::FROM_REGISTER, to, from, 0, 0);
    }

    /// `to -= from`. The distance of two pointers is a number (it takes CAP_PERFMON).
    pub fn subtract_register(&mut self, to: Register, from: Register) {
        self.push(opcode::SUBTRACT | opcode::FROM_REGISTER, to, from, 0, 0);
    }

    /// `to *= from`
    pub fn multiply_register(&mut self, to: Register, from: Register) {
        self.push(opcode::MULTIPLY | opcode::FROM_REGISTER, to, from, 0, 0);
    }

    /// `to = -to`
    pub fn negate(&mut self, to: Register) {
        self.push(opcode::NEGATE, to, Register::R0, 0, 0);
    }

    /// `to &= mask` on 32 bits.
    pub fn and(&mut self, to: Register, mask: u32) {
        self.push(opcode::AND, to, Register::R0, 0, mask as i32);
    }

    /// `to |= from`
    pub fn or_register(&mut self, to: Register, from: Register) {
        self.push(opcode::OR | opcode::FROM_REGISTER, to, from, 0, 0);
    }

    /// `to ^= number` on 32 bits.
    pub fn xor(&mut self, to: Register, number: i32) {
        self.push(opcode::XOR, to, Register::R0, 0, number);
    }

    /// `to ^= from`
    pub fn xor_register(&mut self, to: Register, from: Register) {
        self.push(opcode::XOR_WIDE | opcode::FROM_REGISTER, to, from, 0, 0);
    }

    /// `to <<= bits`
    pub fn shift_left(&mut self, to: Register, bits: i32) {
        self.push(opcode::SHIFT_LEFT, to, Register::R0, 0, bits);
    }

    /// `to >>= bits`
    pub fn shift_right(&mut self, to: Register, bits: i32) {
        self.push(opcode::SHIFT_RIGHT, to, Register::R0, 0, bits);
    }

    /// Between the order of the network and the host's, on the low 16, 32 or all 64 bits.
    pub fn swap(&mut self, register: Register, bits: i32) {
        self.push(opcode::SWAP, register, Register::R0, 0, bits);
    }

    /// `to = context.field`
    pub fn load_field(&mut self, to: Register, context: Register, field: Field) {
        self.load(field.width, to, context, field.offset);
    }

    /// `context.field = from`
    pub fn store_field(&mut self, context: Register, field: Field, from: Register) {
        self.store(field.width, context, field.offset, from);
    }

    /// `to = base[offset]`, the offset in bytes.
    pub fn load(&mut self, width: Width, to: Register, base: Register, offset: i16) {
        self.push(opcode::LOAD | width as u8, to, base, offset, 0);
    }

    /// `base[offset] = from`, the offset in bytes.
    pub fn store(&mut self, width: Width, base: Register, offset: i16, from: Register) {
        self.push(opcode::STORE | width as u8, base, from, offset, 0);
    }

    /// `base[offset] = number`, the offset in bytes.
    pub fn store_number(&mut self, width: Width, base: Register, offset: i16, number: i32) {
        self.push(opcode::STORE_NUMBER | width as u8, base, Register::R0, offset, number);
    }

    /// `base[offset] += from`, 8 bytes, whatever interrupts it.
    pub fn add_atomically(&mut self, base: Register, offset: i16, from: Register) {
        const ATOMIC_ADD: i32 = 0x00;
        self.push(opcode::ATOMIC, base, from, offset, ATOMIC_ADD);
    }

    /// `goto label`
    pub fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(opcode::JUMP, Register::R0, Register::R0, 0, 0);
    }

    /// `if register … number goto label`, on 32 bits.
    pub fn jump_if(&mut self, register: Register, condition: If, number: u32, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(opcode::JUMP_IF | condition as u8, register, Register::R0, 0, number as i32);
    }

    /// `if register … other goto label`, on 64 bits.
    pub fn jump_if_register(&mut self, register: Register, condition: If, other: Register, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(opcode::JUMP_IF_REGISTER | condition as u8, register, other, 0, 0);
    }

    /// `if register … 0 goto label`, on 64 bits: the verifier accepts nothing less for a pointer.
    pub fn jump_if_zero(&mut self, register: Register, condition: If, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(opcode::JUMP_IF_WIDE | condition as u8, register, Register::R0, 0, 0);
    }

    /// `r0 = helper(r1, …)`
    pub fn call(&mut self, helper: Helper) {
        self.push(opcode::CALL, Register::R0, Register::R0, 0, helper as i32);
    }

    /// `r0 = function(r1, …)`, of the kernel's own functions, by its type's id (Linux 5.13).
    pub fn call_kernel(&mut self, function: u32) {
        // The pseudo source register says so (BPF_PSEUDO_KFUNC_CALL).
        self.push(opcode::CALL, Register::R0, Register::R2, 0, function as i32);
    }

    /// Ends with `answer`.
    pub fn answer(&mut self, answer: i32) {
        self.set(Register::R0, answer);
        self.push(opcode::EXIT, Register::R0, Register::R0, 0, 0);
    }

    /// The program, with its jumps measured and without what cannot be reached, which the verifier would not take.
    ///
    /// # Errors
    /// [`AssemblyError`].
    pub fn finish(self) -> Result<Vec<Instruction>, AssemblyError> {
        let mut targets = vec![None; self.code.len()];
        for (at, label) in &self.jumps {
            targets[*at] = Some(self.places.get(label.0).copied().flatten().ok_or(AssemblyError::Unplaced)?);
        }
        let reached = reached(&self.code, &targets);
        // Where each instruction is once the others are gone.
        let mut places: Vec<i64> = Vec::with_capacity(self.code.len());
        let mut next = 0;
        for reached in &reached {
            places.push(next);
            next += i64::from(*reached);
        }
        let mut finished = Vec::with_capacity(next as usize);
        for (at, mut instruction) in self.code.into_iter().enumerate().filter(|(at, _)| reached[*at]) {
            if let Some(target) = targets[at] {
                // A jump counts from the instruction after it.
                let distance = places.get(target).ok_or(AssemblyError::Unplaced)? - places[at] - 1;
                instruction.offset = i16::try_from(distance).map_err(|_| AssemblyError::TooFar)?;
            }
            finished.push(instruction);
        }
        Ok(finished)
    }

    fn push(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        self.code.push(Instruction { code, registers: to as u8 | (from as u8) << 4, offset, immediate });
    }
}

/// Which instructions can be reached from the first one.
fn reached(code: &[Instruction], targets: &[Option<usize>]) -> Vec<bool> {
    let mut reached = vec![false; code.len()];
    let mut starts = vec![0];
    while let Some(start) = starts.pop() {
        for at in start..code.len() {
            if std::mem::replace(&mut reached[at], true) {
                break;
            }
            starts.extend(targets[at]);
            if [opcode::JUMP, opcode::EXIT].contains(&code[at].code) {
                break;
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(code: &[Instruction]) -> Vec<(u8, u8, i16, i32)> {
        code.iter().map(|one| (one.code, one.registers, one.offset, one.immediate)).collect()
    }

    #[test]
    fn instructions_are_those_of_the_documentation() {
        let mut asm = Assembler::default();
        asm.copy(Register::R6, Register::R1);
        asm.load_field(Register::R7, Register::R6, Field::word(24));
        asm.swap(Register::R7, 16);
        asm.store(Width::Double, Register::R10, -8, Register::R7);
        asm.call(Helper::NetnsCookie);
        asm.set_wide(Register::R2, 0x1_0000_0002);
        asm.xor(Register::R0, -1);
        asm.xor_register(Register::R0, Register::R2);
        asm.or_register(Register::R0, Register::R7);
        asm.multiply_register(Register::R0, Register::R7);
        asm.answer(1);
        let expected = [
            (0xbf, 0x16, 0, 0),
            (0x61, 0x67, 24, 0),
            (0xdc, 0x07, 0, 16),
            (0x7b, 0x7a, -8, 0),
            (0x85, 0, 0, 122),
            (0x18, 0x02, 0, 2),
            (0, 0, 0, 1),
            (0xa4, 0, 0, -1),
            (0xaf, 0x20, 0, 0),
            (0x4f, 0x70, 0, 0),
            (0x2f, 0x70, 0, 0),
            (0xb7, 0, 0, 1),
            (0x95, 0, 0, 0),
        ];
        assert_eq!(words(&asm.finish().unwrap()), expected);
    }

    #[test]
    fn jumps_count_from_the_next_instruction() {
        let mut asm = Assembler::default();
        let (back, end) = (asm.label(), asm.label());
        asm.place(back);
        asm.jump_if(Register::R1, If::Equal, 5, end);
        asm.jump(back);
        asm.place(end);
        asm.answer(0);
        assert_eq!(words(&asm.finish().unwrap())[..2], [(0x16, 1, 1, 5), (0x05, 0, -2, 0)]);
    }

    #[test]
    fn what_cannot_be_reached_is_left_out() {
        let mut asm = Assembler::default();
        let (dead, end) = (asm.label(), asm.label());
        asm.jump(end);
        asm.place(dead);
        asm.set_wide(Register::R1, 1);
        asm.jump(dead);
        asm.place(end);
        asm.answer(0);
        assert_eq!(words(&asm.finish().unwrap()), [(0x05, 0, 0, 0), (0xb7, 0, 0, 0), (0x95, 0, 0, 0)]);
    }

    #[test]
    fn a_jump_needs_a_place_within_reach() {
        let mut asm = Assembler::default();
        let label = asm.label();
        asm.jump(label);
        assert_eq!(asm.finish(), Err(AssemblyError::Unplaced));
        let mut asm = Assembler::default();
        let label = asm.label();
        asm.jump_if(Register::R1, If::Equal, 0, label);
        (0..=0x7fff).for_each(|_| asm.set(Register::R0, 0));
        asm.place(label);
        asm.answer(0);
        assert_eq!(asm.finish(), Err(AssemblyError::TooFar));
    }
}
