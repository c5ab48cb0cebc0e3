//! Makes a process that executes init: one clone3(2), straight into its namespaces and its cgroup.

use std::ffi::CString;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::arch::{self, nr};

const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
/// A child that shares the parent's memory until its execve, which spares a copy of the page tables. No handler of the parent's runs
/// in it.
const SHARED_MEMORY: u64 = CLONE_VM | CLONE_CLEAR_SIGHAND;
/// The same, and the parent sleeps so long.
pub(crate) const BORROWED_MEMORY: u64 = SHARED_MEMORY | CLONE_VFORK;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// As much as the child's few calls need, many times over.
pub(crate) const STACK: usize = 16 * 1024;

/// What the child is to be.
pub struct Spawn<'a> {
    /// CLONE_NEW* flags.
    pub namespaces: u64,
    /// The cgroup v2 folder to be born in (Linux 5.7).
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The executable, in a memfd.
    pub init: BorrowedFd<'a>,
    /// From which byte to which its program is in the same file.
    pub program: Range<u32>,
    /// Socket that the child reports on; where `wait_for_ids` is set it first reads a byte there.
    pub report: BorrowedFd<'a>,
    /// What the child writes, before the error number, if it cannot execute init.
    pub failed: [u8; 4],
    /// Further descriptors that init inherits under the same numbers.
    pub inherited: &'a [BorrowedFd<'a>],
    /// From this number on init inherits no others, whatever the caller left open: it may wait for its start for long.
    pub first_private_fd: u32,
    /// The child is in a new user namespace: it waits for its id maps and becomes root there before it executes init,
    /// because an execve with an unmapped uid drops every capability (capabilities(7)).
    pub wait_for_ids: bool,
    /// The child is to enter a time namespace, which a process that shares memory cannot do at birth (copy_namespaces in
    /// kernel/nsproxy.c).
    pub own_memory: bool,
}

/// A child that exists: its id in the caller's PID namespace, and its pidfd.
pub struct Spawned {
    /// Process id.
    pub pid: i32,
    /// pidfd_open(2)'s kind of descriptor.
    pub pidfd: OwnedFd,
}

/// `struct clone_args` (clone(2)).
#[repr(C)]
#[derive(Default)]
pub(crate) struct CloneArgs {
    pub(crate) flags: u64,
    pub(crate) pidfd: u64,
    pub(crate) child_tid: u64,
    pub(crate) parent_tid: u64,
    pub(crate) exit_signal: u64,
    pub(crate) stack: u64,
    pub(crate) stack_size: u64,
    pub(crate) tls: u64,
    pub(crate) set_tid: u64,
    pub(crate) set_tid_size: u64,
    pub(crate) cgroup: u64,
}

/// What the child reads, made ready by the parent: the child neither allocates nor frees.
struct Child {
    keep: Vec<i32>,
    first_private_fd: u32,
    init: i32,
    /// Of init's descriptor, and where its program begins and ends.
    numbers: [CString; 3],
    report: i32,
    failed: [u8; 4],
    wait_for_ids: bool,
}

impl Spawn<'_> {
    /// Makes the child, and does not wait for its execve. It is safe in a process with threads: between clone3 and execveat the child only
    /// makes system calls, on memory that is ready.
    ///
    /// # Errors
    /// Those of clone3(2). Failures of the child arrive on the report socket.
    pub fn spawn(&self) -> io::Result<Spawned> {
        let (child, stack) = (self.child(), Vec::leak(vec![0u8; STACK]));
        let mut pidfd = -1i32;
        let mut args = CloneArgs {
            flags: self.namespaces | CLONE_PIDFD | if self.own_memory { CLONE_CLEAR_SIGHAND } else { SHARED_MEMORY },
            pidfd: &raw mut pidfd as u64,
            exit_signal: libc::SIGCHLD as u64,
            stack: stack.as_mut_ptr() as u64,
            stack_size: STACK as u64,
            ..CloneArgs::default()
        };
        if let Some(cgroup) = self.cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = cgroup.as_raw_fd() as u64;
        }
        // SAFETY: `args` is a struct clone_args. The stack and `child` are never given back and nobody else uses them, so they are the
        // child's until its execve. `run` never returns and changes nothing but its stack.
        let answer = unsafe {
            arch::clone3(&raw const args as usize, size_of::<CloneArgs>(), run, std::ptr::from_ref(child) as usize)
        };
        if answer < 0 {
            return Err(io::Error::from_raw_os_error(-answer as i32));
        }
        // SAFETY: the kernel has written a descriptor that nobody else owns.
        let pidfd = unsafe { OwnedFd::from_raw_fd((&raw const pidfd).read_volatile()) };
        Ok(Spawned { pid: answer as i32, pidfd })
    }

    /// What the child reads, never given back, as its stack: nothing tells when it has executed init, and a runtime makes a child or two.
    fn child(&self) -> &'static Child {
        let mut keep = vec![self.init.as_raw_fd(), self.report.as_raw_fd()];
        keep.extend(self.inherited.iter().map(AsRawFd::as_raw_fd));
        let numbers = [number(self.init.as_raw_fd()), number(self.program.start), number(self.program.end)];
        Box::leak(Box::new(Child {
            keep,
            first_private_fd: self.first_private_fd,
            init: self.init.as_raw_fd(),
            numbers,
            report: self.report.as_raw_fd(),
            failed: self.failed,
            wait_for_ids: self.wait_for_ids,
        }))
    }
}

