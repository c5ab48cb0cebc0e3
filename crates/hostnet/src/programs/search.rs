//! Looks a port up among ranges: a search by halves, so that a thousand rules cost ten comparisons.

use crate::rules::PortRange;
use sys::bpf::{Assembler, If, Label, Register};

/// So few ranges are faster one after the other.
const FEW: usize = 3;

/// Jumps to the label of the range that `port` is in, or to `none`. The ranges are in order and do not overlap.
pub(super) fn find(asm: &mut Assembler, port: Register, ranges: &[(PortRange, Label)], none: Label) {
    if ranges.len() > FEW {
        let (low, high) = ranges.split_at(ranges.len() / 2);
        let above = asm.label();
        asm.jump_if(port, If::AtLeast, high.first().map_or(0, |(range, _)| range.first.into()), above);
        find(asm, port, low, none);
        asm.place(above);
        return find(asm, port, high, none);
    }
    for (range, found) in ranges {
        if range.first == range.last {
            asm.jump_if(port, If::Equal, range.first.into(), *found);
        } else {
            asm.jump_if(port, If::Below, range.first.into(), none);
            asm.jump_if(port, If::Below, u32::from(range.last) + 1, *found);
        }
    }
    asm.jump(none);
}
