//! A bundle on disk: the folder that the caller names, and its config.json.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use crate::Error;

/// An absolute path of the bundle, symbolic links resolved.
pub(crate) fn folder(path: &Path) -> Result<PathBuf, Error> {
    std::fs::canonicalize(path).map_err(Error::file("bundle", path))
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
    let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0).min(spec::MAX_SIZE) + 1);
    // One byte more than allowed, so that the reader can tell what is too large.
    File::from(file).take(spec::MAX_SIZE as u64 + 1).read_to_end(&mut bytes).map_err(Error::file(what, path))?;
    Ok(bytes)
}

/// The absolute root file system of a bundle, which must be a folder.
pub(crate) fn rootfs(bundle: &Path, spec: &spec::Spec) -> Result<PathBuf, Error> {
    let root = spec.root.as_ref().map(|root| root.path.as_path()).unwrap_or_else(|| Path::new("rootfs"));
    let path = bundle.join(root);
    let real = std::fs::canonicalize(&path).map_err(Error::file("/root/path:", &path))?;
    if !real.is_dir() {
        return Err(Error::File { what: "/root/path:", path: real, error: "not a folder".to_owned() });
    }
    Ok(real)
}
