//! `start`: lets a created container's init execute its program.

use std::os::fd::AsFd;
use std::time::Duration;

use confine::Early;
use program::{ProgramBuilder, Report, Slot, Start};
use spec::{Hooks, Spec, Status};
use state::Locked;
use trace::{Kind, Trace};

use crate::container::Container;
use crate::launch::Launch;
use crate::moments::Moments;
use crate::notify::Notify;
use crate::plan::plan_process;
use crate::process::ProcessPlan;
use crate::{Error, HostFacts, Runtime, delete, hooks, launch, listener, socket};

/// How long init may take to go after it has told of its failure.
const END_WAIT: Duration = Duration::from_secs(1);

impl Runtime {
    /// Starts a container. It returns once the program has been executed and the poststart hooks have run, and where the runtime
    /// has a service manager to tell of it, once the container is ready.
    ///
    /// # Errors
    /// The container is not in the state `created`; the execve's own error; a hook that failed, after which the container is
    /// gone (runtime.md, "Lifecycle", steps 8 and 9).
    pub fn start(&self, id: &str) -> Result<(), Error> {
        let (entry, container) = self.find_locked(id)?;
        match container.status(&entry)? {
            // It would not come to its execve, nor we to an end.
            Status::Created if container.cgroup.is_frozen()? => {
                return Err(Error::Other("cannot start a container in the paused state (resume it first)".to_owned()));
            }
            Status::Created => {}
            Status::Stopped => return Err(Error::Other("cannot start a container that has stopped".to_owned())),
            _ => return Err(Error::Other("cannot start an already running container".to_owned())),
        }
        let hooks = container.hooks(&entry)?;
        let notify = Notify::listen(&entry, container.record.init.map_or(0, |init| init.pid.unsigned_abs()))?;
        self.start_created(entry, &container, &hooks)?;
        if let (Some(notify), Some(init)) = (notify, &container.init) {
            notify.until_ready(init.as_fd());
        }
        Ok(())
    }

    /// Starts a container that is known to be created.
    fn start_created(&self, entry: Locked, container: &Container, hooks: &Hooks) -> Result<(), Error> {
        let pid = container.record.init.map_or(0, |init| init.pid);
        let moments = Moments::new(&self.trace);
        let hand_over = |fd| {
            let linux = container.spec(&entry)?.linux.unwrap_or_default();
            listener::hand_over(&linux, pid, container.state(Status::Created), &fd)
        };
        let report =
            self.trace.span(Kind::Wait, "wait for init: execve", || socket::start(&entry, &moments, hand_over))?;
        socket::remove(&entry)?;
        let failed = match report {
            Report::Failed(failure) => {
                moments.failed(failure.op.into());
                // So that the container is seen to have stopped from now on.
                if let Some(init) = &container.init {
                    launch::wait_ended(init.as_fd(), END_WAIT);
                }
                Some(self.explain(&container.spec(&entry)?, &failure))
            }
            Report::End | Report::Gate(_) | Report::Cloned(_) | Report::Moment(_) | Report::Listener => {
                moments.executed();
                hooks::run(&self.trace, "poststart", &hooks.poststart, &container.state(Status::Running)).err()
            }
        };
        if let Some(Ok(tail)) = moments.wanted().then(|| self.tail(&container.spec(&entry)?)) {
            moments.record("woken by start", pid, &tail.finish(Start::default()));
        }
        match failed {
            None => Ok(()),
            Some(error @ Error::Hook { .. }) => {
                delete::destroy(&self.trace, entry, container)?;
                Err(error)
            }
            Some(error) => Err(error),
        }
    }

    /// Names the operation that failed: init counts from the first one after the wait, which are emitted here once more.
    fn explain(&self, spec: &Spec, failure: &program::Failure) -> Error {
        match self.tail(spec) {
            Ok(builder) => launch::explain(&builder.finish(Start::default()), failure),
            Err(error) => error,
        }
    }

    fn tail(&self, spec: &Spec) -> Result<ProgramBuilder, Error> {
        let linux = spec.linux.clone().unwrap_or_default();
        let host = HostFacts::probe(self.rootless)?;
        let process = spec.process_to_start()?;
        let plan: ProcessPlan = plan_process(process, &linux, &host, None, self.filter(&linux)?)?;
        let mut builder = ProgramBuilder::new();
        plan.emit_start(&spec.hooks.start_container, [Slot::NONE; 2], Early::default(), &mut builder);
        Ok(builder)
    }
}

/// Starts a container that this process has just created, and whose init waits at its last gate. `meanwhile` is done while init goes on.
pub(crate) fn at_gate(
    trace: &Trace,
    launch: &Launch,
    container: &Container,
    spec: &Spec,
    meanwhile: impl FnOnce(),
) -> Result<(), Error> {
    launch.open_gate()?;
    meanwhile();
    let hand_over = |fd| match &spec.linux {
        Some(linux) => listener::hand_over(linux, launch.pid, container.state(Status::Created), &fd),
        None => Ok(()),
    };
    trace.span(Kind::Wait, "wait for init: execve", || launch.wait_exec(hand_over))?;
    hooks::run(trace, "poststart", &spec.hooks.poststart, &container.state(Status::Running))
}
