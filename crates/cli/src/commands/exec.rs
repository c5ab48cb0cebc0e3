//! `lightship exec`: start another process in a running container.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{Verb, create};
use crate::Error;
use crate::args::{container_id, id, list, list_option, option, path, path_option, switch, text};
use crate::global::Global;
use crate::trace::{self, traced};
use engine::{ExecOptions, Runtime, UserSpec};

pub(super) const VERB: Verb = Verb { name: "exec", about: "start a process in a running container", arguments, run };

fn arguments(command: Command) -> Command {
    command
        .args([
            path_option("process", "read the process, as in config.json, from this file").short('p'),
            path_option("cwd", "the process's working directory"),
            list_option("env", "NAME=VALUE", "set an environment variable").short('e'),
            switch("tty", "give the process a terminal").short('t'),
            option("user", "UID[:GID]", "the process's user").short('u').value_parser(user),
            list_option("additional-gids", "GID", "add a supplementary group")
                .short('g')
                .value_parser(value_parser!(u32)),
            path_option("console-socket", "send the terminal's master descriptor to this socket"),
            path_option("pidfd-socket", "send the process's pidfd to this socket"),
            path_option("pid-file", "write the process id to this file"),
            switch("detach", "return once the process has started").short('d'),
            option("process-label", "LABEL", "the process's SELinux label"),
            option("apparmor", "PROFILE", "the process's AppArmor profile"),
            switch("no-new-privs", "bar the process from gaining privileges"),
            list_option("cap", "CAPABILITY", "add a capability").short('c'),
            create::preserve_fds(),
            list_option("cgroup", "[CONTROLLER:]PATH", "run it in this cgroup below the container's"),
            switch("ignore-paused", "wait for a paused container to resume"),
            trace::argument(),
        ])
        .arg(id())
        .arg(
            Arg::new("args")
                .value_name("COMMAND")
                .action(ArgAction::Append)
                .num_args(1..)
                .trailing_var_arg(true)
                .required_unless_present("process")
                .value_parser(value_parser!(OsString))
                .help("the program and its arguments"),
        )
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    let exec = |runtime: &Runtime| runtime.exec(container_id(arguments), &exec_options(arguments));
    traced(global, VERB.name, arguments, global.runtime(), exec)?.map_err(Error::Exec)
}

fn exec_options(arguments: &ArgMatches) -> ExecOptions {
    ExecOptions {
        process: path(arguments, "process"),
        args: list(arguments, "args"),
        cwd: path(arguments, "cwd"),
        env: list(arguments, "env"),
        tty: arguments.get_flag("tty"),
        user: arguments.get_one("user").copied(),
        additional_gids: list(arguments, "additional-gids"),
        console_socket: path(arguments, "console-socket"),
        pidfd_socket: path(arguments, "pidfd-socket"),
        pid_file: path(arguments, "pid-file"),
        detach: arguments.get_flag("detach"),
        process_label: text(arguments, "process-label").map(str::to_owned),
        apparmor: text(arguments, "apparmor").map(str::to_owned),
        no_new_privs: arguments.get_flag("no-new-privs"),
        caps: list(arguments, "cap"),
        preserve_fds: arguments.get_one("preserve-fds").copied().unwrap_or_default(),
        cgroup: list(arguments, "cgroup"),
        ignore_paused: arguments.get_flag("ignore-paused"),
    }
}

fn user(text: &str) -> Result<UserSpec, &'static str> {
    let number = |part: &str| part.parse().map_err(|_| "want UID or UID:GID, in numbers");
    match text.split_once(':') {
        None => Ok(UserSpec { uid: number(text)?, gid: None }),
        Some((uid, gid)) => Ok(UserSpec { uid: number(uid)?, gid: Some(number(gid)?) }),
    }
}
