//! The process that becomes a container: it maps a program and executes it.
//!
//! A program of its own, without std and libc, that runs from a sealed memfd: the host's `lightship` is then never
//! reachable from inside a container (CVE-2019-5736), nothing of the runtime's memory is, and nothing here allocates or
//! takes a lock, so it may be started from a process with threads.

#![no_std]
#![no_main]
#![no_builtins]
#![allow(unreachable_pub)]

#[path = "../../sys/src/arch/mod.rs"]
#[allow(dead_code, missing_docs)]
mod arch;
mod closing;
mod copyup;
mod executor;
#[allow(missing_docs)]
mod linux;
mod memory;
#[path = "../src/op.rs"]
#[allow(dead_code)]
mod op;
mod passwd;
mod program;
mod rootfs;

use executor::Executor;
use op::Failure;
use program::Program;

crate::start_with!("start");

/// The arguments are the number of the descriptor of init's own file, and where in it the program begins and ends.
///
/// # Safety
/// `stack` must be the stack pointer a process starts with: argc, then the addresses of the arguments.
#[unsafe(no_mangle)]
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the runtime starts init with its name and three numbers.
    let [fd, begin, end] = unsafe { [2, 3, 4].map(|word| memory::number(*stack.add(word))) };
    let Ok(program) = Program::map(fd as i32, begin, end) else { linux::exit(1) };
    let mut executor = Executor::new(program);
    let failure = match prepare(&executor) {
        Ok(()) => executor.run(),
        Err((step, errno)) => Failure { op: Failure::AT_LOAD, step, errno },
    };
    executor.report(failure);
    linux::exit(1)
}

/// Sheds what the caller left on this process, before the first operation.
fn prepare(executor: &Executor) -> Result<(), (u16, linux::Errno)> {
    const PR_SET_DUMPABLE: u32 = 4;
    const PR_SET_NAME: u32 = 15;
    let header = executor.header();
    // A process already in the container must not look into this one while it still has the host's privileges.
    let _ = linux::prctl(PR_SET_DUMPABLE, [0; 4]);
    linux::close_on_exec_from(header.first_private_fd).map_err(|errno| (0, errno))?;
    linux::unblock_signals().map_err(|errno| (1, errno))?;
    for signal in (1..=64).filter(|signal| header.ignored_signals & (1 << (signal - 1)) != 0) {
        linux::default_signal(signal);
    }
    let _ = linux::prctl(PR_SET_NAME, [c"lightship-init".as_ptr() as usize, 0, 0, 0]);
    // Modes in a program are exact; the process's own mask is set by an operation.
    linux::umask(0);
    Ok(())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    linux::exit(1)
}
