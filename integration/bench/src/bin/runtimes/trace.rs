//! System calls and processes of one command, counted by strace: figures that do not depend
//! on the machine.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::measure::wall;
use crate::runtime::Command;

#[derive(Default, Debug, PartialEq, Eq)]
pub struct Counts {
    pub system_calls: usize,
    /// The command itself included; threads are not.
    pub processes: usize,
    pub threads: usize,
    /// Bytes, to whatever: files, pipes, control files.
    pub written: u64,
}

const WRITES: [&str; 6] = ["write", "writev", "pwrite64", "pwritev", "sendfile", "copy_file_range"];

/// Runs the command under `strace -f`. The container's own program is counted too; it is the
/// same for every runtime.
pub fn count(command: &Command, scratch: &Path) -> Result<Counts> {
    let log = scratch.join("strace");
    let mut traced: Command = ["strace", "-f", "-q", "-s", "0", "-o"].into_iter().map(Into::into).collect();
    traced.push(log.clone().into());
    traced.extend(command.iter().cloned());
    wall(&traced).map_err(|error| format!("strace (install the package strace): {error}"))?;
    Ok(parse(&String::from_utf8_lossy(&fs::read(log)?)))
}

/// Each line is `PID call(…`; the second half of an interrupted call and notes about signals
/// and exits are no calls.
fn parse(log: &str) -> Counts {
    let mut counts = Counts { processes: 1, ..Counts::default() };
    for line in log.lines() {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let name = call.trim_start_matches("<... ").split(['(', ' ']).next().unwrap_or_default();
        if WRITES.contains(&name) {
            let answer = call.rsplit(" = ").next().and_then(|answer| answer.parse().ok());
            counts.written += answer.unwrap_or(0_u64);
        }
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
    fn counts_calls_processes_threads_and_bytes() {
        let log = "\
10 execve(\"/bin/x\", [\"x\"], 0x7ffd /* 3 vars */) = 0
10 clone3({flags=CLONE_VM|CLONE_THREAD, stack=0x7f}, 88 <unfinished ...>
11 getpid()   = 11
10 <... clone3 resumed>) = 11
10 write(5, 0x7ffd, 12)     = 12
11 pwrite64(5, 0x7ffd, 30, 0 <unfinished ...>
11 <... pwrite64 resumed>) = 30
10 write(9, 0x7ffd, 1)      = -1 EBADF (Bad file descriptor)
10 clone(child_stack=NULL, flags=SIGCHLD) = 12
10 --- SIGCHLD {si_signo=SIGCHLD} ---
12 exit_group(0) = ?
12 +++ exited with 0 +++
";
        assert_eq!(parse(log), Counts { system_calls: 8, processes: 2, threads: 1, written: 42 });
    }
}
