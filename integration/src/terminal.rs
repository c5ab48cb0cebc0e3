//! A pseudo terminal with a program on it, for what only happens on a terminal.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::command::{spell, wait};
use crate::wait::{PATIENCE, eventually};

/// A program whose standard streams and controlling terminal are a new pseudo terminal.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    child: Option<Child>,
    seen: String,
}

impl Terminal {
    /// Starts `command` on a terminal of 24 rows and 80 columns.
    pub fn start(command: &Command) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::from(open(&*name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap());
        // setsid --ctty: without a controlling terminal no SIGWINCH would reach the program.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg("--wait").arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => session.env(key, value),
                None => session.env_remove(key),
            };
        }
        session.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = session.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", spell(&session)));
        let terminal = Terminal { master, child: Some(child), seen: String::new() };
        terminal.resize(24, 80);
        terminal
    }

    /// A terminal whose other side is used by a container.
    pub fn of_container(master: OwnedFd) -> Terminal {
        Terminal { master, child: None, seen: String::new() }
    }

    /// Changes the size of the window.
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    /// Types `text`.
    pub fn types(&self, text: &str) {
        File::from(self.master.try_clone().unwrap()).write_all(text.as_bytes()).unwrap();
    }

    /// Waits until `text` appears on the screen, and forgets what was shown before it.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        eventually(PATIENCE, &format!("{text:?} on the terminal"), || {
            self.read_what_is_there();
            let end = self.seen.find(text)? + text.len();
            self.seen.drain(..end);
            Some(())
        });
    }

    /// Everything shown and not yet consumed by [`Terminal::shows`].
    pub fn screen(&mut self) -> &str {
        self.read_what_is_there();
        &self.seen
    }

    /// Waits for the program's end; its exit code.
    #[track_caller]
    pub fn ends(&mut self) -> i32 {
        let code = self.child.as_mut().and_then(|child| wait(child, PATIENCE));
        self.read_what_is_there();
        code.unwrap_or_else(|| panic!("still running; on the terminal: {:?}", self.seen))
    }

    fn read_what_is_there(&mut self) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut buffer = [0; 4096];
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.master.as_fd(), PollFlags::IN)];
            if poll(&mut fds, Some(&now)) != Ok(1) {
                return;
            }
            match read(&self.master, &mut buffer) {
                Ok(0) | Err(Errno::IO) => return, // EIO: the last user of the terminal has gone
                Ok(count) => self.seen.push_str(&String::from_utf8_lossy(&buffer[..count])),
                Err(_) => return,
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
