//! What can go wrong with CRIU, in words that say what to do.

use std::io;
use std::path::PathBuf;

use crate::swrk::{OLDEST, Version};

/// Why CRIU has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such program.
    #[error("criu is not installed: PATH has no program of that name (install CRIU {OLDEST} or newer)")]
    Missing,
    /// It does not know all that it is asked for.
    #[error("criu {0} is too old (install CRIU {OLDEST} or newer)")]
    TooOld(Version),
    /// It failed.
    #[error("criu {version} failed to {task}: {reason} (the log is {})", log.display())]
    Failed {
        /// Its version.
        version: Version,
        /// `dump` or `restore`.
        task: &'static str,
        /// The last errors in its log.
        reason: String,
        /// Its log.
        log: PathBuf,
    },
    /// It has ended, or says something that is no answer.
    #[error("criu gives no answer{0}")]
    NoAnswer(String),
    /// A system call of ours.
    #[error("criu: {what}: {error}")]
    Call {
        /// What it was for.
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
}

impl Error {
    pub(crate) fn call<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
        move |error| Error::Call { what, error: error.into() }
    }
}
