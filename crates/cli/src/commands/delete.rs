//! `lightship delete`: remove a container and everything the runtime made for it.

use clap::{ArgMatches, Command};

use super::Verb;
use crate::Error;
use crate::args::{container_id, id, switch};
use crate::global::Global;
use crate::trace::{self, traced};
use engine::Runtime;

pub(super) const VERB: Verb = Verb { name: "delete", about: "remove a stopped container", arguments, run };

fn arguments(command: Command) -> Command {
    command
        .arg(switch("force", "kill it first, and do not mind if there is none").short('f'))
        .arg(trace::argument())
        .arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    let delete = |runtime: &Runtime| runtime.delete(container_id(arguments), arguments.get_flag("force"));
    traced(global, VERB.name, arguments, global.runtime(), delete)??;
    Ok(0)
}
