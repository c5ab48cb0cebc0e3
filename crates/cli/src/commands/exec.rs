//! `lightship exec`: start another process in a running container.

use super::Verb;
use super::create::{CONSOLE_SOCKET, PID_FILE, PIDFD_SOCKET, PRESERVE_FDS};
use super::run::DETACH;
use crate::Error;
use crate::args::{Argument, Arguments, ID, list_option, number, option, path_option, switch, trailing};
use crate::global::Global;
use crate::trace::{TRACE, traced};
use engine::{ExecOptions, Runtime, UserSpec};

pub(super) const VERB: Verb =
    Verb { name: "exec", about: "start a process in a running container", arguments: &[OPTIONS, &[ID, ARGS]], run };

const OPTIONS: &[Argument] = &[
    PROCESS,
    CWD,
    ENV,
    TTY,
    USER,
    ADDITIONAL_GIDS,
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    PID_FILE,
    DETACH,
    PROCESS_LABEL,
    APPARMOR,
    NO_NEW_PRIVS,
    CAP,
    PRESERVE_FDS,
    CGROUP,
    IGNORE_PAUSED,
    TRACE,
];

const PROCESS: Argument = path_option("process", "read the process, as in config.json, from this file").short('p');
const CWD: Argument = path_option("cwd", "the process's working directory");
const ENV: Argument = list_option("env", "NAME=VALUE", "set an environment variable").short('e');
const TTY: Argument = switch("tty", "give the process a terminal").short('t');
const USER: Argument = option("user", "UID[:GID]", "the process's user").short('u');
const ADDITIONAL_GIDS: Argument = list_option("additional-gids", "GID", "add a supplementary group").short('g');
const PROCESS_LABEL: Argument = option("process-label", "LABEL", "the process's SELinux label");
const APPARMOR: Argument = option("apparmor", "PROFILE", "the process's AppArmor profile");
const NO_NEW_PRIVS: Argument = switch("no-new-privs", "bar the process from gaining privileges");
const CAP: Argument = list_option("cap", "CAPABILITY", "add a capability").short('c');
const CGROUP: Argument = list_option("cgroup", "[CONTROLLER:]PATH", "run it in this cgroup below the container's");
const IGNORE_PAUSED: Argument = switch("ignore-paused", "wait for a paused container to resume");
const ARGS: Argument = trailing("COMMAND", false, "the program and its arguments");

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let options = exec_options(arguments)?;
    let exec = |runtime: &Runtime| runtime.exec(arguments.container(), &options);
    traced(global, VERB.name, arguments, global.runtime(), exec)?.map_err(Error::Exec)
}

fn exec_options(arguments: &Arguments) -> Result<ExecOptions, Error> {
    let (process, args) = (arguments.path(&PROCESS), arguments.words(&ARGS));
    if process.is_none() && args.is_empty() {
        return Err(ARGS.missing());
    }
    Ok(ExecOptions {
        process,
        args,
        cwd: arguments.path(&CWD),
        env: arguments.list(&ENV),
        tty: arguments.flag(&TTY),
        user: arguments.parse(&USER, user)?,
        additional_gids: arguments.parse_list(&ADDITIONAL_GIDS, number)?,
        console_socket: arguments.path(&CONSOLE_SOCKET),
        pidfd_socket: arguments.path(&PIDFD_SOCKET),
        pid_file: arguments.path(&PID_FILE),
        detach: arguments.flag(&DETACH),
        process_label: arguments.text(&PROCESS_LABEL).map(str::to_owned),
        apparmor: arguments.text(&APPARMOR).map(str::to_owned),
        no_new_privs: arguments.flag(&NO_NEW_PRIVS),
        caps: arguments.list(&CAP),
        preserve_fds: arguments.parse(&PRESERVE_FDS, number)?.unwrap_or_default(),
        cgroup: arguments.list(&CGROUP),
        ignore_paused: arguments.flag(&IGNORE_PAUSED),
    })
}

fn user(text: &str) -> Result<UserSpec, &'static str> {
    let number = |part: &str| part.parse().map_err(|_| "want UID or UID:GID, in numbers");
    match text.split_once(':') {
        None => Ok(UserSpec { uid: number(text)?, gid: None }),
        Some((uid, gid)) => Ok(UserSpec { uid: number(uid)?, gid: Some(number(gid)?) }),
    }
}
