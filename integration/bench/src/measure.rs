//! One command, measured.

use std::ffi::OsStr;
use std::process::{self, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::Result;
use crate::runtime::Command;

/// The flag that turns this program into the parent of one command: see [`report_peak_rss`].
pub const RUSAGE_FLAG: &str = "--print-peak-rss";

#[derive(Clone, Copy)]
pub struct Sample {
    pub wall: Duration,
    /// User and system time of the command and of all the descendants that were waited for.
    pub cpu: Duration,
}

/// Runs the command and fails unless it succeeds. Its output goes to a null device and not to
/// a pipe: a container would keep the pipe open.
pub fn sample(command: &Command) -> Result<Sample> {
    let before = children_cpu()?;
    let started = Instant::now();
    let status = prepared(command)?.stdout(Stdio::null()).status()?;
    let wall = started.elapsed();
    if !status.success() {
        return Err(format!("{}: {status}", display(command)).into());
    }
    Ok(Sample { wall, cpu: children_cpu()?.saturating_sub(before) })
}

fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}

/// The peak resident set, in KiB, of the largest process that the command is made of.
pub fn peak_rss(command: &Command) -> Result<u64> {
    let output = process::Command::new("/proc/self/exe").arg(RUSAGE_FLAG).args(command).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| format!("{}: {}", display(command), String::from_utf8_lossy(&output.stderr)).into())
}

/// Runs the command and prints the largest resident set of all the children. It is done in a
/// process of its own, for the kernel keeps only the maximum over a process's life. What this
/// process itself takes is a lower bound, about 1 MiB: a child is born with its parent's pages.
pub fn report_peak_rss(command: &[String]) -> Result<()> {
    let command: Command = command.iter().map(Into::into).collect();
    sample(&command)?;
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(())
}

/// Standard output of the command, whatever its exit status.
pub fn output(command: &Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&prepared(command)?.output()?.stdout).into_owned())
}

fn prepared(command: &Command) -> Result<process::Command> {
    let (program, arguments) = command.split_first().ok_or("empty command")?;
    let mut prepared = process::Command::new(program);
    prepared.args(arguments).stdin(Stdio::null());
    Ok(prepared)
}

fn display(command: &Command) -> String {
    command.iter().map(|word| OsStr::to_string_lossy(word)).collect::<Vec<_>>().join(" ")
}
