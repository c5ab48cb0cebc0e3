//! The command line of the runtime: it reads the arguments, calls the engine and prints what comes back.
//!
//! A command is one file of [`commands`]; `examples/` makes the manual pages and shell completions from the
//! same argument table the program parses with.

pub mod args;
pub mod command_line;
pub mod commands;
mod error;
pub mod global;
pub mod help;
pub mod log;
pub mod output;
pub mod signal;
mod trace;

pub use error::Error;
