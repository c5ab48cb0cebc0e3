//! What can go wrong between the arguments and the engine's answer, and the exit status it leads to.

use std::path::PathBuf;

use program::ErrnoText;

/// A failed command. `Display` is the one line the user and the caller's log get.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line cannot be understood.
    #[error("{0}")]
    Usage(String),
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// `exec` failed before the process ran.
    #[error(transparent)]
    Exec(engine::Error),
    /// Standard output is full or nobody reads it.
    #[error("cannot write to standard output: {0}")]
    Output(ErrnoText),
    /// A file the command line names cannot be used.
    #[error("cannot {verb} {}: {error}", path.display())]
    File {
        /// What was tried, such as `open the log`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: ErrnoText,
    },
    /// The state root that the environment names cannot be made.
    #[error("cannot create {}: {error} (set XDG_RUNTIME_DIR to a directory of your own, or give one with --root)", path.display())]
    DefaultRoot {
        /// Its path.
        path: PathBuf,
        /// The system's answer.
        error: ErrnoText,
    },
    /// A document read from a file or standard input is not what the specification says.
    #[error(transparent)]
    Document(#[from] spec::ReadError),
    /// An answer has no form in JSON, such as a path that is not UTF-8.
    #[error("the answer cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The host's `ps` program failed.
    #[error("ps: {0}")]
    Ps(String),
}

impl Error {
    /// The exit status: 255 for a failed `exec`, so that it differs from a process that ran and returned 1.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Exec(_) => 255,
            _ => 1,
        }
    }
}
