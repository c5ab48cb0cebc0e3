//! The process beside a container in the host's network: it waits until a bind(2) fails, and has the runtime explain it.
//!
//! There is one for every such container, and most have nothing to do all their life. So it is a program of its own, without std
//! and libc, of a few pages; all knowledge is in the runtime, which it executes when there is something to say.
//!
//! Its descriptors:
//!
//! | number | what |
//! |---|---|
//! | 0 | the ring buffer where the container's programs report (`hostnet::programs::Event` has the records) |
//! | 1 | a file that remembers what has been said |
//! | 2 | the container's standard error |
//! | 3 | the pidfd of the container's first process, whose end is the watcher's |
//! | 4 | the runtime's executable |
//!
//! Its arguments are the size of a page, which is that of the ring buffer too, and the runtime's arguments from its name on.

#![no_std]
#![no_main]
#![no_builtins]
#![allow(unreachable_pub)]

#[path = "../../sys/src/arch/mod.rs"]
#[allow(dead_code, missing_docs)]
mod arch;
#[allow(dead_code, missing_docs)]
mod linux;
mod memory;

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use arch::{call, nr};

crate::start_with!("start");

const RING: i32 = 0;
const CONTAINER: i32 = 3;
const RUNTIME: i32 = 4;

/// Between an attempt and its success there is nothing but the kernel's own work: after this many milliseconds an attempt
/// without success has failed.
const SETTLED: u64 = 10;
/// The wait doubles with each explanation up to this, so that a container cannot keep the host busy.
const LONGEST: u64 = 1280;

/// # Safety
/// `stack` must be the stack pointer a process starts with: argc, then the addresses of the arguments and a null.
#[unsafe(no_mangle)]
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the runtime starts the watcher with its name, a number, and the words of a command.
    let (page, command) = unsafe { (memory::number(*stack.add(2)), stack.add(3)) };
    detach();
    if let Ok(ring) = Ring::map(page) {
        watch(&ring, command);
    }
    linux::exit(0)
}

/// Lets go of everything of the runtime's that would be kept: descriptors, the session, the current folder.
fn detach() {
    const PR_SET_DUMPABLE: u32 = 4;
    const PR_SET_NAME: u32 = 15;
    // SAFETY: plain numbers.
    let _ = unsafe { call(nr::CLOSE_RANGE, [RUNTIME as usize + 1, u32::MAX as usize, 0, 0, 0, 0]) };
    let _ = linux::close_on_exec_from(CONTAINER as u32);
    let _ = linux::prctl(PR_SET_DUMPABLE, [0; 4]);
    let _ = linux::prctl(PR_SET_NAME, [c"lightship-watch".as_ptr() as usize, 0, 0, 0]);
    let _ = linux::unblock_signals();
    let _ = linux::setsid();
    let _ = linux::chdir(c"/");
}

fn watch(ring: &Ring, command: *const usize) {
    let mut pause = SETTLED;
    loop {
        let waiting = wait([CONTAINER, RING], None);
        let ended = wait([CONTAINER, -1], Some(pause)) || !waiting;
        let seen = ring.end();
        if ring.has_failure(seen) {
            explain(command);
            pause = (pause * 2).min(LONGEST);
        }
        ring.consume(seen);
        if ended {
            return;
        }
    }
}

/// Has the runtime read the ring buffer and say what it knows. It has this process's first three descriptors.
fn explain(command: *const usize) {
    match linux::fork() {
        Ok(None) => {
            const AT_EMPTY_PATH: usize = 0x1000;
            let environment = [0usize];
            let (path, environment) = (c"".as_ptr() as usize, environment.as_ptr() as usize);
            // SAFETY: the path ends with a NUL, both lists with a null; `command` is the end of this process's own arguments.
            let _ = unsafe {
                call(nr::EXECVEAT, [RUNTIME as usize, path, command as usize, environment, AT_EMPTY_PATH, 0])
            };
            linux::exit(1)
        }
        Ok(Some((pid, pidfd))) => {
            linux::close(pidfd);
            let _ = linux::wait_pid(pid);
        }
        Err(_) => {}
    }
}

