//! One command, measured.

use std::ffi::OsStr;
use std::process::{self, Stdio};
use std::time::{Duration, Instant};

use integration::command::{content, scratch, wait};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::Result;
use crate::runtime::{Command, Contender};
use crate::stage::Bundle;

/// The flag that turns this program into the parent of one command: see [`report_peak_rss`].
pub const RUSAGE_FLAG: &str = "--print-peak-rss";

/// A command that takes so long hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// Milliseconds.
#[derive(Clone, Copy)]
pub struct Sample {
    pub wall: f64,
    /// User and system time of the command and of all the descendants that were waited for.
    pub cpu: f64,
}

/// Runs the command and gives its wall time in milliseconds; fails unless it succeeds. Its output goes to files and not to
/// pipes: a container would keep a pipe open.
pub fn wall(command: &Command) -> Result<f64> {
    let (program, arguments) = command.split_first().ok_or("empty command")?;
    let errors = scratch();
    let mut prepared = process::Command::new(program);
    prepared.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.try_clone()?);
    let started = Instant::now();
    let mut child = prepared.spawn().map_err(|error| format!("{}: {error}", display(command)))?;
    let code = wait(&mut child, DEADLINE);
    let wall = started.elapsed();
    match code {
        Some(0) => Ok(milliseconds(wall)),
        Some(code) => Err(format!("{}: exit {code}: {}", display(command), content(&errors).trim()).into()),
        None => Err(format!("{}: still there after {DEADLINE:?}", display(command)).into()),
    }
}

/// As [`wall`], with the CPU time: no other command may run at the same time.
pub fn sample(command: &Command) -> Result<Sample> {
    let before = children_cpu()?;
    let wall = wall(command)?;
    Ok(Sample { wall, cpu: milliseconds(children_cpu()?.saturating_sub(before)) })
}

/// `run`, and the removal of what it left if it failed.
pub fn run(contender: &Contender, bundle: &Bundle) -> Result<Sample> {
    let outcome = sample(&contender.run(bundle));
    if outcome.is_err()
        && let Some(remove) = contender.remove(bundle)
    {
        let _ = wall(&remove);
    }
    outcome
}

/// Keeps what could be measured, and tells what could not.
pub fn keep<T>(kept: &mut Vec<T>, outcome: Result<T>) {
    match outcome {
        Ok(value) => kept.push(value),
        Err(error) => eprintln!("bench: {error}"),
    }
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
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
    wall(&command)?;
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(())
}

/// Enough of a command line to know it.
pub fn display(command: &Command) -> String {
    command.iter().take(4).map(|word| OsStr::to_string_lossy(word)).collect::<Vec<_>>().join(" ")
}
