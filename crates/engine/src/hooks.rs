//! Hooks: programs that the configuration runs at points of a container's life (config.md, "POSIX-platform Hooks").
//!
//! prestart, createRuntime, poststart and poststop run here, in the runtime's namespaces; createContainer and startContainer
//! are operations of init's, which gets the state from a memfd that is filled once the container's pid is known.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use program::{Failure, Op, ProgramBuilder, Slot};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use spec::{Hook, State};
use trace::{Kind, Trace};

use crate::Error;
use crate::launch;

/// How much of what a hook printed goes into its error.
const OUTPUT_SHOWN: u64 = 4096;

/// Runs the hooks of a point one after the other, up to the first that fails.
pub(crate) fn run(trace: &Trace, point: &'static str, hooks: &[Hook], state: &State) -> Result<(), Error> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = document(state)?;
    hooks.iter().enumerate().try_for_each(|(index, hook)| {
        traced(trace, point, index, hook, &state)
            .map_err(|problem| Error::Hook { place: place(point, index, hook), problem })
    })
}

/// Runs every hook of a point whatever becomes of the others, and returns what failed (poststop).
pub(crate) fn run_all(trace: &Trace, point: &'static str, hooks: &[Hook], state: &State) -> Vec<Error> {
    let one = |(index, hook): (usize, &Hook)| {
        document(state)
            .map_err(|error| error.to_string())
            .and_then(|state| traced(trace, point, index, hook, &state))
            .err()
            .map(|problem| Error::Hook { place: place(point, index, hook), problem })
    };
    hooks.iter().enumerate().filter_map(one).collect()
}

fn place(point: &str, index: usize, hook: &Hook) -> String {
    format!("hooks.{point}[{index}] {}", hook.path.display())
}

fn traced(trace: &Trace, point: &str, index: usize, hook: &Hook, state: &[u8]) -> Result<(), String> {
    let name = format_args!("hooks.{point}[{index}] {}", hook.path.display());
    trace.span(Kind::Hook, name, || run_one(hook, state))
}

fn document(state: &State) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(state).map_err(|error| Error::Other(format!("the state for a hook: {error}")))
}

/// One hook, with the state on stdin. Both ends are files in memory: a hook that leaves a child behind with its descriptors
/// keeps nobody waiting, and one that does not read its stdin does no harm.
fn run_one(hook: &Hook, state: &[u8]) -> Result<(), String> {
    let io = |error: std::io::Error| launch::go_errno(error.raw_os_error().unwrap_or_default());
    let mut input = memory_file().map_err(io)?;
    input.write_all(state).and_then(|()| input.rewind()).map_err(io)?;
    let output = memory_file().map_err(io)?;
    let mut child = command(hook)
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output.try_clone().map_err(io)?))
        .stderr(Stdio::from(output.try_clone().map_err(io)?))
        .spawn()
        .map_err(io)?;
    let pidfd = launch::pidfd_of(child.id()).map_err(|errno| io(errno.into()))?;
    // Absent, the timeout is a day short of for ever.
    let limit = hook.timeout.and_then(|seconds| u64::try_from(seconds).ok()).map_or(Duration::MAX, Duration::from_secs);
    let in_time = launch::wait_ended(pidfd.as_fd(), limit);
    if !in_time {
        let _ = child.kill();
    }
    let status = child.wait().map_err(io)?;
    match status {
        _ if !in_time => Err(format!("killed after its timeout of {} s", limit.as_secs())),
        status if status.success() => Ok(()),
        status => Err(format!("{}{}", ended(status.code(), status.signal()), shown(output))),
    }
}

#[allow(clippy::disallowed_methods, reason = "hooks are the one thing the runtime executes besides init")]
fn command(hook: &Hook) -> Command {
    let mut command = Command::new(&hook.path);
    // The engines' hooks look at argv[0]: Docker's is /proc/<pid>/exe, called libnetwork-setkey.
    if let Some(name) = hook.args.first() {
        command.arg0(name);
    }
    command.args(hook.args.iter().skip(1)).env_clear();
    command.envs(hook.env.iter().filter_map(|variable| variable.split_once('=')));
    command
}

fn ended(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// What a hook printed, on one line.
fn shown(mut output: File) -> String {
    let mut text = Vec::new();
    let read = output.rewind().and_then(|()| output.take(OUTPUT_SHOWN).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    match read {
        Ok(len) if len > 0 => format!(": {}", text.split_whitespace().collect::<Vec<_>>().join(" ")),
        _ => String::new(),
    }
}

fn memory_file() -> std::io::Result<File> {
    Ok(rustix::fs::memfd_create("lightship-hook", MemfdFlags::CLOEXEC)?.into())
}

/// The files of the hooks that init runs.
pub(crate) struct InitHooks {
    state: File,
    output: File,
}

impl InitHooks {
    /// Makes the files, and lets init inherit them: the state to read, and the output to write.
    pub(crate) fn new(b: &mut ProgramBuilder) -> Result<(InitHooks, [Slot; 2]), Error> {
        let what = "a file in memory for hooks";
        let made = || memory_file().map_err(Error::call(what));
        let hooks = InitHooks { state: made()?, output: made()? };
        // Opened anew, so that the container's side cannot change what it reads.
        let path = format!("/proc/self/fd/{}", hooks.state.as_raw_fd());
        let state =
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(Error::call(what))?;
        let output = OwnedFd::from(hooks.output.try_clone().map_err(Error::call(what))?);
        let slots = [b.inherit(state), b.inherit(output)];
        Ok((hooks, slots))
    }

    /// Fills in the state, before the gate to the hooks is opened.
    pub(crate) fn set_state(&mut self, state: &State) -> Result<(), Error> {
        self.state.write_all(&document(state)?).map_err(Error::call("the state for hooks"))
    }

    /// Adds to a failure what the hook printed.
    pub(crate) fn explain(self, error: Error) -> Error {
        match error {
            Error::Hook { place, problem } => Error::Hook { place, problem: problem + &shown(self.output) },
            other => other,
        }
    }
}

/// Lets init run the hooks of a point.
pub(crate) fn emit(point: &'static str, hooks: &[Hook], io: [Slot; 2], b: &mut ProgramBuilder) {
    for (index, hook) in hooks.iter().enumerate() {
        b.place(place(point, index, hook));
        let path = b.text(path_bytes(&hook.path));
        let args = if hook.args.is_empty() { b.list([path_bytes(&hook.path)]) } else { b.list(&hook.args) };
        let env = b.list(&hook.env);
        let timeout = hook.timeout.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or_default();
        let [stdin, output] = io;
        b.push(Op::Hook { stdin, output, timeout, path, args, env });
    }
}

/// What init says of a hook that failed: that it did not end in time, or its wait(2) status.
pub(crate) fn failed_in_init(place: String, step: u16, errno: i32) -> Error {
    let problem = match step {
        Failure::CHECK => "killed after its timeout".to_owned(),
        step if step == Failure::CHECK + 1 => {
            let status = std::process::ExitStatus::from_raw(errno);
            ended(status.code(), status.signal())
        }
        _ => launch::go_errno(errno),
    };
    Error::Hook { place, problem }
}

pub(crate) fn path_bytes(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}
