//! `lightship create`: make a container from a bundle; its process waits for `start`.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::Verb;
use crate::Error;
use crate::args::{container_id, id, path, path_option, switch};
use crate::global::Global;
use crate::trace::{self, traced};
use engine::{CreateOptions, Runtime};

pub(super) const VERB: Verb = Verb { name: "create", about: "create a container from a bundle", arguments, run };

fn arguments(command: Command) -> Command {
    command.args(options()).arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    let create = |runtime: &Runtime| runtime.create(container_id(arguments), &create_options(arguments));
    traced(global, VERB.name, arguments, global.runtime_for_create()?, create)??;
    Ok(0)
}

/// The flags `create` and `run` share.
pub(super) fn options() -> [Arg; 9] {
    [
        path_option("bundle", "the directory of config.json [default: .]").short('b'),
        path_option("config", "read this file and not the bundle's config.json").short('f'),
        path_option("console-socket", "send the terminal's master descriptor to this socket"),
        path_option("pidfd-socket", "send the process's pidfd to this socket"),
        path_option("pid-file", "write the process id to this file"),
        switch("no-pivot", "change the root without pivot_root, for a host that runs from a ramdisk"),
        switch("no-new-keyring", "keep the caller's session keyring"),
        preserve_fds(),
        trace::argument(),
    ]
}

/// The flag of every command that starts a process.
pub(super) fn preserve_fds() -> Arg {
    Arg::new("preserve-fds")
        .long("preserve-fds")
        .value_name("N")
        .value_parser(value_parser!(u32))
        .help("pass on N more descriptors after standard error")
}

/// The values of [`options`].
pub(super) fn create_options(arguments: &ArgMatches) -> CreateOptions {
    CreateOptions {
        bundle: path(arguments, "bundle").unwrap_or_else(|| PathBuf::from(".")),
        config: path(arguments, "config"),
        console_socket: path(arguments, "console-socket"),
        pidfd_socket: path(arguments, "pidfd-socket"),
        pid_file: path(arguments, "pid-file"),
        no_pivot: arguments.get_flag("no-pivot"),
        no_new_keyring: arguments.get_flag("no-new-keyring"),
        preserve_fds: arguments.get_one("preserve-fds").copied().unwrap_or_default(),
    }
}
