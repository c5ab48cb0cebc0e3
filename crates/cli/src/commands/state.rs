//! `lightship state`: print the state of a container, as the runtime specification defines it.

use clap::{ArgMatches, Command};

use super::Verb;
use crate::args::{container_id, id};
use crate::global::Global;
use crate::{Error, output};

pub(super) const VERB: Verb = Verb { name: "state", about: "print the state of a container", arguments, run };

fn arguments(command: Command) -> Command {
    command.arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    output::print_json(&global.runtime().state(container_id(arguments))?)?;
    Ok(0)
}
