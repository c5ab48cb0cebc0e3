//! `lightship start`: run the process of a created container.

use clap::{ArgMatches, Command};

use super::Verb;
use crate::Error;
use crate::args::{container_id, id};
use crate::global::Global;

pub(super) const VERB: Verb = Verb { name: "start", about: "run the process of a created container", arguments, run };

fn arguments(command: Command) -> Command {
    command.arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    global.runtime().start(container_id(arguments))?;
    Ok(0)
}
