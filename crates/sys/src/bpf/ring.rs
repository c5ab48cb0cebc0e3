//! Reading a ring buffer, which programs write and one reader empties (Documentation/bpf/ringbuf.rst).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::{Map, MapKind, page_size};

/// A record: its length, where it is (4 bytes each), and then its data, up to a multiple of 8 bytes.
const HEADER: usize = 8;
/// In the length: the record is being written still.
const BUSY: u32 = 1 << 31;
/// In the length: the record is none.
const DISCARDED: u32 = 1 << 30;

impl Map {
    /// Takes the records out of a ring buffer, the oldest first. There must be one reader at a time.
    ///
    /// # Errors
    /// The map is no ring buffer, or what mmap(2) answers.
    pub fn take_records(&self) -> io::Result<Vec<Vec<u8>>> {
        if self.kind != MapKind::RingBuffer as u32 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (page, size) = (page_size(), self.entries);
        let reader = Mapping::new(self.as_fd(), page, libc::PROT_READ | libc::PROT_WRITE, 0)?;
        // The records are there twice, so that one which goes on at the start is in one piece.
        let written = Mapping::new(self.as_fd(), page + 2 * size, libc::PROT_READ, page)?;
        let mut position = reader.position().load(Ordering::Relaxed);
        let mut records = Vec::new();
        loop {
            let left = written.position().load(Ordering::Acquire).wrapping_sub(position);
            let at = page + position % size;
            if left == 0 || left > size {
                return Ok(records);
            }
            let length = written.length(at);
            if length & BUSY != 0 {
                return Ok(records);
            }
            let data = (length & !DISCARDED) as usize;
            if length & DISCARDED == 0 {
                records.push(written.copy(at + HEADER, data));
            }
            position = position.wrapping_add((HEADER + data).next_multiple_of(8));
            reader.position().store(position, Ordering::Release);
        }
    }
}

/// Pages of a ring buffer in this process's memory. Each of both parts begins with a position: how many bytes have been read, or
/// written, since the beginning.
struct Mapping {
    start: *mut libc::c_void,
    size: usize,
}

impl Mapping {
    fn new(ring: BorrowedFd<'_>, size: usize, protection: libc::c_int, at: usize) -> io::Result<Mapping> {
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
        let start =
            unsafe { libc::mmap(null_mut(), size, protection, libc::MAP_SHARED, ring.as_raw_fd(), at as libc::off_t) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Mapping { start, size }) }
    }

    fn position(&self) -> &AtomicUsize {
        // SAFETY: the mapping begins on a page, is larger than a word, and lasts as long as `self`; the kernel writes it atomically.
        unsafe { &*self.start.cast() }
    }

    /// The length in the header of the record at an offset.
    fn length(&self, at: usize) -> u32 {
        if !at.is_multiple_of(HEADER) || at + HEADER > self.size {
            return BUSY;
        }
        // SAFETY: it was just looked whether this is aligned and in the mapping; the kernel writes it atomically.
        unsafe { &*self.start.cast::<u8>().add(at).cast::<AtomicU32>() }.load(Ordering::Acquire)
    }

    fn copy(&self, at: usize, length: usize) -> Vec<u8> {
        let at = at.min(self.size);
        let length = length.min(self.size - at);
        // SAFETY: these bytes are in the mapping, and the kernel does not write them before the reader's position is behind them.
        unsafe { std::slice::from_raw_parts(self.start.cast::<u8>().add(at), length) }.to_vec()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing borrowed from it is left.
        unsafe { libc::munmap(self.start, self.size) };
    }
}
