//! A command that stays in front of a process: it passes on signals and, if the process has a terminal, everything that is
//! typed and printed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios};
use sys::signal::Signals;

use crate::Error;
use crate::diagnosis::Diagnosis;
use crate::launch::{self, Exit};
use crate::notify::Notify;

/// What stands between the caller's terminal and the process's.
pub(crate) struct Foreground<'r> {
    signals: Signals,
    /// Our end of the socket that the process's terminal comes over, until it has come.
    socket: Option<OwnedFd>,
    master: Option<OwnedFd>,
    /// Whether it has come; also when nobody has the other end open any more.
    terminal: bool,
    /// The caller's terminal as it was.
    saved: Option<Termios>,
    /// What the process says to the service manager.
    pub(crate) notify: Option<Notify>,
    /// What the container is told of the host's network.
    pub(crate) diagnosis: Option<Diagnosis<'r>>,
}

impl<'r> Foreground<'r> {
    /// Gets ready, before the process exists, so that no signal is lost. The descriptor is what the process's side sends
    /// its terminal to.
    pub(crate) fn new(terminal: bool) -> Result<(Foreground<'r>, Option<OwnedFd>), Error> {
        let signals = Signals::block().map_err(Error::call("waiting for signals"))?;
        let (ours, theirs) = if terminal {
            let (ours, theirs) = launch::report_pair()?;
            (Some(ours), Some(theirs))
        } else {
            (None, None)
        };
        let (master, saved, notify, diagnosis) = (None, None, None, None);
        Ok((Foreground { signals, socket: ours, master, terminal: false, saved, notify, diagnosis }, theirs))
    }

    /// Takes over the terminal that the process has sent.
    pub(crate) fn attach(&mut self) -> Result<(), Error> {
        let Some(socket) = self.socket.take() else { return Ok(()) };
        let master = receive(socket.as_fd())?;
        if let Ok(caller) = rustix::termios::tcgetattr(rustix::stdio::stdin()) {
            let mut raw = caller.clone();
            raw.make_raw();
            rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)
                .map_err(Error::call("the terminal's raw mode"))?;
            self.saved = Some(caller);
        }
        (self.master, self.terminal) = (Some(master), true);
        self.resize();
        Ok(())
    }

    /// Passes on signals and bytes until the process has ended.
    pub(crate) fn wait(&mut self, process: BorrowedFd<'_>) -> Result<Exit, Error> {
        let mut input = true;
        loop {
            let ready = self.poll(process, input)?;
            // One that has ended leaves SIGCHLD, for which there is no use.
            if ready.signals && !ready.ended {
                self.pass_on_signal(process);
            }
            if let Some(notify) = self.notify.as_ref().filter(|_| ready.notify) {
                notify.pass_on();
            }
            if ready.output {
                self.print();
            }
            if ready.input {
                input = self.type_in();
            }
            if ready.ended {
                // What it printed last may still be on its way.
                while self.print() {}
            }
            self.diagnose(&ready);
            if ready.ended {
                return launch::wait(process).map_err(Error::call("waiting for the process"));
            }
        }
    }

    fn poll(&self, process: BorrowedFd<'_>, input: bool) -> Result<Ready, Error> {
        let stdin = rustix::stdio::stdin();
        let mut polled =
            vec![PollFd::new(&process, PollFlags::IN), PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
        if let Some(master) = &self.master {
            polled.push(PollFd::new(master, PollFlags::IN));
            if input {
                polled.push(PollFd::new(&stdin, PollFlags::IN));
            }
        }
        let at_notify = polled.len();
        polled.extend(self.notify.iter().map(|notify| PollFd::new(notify, PollFlags::IN)));
        let at_diagnosis = polled.len();
        let rest = self.diagnosis.as_ref().and_then(Diagnosis::rest);
        let idle = self.diagnosis.iter().filter(|_| rest.is_none());
        polled.extend(idle.map(|diagnosis| PollFd::new(diagnosis, PollFlags::IN)));
        match rustix::event::poll(&mut polled, rest.map(launch::timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::call("poll")(errno)),
        }
        let ready = |index: usize| polled.get(index).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready {
            ended: ready(0),
            signals: ready(1),
            output: at_notify > 2 && ready(2),
            input: at_notify > 3 && ready(3),
            notify: at_diagnosis > at_notify && ready(at_notify),
            failed_binds: ready(at_diagnosis),
        })
    }

    fn pass_on_signal(&self, process: BorrowedFd<'_>) {
        let Some(signal) = self.signals.next() else { return };
        match Some(signal) {
            s if s == raw(rustix::process::Signal::WINCH) && self.master.is_some() => self.resize(),
            // Of our own child; and SIGURG is what language runtimes send themselves.
            s if s == raw(rustix::process::Signal::CHILD) || s == raw(rustix::process::Signal::URG) => {}
            _ => drop(sys::process::send_signal(process, signal)),
        }
    }

    /// What is said of a container with a terminal belongs there, among the rest of what it prints.
    fn diagnose(&mut self, ready: &Ready) {
        let Some(diagnosis) = &mut self.diagnosis else { return };
        if ready.failed_binds {
            diagnosis.note();
        }
        if !diagnosis.rest().is_some_and(|rest| rest.is_zero() || ready.ended) {
            return;
        }
        let (to, line_end) = match self.terminal {
            true => (rustix::stdio::stdout(), "\r\n"),
            false => (rustix::stdio::stderr(), "\n"),
        };
        diagnosis.tell(to, line_end);
    }

    fn resize(&self) {
        if let Some(master) = &self.master
            && let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin())
        {
            let _ = rustix::termios::tcsetwinsize(master, size);
        }
    }

    /// Copies what the process has printed; false when there was nothing.
    fn print(&mut self) -> bool {
        let Some(master) = &self.master else { return false };
        let mut buffer = [0u8; 8192];
        let mut polled = [PollFd::new(master, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if !rustix::event::poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0) {
            return false;
        }
        match rustix::io::read(master, &mut buffer[..]) {
            Ok(len) if len > 0 => write_all(rustix::stdio::stdout(), buffer.get(..len).unwrap_or_default()),
            // EIO: nobody has the other end open any more.
            _ => {
                self.master = None;
                false
            }
        }
    }

    /// Copies what was typed; false at its end.
    fn type_in(&self) -> bool {
        let Some(master) = &self.master else { return false };
        let mut buffer = [0u8; 4096];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer[..]) {
            Ok(len) if len > 0 => write_all(master.as_fd(), buffer.get(..len).unwrap_or_default()),
            _ => false,
        }
    }
}

impl Drop for Foreground<'_> {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, saved);
        }
    }
}

struct Ready {
    ended: bool,
    signals: bool,
    output: bool,
    input: bool,
    notify: bool,
    failed_binds: bool,
}

fn raw(signal: rustix::process::Signal) -> Option<i32> {
    Some(signal.as_raw())
}

fn write_all(fd: BorrowedFd<'_>, mut data: &[u8]) -> bool {
    while !data.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(fd, data)) {
            Ok(written) => data = data.get(written..).unwrap_or_default(),
            Err(_) => return false,
        }
    }
    true
}

/// Receives the one descriptor that init sends.
fn receive(socket: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let mut data = [0u8; 64];
    let (_, fd) = sys::socket::receive(socket, &mut data).map_err(Error::call("the process's terminal"))?;
    fd.ok_or_else(|| Error::Other("init sent no terminal".to_owned()))
}
