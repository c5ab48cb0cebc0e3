//! Containers as the disk knows them: one directory per container below the state root.
//!
//! ```text
//! <root>/<id>/             0700; its existence is the claim on the id, and flock(2) on it is the lock
//!            record.json   what the container is (`Record`), replaced atomically
//!            config.json   the bundle's configuration as it was at create, byte for byte
//!            start         the socket on which init waits for `start`
//!            journal       what must be undone (`Undo`), appended before each acquisition
//! ```
//!
//! Reading takes no lock, so `state`, `list` and `kill` answer while another command hangs in a hook; whatever
//! changes a container goes through [`Locked`]. Nothing here decides what a container may do: the status is
//! derived by the engine, from [`InitProcess::alive`] and the cgroup.
//!
//! Nothing is flushed to the disk. The containers end with the machine, so after a power cut there is nothing
//! left that a record could describe, and the death of a process does not lose what it has written. A state root
//! that outlives a reboot may hold empty records then: they are reported as such, and can be deleted.
//!
//! System calls, not counting `close`: open the state root 1; [`StateRoot::begin`] 4 (mkdirat, openat, flock,
//! fstat), [`Locked::journal`] 3 at first and 1 after that, [`Locked::write`] 4 (openat, fchmod, write, renameat);
//! [`StateRoot::find`] 1, [`Entry::record`] 2 (openat, read), [`InitProcess::alive`] 3 (pidfd_open, openat, read);
//! [`Entry::lock`] 2 (flock, fstat), [`Locked::remove`] 3 (getdents64 twice, unlinkat of the directory) and one for
//! each file.

mod directory;
mod entry;
mod error;
mod file;
mod id;
mod journal;
mod part;
mod process;
mod record;
mod root;
mod time;

pub use entry::{Entry, Locked};
pub use error::{Error, Result};
pub use file::atomic_write;
pub use id::ContainerId;
pub use journal::Undo;
pub use part::Part;
pub use process::InitProcess;
pub use record::{RECORD_VERSION, Record};
pub use root::{DEFAULT_ROOT, StateRoot};
pub use time::rfc3339;

/// The name of the copy of the bundle's `config.json` in a container's directory.
pub const CONFIG: &str = "config.json";
/// The name of the record in a container's directory.
const RECORD: &str = "record.json";
/// The name of the undo journal in a container's directory.
pub const JOURNAL: &str = "journal";
