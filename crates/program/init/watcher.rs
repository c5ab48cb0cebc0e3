//! The process beside a container in the host's network: it waits until a bind(2) fails, and has the runtime explain it.
//!
//! There is one for every such container, and most have nothing to do all their life. So it is a program of its own, without std
//! and libc, of a few pages; all knowledge is in the runtime, which it executes when there is something to say.
//!
//! Its descriptors:
//!
//! | number | what |
//! |---|---|
//! | 0 | a ring buffer with the attempts to bind a port that have failed (`hostnet::programs::Attempt`) |
//! | 1 | a file that remembers what has been said |
//! | 2 | the container's standard error |
//! | 3 | the pidfd of the container's first process, whose end is the watcher's |
//! | 4 | the runtime's executable |
//!
//! Its arguments are its name and those of the runtime, from the name on.

#![no_std]
#![no_main]
#![no_builtins]
#![allow(unreachable_pub)]

#[path = "../../sys/src/arch/mod.rs"]
#[allow(dead_code, missing_docs)]
mod arch;
#[allow(dead_code, missing_docs)]
mod linux;

use arch::{call, nr};

crate::start_with!("start");

const FAILED: i32 = 0;
const CONTAINER: i32 = 3;
const RUNTIME: i32 = 4;
const NONE: i32 = -1;

/// Milliseconds from a failure to its explanation: the program says first what it has to say, and what fails meanwhile is explained
/// with it.
const SHORTEST: u64 = 10;
/// The wait doubles with each explanation up to this, so that a container cannot keep the host busy.
const LONGEST: u64 = 1280;

/// # Safety
/// `stack` must be the stack pointer a process starts with: argc, then the addresses of the arguments and a null.
#[unsafe(no_mangle)]
unsafe extern "C" fn start(stack: *const usize) -> ! {
    detach();
    // SAFETY: the runtime starts the watcher with its name and the words of a command.
    watch(unsafe { stack.add(2) });
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

fn watch(command: *const usize) {
    let mut pause = SHORTEST;
    loop {
        // In this order: what a container fails at comes before its end, so whoever sees the end sees that too.
        let [mut ended, failed] = wait([CONTAINER, FAILED], None);
        if failed {
            ended |= wait([CONTAINER, NONE], Some(pause))[0];
            explain(command);
            pause = (pause * 2).min(LONGEST);
        }
        if ended {
            return;
        }
    }
}

/// Has the runtime take the failed attempts and say what it knows. It has this process's first three descriptors.
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

/// Waits until one of two descriptors is readable, at most so many milliseconds, and tells of each whether it is.
fn wait(descriptors: [i32; 2], milliseconds: Option<u64>) -> [bool; 2] {
    const POLLIN: u32 = 1;
    let mut requests = [[descriptors[0] as u32, POLLIN], [descriptors[1] as u32, POLLIN]];
    let time = milliseconds.map(|time| [time / 1000, time % 1000 * 1_000_000]);
    let time = time.as_ref().map_or(0, |time| time.as_ptr() as usize);
    // SAFETY: two struct pollfd are sixteen bytes, the time is two words or absent.
    let _ = unsafe { call(nr::PPOLL, [requests.as_mut_ptr() as usize, 2, time, 0, 0, 0]) };
    // What was found is in the high half of the second word; in none of them when the call failed.
    requests.map(|[_, events]| events >> 16 != 0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    linux::exit(1)
}
