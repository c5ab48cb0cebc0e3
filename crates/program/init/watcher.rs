//! The process beside a container in the host's network: it waits until a bind(2) fails, and has the runtime explain it.
//!
//! There is one for every such container, and most have nothing to do all their life. So it is a program of its own, without std
//! and libc, of a few pages; all knowledge is in the runtime, which it executes when there is something to say.
//!
//! Its descriptors:
//!
//! | number | what |
//! |---|---|
//! | 0 | the table of attempts to bind a port that have not succeeded (`hostnet::programs::Attempt`) |
//! | 1 | a file that remembers what has been said |
//! | 2 | the container's standard error |
//! | 3 | the pidfd of the container's first process, whose end is the watcher's |
//! | 4 | the runtime's executable |
//! | 5 | the doorbell, a ring buffer that gets a record when there is an attempt while the watcher sleeps |
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

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arch::{call, nr};

crate::start_with!("start");

const TABLE: i32 = 0;
const CONTAINER: i32 = 3;
const RUNTIME: i32 = 4;
const DOORBELL: i32 = 5;

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
    if let (Ok(table), Ok(doorbell)) = (Table::map(page), Doorbell::map(page)) {
        watch(&table, &doorbell, command);
    }
    linux::exit(0)
}

/// Lets go of everything of the runtime's that would be kept: descriptors, the session, the current folder.
fn detach() {
    const PR_SET_DUMPABLE: u32 = 4;
    const PR_SET_NAME: u32 = 15;
    // SAFETY: plain numbers.
    let _ = unsafe { call(nr::CLOSE_RANGE, [DOORBELL as usize + 1, u32::MAX as usize, 0, 0, 0, 0]) };
    let _ = linux::close_on_exec_from(CONTAINER as u32);
    let _ = linux::prctl(PR_SET_DUMPABLE, [0; 4]);
    let _ = linux::prctl(PR_SET_NAME, [c"lightship-watch".as_ptr() as usize, 0, 0, 0]);
    let _ = linux::unblock_signals();
    let _ = linux::setsid();
    let _ = linux::chdir(c"/");
}

fn watch(table: &Table, doorbell: &Doorbell, command: *const usize) {
    let mut pause = SETTLED;
    loop {
        table.fall_asleep();
        // An attempt that was being written meanwhile may not have rung: the rows show it a moment later.
        let called = wait([CONTAINER, DOORBELL], Some(SETTLED)) || table.has_attempt() || wait([CONTAINER, DOORBELL], None);
        doorbell.silence();
        let before = table.attempts();
        let ended = wait([CONTAINER, -1], Some(pause)) || !called;
        let mut failed = table.attempts();
        if !ended {
            // What has come meanwhile may succeed still. Of a container that has ended nothing can.
            for (attempt, before) in failed.iter_mut().zip(before) {
                *attempt = if *attempt == before { before } else { 0 };
            }
        }
        if failed.iter().any(|attempt| *attempt != 0) {
            explain(command);
            table.strike_out(&failed);
            pause = (pause * 2).min(LONGEST);
        }
        if ended {
            return;
        }
    }
}

/// Has the runtime read the table and say what it knows. It has this process's first three descriptors.
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

const PROT_READ: usize = 1;
const PROT_WRITE: usize = 2;

fn map(descriptor: i32, size: usize, protection: usize, at: usize) -> linux::Answer<usize> {
    const MAP_SHARED: usize = 1;
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
    unsafe { call(nr::MMAP, [0, size, protection, MAP_SHARED, descriptor as usize, at]) }
}

/// The table as `hostnet::programs::attempts` lays it out, which the container's programs write at the same time.
struct Table(&'static [[AtomicU64; Table::ROW]; Table::ROWS + 1]);

impl Table {
    const ROWS: usize = 64;
    /// In words of eight bytes. The first one is the attempt, 0 in an empty row.
    const ROW: usize = 4;

    fn map(page: usize) -> linux::Answer<Table> {
        let start = map(TABLE, page, PROT_READ | PROT_WRITE, 0)?;
        // SAFETY: the table is in the page that was mapped, which is never unmapped, and all of it is written atomically.
        Ok(Table(unsafe { &*(start as *const _) }))
    }

    /// From here on an attempt rings.
    fn fall_asleep(&self) {
        self.0[Table::ROWS][0].store(1, Ordering::SeqCst);
    }

    fn has_attempt(&self) -> bool {
        self.attempts().iter().any(|attempt| *attempt != 0)
    }

    /// The attempts in the rows; two for the same have different numbers in them.
    fn attempts(&self) -> [u64; Table::ROWS] {
        core::array::from_fn(|row| self.0[row][0].load(Ordering::SeqCst))
    }

    /// Empties the rows that have these attempts still.
    fn strike_out(&self, attempts: &[u64; Table::ROWS]) {
        for (row, attempt) in self.0.iter().zip(attempts) {
            let _ = row[0].compare_exchange(*attempt, 0, Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}

/// The doorbell as the kernel shows it: a page with the reader's position, and one with the writers'
/// (Documentation/bpf/ringbuf.rst).
struct Doorbell {
    consumer: &'static AtomicUsize,
    producer: &'static AtomicUsize,
}

impl Doorbell {
    fn map(page: usize) -> linux::Answer<Doorbell> {
        let consumer = map(DOORBELL, page, PROT_READ | PROT_WRITE, 0)? as *const AtomicUsize;
        let producer = map(DOORBELL, page, PROT_READ, page)? as *const AtomicUsize;
        // SAFETY: both pages are mapped for good, and begin with a position that the kernel writes atomically.
        Ok(unsafe { Doorbell { consumer: &*consumer, producer: &*producer } })
    }

    /// What has rung so far is heard.
    fn silence(&self) {
        self.consumer.store(self.producer.load(Ordering::Acquire), Ordering::Release);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    linux::exit(1)
}
