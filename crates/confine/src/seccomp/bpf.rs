//! A small assembler for classic BPF (linux/filter.h), as far as seccomp allows it.
//!
//! Jumps only go forward, so a program is put together from its end: whatever an instruction jumps to is already there
//! and its distance is known. Conditional jumps reach 255 instructions; beyond that one unconditional jump, which
//! reaches any distance, is put between.

/// One instruction: `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// How many instructions to skip if the condition holds.
    pub jump_true: u8,
    /// How many instructions to skip if it does not.
    pub jump_false: u8,
    /// Operand.
    pub k: u32,
}

/// `BPF_LD | BPF_W | BPF_ABS`: loads the word at byte `k` of `seccomp_data`.
pub(super) const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub(super) const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA | BPF_K`.
pub(super) const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub(super) const JUMP_EQ: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`, unsigned.
pub(super) const JUMP_GT: u16 = 0x25;
/// `BPF_JMP | BPF_JGE | BPF_K`, unsigned.
pub(super) const JUMP_GE: u16 = 0x35;
/// `BPF_RET | BPF_K`.
pub(super) const RETURN: u16 = 0x06;

impl Instruction {
    /// The size in bytes of an instruction.
    pub const SIZE: usize = 8;

    /// As the kernel reads it, in the machine's byte order.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let [code_a, code_b] = self.code.to_ne_bytes();
        let [a, b, c, d] = self.k.to_ne_bytes();
        [code_a, code_b, self.jump_true, self.jump_false, a, b, c, d]
    }

    /// The reverse of [`Self::to_bytes`].
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [code_a, code_b, jump_true, jump_false, a, b, c, d] = bytes;
        Self { code: u16::from_ne_bytes([code_a, code_b]), jump_true, jump_false, k: u32::from_ne_bytes([a, b, c, d]) }
    }
}

/// An instruction that is already in the program; its number counted from the end, the last being 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program being put together from its end.
#[derive(Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    /// The last place each value is returned at.
    returns: Vec<(u32, Label)>,
}

/// How far back an existing `return` is still jumped to: near enough to be in reach of what is put before it soon.
const NEAR: usize = 200;

impl Assembler {
    pub(super) fn load(&mut self, offset: u32) -> Label {
        self.push(LOAD, 0, 0, offset)
    }

    pub(super) fn and(&mut self, mask: u32) -> Label {
        self.push(AND, 0, 0, mask)
    }

    /// A place that returns `value`: one nearby, or a new one.
    pub(super) fn ret(&mut self, value: u32) -> Label {
        let known = self.returns.iter().position(|(returned, _)| *returned == value);
        if let Some(known) = known {
            let label = self.returns[known].1;
            if self.distance(label) <= NEAR {
                return label;
            }
            self.returns.swap_remove(known);
        }
        let label = self.push(RETURN, 0, 0, value);
        self.returns.push((value, label));
        label
    }

    /// `if (A <code> k) goto yes; else goto no;`
    pub(super) fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) -> Label {
        // The jump put in for `no` moves `yes` one instruction away, hence 254.
        let yes = self.within(yes, 254);
        let no = self.within(no, 255);
        let (jump_true, jump_false) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.push(code, jump_true, jump_false, k)
    }

    /// Makes `next` what the instruction put in now falls through to.
    pub(super) fn continue_at(&mut self, next: Label) {
        let distance = self.distance(next);
        if distance > 0 {
            self.push(JUMP, 0, 0, distance as u32);
        }
    }

    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    /// How many instructions one that is put in now has to skip to reach `label`.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - label.0
    }

    fn within(&mut self, label: Label, reach: usize) -> Label {
        let distance = self.distance(label);
        if distance <= reach { label } else { self.push(JUMP, 0, 0, distance as u32) }
    }

    fn push(&mut self, code: u16, jump_true: u8, jump_false: u8, k: u32) -> Label {
        self.reversed.push(Instruction { code, jump_true, jump_false, k });
        Label(self.reversed.len())
    }
}
