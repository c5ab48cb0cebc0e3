//! `lightship kill`: send a signal to a container.

use clap::{Arg, ArgMatches, Command};

use super::Verb;
use crate::args::{container_id, id, switch};
use crate::global::Global;
use crate::{Error, signal};

pub(super) const VERB: Verb = Verb { name: "kill", about: "send a signal to a container", arguments, run };

fn arguments(command: Command) -> Command {
    command.arg(switch("all", "send it to every process of the container").short('a')).arg(id()).arg(
        Arg::new("signal")
            .default_value("TERM")
            .value_parser(|text: &str| signal::parse(text).ok_or("no such signal (try KILL, 9 or RTMIN+3)"))
            .help("name or number"),
    )
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    let signal = arguments.get_one("signal").copied().unwrap_or(SIGTERM);
    global.runtime().kill(container_id(arguments), signal, arguments.get_flag("all"))?;
    Ok(0)
}

const SIGTERM: i32 = 15;
