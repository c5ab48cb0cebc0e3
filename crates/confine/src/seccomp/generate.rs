//! Decisions per system call number → a BPF program.
//!
//! The numbers of an architecture fall into ranges with the same outcome, and the program finds the range by binary
//! search. Nothing but the number and the architecture is loaded on the way to a plain outcome, which lets the kernel
//! (5.11) remember the calls that are always allowed and skip the filter for them.

use super::arch::Abi;
use super::bpf::{Assembler, Instruction, JUMP_EQ, JUMP_GE, JUMP_GT, Label};
use super::rules::{Condition, Operator, Outcome, Range, Section};

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// `BPF_MAXINSNS`: the kernel takes no longer program.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// The program for these sections, however long; calls of any other architecture get `bad_arch`.
pub(super) fn program(sections: &[Section], bad_arch: u32) -> Vec<Instruction> {
    let mut assembler = Assembler::default();
    let entries: Vec<(u32, Label)> = sections
        .iter()
        .map(|section| {
            let tree = search(&mut assembler, &section.ranges);
            assembler.continue_at(tree);
            (section.token, assembler.load(NUMBER))
        })
        .collect();
    let mut next = assembler.ret(bad_arch);
    for (token, entry) in entries.into_iter().rev() {
        next = assembler.branch(JUMP_EQ, token, entry, next);
    }
    assembler.continue_at(next);
    assembler.load(ARCH);
    assembler.finish()
}

/// A binary search for the range the loaded number is in.
fn search(assembler: &mut Assembler, ranges: &[Range]) -> Label {
    match ranges {
        [] => assembler.ret(super::rules::KILL_THREAD),
        [range] => outcome(assembler, &range.outcome),
        // One call that differs from its surroundings takes one comparison instead of two.
        [before, one, after] if after.first - one.first == 1 && before.outcome == after.outcome => {
            let no = outcome(assembler, &before.outcome);
            let yes = outcome(assembler, &one.outcome);
            assembler.branch(JUMP_EQ, one.first, yes, no)
        }
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let middle = high[0].first;
            let high = search(assembler, high);
            let low = search(assembler, low);
            assembler.branch(JUMP_GE, middle, high, low)
        }
    }
}

fn outcome(assembler: &mut Assembler, outcome: &Outcome) -> Label {
    match outcome {
        Outcome::Return(value) => assembler.ret(*value),
        Outcome::Conditional { abi, rules, otherwise } => {
            let mut next = assembler.ret(*otherwise);
            for rule in rules.iter().rev() {
                let mut matched = assembler.ret(rule.value);
                for condition in rule.conditions.iter().rev() {
                    matched = compare(assembler, *abi, condition, matched, next);
                }
                next = matched;
            }
            next
        }
    }
}

/// `if (condition) goto yes; else goto no;`, in two halves where arguments are 64 bits wide.
fn compare(assembler: &mut Assembler, abi: Abi, condition: &Condition, yes: Label, no: Label) -> Label {
    let (low_offset, high_offset) = abi.argument(condition.index);
    let (value, mask) = (condition.value & condition.mask, condition.mask);
    let (code, yes, no) = match condition.operator {
        Operator::Equal => (JUMP_EQ, yes, no),
        Operator::NotEqual => (JUMP_EQ, no, yes),
        Operator::Greater => (JUMP_GT, yes, no),
        Operator::LessOrEqual => (JUMP_GT, no, yes),
        Operator::GreaterOrEqual => (JUMP_GE, yes, no),
        Operator::Less => (JUMP_GE, no, yes),
    };
    let half = |assembler: &mut Assembler, code, value, mask, offset, yes, no| {
        assembler.branch(code, value, yes, no);
        if mask != u32::MAX {
            assembler.and(mask);
        }
        assembler.load(offset)
    };
    let low = half(assembler, code, value as u32, mask as u32, low_offset, yes, no);
    if !abi.wide || mask >> 32 == 0 {
        return low;
    }
    let (value, mask) = ((value >> 32) as u32, (mask >> 32) as u32);
    if code == JUMP_EQ {
        return half(assembler, JUMP_EQ, value, mask, high_offset, low, no);
    }
    // Ordered: a high half that differs decides, an equal one leaves it to the low half.
    let equal = assembler.branch(JUMP_EQ, value, low, no);
    half(assembler, JUMP_GT, value, mask, high_offset, yes, equal)
}
