//! A bundle on disk: the folder that the caller names, and its config.json.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::Error;

/// An absolute path of the bundle, symbolic links resolved.
pub(crate) fn folder(path: &Path) -> Result<PathBuf, Error> {
    real(path).map_err(Error::file("bundle", path))
}

/// The path of a folder without links, as the kernel tells it of an open one: at any depth three calls.
fn real(path: &Path) -> rustix::io::Result<PathBuf> {
    let folder = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let real = rustix::fs::readlink(format!("/proc/self/fd/{}", folder.as_raw_fd()), Vec::new())?;
    Ok(OsString::from_vec(real.into_bytes()).into())
}

/// Reads a JSON document of the caller's: at most [`spec::MAX_SIZE`] bytes of a regular file, since a FIFO or a device
/// could keep the runtime waiting for ever.
pub(crate) fn read_document(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file: OwnedFd = rustix::fs::open(path, flags, Mode::empty()).map_err(Error::file(what, path))?;
    let stat = rustix::fs::fstat(&file).map_err(Error::file(what, path))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::File { what, path: path.to_owned(), error: "not a regular file".to_owned() });
    }
    // One byte more than allowed, so that the reader can tell what is too large.
    let limit = spec::MAX_SIZE + 1;
    let mut bytes = vec![0; usize::try_from(stat.st_size).unwrap_or(0).min(spec::MAX_SIZE) + 1];
    let mut length = 0;
    loop {
        let rest = bytes.get_mut(length..).unwrap_or_default();
        length += rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *rest)).map_err(Error::file(what, path))?;
        // A regular file gives less than was asked for at its end only (read(2)), which saves a second read.
        if length < bytes.len() || bytes.len() == limit {
            break;
        }
        bytes.resize((length + 4096).min(limit), 0);
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// The absolute root file system of a bundle, which must be a folder.
pub(crate) fn rootfs(bundle: &Path, spec: &spec::Spec) -> Result<PathBuf, Error> {
    let root = spec.root.as_ref().map(|root| root.path.as_path()).unwrap_or_else(|| Path::new("rootfs"));
    let path = bundle.join(root);
    match real(&path) {
        Err(Errno::NOTDIR) => Err(Error::File { what: "/root/path:", path, error: "not a folder".to_owned() }),
        real => real.map_err(Error::file("/root/path:", &path)),
    }
}
