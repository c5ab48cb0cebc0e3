//! `lightship restore`: make a container again from what `checkpoint` has written.

use std::path::PathBuf;

use clap::{ArgMatches, Command};

use super::{Verb, checkpoint};
use crate::Error;
use crate::args::{container_id, id, option, path, path_option, switch, text};
use crate::global::Global;
use engine::{CreateOptions, RestoreOptions};

pub(super) const VERB: Verb =
    Verb { name: "restore", about: "make a container again from a checkpoint", arguments, run };

fn arguments(command: Command) -> Command {
    command
        .arg(path_option("bundle", "the directory of config.json [default: .]").short('b'))
        .args(checkpoint::criu_arguments())
        .arg(path_option("console-socket", "send the terminal's master descriptor to this socket"))
        .arg(path_option("pid-file", "write the process id to this file"))
        .arg(switch("detach", "return once the container runs").short('d'))
        .arg(switch("no-subreaper", "accepted: orphans are not adopted"))
        .arg(switch("no-pivot", "accepted: criu changes the root in its own way"))
        .arg(option("lsm-profile", "TYPE:NAME", "the AppArmor profile or SELinux label in place of the dumped one"))
        .arg(option("lsm-mount-context", "CONTEXT", "the SELinux context in place of that of the dumped mounts"))
        .arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    let create = CreateOptions {
        bundle: path(arguments, "bundle").unwrap_or_else(|| PathBuf::from(".")),
        console_socket: path(arguments, "console-socket"),
        pid_file: path(arguments, "pid-file"),
        no_pivot: arguments.get_flag("no-pivot"),
        ..CreateOptions::default()
    };
    let text = |name| text(arguments, name).filter(|text| !text.is_empty()).map(str::to_owned);
    let restore = RestoreOptions {
        criu: checkpoint::criu_options(arguments),
        detach: arguments.get_flag("detach"),
        lsm_profile: text("lsm-profile"),
        lsm_mount_context: text("lsm-mount-context"),
    };
    Ok(global.runtime_for_create()?.restore(container_id(arguments), &create, &restore)?)
}
