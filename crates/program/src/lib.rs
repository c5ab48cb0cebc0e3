//! What a container's init executes: the operations, the builder that lays them out in memory, and the meaning of what
//! init reports back. Init itself is a program of its own, in the folder `init` beside this one; [`INIT`] is its binary.

mod builder;
mod failure;
pub mod op;

pub use builder::{Program, ProgramBuilder, Start};
pub use failure::{CallError, ErrnoText, Report, errno_text, main_call};
pub use op::{Failure, GO, GO_TRACED, NO_VALUE, Op, Resolve, Slot, Str, StrList};

/// The init program, a static executable without any dependency.
pub static INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// The watcher of a container in the host's network, as small as [`INIT`]: `init/watcher.rs` says what it is given.
pub static WATCHER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/watcher"));