/// Waits until one of two descriptors (-1 for none) is readable, at most so many milliseconds; false when the time went by or
/// the call failed.
fn wait(descriptors: [i32; 2], milliseconds: Option<u64>) -> bool {
    const POLLIN: u32 = 1;
    let mut requests = [descriptors[0] as u32, POLLIN, descriptors[1] as u32, POLLIN];
    let time = milliseconds.map(|time| [time / 1000, time % 1000 * 1_000_000]);
    let time = time.as_ref().map_or(0, |time| time.as_ptr() as usize);
    // SAFETY: two struct pollfd are sixteen bytes, the time is two words or absent.
    unsafe { call(nr::PPOLL, [requests.as_mut_ptr() as usize, 2, time, 0, 0, 0]) }.is_ok_and(|ready| ready > 0)
}

/// The ring buffer as the kernel shows it: a page with the reader's position, one with the writers', and the data twice in a row
/// (Documentation/bpf/ringbuf.rst). A record has a head of a length and a page number, four bytes each, and begins at a multiple
/// of eight.
struct Ring {
    consumer: *const AtomicUsize,
    producer: *const AtomicUsize,
    data: *const u8,
    size: usize,
}

impl Ring {
    const HEAD: usize = 8;
    const BUSY: u32 = 1 << 31;
    const DISCARDED: u32 = 1 << 30;
    /// A record that is no longer than a socket's number tells that this socket has been bound.
    const SUCCESS: usize = 8;

    fn map(page: usize) -> linux::Answer<Ring> {
        const PROT_READ: usize = 1;
        const PROT_WRITE: usize = 2;
        const MAP_SHARED: usize = 1;
        let map = |size: usize, protection: usize, at: usize| {
            // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
            unsafe { call(nr::MMAP, [0, size, protection, MAP_SHARED, RING as usize, at]) }
        };
        let consumer = map(page, PROT_READ | PROT_WRITE, 0)?;
        let producer = map(page * 3, PROT_READ, page)?;
        let data = (producer + page) as *const u8;
        Ok(Ring {
            consumer: consumer as *const AtomicUsize,
            producer: producer as *const AtomicUsize,
            data,
            size: page,
        })
    }

    /// The end of what has been written.
    fn end(&self) -> usize {
        // SAFETY: the page is mapped, and begins with the position, which the kernel writes atomically.
        let written = unsafe { &*self.producer }.load(Ordering::Acquire);
        let mut at = self.consumer().load(Ordering::Acquire);
        while let Some((_, _, next)) = self.record(at, written) {
            at = next;
        }
        at
    }

    fn consumer(&self) -> &AtomicUsize {
        // SAFETY: the page is mapped writable, and begins with the position.
        unsafe { &*self.consumer }
    }

    /// Whether there is an attempt up to `end` that is not followed by the success of the same socket, as in
    /// `hostnet::diagnosis::failed`.
    fn has_failure(&self, end: usize) -> bool {
        let mut at = self.consumer().load(Ordering::Acquire);
        while let Some((length, socket, next)) = self.record(at, end) {
            if length > Ring::SUCCESS && !self.succeeds(socket, next, end) {
                return true;
            }
            at = next;
        }
        false
    }

    /// Whether what is next of a socket is its success.
    fn succeeds(&self, wanted: u64, mut at: usize, end: usize) -> bool {
        while let Some((length, socket, next)) = self.record(at, end) {
            if socket == wanted {
                return length == Ring::SUCCESS;
            }
            at = next;
        }
        false
    }

    /// The length of a record (0 for one that was given up), the socket's number, and where the next one is.
    fn record(&self, at: usize, end: usize) -> Option<(usize, u64, usize)> {
        if at >= end {
            return None;
        }
        let start = at & (self.size - 1);
        // SAFETY: a position below the writers' is that of a record, so both words are inside of the two copies of the data,
        // and aligned as positions are multiples of eight. The kernel does not write there before the reader has moved on.
        let (head, socket) = unsafe {
            let head = &*self.data.add(start).cast::<AtomicU32>();
            (head.load(Ordering::Acquire), self.data.add(start + Ring::HEAD).cast::<u64>())
        };
        if head & Ring::BUSY != 0 {
            return None;
        }
        let length = (head & !Ring::DISCARDED) as usize;
        let next = at + (Ring::HEAD + length).next_multiple_of(8);
        let length = if head & Ring::DISCARDED == 0 { length } else { 0 };
        // SAFETY: as above.
        Some((length, unsafe { socket.read() }, next))
    }

    /// Goes on to `end`, unless the runtime has read further already.
    fn consume(&self, end: usize) {
        self.consumer().fetch_max(end, Ordering::AcqRel);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    linux::exit(1)
}
