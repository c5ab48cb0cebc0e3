//! `lightship resume`: let the processes of a paused container go on.

use super::Verb;
use crate::Error;
use crate::args::{Arguments, ID};
use crate::global::Global;

pub(super) const VERB: Verb =
    Verb { name: "resume", about: "let the processes of a paused container go on", arguments: &[&[ID]], run };

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    global.runtime().resume(arguments.container())?;
    Ok(0)
}
