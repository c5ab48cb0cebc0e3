//! `lightship run`: create, start, wait and delete in one call.

use clap::{ArgMatches, Command};

use super::{Verb, create};
use crate::Error;
use crate::args::{container_id, id, switch};
use crate::global::Global;
use crate::trace::traced;
use engine::{RunOptions, Runtime};

pub(super) const VERB: Verb = Verb { name: "run", about: "create and start a container", arguments, run };

fn arguments(command: Command) -> Command {
    command
        .args(create::options())
        .arg(switch("detach", "return once the process has started").short('d'))
        .arg(switch("keep", "keep the container after its process has ended"))
        .arg(switch("no-subreaper", "accepted: orphans are not adopted"))
        .arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    let options = RunOptions { detach: arguments.get_flag("detach"), keep: arguments.get_flag("keep") };
    let create = create::create_options(arguments);
    let run = |runtime: &Runtime| runtime.run(container_id(arguments), &create, &options);
    Ok(traced(global, VERB.name, arguments, global.runtime_for_create()?, run)??)
}
