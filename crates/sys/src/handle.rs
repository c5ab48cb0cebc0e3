//! Files by their handles instead of their names (open_by_handle_at(2)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `struct file_handle` for kernfs: FILEID_KERNFS and the id of the node (linux/exportfs.h, Linux 5.5).
#[repr(C)]
struct KernfsHandle {
    bytes: u32,
    kind: i32,
    id: [u8; 8],
}

/// Opens a directory of a cgroup v2 mount by the cgroup's id, which is what BPF and sock_diag call it.
///
/// # Errors
/// Those of open_by_handle_at(2): `ESTALE` when the cgroup is gone, `EPERM` without CAP_DAC_READ_SEARCH.
pub fn open_cgroup(mount: BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    let mut handle = KernfsHandle { bytes: 8, kind: 0xfe, id: id.to_ne_bytes() };
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the handle has the size that it says, and the kernel only reads it.
    let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), &raw mut handle, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has answered with a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
