//! `lightship pause`: stop all processes of a container until resume.

use clap::{ArgMatches, Command};

use super::Verb;
use crate::Error;
use crate::args::{container_id, id};
use crate::global::Global;

pub(super) const VERB: Verb =
    Verb { name: "pause", about: "stop all processes of a container until resume", arguments, run };

fn arguments(command: Command) -> Command {
    command.arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    global.runtime().pause(container_id(arguments))?;
    Ok(0)
}
