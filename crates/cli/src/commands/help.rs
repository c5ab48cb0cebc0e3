//! `lightship help`: what the program or one of its commands takes.

use std::ffi::OsStr;

use super::Verb;
use crate::args::{Argument, Arguments, positional};
use crate::global::Global;
use crate::{Error, command_line, help, output};

pub(super) const VERB: Verb =
    Verb { name: "help", about: "print this help, or that of a command", arguments: &[&[COMMAND]], run };

const COMMAND: Argument = positional("COMMAND", "the command [default: the program]");

fn run(_: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let page = match arguments.text(&COMMAND) {
        Some(name) => help::command(command_line::verb(OsStr::new(name))?),
        None => help::program(),
    };
    output::print(page.as_bytes())?;
    Ok(0)
}
