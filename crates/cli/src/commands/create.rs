//! `lightship create`: make a container from a bundle; its process waits for `start`.

use std::path::PathBuf;

use super::Verb;
use crate::Error;
use crate::args::{Argument, Arguments, ID, number, option, path_option, switch};
use crate::global::Global;
use crate::trace::{TRACE, traced};
use engine::{CreateOptions, Runtime};

pub(super) const VERB: Verb =
    Verb { name: "create", about: "create a container from a bundle", arguments: &[OPTIONS, &[ID]], run };

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let options = create_options(arguments)?;
    let create = |runtime: &Runtime| runtime.create(arguments.container(), &options);
    traced(global, VERB.name, arguments, global.runtime_for_create()?, create)??;
    Ok(0)
}

/// The flags `create` and `run` share.
pub(super) const OPTIONS: &[Argument] =
    &[BUNDLE, CONFIG, CONSOLE_SOCKET, PIDFD_SOCKET, PID_FILE, NO_PIVOT, NO_NEW_KEYRING, PRESERVE_FDS, TRACE];

pub(super) const BUNDLE: Argument = path_option("bundle", "the directory of config.json [default: .]").short('b');
const CONFIG: Argument = path_option("config", "read this file and not the bundle's config.json").short('f');
pub(super) const CONSOLE_SOCKET: Argument =
    path_option("console-socket", "send the terminal's master descriptor to this socket");
pub(super) const PIDFD_SOCKET: Argument = path_option("pidfd-socket", "send the process's pidfd to this socket");
pub(super) const PID_FILE: Argument = path_option("pid-file", "write the process id to this file");
const NO_PIVOT: Argument =
    switch("no-pivot", "change the root without pivot_root, for a host that runs from a ramdisk");
const NO_NEW_KEYRING: Argument = switch("no-new-keyring", "keep the caller's session keyring");
pub(super) const PRESERVE_FDS: Argument =
    option("preserve-fds", "N", "pass on N more descriptors after standard error");

/// The values of [`OPTIONS`].
pub(super) fn create_options(arguments: &Arguments) -> Result<CreateOptions, Error> {
    Ok(CreateOptions {
        bundle: arguments.path(&BUNDLE).unwrap_or_else(|| PathBuf::from(".")),
        config: arguments.path(&CONFIG),
        console_socket: arguments.path(&CONSOLE_SOCKET),
        pidfd_socket: arguments.path(&PIDFD_SOCKET),
        pid_file: arguments.path(&PID_FILE),
        no_pivot: arguments.flag(&NO_PIVOT),
        no_new_keyring: arguments.flag(&NO_NEW_KEYRING),
        preserve_fds: arguments.parse(&PRESERVE_FDS, number)?.unwrap_or_default(),
    })
}
