//! The reader's side of a ring buffer (Linux 5.8, Documentation/bpf/ringbuf.rst).
//!
//! The kernel shows it as one page with the reader's position, one with the writers', and then the data twice in a row, so
//! that a record that goes round the end can be read in one piece.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use super::map::{Map, MapKind};

/// The record is being written still.
const BUSY: u32 = 1 << 31;
/// The record was given up.
const DISCARDED: u32 = 1 << 30;
const HEADER: usize = 8;

/// The size of a page of memory in bytes: the least that a ring buffer can have.
pub fn page_size() -> usize {
    // SAFETY: it only asks for a number, which every system has.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// The reader of a ring buffer. There should be only one for each.
#[derive(Debug)]
pub struct RingBuffer {
    map: Map,
    consumer: Mapping,
    producer: Mapping,
    page: usize,
    size: usize,
}

impl RingBuffer {
    /// Opens a map of the kind [`MapKind::RingBuffer`] for reading.
    ///
    /// # Errors
    /// The map is of another kind, or those of mmap(2).
    pub fn open(map: Map) -> io::Result<RingBuffer> {
        if !map.is(MapKind::RingBuffer) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let page = page_size();
        let size = map.entries() as usize;
        let consumer = Mapping::new(map.as_fd(), page, ProtFlags::READ | ProtFlags::WRITE, 0)?;
        let producer = Mapping::new(map.as_fd(), page + 2 * size, ProtFlags::READ, page as u64)?;
        Ok(RingBuffer { map, consumer, producer, page, size })
    }

    /// The next record, if there is one. To wait for one, poll for reading.
    pub fn next_record(&mut self) -> Option<Vec<u8>> {
        loop {
            let at = self.consumer.position().load(Ordering::Acquire);
            if at == self.producer.position().load(Ordering::Acquire) {
                return None;
            }
            let (header, data) = self.record(at);
            if header & BUSY != 0 {
                return None;
            }
            let data = if header & DISCARDED == 0 { Some(data.to_vec()) } else { None };
            let length = (header & !DISCARDED) as usize;
            self.consumer.position().store(at.wrapping_add((HEADER + length).next_multiple_of(8)), Ordering::Release);
            if data.is_some() {
                return data;
            }
        }
    }

    /// The header's first word and the data of the record at a position.
    fn record(&self, at: usize) -> (u32, &[u8]) {
        let start = self.page + (at & (self.size - 1));
        // SAFETY: a position is a multiple of 8, and what is behind it below `size`, so the word is aligned and inside the
        // mapping; the kernel writes it atomically.
        let header = unsafe { &*self.producer.start.add(start).cast::<AtomicU32>() }.load(Ordering::Acquire);
        let length = (header & !(BUSY | DISCARDED)) as usize;
        let length = if header & BUSY == 0 { length.min(self.size - HEADER) } else { 0 };
        // SAFETY: header and data lie inside the mapping, as `start` is within the first of the two copies and the length
        // below the size of one; the kernel does not write there again until the reader's position has moved on.
        let data = unsafe { std::slice::from_raw_parts(self.producer.start.add(start + HEADER), length) };
        (header, data)
    }
}

impl AsFd for RingBuffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

/// Memory shared with the kernel.
#[derive(Debug)]
struct Mapping {
    start: *mut u8,
    length: usize,
}

// SAFETY: the memory belongs to nobody else in this process, and both sides use atomic positions.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, length: usize, protection: ProtFlags, offset: u64) -> io::Result<Mapping> {
        // SAFETY: no address is asked for, so the mapping takes no memory that is in use.
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, fd, offset) }?;
        Ok(Mapping { start: start.cast(), length })
    }

    /// The position at the beginning of the page, in bytes since the buffer was made.
    fn position(&self) -> &AtomicUsize {
        // SAFETY: a mapping is at least a page, aligned to it, and begins with the position, an unsigned long.
        unsafe { &*self.start.cast::<AtomicUsize>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this, and no reference into it outlives the value.
        // Nothing can be done about an error, of which there is no reason.
        let _ = unsafe { rustix::mm::munmap(self.start.cast(), self.length) };
    }
}
