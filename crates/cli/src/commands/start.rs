//! `lightship start`: run the process of a created container.

use clap::{ArgMatches, Command};

use super::Verb;
use crate::Error;
use crate::args::{container_id, id};
use crate::global::Global;
use crate::trace::{self, traced};
use engine::Runtime;

pub(super) const VERB: Verb = Verb { name: "start", about: "run the process of a created container", arguments, run };

fn arguments(command: Command) -> Command {
    command.arg(trace::argument()).arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    let start = |runtime: &Runtime| runtime.start(container_id(arguments));
    traced(global, VERB.name, arguments, global.runtime(), start)??;
    Ok(0)
}
