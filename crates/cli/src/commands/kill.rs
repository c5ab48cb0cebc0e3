//! `lightship kill`: send a signal to a container.

use super::Verb;
use crate::args::{Argument, Arguments, ID, positional, switch};
use crate::global::Global;
use crate::{Error, signal};

pub(super) const VERB: Verb =
    Verb { name: "kill", about: "send a signal to a container", arguments: &[&[ALL, ID, SIGNAL]], run };

const ALL: Argument = switch("all", "send it to every process of the container").short('a');
const SIGNAL: Argument = positional("SIGNAL", "name or number [default: TERM]");

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let number = |text: &str| signal::parse(text).ok_or("no such signal (try KILL, 9 or RTMIN+3)");
    let signal = arguments.parse(&SIGNAL, number)?.unwrap_or(SIGTERM);
    global.runtime().kill(arguments.container(), signal, arguments.flag(&ALL))?;
    Ok(0)
}

const SIGTERM: i32 = 15;
