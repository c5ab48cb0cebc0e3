//! The allocator, as that of this very test: whatever is allocated, moved and freed keeps what was written to it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may fail anywhere")]

use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;

use sys::allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Sizes around every limit: of the smallest block, of the steps, of the largest block, of a page.
const SIZES: [usize; 21] =
    [1, 15, 16, 17, 64, 65, 127, 128, 129, 160, 161, 255, 256, 257, 1000, 4096, 4097, 65_535, 65_536, 65_537, 300_000];

/// A generator of numbers without a pattern (xorshift).
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

#[test]
fn blocks_keep_their_bytes_while_others_come_go_and_grow() {
    let play = |seed: u64| {
        let mut state = seed;
        let mut blocks: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        for _ in 0..4_000 {
            let (key, size) = (next(&mut state) % 64, SIZES[next(&mut state) % SIZES.len()]);
            match blocks.get_mut(&key) {
                None => drop(blocks.insert(key, vec![key as u8; size])),
                Some(block) => match next(&mut state) % 3 {
                    0 => drop(blocks.remove(&key)),
                    1 => {
                        block.resize(size, key as u8);
                        block.shrink_to_fit();
                    }
                    _ => block.extend(vec![key as u8; size % 5000]),
                },
            }
            if let Some(block) = blocks.get(&key) {
                assert!(block.iter().all(|byte| *byte == key as u8));
            }
        }
        assert!(blocks.iter().all(|(key, block)| block.iter().all(|byte| *byte == *key as u8)));
        blocks
    };
    // What another thread has allocated is freed here.
    let threads: Vec<_> = [1, 2, 3].map(|seed| std::thread::spawn(move || play(seed))).into();
    let all: usize = threads.into_iter().map(|thread| thread.join().unwrap().len()).sum();
    assert!(all > 0 && !play(4).is_empty());
}

#[test]
fn blocks_are_aligned_and_apart() {
    for align in [1, 8, 16, 32, 64, 4096] {
        let layouts = SIZES.map(|size| Layout::from_size_align(size, align).unwrap());
        // SAFETY: no size is 0.
        let blocks = layouts.map(|layout| (unsafe { ALLOCATOR.alloc(layout) }, layout));
        let mut ends: Vec<(usize, usize)> =
            blocks.iter().map(|(block, layout)| (*block as usize, layout.size())).collect();
        ends.sort_unstable();
        assert!(ends.iter().all(|(start, _)| *start != 0 && start % align == 0), "{align}");
        assert!(ends.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{align}");
        // SAFETY: each is freed as it was allocated.
        blocks.iter().for_each(|(block, layout)| unsafe { ALLOCATOR.dealloc(*block, *layout) });
    }
}

#[test]
fn what_was_freed_is_used_again() {
    for size in SIZES {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            // SAFETY: the size is not 0, and each block is freed as it was allocated.
            unsafe {
                let block = ALLOCATOR.alloc(layout);
                seen.insert(block as usize);
                ALLOCATOR.dealloc(block, layout);
            }
        }
        assert!(size > 65_536 || seen.len() == 1, "{size}: {} blocks", seen.len());
    }
}
