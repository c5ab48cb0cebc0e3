//! `lightship restore`: make a container again from what `checkpoint` has written.

use std::path::PathBuf;

use super::Verb;
use super::checkpoint::{CRIU_OPTIONS, criu_options};
use super::create::{BUNDLE, CONSOLE_SOCKET, PID_FILE};
use super::run::NO_SUBREAPER;
use crate::Error;
use crate::args::{Argument, Arguments, ID, option, switch};
use crate::global::Global;
use engine::{CreateOptions, RestoreOptions};

pub(super) const VERB: Verb = Verb {
    name: "restore",
    about: "make a container again from a checkpoint",
    arguments: &[&[BUNDLE], CRIU_OPTIONS, OPTIONS, &[ID]],
    run,
};

const OPTIONS: &[Argument] =
    &[CONSOLE_SOCKET, PID_FILE, DETACH, NO_SUBREAPER, NO_PIVOT, LSM_PROFILE, LSM_MOUNT_CONTEXT];

const DETACH: Argument = switch("detach", "return once the container runs").short('d');
const NO_PIVOT: Argument = switch("no-pivot", "accepted: criu changes the root in its own way");
const LSM_PROFILE: Argument =
    option("lsm-profile", "TYPE:NAME", "the AppArmor profile or SELinux label in place of the dumped one");
const LSM_MOUNT_CONTEXT: Argument =
    option("lsm-mount-context", "CONTEXT", "the SELinux context in place of that of the dumped mounts");

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let create = CreateOptions {
        bundle: arguments.path(&BUNDLE).unwrap_or_else(|| PathBuf::from(".")),
        console_socket: arguments.path(&CONSOLE_SOCKET),
        pid_file: arguments.path(&PID_FILE),
        no_pivot: arguments.flag(&NO_PIVOT),
        ..CreateOptions::default()
    };
    let text = |flag| arguments.text(flag).filter(|text| !text.is_empty()).map(str::to_owned);
    let restore = RestoreOptions {
        criu: criu_options(arguments)?,
        detach: arguments.flag(&DETACH),
        lsm_profile: text(&LSM_PROFILE),
        lsm_mount_context: text(&LSM_MOUNT_CONTEXT),
    };
    Ok(global.runtime_for_create()?.restore(arguments.container(), &create, &restore)?)
}
