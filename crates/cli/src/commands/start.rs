//! `lightship start`: run the process of a created container.

use super::Verb;
use crate::Error;
use crate::args::{Arguments, ID};
use crate::global::Global;
use crate::trace::{TRACE, traced};
use engine::Runtime;

pub(super) const VERB: Verb =
    Verb { name: "start", about: "run the process of a created container", arguments: &[&[TRACE, ID]], run };

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let start = |runtime: &Runtime| runtime.start(arguments.container());
    traced(global, VERB.name, arguments, global.runtime(), start)??;
    Ok(0)
}
