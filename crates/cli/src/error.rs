//! What can go wrong between the arguments and the engine's answer, and the exit status it leads to.

use std::io;
use std::path::PathBuf;

use crate::engine;

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
    Output(io::Error),
    /// A file the command line names cannot be used.
    #[error("cannot {verb} {}: {source}", path.display())]
    File {
        /// What was tried, such as `open the log`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A document read from a file or standard input is not what the specification says.
    #[error(transparent)]
    Document(#[from] spec::ReadError),
    /// The configuration that `spec` starts from is not JSON.
    #[error("the built-in config.json: {0}")]
    BuiltIn(serde_json::Error),
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
