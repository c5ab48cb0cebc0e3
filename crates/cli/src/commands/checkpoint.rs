//! `lightship checkpoint`: write a running container to files, to be restored from them.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::Verb;
use crate::Error;
use crate::args::{container_id, id, list, list_option, option, path, path_option, switch};
use crate::global::Global;
use engine::{CgroupsMode, CheckpointOptions, CriuOptions};

pub(super) const VERB: Verb =
    Verb { name: "checkpoint", about: "write a container to files, from which it can be restored", arguments, run };

fn arguments(command: Command) -> Command {
    command
        .args(criu_arguments())
        .arg(path_option("parent-path", "images of an earlier --pre-dump, relative to the new ones"))
        .arg(switch("leave-running", "let the container go on"))
        .arg(switch("pre-dump", "write memory alone, and let the container go on"))
        .arg(switch("link-remap", "keep deleted files by giving them a name"))
        .arg(option("page-server", "ADDRESS:PORT", "send memory to the page server there").value_parser(page_server))
        .arg(
            Arg::new("status-fd")
                .long("status-fd")
                .value_name("FD")
                .value_parser(value_parser!(i32))
                .help("write a zero byte to this descriptor when lazy pages can be asked for"),
        )
        .arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    let options = CheckpointOptions {
        criu: criu_options(arguments),
        parent_path: path(arguments, "parent-path"),
        leave_running: arguments.get_flag("leave-running"),
        pre_dump: arguments.get_flag("pre-dump"),
        link_remap: arguments.get_flag("link-remap"),
        page_server: arguments.get_one("page-server").cloned(),
        status_fd: arguments.get_one("status-fd").copied(),
    };
    global.runtime().checkpoint(container_id(arguments), &options)?;
    Ok(0)
}

/// The flags `checkpoint` and `restore` share.
pub(super) fn criu_arguments() -> [Arg; 11] {
    [
        path_option("image-path", "the directory of the images [default: checkpoint]"),
        path_option("work-path", "the directory of criu's log [default: that of the images]"),
        switch("tcp-established", "keep TCP connections"),
        switch("tcp-skip-in-flight", "leave out TCP connections that are not accepted yet"),
        switch("ext-unix-sk", "allow Unix sockets that are connected to outside the container"),
        switch("shell-job", "allow a terminal that is not the container's own"),
        switch("file-locks", "keep locks of files"),
        switch("lazy-pages", "bring memory only when it is asked for"),
        switch("auto-dedup", "take out of earlier images what newer ones have"),
        option("manage-cgroups-mode", "MODE", "what criu restores of cgroups: soft, full, strict or ignore")
            .value_parser(cgroups_mode),
        list_option("empty-ns", "NAMESPACE", "leave out what is in this namespace (network)").value_parser(["network"]),
    ]
}

/// The values of [`criu_arguments`].
pub(super) fn criu_options(arguments: &ArgMatches) -> CriuOptions {
    CriuOptions {
        image_path: path(arguments, "image-path").unwrap_or_else(|| PathBuf::from("checkpoint")),
        work_path: path(arguments, "work-path"),
        tcp_established: arguments.get_flag("tcp-established"),
        tcp_skip_in_flight: arguments.get_flag("tcp-skip-in-flight"),
        ext_unix_sk: arguments.get_flag("ext-unix-sk"),
        shell_job: arguments.get_flag("shell-job"),
        file_locks: arguments.get_flag("file-locks"),
        lazy_pages: arguments.get_flag("lazy-pages"),
        auto_dedup: arguments.get_flag("auto-dedup"),
        cgroups: arguments.get_one("manage-cgroups-mode").copied().unwrap_or_default(),
        empty_network: !list::<String>(arguments, "empty-ns").is_empty(),
    }
}

fn cgroups_mode(mode: &str) -> Result<CgroupsMode, String> {
    match mode {
        "" | "soft" => Ok(CgroupsMode::Soft),
        "full" => Ok(CgroupsMode::Full),
        "strict" => Ok(CgroupsMode::Strict),
        "ignore" => Ok(CgroupsMode::Ignore),
        _ => Err("there is soft, full, strict and ignore".to_owned()),
    }
}

fn page_server(value: &str) -> Result<(String, u16), String> {
    let (address, port) = value.rsplit_once(':').ok_or("a port is missing: write ADDRESS:PORT")?;
    let port = port.parse().map_err(|_| format!("{port:?} is no port"))?;
    Ok((address.trim_matches(['[', ']']).to_owned(), port))
}
