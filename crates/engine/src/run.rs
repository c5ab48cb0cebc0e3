//! `run`: create and start, and unless detached wait for the end and delete.

use std::os::fd::AsFd;

use trace::Kind;

use crate::create::CreateOptions;
use crate::notify::Notify;
use crate::terminal::Foreground;
use crate::{Error, Runtime, console};

/// The flags that `run` has beyond those of `create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Return once the program has been executed.
    pub detach: bool,
    /// Leave the stopped container.
    pub keep: bool,
    /// Accepted for runc's sake: lightship is never a subreaper, since it waits for one process alone.
    pub no_subreaper: bool,
}

impl Runtime {
    /// Runs a container. In the foreground the answer is the process's status, 128 and the number of the signal that ended
    /// it; detached it is 0.
    ///
    /// # Errors
    /// Those of [`Runtime::create`] and [`Runtime::start`]; then nothing is left.
    pub fn run(&self, id: &str, options: &CreateOptions, run: &RunOptions) -> Result<u8, Error> {
        if run.detach {
            self.create(id, options)?;
            self.start(id).inspect_err(|_| drop(self.delete(id, true)))?;
            return Ok(0);
        }
        let request = self.request(id, options)?;
        let terminal = request.plan.terminal.is_some();
        let console = console::connect(options.console_socket.as_deref())?;
        console::check(terminal, console.is_some(), false)?;
        let (mut foreground, own_console) = Foreground::new(terminal && console.is_none())?;
        let (entry, container) = self.create_requested(&request, console.or(own_console))?;
        let ended = Notify::listen(&entry, std::process::id())
            .and_then(|notify| {
                foreground.notify = notify;
                foreground.attach()
            })
            .and_then(|()| self.start_created(entry, &container, &request.spec))
            .and_then(|()| {
                let init = container.init.as_ref().ok_or(Error::NotRunning)?;
                self.trace.span(Kind::Program, "the container's program", || foreground.wait(init.as_fd()))
            });
        if ended.is_err() || !run.keep {
            let deleted = self.delete(id, true);
            return ended.and_then(|exit| deleted.map(|()| exit.code()));
        }
        ended.map(|exit| exit.code())
    }
}
