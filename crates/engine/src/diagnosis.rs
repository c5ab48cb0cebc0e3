//! What a container is told of its failed binds: by its watcher, or by the runtime that stays in front of it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use sys::bpf::Map;

use crate::{Error, Runtime};

/// From a failure to its explanation: the program says first what it has to say, and what fails meanwhile is explained with it.
const SHORTEST: Duration = Duration::from_millis(10);
/// The wait doubles with each explanation up to this, so that a container cannot keep the host busy. The watcher does the same.
const LONGEST: Duration = Duration::from_millis(1280);

/// What has been said to one container. Nothing is said twice, as a server that tries again and again fails each time.
#[derive(Clone, Debug, Default)]
pub struct Said(String);

impl Said {
    /// The most that is said to one container, in bytes.
    pub const MOST: usize = 32 * 1024;

    /// What was said before, as [`Said::news`] gave it.
    #[must_use]
    pub fn before(text: String) -> Said {
        Said(text)
    }

    /// The lines that are to be said, each with its end.
    pub fn news(&mut self, lines: Vec<String>) -> Vec<String> {
        let mut news = Vec::new();
        for line in lines.into_iter().map(|line| line + "\n") {
            if !self.0.contains(&line) && self.0.len() + line.len() <= Said::MOST {
                self.0.push_str(&line);
                news.push(line);
            }
        }
        news
    }
}

/// The diagnosis of a container that this runtime stays in front of, and which needs no watcher.
pub(crate) struct Diagnosis<'r> {
    runtime: &'r Runtime,
    records: Map,
    said: Said,
    /// When the next failure after this is explained.
    pause: Duration,
    /// When those that are known are.
    due: Option<Instant>,
}

impl<'r> Diagnosis<'r> {
    pub(crate) fn new(runtime: &'r Runtime, records: Map) -> Diagnosis<'r> {
        Diagnosis { runtime, records, said: Said::default(), pause: SHORTEST, due: None }
    }

    /// Notes that binds have failed.
    pub(crate) fn note(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + self.pause);
    }

    /// How long until they are to be explained, if there are any.
    pub(crate) fn rest(&self) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Explains them. The container's own output is no place for complaints: what cannot be said is not said, nor is it waited for.
    pub(crate) fn tell(&mut self, to: BorrowedFd<'_>, line_end: &str) {
        (self.due, self.pause) = (None, (self.pause * 2).min(LONGEST));
        let lines = self.runtime.explain_binds(&self.records).unwrap_or_default();
        for line in self.said.news(lines) {
            let mut polled = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if rustix::event::poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0) {
                let _ = rustix::io::write(to, line.replace('\n', line_end).as_bytes());
            }
        }
    }
}

impl AsFd for Diagnosis<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.records.as_fd()
    }
}

impl Runtime {
    /// Takes the failed attempts to bind a port out of a container's ring buffer, and explains each that failed because somebody has
    /// the port.
    ///
    /// # Errors
    /// The descriptor is no such ring buffer, or the kernel lists no sockets.
    pub fn diagnose(&self, records: OwnedFd) -> Result<Vec<String>, Error> {
        self.explain_binds(&Map::of(records).map_err(Error::call("the failed attempts"))?)
    }

    fn explain_binds(&self, records: &Map) -> Result<Vec<String>, Error> {
        let explained = hostnet::diagnosis::explain(records, &mut self.holders());
        let explained = explained.map_err(Error::call("explaining failed binds"))?;
        Ok(explained.iter().map(ToString::to_string).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_twice_nor_without_end() {
        let mut said = Said::before("port 80\n".to_owned());
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(said.news(lines(&["port 80", "port 81", "port 81"])), ["port 81\n"]);
        assert!(said.news(lines(&["port 81"])).is_empty());
        assert!(said.news(vec!["x".repeat(Said::MOST)]).is_empty());
    }
}
