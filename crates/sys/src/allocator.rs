//! The allocator of the program, for a life of a few milliseconds: a block is one of its size that was freed before, or cut off
//! the rest of a chunk.
//!
//! No block is ever split, merged or given back to the kernel; what a process holds is the most that it has held at once of
//! each size, so that a command may well go on for hours. Only large blocks are mappings of their own. A block has no header, as
//! whoever frees it says its size, and belongs to no thread: each has a heap of its own, without a lock, and keeps what is
//! freed in it. What a thread leaves when it ends is lost, so this is for a program with few of them.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;

use rustix::mm::{MapFlags, MremapFlags, ProtFlags};

/// What all blocks are aligned to, in bytes. Each has room for the address of the next free one.
const ALIGN: usize = 16;
/// The largest block of a chunk, in bytes.
const LARGEST: usize = 64 << 10;
/// How many sizes there are up to that.
const SIZES: usize = 44;
/// What is taken of the kernel at once, in bytes. Only what is written to takes memory.
const CHUNK: usize = 1 << 20;
/// What a mapping is aligned to on any machine, in bytes.
const PAGE: usize = 4096;

/// The allocator, to be made the program's `#[global_allocator]`.
#[derive(Clone, Copy, Debug)]
pub struct Allocator;

/// A thread's heap.
struct Heap {
    /// The rest of the chunk.
    rest: Cell<*mut u8>,
    left: Cell<usize>,
    /// The first free block of each size, which holds the address of the second.
    free: [Cell<*mut u8>; SIZES],
}

thread_local! {
    static HEAP: Heap = const {
        Heap { rest: Cell::new(null_mut()), left: Cell::new(0), free: [const { Cell::new(null_mut()) }; SIZES] }
    };
}

/// One of the sizes of blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Size {
    index: usize,
    bytes: usize,
}

impl Size {
    /// The size of a block for this, `None` if it is a mapping of its own. Up to 128 bytes the sizes are 16 apart; then there are
    /// four to each doubling.
    fn of(layout: Layout) -> Option<Size> {
        let last = layout.size().checked_sub(1)?;
        let step = (last | 64).ilog2() - 2;
        let steps = last >> step;
        let size = Size { index: (step as usize - 4) * 4 + steps, bytes: (steps + 1) << step };
        Some(size).filter(|_| layout.size() <= LARGEST && layout.align() <= ALIGN)
    }
}

impl Heap {
    fn take(&self, size: Size) -> *mut u8 {
        let freed = self.free[size.index].get();
        if !freed.is_null() {
            // SAFETY: a free block is nobody's, aligned, and holds what `give` has written there.
            self.free[size.index].set(unsafe { freed.cast::<*mut u8>().read() });
            return freed;
        }
        if self.left.get() < size.bytes {
            self.rest.set(map(CHUNK));
            self.left.set(if self.rest.get().is_null() { 0 } else { CHUNK });
        }
        self.cut(size.bytes).unwrap_or(null_mut())
    }

    fn cut(&self, bytes: usize) -> Option<*mut u8> {
        self.left.set(self.left.get().checked_sub(bytes)?);
        let block = self.rest.get();
        self.rest.set(block.wrapping_add(bytes));
        Some(block)
    }

    /// # Safety
    /// `block` has that size, and nobody uses it any more.
    unsafe fn give(&self, block: *mut u8, size: Size) {
        // SAFETY: the caller's promise; every block has room for an address, and is aligned for it.
        unsafe { block.cast::<*mut u8>().write(self.free[size.index].get()) };
        self.free[size.index].set(block);
    }

    /// Lengthens the block that was cut last.
    fn lengthen(&self, block: *mut u8, old: Size, new: Size) -> bool {
        block.wrapping_add(old.bytes) == self.rest.get()
            && new.bytes.checked_sub(old.bytes).is_some_and(|more| self.cut(more).is_some())
    }
}

/// New memory, all zeros; null if there is none.
fn map(bytes: usize) -> *mut u8 {
    // SAFETY: a new mapping is in nobody's way.
    unsafe { rustix::mm::mmap_anonymous(null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }
        .map_or(null_mut(), |address| address.cast())
}

// SAFETY: a block that is handed out is neither in a list nor in the rest of a chunk, so nobody else gets it. Chunks and sizes
// are multiples of ALIGN, mappings are aligned to PAGE, and what wants more gets nothing.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match Size::of(layout) {
            Some(size) => HEAP.with(|heap| heap.take(size)),
            None if layout.align() <= PAGE => map(layout.size()),
            None => null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match Size::of(layout) {
            // SAFETY: the caller gives back what `alloc` has given for the same layout.
            Some(size) => HEAP.with(|heap| unsafe { heap.give(block, size) }),
            // SAFETY: likewise, and it is a mapping of that size. One that cannot be undone stays.
            None => drop(unsafe { rustix::mm::munmap(block.cast(), layout.size()) }),
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's promise that `bytes`, rounded up to the alignment, is no more than isize::MAX.
        let wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        match (Size::of(layout), Size::of(wanted)) {
            (Some(old), Some(new)) if old == new || HEAP.with(|heap| heap.lengthen(block, old, new)) => return block,
            (None, None) => {
                // SAFETY: the caller gives a mapping of that size, and uses the answer in its place.
                return unsafe { rustix::mm::mremap(block.cast(), layout.size(), bytes, MremapFlags::MAYMOVE) }
                    .map_or(null_mut(), |address| address.cast());
            }
            _ => {}
        }
        // SAFETY: the size is not 0; each block has the smaller of the sizes; the old one is given back as it was got.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(bytes));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
