//! `lightship pause`: stop all processes of a container until resume.

use super::Verb;
use crate::Error;
use crate::args::{Arguments, ID};
use crate::global::Global;

pub(super) const VERB: Verb =
    Verb { name: "pause", about: "stop all processes of a container until resume", arguments: &[&[ID]], run };

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    global.runtime().pause(arguments.container())?;
    Ok(0)
}
