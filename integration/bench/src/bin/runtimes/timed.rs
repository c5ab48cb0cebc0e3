//! A link to this program that stands for another one: it runs that, and notes when it began and ended.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Result;

/// The file beside the links that all of them write to.
const LOG: &str = "log";

/// A program that was run.
pub struct Call {
    /// Nanoseconds since 1970, as Docker's events have them.
    pub begin: u64,
    pub end: u64,
    /// The name of the link, and the command of the program.
    pub name: String,
}

/// Makes the link `folder/name`, which stands for `program`; gives its path.
pub fn link(folder: &Path, name: &str, program: &Path) -> Result<PathBuf> {
    let link = folder.join(name);
    symlink(std::env::current_exe()?, &link)?;
    symlink(program, target(&link))?;
    Ok(link)
}

fn target(link: &Path) -> PathBuf {
    link.with_added_extension("program")
}

/// If this program was started by such a link, does its work.
pub fn run_if_linked() -> Option<ExitCode> {
    let link = PathBuf::from(std::env::args_os().next()?);
    let program = fs::read_link(target(&link)).ok()?;
    let begin = now();
    let status = Command::new(program).args(std::env::args_os().skip(1)).status();
    let end = now();
    let log = OpenOptions::new().append(true).create(true).open(link.with_file_name(LOG));
    if let Ok(mut log) = log {
        // One write: the calls of several programs do not mix.
        let _ = log.write_all(format!("{begin} {end} {}\n", name(&link)).as_bytes());
    }
    let status = status.ok()?;
    Some(ExitCode::from(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)) as u8))
}

fn name(link: &Path) -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let commands =
        ["create", "start", "state", "kill", "delete", "exec", "ps", "pause", "resume", "update", "features"];
    let command = arguments.iter().find(|word| commands.contains(&word.as_str()));
    let force = if arguments.iter().any(|word| word == "--force") { " --force" } else { "" };
    let link = link.file_name().unwrap_or_default().to_string_lossy();
    format!("{link} {}{force}", command.map_or("", String::as_str))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// The calls by links in these folders since the last time, in the order in which they began.
pub fn take(folders: [&Path; 2]) -> Result<Vec<Call>> {
    let mut text = String::new();
    for log in folders.map(|folder| folder.join(LOG)) {
        text += &fs::read_to_string(&log).unwrap_or_default();
        fs::write(&log, "")?;
    }
    let call = |line: &str| {
        let mut fields = line.splitn(3, ' ');
        let (begin, end, name) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?, fields.next()?);
        Some(Call { begin, end, name: name.trim().to_owned() })
    };
    let mut calls: Vec<Call> = text.lines().filter_map(call).collect();
    calls.sort_unstable_by_key(|call| call.begin);
    Ok(calls)
}
