//! A process beside a container: a program that gets a few descriptors and words, and goes its own way.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::arch::{self, nr};
use crate::spawn::{BORROWED_MEMORY, CloneArgs, STACK};

/// What a companion executes.
#[derive(Clone, Copy, Debug)]
pub enum Program<'a> {
    /// A file that is open, as a memfd.
    Open(BorrowedFd<'a>),
    /// A file of the host's. By its path, since a script is read again by its interpreter.
    Path(&'a CStr),
}

/// What the child reads, made ready by the parent, and where it leaves the number of its error.
struct Child {
    program: i32,
    /// Below `program`; empty for that itself.
    path: *const u8,
    descriptors: Vec<i32>,
    /// Ended by a null, as is the environment.
    words: Vec<*const u8>,
    environment: Vec<*const u8>,
    errno: i32,
}

/// Makes a process that executes `program` with `words`, the first of them its name, and with that environment alone. It has the
/// descriptors as its own from 0 on; all others that execve leaves open are its own business to close. The
/// answer is its process id.
///
/// # Errors
/// Those of clone3(2), fcntl(2) and execveat(2).
pub fn spawn(
    program: Program<'_>,
    words: &[&CStr],
    environment: &[&CStr],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<i32> {
    // One that has a number which another is to get would be overwritten before its turn.
    let first_free = descriptors.len() as i32;
    let mut moved = Vec::new();
    let mut source = |fd: BorrowedFd<'_>| -> io::Result<i32> {
        if fd.as_raw_fd() >= first_free {
            return Ok(fd.as_raw_fd());
        }
        let away: OwnedFd = rustix::io::fcntl_dupfd_cloexec(fd, first_free)?;
        let number = away.as_raw_fd();
        moved.push(away);
        Ok(number)
    };
    let (program, path) = match program {
        Program::Open(file) => (source(file)?, c""),
        Program::Path(path) => (libc::AT_FDCWD, path),
    };
    let mut child = Child {
        program,
        path: path.as_ptr().cast(),
        descriptors: descriptors.iter().map(|fd| source(*fd)).collect::<io::Result<_>>()?,
        words: list(words),
        environment: list(environment),
        errno: 0,
    };
    let mut stack = vec![0u8; STACK];
    let args = CloneArgs {
        flags: BORROWED_MEMORY,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK as u64,
        ..CloneArgs::default()
    };
    // SAFETY: `args` is a struct clone_args; the parent sleeps until the child's execve or end, so the stack and `child` outlive
    // the child's use of them, and nobody else uses them meanwhile. `run` never returns and changes `child.errno` alone.
    let answer =
        unsafe { arch::clone3(&raw const args as usize, size_of::<CloneArgs>(), run, &raw mut child as usize) };
    if answer < 0 {
        return Err(io::Error::from_raw_os_error(-answer as i32));
    }
    // SAFETY: a valid i32, written behind the compiler's back.
    match unsafe { (&raw const child.errno).read_volatile() } {
        0 => Ok(answer as i32),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Pointers to the strings, as execve(2) takes them.
fn list(strings: &[&CStr]) -> Vec<*const u8> {
    strings.iter().map(|string| string.as_ptr().cast()).chain([std::ptr::null()]).collect()
}

/// The child, from clone3 to execveat.
unsafe extern "C" fn run(child: usize) -> ! {
    // SAFETY: the parent passes the address of its `Child`, which stays where it is, and sleeps.
    let child = unsafe { &mut *(child as *mut Child) };
    if let Err(errno) = execute(child) {
        child.errno = errno;
    }
    loop {
        // SAFETY: plain numbers.
        let _ = unsafe { arch::call(nr::EXIT_GROUP, [1, 0, 0, 0, 0, 0]) };
    }
}

fn execute(child: &Child) -> Result<(), i32> {
    const AT_EMPTY_PATH: usize = 0x1000;
    for (to, from) in child.descriptors.iter().enumerate() {
        // SAFETY: plain numbers.
        unsafe { arch::call(nr::DUP3, [*from as usize, to, 0, 0, 0, 0]) }?;
    }
    let (path, words, environment) = (child.path, child.words.as_ptr(), child.environment.as_ptr());
    // SAFETY: the path ends with a NUL, the lists with a null pointer, their strings with a NUL.
    unsafe {
        arch::call(
            nr::EXECVEAT,
            [child.program as usize, path as usize, words as usize, environment as usize, AT_EMPTY_PATH, 0],
        )
    }
    .map(drop)
}
