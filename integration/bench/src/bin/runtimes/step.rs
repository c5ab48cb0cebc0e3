//! One command, executed instruction by instruction.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::{self, Stdio};

use integration::command::{content, scratch};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::Result;
use crate::measure::display;
use crate::runtime::Command;

/// The flag that turns this program into the one that is stepped through: see [`be_traced`].
pub const TRACED_FLAG: &str = "--be-traced";

/// The address of every instruction that the command executes; fails unless it succeeds. Its children go their own way, as
/// some of them outlive it.
pub fn addresses(command: &Command) -> Result<BTreeSet<u64>> {
    let errors = scratch();
    let mut traced = process::Command::new("/proc/self/exe");
    traced.arg(TRACED_FLAG).args(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.try_clone()?);
    let child = traced.spawn()?;
    let pid = Pid::from_raw(child.id() as i32);
    let mut addresses = BTreeSet::new();
    loop {
        match waitpid(pid, None)? {
            WaitStatus::Stopped(_, signal) => {
                addresses.insert(program_counter(pid)?);
                // A trap is the step's end. Any other signal is the command's own.
                ptrace::step(pid, Some(signal).filter(|signal| *signal != Signal::SIGTRAP))?;
            }
            WaitStatus::Exited(_, 0) => return Ok(addresses),
            end => return Err(format!("{}: {end:?}: {}", display(command), content(&errors).trim()).into()),
        }
    }
}

fn program_counter(pid: Pid) -> Result<u64> {
    let registers = ptrace::getregs(pid)?;
    #[cfg(target_arch = "x86_64")]
    let counter = registers.rip;
    #[cfg(target_arch = "aarch64")]
    let counter = registers.pc;
    Ok(counter)
}

/// Becomes the command, which stops before its first instruction for the parent to step on.
pub fn be_traced(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().ok_or("empty command")?;
    ptrace::traceme()?;
    Err(process::Command::new(program).args(arguments).exec().into())
}
