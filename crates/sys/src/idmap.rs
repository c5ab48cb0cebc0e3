//! Idmapped mounts: a user namespace that has nothing but its id maps, and the mount that gets them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::arch::{self, nr};

/// More than two system calls need.
const STACK: usize = 4 * 1024;

/// A child in a new user namespace. It does nothing, and ends when this is dropped or the runtime ends.
pub struct Holder {
    /// Its process id, for `/proc/<pid>/uid_map` and `/proc/<pid>/ns/user`.
    pub pid: i32,
    pidfd: OwnedFd,
    alive: Option<OwnedFd>,
}

struct Pipe {
    read: i32,
    write: i32,
}

impl Holder {
    /// Makes the child.
    ///
    /// # Errors
    /// Those of pipe2(2) and clone3(2); `ENOSPC` where `user.max_user_namespaces` are there already.
    pub fn new() -> io::Result<Holder> {
        const CLONE_PIDFD: u64 = 0x1000;
        const CLONE_NEWUSER: u64 = 0x1000_0000;
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let pipe = Pipe { read: read.as_raw_fd(), write: write.as_raw_fd() };
        let mut stack = vec![0u8; STACK];
        let mut pidfd = -1i32;
        let flags = CLONE_NEWUSER | CLONE_PIDFD;
        let (pidfd_at, stack_at) = (&raw mut pidfd as u64, stack.as_mut_ptr() as u64);
        // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls
        let args = [flags, pidfd_at, 0, 0, libc::SIGCHLD as u64, stack_at, STACK as u64, 0];
        // SAFETY: `args` is a struct clone_args of the first version. Without CLONE_VM the child has copies of the stack and of
        // `pipe`; `wait` makes system calls alone and never returns.
        let answer =
            unsafe { arch::clone3(args.as_ptr() as usize, size_of_val(&args), wait, &raw const pipe as usize) };
        if answer < 0 {
            return Err(io::Error::from_raw_os_error(-answer as i32));
        }
        // SAFETY: the kernel has written a descriptor that nobody else owns.
        let pidfd = unsafe { OwnedFd::from_raw_fd((&raw const pidfd).read_volatile()) };
        Ok(Holder { pid: answer as i32, pidfd, alive: Some(write) })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.alive = None;
        let options = rustix::process::WaitIdOptions::EXITED;
        let _ = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(rustix::process::WaitId::PidFd(self.pidfd.as_fd()), options)
        });
    }
}

/// The child: waits until nobody has the pipe's other end any more.
unsafe extern "C" fn wait(pipe: usize) -> ! {
    // SAFETY: the parent passes the address of its `Pipe`, of which this is a copy; the buffer has the one byte that is read.
    unsafe {
        let pipe = &*(pipe as *const Pipe);
        let mut byte = [0u8; 1];
        let _ = arch::call(nr::CLOSE, [pipe.write as usize, 0, 0, 0, 0, 0]);
        let _ = arch::call(nr::READ, [pipe.read as usize, byte.as_mut_ptr() as usize, 1, 0, 0, 0]);
        loop {
            let _ = arch::call(nr::EXIT_GROUP, [0; 6]);
        }
    }
}

/// Gives a detached mount, and with `recursive` all below it, the id maps of a user namespace (mount_setattr(2)).
///
/// # Errors
/// `EINVAL` where the file system cannot be idmapped; `EPERM` where the caller does not rule it.
pub fn idmap(mount: BorrowedFd<'_>, userns: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    const AT_RECURSIVE: usize = 0x8000;
    let flags = libc::AT_EMPTY_PATH as usize | if recursive { AT_RECURSIVE } else { 0 };
    // attr_set, attr_clr, propagation, userns_fd
    let attributes = [MOUNT_ATTR_IDMAP, 0, 0, userns.as_raw_fd() as u64];
    let (path, attributes_at) = (c"".as_ptr() as usize, attributes.as_ptr() as usize);
    let args = [mount.as_raw_fd() as usize, path, flags, attributes_at, size_of_val(&attributes), 0];
    // SAFETY: the path is NUL-terminated and `attributes` is a struct mount_attr; the kernel only reads both.
    unsafe { arch::call(nr::MOUNT_SETATTR, args) }.map(drop).map_err(io::Error::from_raw_os_error)
}
