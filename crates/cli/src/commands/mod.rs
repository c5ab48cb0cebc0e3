//! The commands, one file each: what a command takes, and the call of the engine it stands for.

mod checkpoint;
pub mod create;
mod delete;
mod diagnose;
mod events;
pub mod exec;
mod features;
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

use clap::{ArgMatches, Command};

use crate::Error;
use crate::global::Global;

/// One command of the program.
pub struct Verb {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line for the help.
    pub about: &'static str,
    /// Adds its arguments.
    pub arguments: fn(Command) -> Command,
    /// Runs it and returns the exit status.
    pub run: fn(&Global, &ArgMatches) -> Result<u8, Error>,
}

/// The command that the runtime's watchers call, and nobody else: it is in no help.
pub const INTERNAL: &str = diagnose::VERB.name;

/// Every command, in the order of the help.
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
    diagnose::VERB,
];
