//! Files that are replaced as a whole, and read without waiting.

use crate::{Error, Result};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, openat, renameat, unlinkat};
use rustix::io::{Errno, read, write};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Makes `path` a file of these bytes and this mode, whatever the umask; readers see the old file or the whole new
/// one. A symbolic link at `path` is replaced, not followed. If the process is killed in the middle, a hidden file
/// may be left beside `path`.
pub fn atomic_write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().ok_or_else(|| Error::io("write", path)(Errno::ISDIR))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, directory, flags, Mode::empty()).map_err(Error::io("open the directory of", path))?;
    // The directory may be writable for others, so the temporary file must be a new one.
    let temporary = format!(".lightship.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    replace(directory.as_fd(), OsStr::new(&temporary), OFlags::EXCL, name, bytes, mode)
        .map_err(Error::io("write", path))
}

/// Writes `bytes` to the file `temporary` in `directory` and renames it to `name`. On an error nothing is left.
pub(crate) fn replace(
    directory: BorrowedFd<'_>,
    temporary: &OsStr,
    flags: OFlags,
    name: &OsStr,
    bytes: &[u8],
    mode: u32,
) -> rustix::io::Result<()> {
    write_new(directory, temporary, flags, bytes, mode)?;
    let renamed = renameat(directory, temporary, directory, name);
    if renamed.is_err() {
        let _ = unlinkat(directory, temporary, AtFlags::empty());
    }
    renamed
}

/// Writes `bytes` to the file `name` in `directory`, with this mode. On an error it is not left.
pub(crate) fn write_new(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    flags: OFlags,
    bytes: &[u8],
    mode: u32,
) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    let flags = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, mode)?;
    // The umask has been taken off the mode at open.
    let written = fchmod(&file, mode).and_then(|()| write_all(file.as_fd(), bytes));
    if written.is_err() {
        let _ = unlinkat(directory, name, AtFlags::empty());
    }
    written
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match write(file, bytes) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The bytes of the file `name` in `directory`, or nothing if there is no such file. Never waits: a FIFO that was put
/// in the file's place reads as empty.
pub(crate) fn contents(directory: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, name.as_bytes(), flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let mut bytes = vec![0; 8192];
    let mut length = 0;
    loop {
        match read(&file, &mut bytes[length..]) {
            Ok(count) => length += count,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
        // A regular file gives less than was asked for at its end only (read(2)), which saves a second read.
        if length < bytes.len() {
            bytes.truncate(length);
            return Ok(Some(bytes));
        }
        bytes.resize(2 * length, 0);
    }
}
