//! Runs a classic BPF filter on a call, as the kernel does.

use confine::seccomp::Instruction;

/// A call as the kernel shows it to a filter: `struct seccomp_data`, as words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) token: u32,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    pub(crate) fn words(&self, big_endian: bool) -> [u32; 16] {
        let mut words = [0; 16];
        words[0] = self.number;
        words[1] = self.token;
        for (i, argument) in self.arguments.iter().enumerate() {
            let (low, high) = (*argument as u32, (*argument >> 32) as u32);
            let pair = if big_endian { [high, low] } else { [low, high] };
            words[4 + 2 * i..6 + 2 * i].copy_from_slice(&pair);
        }
        words
    }
}

/// Runs a filter as the kernel does (linux/filter.h), with all that libseccomp and we emit.
pub(crate) fn run(program: &[Instruction], words: &[u32; 16]) -> u32 {
    let (mut a, mut pc) = (0u32, 0usize);
    loop {
        let instruction = program[pc];
        pc += 1;
        let k = instruction.k;
        let jump = |holds: bool| usize::from(if holds { instruction.jump_true } else { instruction.jump_false });
        match instruction.code {
            0x20 => a = words[k as usize / 4],
            0x54 => a &= k,
            0x05 => pc += k as usize,
            0x15 => pc += jump(a == k),
            0x25 => pc += jump(a > k),
            0x35 => pc += jump(a >= k),
            0x06 => return k,
            code => panic!("instruction {code:#x} at {}", pc - 1),
        }
    }
}
