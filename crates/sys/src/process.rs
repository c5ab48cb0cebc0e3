//! What one thread or process is: its namespaces, and whether others may look into it.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

fn check(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Moves the calling thread into a namespace (setns(2)); for a PID namespace only children to come are in it.
///
/// # Errors
/// Those of setns(2).
pub fn setns(namespace: BorrowedFd<'_>, kind: u64) -> io::Result<()> {
    // SAFETY: plain numbers; it changes the calling thread alone.
    check(unsafe { libc::setns(namespace.as_raw_fd(), kind as libc::c_int) }).map(drop)
}

/// Gives the calling thread new namespaces or a file system context of its own (unshare(2)).
///
/// # Errors
/// Those of unshare(2).
pub fn unshare(flags: u64) -> io::Result<()> {
    // SAFETY: plain numbers; the callers do not unshare descriptors (CLONE_FILES), which would break I/O safety.
    check(unsafe { libc::unshare(flags as libc::c_int) }).map(drop)
}

/// Gives the calling thread, and what it makes, a session keyring of that name (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
///
/// # Errors
/// Those of keyctl(2): `ENOSYS` in a kernel without keys, `EDQUOT` when the user has too many.
pub fn join_session_keyring(name: &CStr) -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the name ends with a NUL; a thread has credentials of its own.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Restricts the calling thread, and what it makes, to CPUs: bit n%64 of word n/64 for CPU n (sched_setaffinity(2)).
///
/// # Errors
/// `EINVAL` when none of them exists or is in the cgroup's set.
pub fn set_affinity(cpus: &[u64]) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes as the slice has; it changes the calling thread alone.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(cpus), cpus.as_ptr().cast()) }).map(drop)
}

/// Keeps others from looking into this process and, until their execve, into its children (prctl(2), PR_SET_DUMPABLE).
///
/// # Errors
/// None that is known; the kernel's answer is passed on.
pub fn set_not_dumpable() -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// The kind (a CLONE_NEW* flag) of namespace that a descriptor stands for (ioctl_ns(2), NS_GET_NSTYPE, Linux 4.11).
///
/// # Errors
/// `ENOTTY` where it is no namespace.
pub fn namespace_kind(namespace: BorrowedFd<'_>) -> io::Result<u64> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: the request takes no argument.
    check(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE as _) }).map(|kind| kind as u64)
}

/// Sends a signal of any number to a process (pidfd_send_signal(2), Linux 5.1).
///
/// # Errors
/// `ESRCH` when it has ended; `EINVAL` for a number that is no signal.
pub fn send_signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: without a siginfo the call takes plain numbers.
    let answer = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The processor time that this process has used so far (clock_gettime(2), CLOCK_PROCESS_CPUTIME_ID); nothing where the kernel
/// does not tell.
///
/// Not by rustix: it wants a vDSO that is complete, which User Mode Linux does not have.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which outlives the call; without an answer it stays zero.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The number that only the caller's network namespace has (socket(7), SO_NETNS_COOKIE, Linux 5.14).
///
/// # Errors
/// `ENOPROTOOPT` on an older kernel, or those of socket(2).
pub fn netns_cookie() -> io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    // SAFETY: plain numbers.
    let socket = check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor is new, so nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let (mut cookie, mut length) = (0u64, size_of::<u64>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `length` bytes at `cookie`, which has them, and the length at `length`.
    check(unsafe {
        let value = std::ptr::from_mut(&mut cookie).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, value, &mut length)
    })?;
    Ok(cookie)
}
