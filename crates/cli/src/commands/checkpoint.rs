//! `lightship checkpoint`: write a running container to files, to be restored from them.

use std::path::PathBuf;

use super::Verb;
use crate::Error;
use crate::args::{Argument, Arguments, ID, list_option, number, option, path_option, switch};
use crate::global::Global;
use engine::{CgroupsMode, CheckpointOptions, CriuOptions};

pub(super) const VERB: Verb = Verb {
    name: "checkpoint",
    about: "write a container to files, from which it can be restored",
    arguments: &[CRIU_OPTIONS, OPTIONS, &[ID]],
    run,
};

const OPTIONS: &[Argument] = &[PARENT_PATH, LEAVE_RUNNING, PRE_DUMP, LINK_REMAP, PAGE_SERVER, STATUS_FD];

const PARENT_PATH: Argument = path_option("parent-path", "images of an earlier --pre-dump, relative to the new ones");
const LEAVE_RUNNING: Argument = switch("leave-running", "let the container go on");
const PRE_DUMP: Argument = switch("pre-dump", "write memory alone, and let the container go on");
const LINK_REMAP: Argument = switch("link-remap", "keep deleted files by giving them a name");
const PAGE_SERVER: Argument = option("page-server", "ADDRESS:PORT", "send memory to the page server there");
const STATUS_FD: Argument =
    option("status-fd", "FD", "write a zero byte to this descriptor when lazy pages can be asked for");

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let options = CheckpointOptions {
        criu: criu_options(arguments)?,
        parent_path: arguments.path(&PARENT_PATH),
        leave_running: arguments.flag(&LEAVE_RUNNING),
        pre_dump: arguments.flag(&PRE_DUMP),
        link_remap: arguments.flag(&LINK_REMAP),
        page_server: arguments.parse(&PAGE_SERVER, page_server)?,
        status_fd: arguments.parse(&STATUS_FD, number)?,
    };
    global.runtime().checkpoint(arguments.container(), &options)?;
    Ok(0)
}

/// The flags `checkpoint` and `restore` share.
pub(super) const CRIU_OPTIONS: &[Argument] = &[
    IMAGE_PATH,
    WORK_PATH,
    TCP_ESTABLISHED,
    TCP_SKIP_IN_FLIGHT,
    EXT_UNIX_SK,
    SHELL_JOB,
    FILE_LOCKS,
    LAZY_PAGES,
    AUTO_DEDUP,
    MANAGE_CGROUPS_MODE,
    EMPTY_NS,
];

const IMAGE_PATH: Argument = path_option("image-path", "the directory of the images [default: checkpoint]");
const WORK_PATH: Argument = path_option("work-path", "the directory of criu's log [default: that of the images]");
const TCP_ESTABLISHED: Argument = switch("tcp-established", "keep TCP connections");
const TCP_SKIP_IN_FLIGHT: Argument =
    switch("tcp-skip-in-flight", "leave out TCP connections that are not accepted yet");
const EXT_UNIX_SK: Argument = switch("ext-unix-sk", "allow Unix sockets that are connected to outside the container");
const SHELL_JOB: Argument = switch("shell-job", "allow a terminal that is not the container's own");
const FILE_LOCKS: Argument = switch("file-locks", "keep locks of files");
const LAZY_PAGES: Argument = switch("lazy-pages", "bring memory only when it is asked for");
const AUTO_DEDUP: Argument = switch("auto-dedup", "take out of earlier images what newer ones have");
const MANAGE_CGROUPS_MODE: Argument =
    option("manage-cgroups-mode", "MODE", "what criu restores of cgroups: soft, full, strict or ignore");
const EMPTY_NS: Argument =
    list_option("empty-ns", "NAMESPACE", "leave out what is in this namespace (network)").values(&["network"]);

/// The values of [`CRIU_OPTIONS`].
pub(super) fn criu_options(arguments: &Arguments) -> Result<CriuOptions, Error> {
    Ok(CriuOptions {
        image_path: arguments.path(&IMAGE_PATH).unwrap_or_else(|| PathBuf::from("checkpoint")),
        work_path: arguments.path(&WORK_PATH),
        tcp_established: arguments.flag(&TCP_ESTABLISHED),
        tcp_skip_in_flight: arguments.flag(&TCP_SKIP_IN_FLIGHT),
        ext_unix_sk: arguments.flag(&EXT_UNIX_SK),
        shell_job: arguments.flag(&SHELL_JOB),
        file_locks: arguments.flag(&FILE_LOCKS),
        lazy_pages: arguments.flag(&LAZY_PAGES),
        auto_dedup: arguments.flag(&AUTO_DEDUP),
        cgroups: arguments.parse(&MANAGE_CGROUPS_MODE, cgroups_mode)?.unwrap_or_default(),
        empty_network: arguments.flag(&EMPTY_NS),
    })
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