fn number(value: impl std::fmt::Display) -> CString {
    // A number has no NUL in it.
    CString::new(value.to_string()).unwrap_or_default()
}

/// The child, from clone3 to execveat.
unsafe extern "C" fn run(child: usize) -> ! {
    // SAFETY: the parent passes the address of a `Child` that stays where it is, and that nobody changes.
    let child = unsafe { &*(child as *const Child) };
    let (step, errno) = become_init(child);
    let mut message = [0u8; 8];
    message[..4].copy_from_slice(&child.failed);
    message[2..4].copy_from_slice(&step.to_ne_bytes());
    message[4..].copy_from_slice(&errno.to_ne_bytes());
    // SAFETY: plain system calls on memory of this function.
    unsafe {
        let _ = arch::call(nr::WRITE, [child.report as usize, message.as_ptr() as usize, message.len(), 0, 0, 0]);
        loop {
            let _ = arch::call(nr::EXIT_GROUP, [1, 0, 0, 0, 0, 0]);
        }
    }
}

/// Comes back only with the step that failed and its error number.
fn become_init(child: &Child) -> (u16, i32) {
    if child.wait_for_ids
        && let Err(failed) = become_root(child.report)
    {
        return failed;
    }
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    const F_SETFD: usize = 2;
    const AT_EMPTY_PATH: usize = 0x1000;
    let range = [child.first_private_fd as usize, u32::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0, 0];
    // SAFETY: plain numbers; the child has a table of descriptors of its own.
    let _ = unsafe { arch::call(nr::CLOSE_RANGE, range) };
    for &fd in &child.keep {
        // SAFETY: plain numbers.
        let _ = unsafe { arch::call(nr::FCNTL, [fd as usize, F_SETFD, 0, 0, 0, 0]) };
    }
    let [init, begin, end] = child.numbers.each_ref().map(|number| number.as_ptr());
    let words = [c"lightship-init".as_ptr(), init, begin, end, std::ptr::null()];
    let no_environment = [std::ptr::null::<u8>()];
    let args = [
        child.init as usize,
        c"".as_ptr() as usize,
        words.as_ptr() as usize,
        no_environment.as_ptr() as usize,
        AT_EMPTY_PATH,
        0,
    ];
    // SAFETY: the lists end with a null pointer, their strings with a NUL.
    match unsafe { arch::call(nr::EXECVEAT, args) } {
        Ok(_) => (12, 0),
        Err(errno) => (12, errno),
    }
}

fn become_root(report: i32) -> Result<(), (u16, i32)> {
    let mut go = [0u8; 1];
    // SAFETY: the kernel writes one byte into an array of one; the others are plain numbers.
    unsafe {
        match arch::call(nr::READ, [report as usize, go.as_mut_ptr() as usize, 1, 0, 0, 0]) {
            Ok(1) => {}
            _ => return Err((10, libc::ECANCELED)),
        }
        arch::call(nr::SETRESGID, [0; 6]).map_err(|errno| (11, errno))?;
        arch::call(nr::SETRESUID, [0; 6]).map_err(|errno| (11, errno))?;
    }
    Ok(())
}
