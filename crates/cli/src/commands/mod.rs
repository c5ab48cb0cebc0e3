//! The commands, one file each: what a command takes, and the call of the engine it stands for.

mod checkpoint;
pub mod create;
mod delete;
mod diagnose;
mod events;
pub mod exec;
mod features;
mod help;
mod kill;
mod list;
mod net;
mod pause;
mod ports;
mod ps;
mod restore;
mod resume;
mod run;
mod spec;
mod start;
mod state;
mod update;

use crate::Error;
use crate::args::{Arguments, Table};
use crate::global::Global;

/// One command of the program.
pub struct Verb {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line for the help.
    pub about: &'static str,
    /// What it takes.
    pub arguments: Table,
    /// Runs it and returns the exit status.
    pub run: fn(&Global, &Arguments) -> Result<u8, Error>,
}

/// The command that the runtime's watchers call, and nobody else: it is in no help.
pub const INTERNAL: Verb = diagnose::VERB;

/// Every other command, in the order of the help.
pub const VERBS: &[Verb] = &[
    create::VERB,
    start::VERB,
    run::VERB,
    exec::VERB,
    kill::VERB,
    delete::VERB,
    state::VERB,
    list::VERB,
    ps::VERB,
    pause::VERB,
    resume::VERB,
    checkpoint::VERB,
    restore::VERB,
    update::VERB,
    events::VERB,
    net::VERB,
    ports::VERB,
    spec::VERB,
    features::VERB,
    help::VERB,
];
