//! CRIU, which writes the processes of a container to files and makes them again: the program `criu` of the host, asked by
//! remote calls (criu(8), `criu swrk`; criu.org/RPC).
//!
//! [`Criu::start`] executes it with one end of a socket pair; [`Options`] are what it is asked with; [`Criu::carry_out`] sends
//! the request and answers the notices that CRIU gives on its way. What CRIU writes to its log is read back for the error.

mod error;
mod log;
mod options;
mod protobuf;
mod swrk;

pub use error::Error;
pub use options::{CgroupsMode, Flag, Number, Options, Text};
pub use swrk::{Criu, FIRST_INHERITED, Notice, Task, Version, WorkFolder};
