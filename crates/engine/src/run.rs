//! `run`: create and start, and unless detached wait for the end and delete.

use std::os::fd::AsFd;

use trace::Kind;

use crate::create::{CreateOptions, Created, Go};
use crate::diagnosis::Diagnosis;
use crate::network::Attached;
use crate::notify::Notify;
use crate::terminal::Foreground;
use crate::{Error, Runtime, console, delete, start};

/// The flags that `run` has beyond those of `create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Return once the program has been executed.
    pub detach: bool,
    /// Leave the stopped container.
    pub keep: bool,
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
        // A terminal that goes to somebody else, and what is said there, is out of reach here.
        let sees_all = console.is_none();
        let (mut foreground, own_console) = Foreground::new(terminal && sees_all)?;
        let Created { entry, mut container, launch, mut unwatched } =
            self.create_requested(&request, console.or(own_console), Go::AtGate)?;
        if sees_all {
            let failed = unwatched.as_mut().and_then(Attached::take_failed);
            foreground.diagnosis = failed.map(|failed| Diagnosis::new(self, failed));
        }
        let watch = || unwatched.iter_mut().for_each(|network| network.watch(launch.pidfd.as_fd(), terminal, self));
        let started = Notify::listen(&entry, std::process::id())
            .and_then(|notify| {
                foreground.notify = notify;
                foreground.attach()
            })
            .and_then(|()| start::at_gate(&self.trace, &launch, &container, &request.spec, watch));
        // While the program runs, other commands may do with the container what they like.
        let entry = entry.unlock()?;
        let wait = || foreground.wait(launch.pidfd.as_fd());
        let ended = started.and_then(|()| self.trace.span(Kind::Program, "the container's program", wait));
        if ended.is_err() {
            // To be killed; else it has ended.
            container.init = Some(launch.pidfd.try_clone().map_err(Error::call("the pidfd"))?);
        }
        if ended.is_err() || !run.keep {
            let deleted = delete::destroy_created(&self.trace, entry, &container, &request.spec.hooks);
            return ended.and_then(|exit| deleted.map(|()| exit.code()));
        }
        ended.map(|exit| exit.code())
    }
}
