//! `lightship state`: print the state of a container, as the runtime specification defines it.

use super::Verb;
use crate::args::{Arguments, ID};
use crate::global::Global;
use crate::{Error, output};

pub(super) const VERB: Verb = Verb { name: "state", about: "print the state of a container", arguments: &[&[ID]], run };

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    output::print_json(&global.runtime().state(arguments.container())?)?;
    Ok(0)
}
