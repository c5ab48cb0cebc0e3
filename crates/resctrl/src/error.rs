//! What can go wrong at a resctrl group, with the place in config.json and the kernel's own words.

use std::path::{Path, PathBuf};

use program::ErrnoText;

/// A failed operation on a container's resctrl groups.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that does not fit the groups there are.
    #[error(transparent)]
    Refused(#[from] spec::Refusal),
    /// A group or a file of one could not be made, read or written.
    #[error("/linux/intelRdt: cannot {action} {}: {errno}{status}", path.display())]
    File {
        /// A verb, and what is written.
        action: String,
        /// The group's folder, or a file in it.
        path: PathBuf,
        /// What the kernel answered.
        errno: ErrnoText,
        /// ` (...)`: what `info/last_cmd_status` says, or nothing.
        status: String,
    },
}

impl Error {
    /// For `map_err` behind a call on a file of the file system that is mounted at `mount`.
    pub(crate) fn file(action: &str, path: &Path, mount: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |error| Error::File {
            action: action.to_owned(),
            path: path.to_owned(),
            errno: error.into(),
            status: last_status(mount),
        }
    }
}

/// Why the last operation failed: one error number has many reasons here.
fn last_status(mount: &Path) -> String {
    let text = std::fs::read_to_string(mount.join("info/last_cmd_status")).unwrap_or_default();
    match text.trim() {
        "" | "ok" => String::new(),
        reason => format!(" ({})", reason.replace('\n', "; ")),
    }
}
