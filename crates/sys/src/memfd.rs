//! Anonymous files in memory (memfd_create(2)): how a program and init reach the child.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

/// The memory of plain values, to be written to a file as it is, padding included.
#[repr(transparent)]
pub struct Raw<'a> {
    iov: libc::iovec,
    memory: PhantomData<&'a [u8]>,
}

impl<'a> Raw<'a> {
    /// The memory of a slice.
    pub fn of<T: Copy>(values: &'a [T]) -> Raw<'a> {
        let iov = libc::iovec { iov_base: values.as_ptr().cast_mut().cast(), iov_len: size_of_val(values) };
        Raw { iov, memory: PhantomData }
    }
}

/// Makes an executable file of the parts, one after the other. Nobody can change it afterwards (F_SEAL_WRITE and the rest).
///
/// # Errors
/// Those of memfd_create(2), writev(2) and fcntl(2); a short write is `ENOSPC`.
pub fn sealed(name: &str, parts: &[Raw<'_>]) -> io::Result<OwnedFd> {
    let fd = create(name)?;
    let whole: usize = parts.iter().map(|part| part.iov.iov_len).sum();
    // SAFETY: `Raw` is a transparent view of an iovec whose memory outlives it; the kernel only reads.
    let written = unsafe { libc::writev(fd.as_raw_fd(), parts.as_ptr().cast(), parts.len() as i32) };
    match usize::try_from(written) {
        Err(_) => return Err(io::Error::last_os_error()),
        Ok(written) if written != whole => return Err(Errno::NOSPC.into()),
        Ok(_) => {}
    }
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(fd.as_fd(), seals)?;
    Ok(fd)
}

/// MFD_EXEC came with Linux 6.3; an older kernel does not know it and makes every memfd executable.
fn create(name: &str) -> io::Result<OwnedFd> {
    let base = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(name, base | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(name, base)?),
        answer => Ok(answer?),
    }
}
