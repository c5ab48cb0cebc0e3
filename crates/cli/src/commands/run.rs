//! `lightship run`: create, start, wait and delete in one call.

use super::{Verb, create};
use crate::Error;
use crate::args::{Argument, Arguments, ID, switch};
use crate::global::Global;
use crate::trace::traced;
use engine::{RunOptions, Runtime};

pub(super) const VERB: Verb = Verb {
    name: "run",
    about: "create and start a container",
    arguments: &[create::OPTIONS, &[DETACH, KEEP, NO_SUBREAPER, ID]],
    run,
};

pub(super) const DETACH: Argument = switch("detach", "return once the process has started").short('d');
const KEEP: Argument = switch("keep", "keep the container after its process has ended");
pub(super) const NO_SUBREAPER: Argument = switch("no-subreaper", "accepted: orphans are not adopted");

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let options = RunOptions { detach: arguments.flag(&DETACH), keep: arguments.flag(&KEEP) };
    let create = create::create_options(arguments)?;
    let run = |runtime: &Runtime| runtime.run(arguments.container(), &create, &options);
    Ok(traced(global, VERB.name, arguments, global.runtime_for_create()?, run)??)
}
