//! The init process, told from any later process that has got the same pid.

use crate::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A process that a pid alone would not name for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitProcess {
    /// The pid in the caller's PID namespace.
    pub pid: i32,
    /// When the process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat` (proc_pid_stat(5)).
    pub start_time: u64,
}

impl InitProcess {
    /// The process that has `pid` now. The caller must know that it cannot have ended: as its parent, or with a
    /// pidfd of it.
    pub fn of(pid: i32) -> Result<InitProcess> {
        let stat = read_stat(pid)?;
        Ok(InitProcess { pid, start_time: stat.start_time })
    }

    /// A pidfd of the process, or nothing if it has ended: if it is gone, a zombie, or the pid has been given to
    /// another process since. A zombie that leads threads which still run is alive. Needs `/proc`.
    pub fn alive(&self) -> Result<Option<OwnedFd>> {
        // A record can hold any number, and rustix takes no negative one.
        let Some(pid) = Pid::from_raw(self.pid.max(0)) else { return Ok(None) };
        // The pidfd comes first: if the start time, which is read after that, is the right one, then nobody else
        // can have had the pid at any moment before.
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(Error::Io { action: "open a pidfd of", path: stat_path(self.pid), errno }),
        };
        match read_stat(self.pid) {
            Ok(stat) if stat.start_time != self.start_time => Ok(None),
            Ok(stat) if stat.dead && ended(&pidfd)? => Ok(None),
            Ok(_) => Ok(Some(pidfd)),
            Err(_) if ended(&pidfd)? => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether the process and all its threads have ended (a pidfd is readable then, pidfd_open(2)).
fn ended(pidfd: &OwnedFd) -> Result<bool> {
    let mut pidfds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    let ready = poll(&mut pidfds, Some(&Timespec::default()));
    ready.map(|count| count > 0).map_err(|errno| Error::Io { action: "poll", path: "pidfd".into(), errno })
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    dead: bool,
    start_time: u64,
}

fn stat_path(pid: i32) -> PathBuf {
    format!("/proc/{pid}/stat").into()
}

fn read_stat(pid: i32) -> Result<Stat> {
    let path = stat_path(pid);
    let file = openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
        .map_err(Error::io("open", &path))?;
    // The kernel writes the whole line for one read; 52 numbers and 64 bytes of name do not exceed 1.2 KB.
    let mut line = [0; 2048];
    let length = rustix::io::read(&file, &mut line).map_err(Error::io("read", &path))?;
    parse_stat(&line[..length]).ok_or_else(|| Error::Damaged { path, problem: "not in the format of proc(5)".into() })
}

/// Reads the line from the end of the name on: the name is chosen by the process, and may hold spaces and
/// parentheses, but nothing after it can hold a `)`.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let name_end = line.iter().rposition(|&byte| byte == b')')?;
    let mut fields = line.get(name_end + 1..)?.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let state = fields.next()?;
    // The state is field 3, the start time field 22.
    let start_time = str::from_utf8(fields.nth(22 - 3 - 1)?).ok()?.parse().ok()?;
    Some(Stat { dead: matches!(state, b"Z" | b"X"), start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_cannot_forge_a_field() {
        let rest = "S 1 7 7 0 -1 4194560 99 0 0 0 1 2 0 0 20 0 1 0 8812345 1000 5";
        for name in ["sh", "a b", ") Z 1 2 3 4", "(((", ")))", "x) R 0 0 (y"] {
            let line = format!("7 ({name}) {rest}\n");
            assert_eq!(parse_stat(line.as_bytes()), Some(Stat { dead: false, start_time: 8_812_345 }), "{line}");
        }
        let zombie = format!("7 (sh) {}", rest.replace("S ", "Z "));
        assert!(parse_stat(zombie.as_bytes()).unwrap().dead);
    }

    #[test]
    fn other_text_is_refused() {
        for line in ["", "7", "7 (sh", "7 (sh)", "7 (sh) S 1 2 3", "7 (sh) S 1 7 7 0 -1 4 9 0 0 0 1 2 0 0 20 0 1 0 x 1"]
        {
            assert_eq!(parse_stat(line.as_bytes()), None, "{line}");
        }
    }
}
