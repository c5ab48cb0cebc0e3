//! System calls and processes of one command, counted by strace: figures that do not depend
//! on the machine.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::measure::sample;
use crate::runtime::Command;

#[derive(Default, Debug, PartialEq, Eq)]
pub struct Counts {
    pub system_calls: usize,
    /// The command itself included; threads are not.
    pub processes: usize,
    pub threads: usize,
}

/// Runs the command under `strace -f`. The container's own program is counted too; it is the
/// same for every runtime.
pub fn count(command: &Command, scratch: &Path) -> Result<Counts> {
    let log = scratch.join("strace");
    let mut traced: Command = ["strace", "-f", "-q", "-s", "0", "-o"].into_iter().map(Into::into).collect();
    traced.push(log.clone().into());
    traced.extend(command.iter().cloned());
    sample(&traced).map_err(|error| format!("strace (install the package strace): {error}"))?;
    Ok(parse(&String::from_utf8_lossy(&fs::read(log)?)))
}

/// Each line is `PID call(…`; the second half of an interrupted call and notes about signals
/// and exits are no calls.
fn parse(log: &str) -> Counts {
    let mut counts = Counts { processes: 1, ..Counts::default() };
    for line in log.lines() {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        if call.starts_with(['<', '+', '-']) || call.is_empty() {
            continue;
        }
        counts.system_calls += 1;
        if ["clone(", "clone3(", "fork(", "vfork("].iter().any(|name| call.starts_with(name)) {
            if call.contains("CLONE_THREAD") {
                counts.threads += 1;
            } else {
                counts.processes += 1;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_calls_processes_and_threads() {
        let log = "\
10 execve(\"/bin/x\", [\"x\"], 0x7ffd /* 3 vars */) = 0
10 clone3({flags=CLONE_VM|CLONE_THREAD, stack=0x7f}, 88 <unfinished ...>
11 getpid()   = 11
10 <... clone3 resumed>) = 11
10 clone(child_stack=NULL, flags=SIGCHLD) = 12
10 --- SIGCHLD {si_signo=SIGCHLD} ---
12 exit_group(0) = ?
12 +++ exited with 0 +++
";
        assert_eq!(parse(log), Counts { system_calls: 5, processes: 2, threads: 1 });
    }
}
