//! Single files of a cgroup directory: one open, one read or write, one close.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::Error;

/// Opens a file for reading.
pub(crate) fn open_read(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

/// Opens a file for writing; never creates it (a cgroup's files are the kernel's).
pub(crate) fn open_write(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

/// A directory, for `CLONE_INTO_CGROUP` and BPF attachment. Both take a plain read-only descriptor.
pub(crate) fn open_dir(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

/// Writes a value in a single `write(2)`: the kernel parses each write on its own.
pub(crate) fn write_fd(fd: &OwnedFd, value: &str) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| rustix::io::write(fd, value.as_bytes())).map(drop)
}

/// Opens, writes, closes.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), Errno> {
    write_fd(&open_write(path)?, value)
}

/// Reads a whole file as text; `errno` only, for callers to whom a missing file is an answer.
pub(crate) fn try_read(path: &Path) -> Result<String, Errno> {
    let fd = open_read(path)?;
    let mut bytes = Vec::new();
    loop {
        bytes.reserve(4096);
        match rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => return String::from_utf8(bytes).map_err(|_| Errno::ILSEQ),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reads a file of one line, without the newline. The kernel gives such a file in a single `read(2)`.
pub(crate) fn try_read_line(path: &Path) -> Result<String, Errno> {
    let fd = open_read(path)?;
    let mut bytes = Vec::with_capacity(4096);
    rustix::io::retry_on_intr(|| rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut bytes)))?;
    String::from_utf8(bytes).map(|line| line.trim_end().to_owned()).map_err(|_| Errno::ILSEQ)
}

/// Reads a file of one line, without the newline.
pub(crate) fn read_line(path: &Path) -> Result<String, Error> {
    try_read_line(path).map_err(|errno| Error::file("read", path, errno))
}

/// Reads a whole file as text.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    try_read(path).map_err(|errno| Error::file("read", path, errno))
}

/// The directories directly below one, unsorted; none if it is gone.
pub(crate) fn subdirs(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |error: std::io::Error| Error::file("read", path, Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(fail)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        if entry.file_type().map_err(fail)?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Waits until a line `KEY VALUE` is in `cgroup.events`; the kernel notifies poll(2) of each change. `false` when the time
/// is over. A cgroup that is gone counts as one where it is so.
pub(crate) fn wait_for_event(dir: &Path, line: &str, limit: Duration) -> Result<bool, Error> {
    let path = dir.join("cgroup.events");
    let fail = |errno| Error::file("read", path.clone(), errno);
    let deadline = Instant::now() + limit;
    let fd = match open_read(&path) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NODEV) => return Ok(true),
        Err(errno) => return Err(fail(errno)),
    };
    let mut buffer = [0; 256];
    loop {
        match rustix::io::pread(&fd, &mut buffer, 0) {
            Ok(read) if buffer[..read].split(|byte| *byte == b'\n').any(|found| found == line.as_bytes()) => {
                return Ok(true);
            }
            Ok(_) => {}
            Err(Errno::NODEV) => return Ok(true),
            Err(errno) => return Err(fail(errno)),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let mut watched = [PollFd::new(&fd, PollFlags::PRI)];
        match rustix::event::poll(&mut watched, Some(&timespec(left))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(fail(errno)),
        }
    }
}

/// Waits for a millisecond, where the kernel notifies nobody (cgroup v1).
pub(crate) fn pause() {
    // Cut short by a signal or refused, the caller asks the kernel once more than it would have: no harm.
    let _ = rustix::event::poll(&mut [], Some(&timespec(Duration::from_millis(1))));
}

pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}
