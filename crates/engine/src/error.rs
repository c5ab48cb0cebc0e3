//! What can go wrong, with the words that engines look for.
//!
//! Docker, containerd, CRI-O and Podman read the texts: `does not exist`, `container not running`, `executable file not
//! found in $PATH` and a few more. Nothing else may contain those phrases; see [`program::errno_text`].

use std::path::PathBuf;

use program::ErrnoText;

/// Why an operation on a container failed. The text is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration asks for something that cannot be.
    #[error(transparent)]
    Refused(#[from] spec::Refusal),
    /// The configuration cannot be understood.
    #[error("{}", error.in_document(&path.to_string_lossy()))]
    Unreadable {
        /// The document.
        path: PathBuf,
        /// Where and why.
        error: spec::ReadError,
    },
    /// A file or folder of the caller's.
    #[error("{what} {path}: {error}{}", remedy(what))]
    File {
        /// What it is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// The record of the container.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The container's cgroup.
    #[error(transparent)]
    Cgroup(#[from] cgroups::Error),
    /// The container's resctrl groups.
    #[error(transparent)]
    Resctrl(#[from] resctrl::Error),
    /// What its process may do.
    #[error(transparent)]
    Confine(#[from] confine::Error),
    /// Its settings of host networking.
    #[error(transparent)]
    Network(#[from] hostnet::config::Refused),
    /// A port that it wants is not free.
    #[error(transparent)]
    PortHeld(#[from] hostnet::AlreadyHeld),
    /// What is in force in the host's network.
    #[error(transparent)]
    Attach(#[from] hostnet::attach::Error),
    /// The container's namespaces.
    #[error(transparent)]
    Namespace(#[from] namespaces::Error),
    /// CRIU is not there or failed.
    #[error(transparent)]
    Criu(#[from] criu::Error),
    /// An operation of init's failed.
    #[error(transparent)]
    Init(#[from] program::CallError),
    /// The program cannot be executed; worded as engines expect.
    #[error("exec: {program:?}: {reason}")]
    Program {
        /// The program as the configuration names it.
        program: String,
        /// Why not.
        reason: String,
    },
    /// The working directory cannot be entered; worded as engines expect.
    #[error("chdir to cwd ({cwd:?}) set in config.json failed: {reason}")]
    Cwd {
        /// The directory.
        cwd: String,
        /// Why not.
        reason: String,
    },
    /// Init ended before it said a word.
    #[error("the container's init was ended by {0}")]
    InitDied(String),
    /// A hook failed.
    #[error("{place}: {problem}")]
    Hook {
        /// Which one: `hooks.prestart[0] /path`.
        place: String,
        /// What happened.
        problem: String,
    },
    /// There is no process to signal.
    #[error("container not running")]
    NotRunning,
    /// The operation does not fit the container's status.
    #[error("cannot {action} container {id} that is {status}")]
    Status {
        /// What was asked for.
        action: &'static str,
        /// The container.
        id: String,
        /// Its status.
        status: spec::Status,
    },
    /// `delete` of a container that is alive.
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped {
        /// The container.
        id: String,
        /// Its status.
        status: spec::Status,
    },
    /// A system call of the runtime's own.
    #[error("{what}: {error}")]
    Call {
        /// What it was for.
        what: &'static str,
        /// Its error.
        error: ErrnoText,
    },
    /// Anything that is said in one sentence.
    #[error("{0}")]
    Other(String),
}

/// What a user can do about a file of theirs.
fn remedy(what: &str) -> &'static str {
    match what {
        "bundle" | "configuration" => " (give the folder that holds config.json with --bundle)",
        "/root/path:" => " (make the folder, or name another one in config.json)",
        _ => "",
    }
}

impl Error {
    /// For `map_err` behind a system call.
    pub(crate) fn call<E: Into<std::io::Error>>(what: &'static str) -> impl Fn(E) -> Error {
        move |error| Error::Call { what, error: error.into().into() }
    }

    /// For `map_err` behind the opening of a file that the caller named.
    pub(crate) fn file<E: Into<std::io::Error>>(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Error {
        let path = path.into();
        move |error| Error::File { what, path, error: ErrnoText::from(error.into()).to_string() }
    }

    /// The container is not there, which `delete --force` takes for success.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::State(error) if error.is_not_found())
    }
}
