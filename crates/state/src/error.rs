//! What can go wrong with a record, in words an engine can match and a person can act on.

use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// An error with the container or file it is about.
///
/// Docker, containerd and Podman match parts of these texts, and read "no such file or directory" or "permission
/// denied" as a fault of the container's command (exit codes 127 and 126): [`Error::Io`] avoids those phrases.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no container id.
    #[error(
        "invalid container id {id:?}: it must be 1 to 1024 characters of A-Z a-z 0-9 _ + . - and neither \".\" nor \"..\""
    )]
    InvalidId {
        /// The text, or its beginning if it is long.
        id: String,
    },
    /// The id is valid, but the file system allows no directory of that name.
    #[error(
        "container id of {length} bytes: the file system of {} allows {limit} in a name, use a shorter id",
        root.display()
    )]
    IdTooLong {
        /// Bytes of the id.
        length: usize,
        /// Bytes allowed by the file system, 255 on most.
        limit: u64,
        /// The state root.
        root: PathBuf,
    },
    /// The id is taken.
    #[error("container with given ID already exists: {id:?}")]
    Exists {
        /// The id.
        id: String,
    },
    /// There is no container of that id.
    #[error("{id:?}: container does not exist")]
    NotFound {
        /// The id.
        id: String,
    },
    /// The container was there, and another command has deleted it since.
    #[error("{id:?}: container does not exist any more: another command has deleted it meanwhile")]
    Deleted {
        /// The id.
        id: String,
    },
    /// Another command holds the container's lock.
    #[error("container {id:?} is busy: another command is changing it, try again when that has ended")]
    Busy {
        /// The id.
        id: String,
    },
    /// A record or journal line that cannot be understood.
    #[error("{}: {problem} (remove the container with delete --force)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        problem: String,
    },
    /// A value that cannot be written as JSON: a path that is not UTF-8.
    #[error("{}: cannot be written: {problem}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What is wrong with the value.
        problem: String,
    },
    /// A system call failed.
    #[error("cannot {action} {}: {}", path.display(), reason(*errno))]
    Io {
        /// A verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
}

impl Error {
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(Errno) -> Error + use<'a> {
        move |errno| Error::Io { action, path: path.to_owned(), errno }
    }

    /// Whether the container does not exist: what `delete --force` takes for success.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::NotFound { .. } | Error::Deleted { .. })
    }
}

/// The error number in words, with what to do about the usual ones.
fn reason(errno: Errno) -> String {
    let text = match errno {
        Errno::ACCESS | Errno::PERM => "access refused: run as root, or choose another state root with --root",
        Errno::ROFS => "the file system is read-only: choose another state root with --root",
        Errno::NOSPC => "no space left on the file system",
        Errno::DQUOT => "the disk quota is used up",
        Errno::MFILE => "too many open files: raise RLIMIT_NOFILE",
        Errno::NFILE => "too many open files on this machine: raise fs.file-max",
        Errno::NOENT => "it is missing",
        Errno::NOTDIR | Errno::LOOP => "a real directory is needed there",
        Errno::ISDIR => "a directory is in its place",
        Errno::NOTEMPTY => "it holds something that is not of this runtime",
        other => return other.to_string(),
    };
    format!("{text} (errno {})", errno.raw_os_error())
}
