//! `lightship resume`: let the processes of a paused container go on.

use clap::{ArgMatches, Command};

use super::Verb;
use crate::Error;
use crate::args::{container_id, id};
use crate::global::Global;

pub(super) const VERB: Verb =
    Verb { name: "resume", about: "let the processes of a paused container go on", arguments, run };

fn arguments(command: Command) -> Command {
    command.arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    global.runtime().resume(container_id(arguments))?;
    Ok(0)
}
