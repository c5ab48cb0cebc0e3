//! The state root: which containers there are.

use crate::directory::{self, or_missing};
use crate::{ContainerId, Entry, Error, Locked, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, fstatvfs, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the containers of root are kept when `--root` is not given. A tmpfs, on a usual machine.
pub const DEFAULT_ROOT: &str = "/run/lightship";

/// An open state root.
#[derive(Debug)]
pub struct StateRoot {
    path: PathBuf,
    /// Nothing while the directory does not exist: a root without containers.
    directory: Option<Arc<OwnedFd>>,
}

impl StateRoot {
    /// Opens the state root at `path`. If there is none it is an empty one, and made by the first [`begin`].
    ///
    /// [`begin`]: StateRoot::begin
    pub fn open(path: &Path) -> Result<StateRoot> {
        let directory = match open_root(path) {
            Ok(directory) => Some(Arc::new(directory)),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(Error::io("open the state root", path)(errno)),
        };
        Ok(StateRoot { path: path.to_owned(), directory })
    }

    /// The path the root was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Claims `id` for a new container and locks it. Of several callers exactly one gets the id, the others get
    /// [`Error::Exists`]. On an error nothing is left.
    pub fn begin(&self, id: &ContainerId) -> Result<Locked> {
        let root = match &self.directory {
            Some(directory) => directory.clone(),
            None => Arc::new(make_root(&self.path).map_err(Error::io("make the state root", &self.path))?),
        };
        let path = self.path.join(id.as_str());
        match mkdirat(&root, id.as_str(), Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(Error::Exists { id: id.to_string() }),
            Err(Errno::NAMETOOLONG) => return Err(self.too_long(&root, id)),
            Err(errno) => return Err(Error::io("make", &path)(errno)),
        }
        let locked = match directory::open(root.as_fd(), id.as_str()) {
            Ok(directory) => Entry::new(id.clone(), path, root.clone(), directory).lock_new(),
            Err(Errno::NOENT) => Err(Error::Deleted { id: id.to_string() }),
            Err(errno) => Err(Error::io("open", &path)(errno)),
        };
        if let Err(error) = &locked
            && !error.is_not_found()
        {
            let _ = or_missing(unlinkat(&root, id.as_str(), AtFlags::REMOVEDIR));
        }
        locked
    }

    /// The container `id`, half-made ones included. Takes no lock.
    pub fn find(&self, id: &ContainerId) -> Result<Entry> {
        let not_found = || Error::NotFound { id: id.to_string() };
        let root = self.directory.as_ref().ok_or_else(not_found)?;
        let path = self.path.join(id.as_str());
        match directory::open(root.as_fd(), id.as_str()) {
            Ok(directory) => Ok(Entry::new(id.clone(), path, root.clone(), directory)),
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Err(not_found()),
            Err(errno) => Err(Error::io("open", &path)(errno)),
        }
    }

    /// The containers there are now, in the order of their ids. Each is opened when the iterator comes to it, so a
    /// long list needs no more descriptors than a short one; one that has been deleted by then is left out.
    pub fn list(&self) -> Result<impl Iterator<Item = (ContainerId, Result<Entry>)> + '_> {
        let names = match &self.directory {
            // A descriptor of its own: two lists must not share one position.
            Some(root) => directory::open(root.as_fd(), ".").and_then(|root| directory::names(root.as_fd())),
            None => Ok(Vec::new()),
        };
        let names = names.map_err(Error::io("list", &self.path))?;
        let mut ids: Vec<ContainerId> =
            names.iter().filter_map(|name| ContainerId::parse(name.to_str().ok()?).ok()).collect();
        ids.sort();
        Ok(ids.into_iter().filter_map(|id| match self.find(&id) {
            Err(error) if error.is_not_found() => None,
            found => Some((id, found)),
        }))
    }

    fn too_long(&self, root: &OwnedFd, id: &ContainerId) -> Error {
        let limit = fstatvfs(root).map_or(255, |file_system| file_system.f_namemax);
        Error::IdTooLong { length: id.as_str().len(), limit, root: self.path.clone() }
    }
}

/// The operator chose this path, so symbolic links in it are meant (`/var/run`).
fn open_root(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn make_root(path: &Path) -> rustix::io::Result<OwnedFd> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let root = open_root(path)?;
    fchmod(&root, Mode::RWXU)?;
    Ok(root)
}
