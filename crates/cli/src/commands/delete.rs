//! `lightship delete`: remove a container and everything the runtime made for it.

use super::Verb;
use crate::Error;
use crate::args::{Argument, Arguments, ID, switch};
use crate::global::Global;
use crate::trace::{TRACE, traced};
use engine::Runtime;

pub(super) const VERB: Verb =
    Verb { name: "delete", about: "remove a stopped container", arguments: &[&[FORCE, TRACE, ID]], run };

const FORCE: Argument = switch("force", "kill it first, and do not mind if there is none").short('f');

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let delete = |runtime: &Runtime| runtime.delete(arguments.container(), arguments.flag(&FORCE));
    traced(global, VERB.name, arguments, global.runtime(), delete)??;
    Ok(0)
}
