//! The making of a process: init and its program into a memfd, one clone, and the conversation at the gates.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use confine::ConfinePlan;
use namespaces::{Joined, NamespacePlan};
use program::{Failure, Op, Program, ProgramBuilder, Report, Start};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use spec::NumberList;
use sys::spawn::{Spawn, Spawned};
use trace::Trace;

use crate::moments::Moments;
use crate::user_namespace::write_maps;
use crate::{Error, hooks};

/// The runtime's end of the conversation with a new process. Dropped before [`Launch::keep`], it ends the process.
pub(crate) struct Launch {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    report: OwnedFd,
    program: Program,
    moments: Moments,
    kept: bool,
}

/// Both ends of the socket for reports: ours and the child's.
pub(crate) fn report_pair() -> Result<(OwnedFd, OwnedFd), Error> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(Error::call("a socket pair for the container's init"))
}

/// How to make the process, beyond its program.
pub(crate) struct LaunchPlan<'a> {
    /// Signals that this process ignores.
    pub(crate) ignored_signals: u64,
    /// `--preserve-fds`.
    pub(crate) preserve_fds: u32,
    /// The cgroup v2 folder to be born in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// New or joined namespaces of a container, or the init process whose PID namespace is entered.
    pub(crate) into: Into<'a>,
    /// Where its operations are recorded.
    pub(crate) trace: &'a Trace,
}

/// Where the process goes.
pub(crate) enum Into<'a> {
    /// A new container.
    Namespaces(&'a NamespacePlan, &'a [Joined]),
    /// An existing one: its init, and how its PID namespace is entered.
    Container(BorrowedFd<'a>, IntoPids),
}

/// How a process enters the PID namespace of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntoPids {
    /// Not at all: the container has none of its own.
    Shared,
    /// Born in it.
    Born,
    /// By a sibling that its program clones: only from inside the container's user namespace has a user the right to.
    Cloned,
}

impl Launch {
    /// Makes the process; it runs up to the program's first gate.
    pub(crate) fn new(builder: ProgramBuilder, plan: &LaunchPlan<'_>) -> Result<Launch, Error> {
        check_preserved(plan.preserve_fds)?;
        let (report, childs) = report_pair()?;
        let program = builder.finish(Start {
            ignored_signals: plan.ignored_signals,
            preserve_fds: plan.preserve_fds,
            report: std::os::fd::AsRawFd::as_raw_fd(&childs),
            traced: plan.trace.is_on(),
        });
        let (init, program_in_init) = program.to_file().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                Error::call("an executable memfd for init (is the sysctl vm.memfd_noexec set to 2?)")(error)
            }
            _ => Error::call("an executable memfd for init")(error),
        })?;
        let inherited: Vec<BorrowedFd<'_>> = program.inherited.iter().map(AsFd::as_fd).collect();
        let maps = match plan.into {
            Into::Namespaces(namespaces, _) => namespaces.id_maps.as_ref(),
            Into::Container(..) => None,
        };
        let mut child = Spawn {
            namespaces: 0,
            cgroup: plan.cgroup,
            init: init.as_fd(),
            program: program_in_init,
            report: childs.as_fd(),
            failed: failed_at_load(),
            inherited: &inherited,
            first_private_fd: plan.preserve_fds.saturating_add(3),
            wait_for_ids: maps.is_some(),
            own_memory: false,
        };
        let moments = Moments::new(plan.trace);
        let Spawned { pid, pidfd } = match plan.into {
            Into::Namespaces(namespaces, joined) => {
                child.namespaces = namespaces.new;
                child.own_memory = namespaces.new_time;
                namespaces::spawn(namespaces, joined, &child)?
            }
            Into::Container(init, pids) => namespaces::spawn_into(init, pids == IntoPids::Born, &child)?,
        };
        let mut launch = Launch { pid, pidfd, report, program, moments, kept: false };
        if let Some(maps) = maps {
            write_maps(pid, maps)?;
            launch.open_gate()?;
        }
        let clones = match plan.into {
            Into::Namespaces(namespaces, _) => namespaces.clones_itself(),
            Into::Container(_, pids) => pids == IntoPids::Cloned,
        };
        if clones {
            launch.follow()?;
        }
        Ok(launch)
    }

    /// Goes over from the process that was made to the one that it makes.
    fn follow(&mut self) -> Result<(), Error> {
        // The new process has the other end of the conversation too: the end of the first alone tells that it was killed.
        let mut polled = [PollFd::new(&self.report, PollFlags::IN), PollFd::new(&self.pidfd, PollFlags::IN)];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, None)).map_err(Error::call("poll"))?;
        let [report, _] = polled;
        if report.revents().is_empty() {
            return Err(self.died());
        }
        match self.next_report()? {
            Report::Cloned(pid) => {
                // It is our child, so it keeps its id until we have waited for it.
                let pidfd = pidfd_of(pid.unsigned_abs()).map_err(Error::call("the container's init"))?;
                let _ = wait(self.pidfd.as_fd());
                (self.pid, self.pidfd) = (pid, pidfd);
                self.open_gate()
            }
            Report::Failed(failure) => Err(self.failed(&failure)),
            Report::Gate(_) | Report::Moment(_) | Report::Listener | Report::End => Err(self.died()),
        }
    }

    /// As [`Launch::new`], with a process that is made on these CPUs and starts with them. It is not the process itself that
    /// moves there: where it is born in its cgroup, the cgroup's CPUs would count first.
    pub(crate) fn on_cpus(cpus: &NumberList, builder: ProgramBuilder, plan: &LaunchPlan<'_>) -> Result<Launch, Error> {
        // The thread ends with its affinity.
        std::thread::scope(|scope| {
            let launch = || {
                sys::process::set_affinity(cpus.mask())
                    .map_err(Error::call("process.execCPUAffinity.initial: sched_setaffinity"))?;
                Launch::new(builder, plan)
            };
            let thread = std::thread::Builder::new().spawn_scoped(scope, launch).map_err(Error::call("a thread"))?;
            thread.join().unwrap_or_else(|_| Err(Error::Other("the thread that makes the process panicked".to_owned())))
        })
    }

    /// Gives the process, which waits, what only its parent can give it.
    pub(crate) fn confine(&self, plan: &ConfinePlan) -> Result<(), Error> {
        let pid = Pid::from_raw(self.pid).ok_or_else(|| self.died())?;
        Ok(plan.apply(pid)?)
    }

    /// Waits until the process has reached the gate.
    pub(crate) fn wait_gate(&self, number: u32) -> Result<(), Error> {
        match self.next_report()? {
            Report::Gate(reached) if reached == number => Ok(()),
            Report::Gate(reached) => Err(Error::Other(format!("init waits at gate {reached} instead of {number}"))),
            Report::Failed(failure) => Err(self.failed(&failure)),
            Report::End | Report::Moment(_) | Report::Listener | Report::Cloned(_) => Err(self.died()),
        }
    }

    /// Waits until the process has executed its program; what then ends the conversation is the execve itself. `listener` gets
    /// what a filter with notifications makes.
    pub(crate) fn wait_exec(&self, listener: impl Fn(OwnedFd) -> Result<(), Error>) -> Result<(), Error> {
        loop {
            return match self.next_message()? {
                (Report::Listener, Some(fd)) => {
                    listener(fd)?;
                    continue;
                }
                (Report::End, _) => {
                    self.moments.executed();
                    Ok(())
                }
                (Report::Failed(failure), _) => Err(self.failed(&failure)),
                (Report::Gate(reached), _) => Err(Error::Other(format!("init waits at gate {reached}"))),
                (Report::Cloned(_) | Report::Moment(_) | Report::Listener, _) => Err(self.died()),
            };
        }
    }

    /// Lets the process go on.
    pub(crate) fn open_gate(&self) -> Result<(), Error> {
        match rustix::net::send(&self.report, &[1], SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.died()),
        }
    }

    /// Lets the process go on at a gate that it does not tell of, and may not have reached. Why it never will is told where it is waited
    /// for next.
    pub(crate) fn open_silent_gate(&self) {
        let _ = rustix::net::send(&self.report, &[1], SendFlags::NOSIGNAL);
    }

    /// The process is the container's from now on.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    fn next_report(&self) -> Result<Report, Error> {
        Ok(self.next_message()?.0)
    }

    /// The next message that is more than moments, which may stand before it.
    fn next_message(&self) -> Result<(Report, Option<OwnedFd>), Error> {
        loop {
            let mut message = [0u8; 256];
            let (len, fd) = match sys::socket::receive(self.report.as_fd(), &mut message) {
                // It has ended without reading what it was sent. Its own last words come after that (unix_release_sock in net/unix/af_unix.c).
                Err(rustix::io::Errno::CONNRESET) => continue,
                Ok((0, _)) => return Ok((Report::End, None)),
                received => received.map_err(Error::call("a report of init's"))?,
            };
            for word in message.get(..len).unwrap_or_default().chunks(8) {
                match Report::from_bytes(word) {
                    Report::Moment(moment) => self.moments.told(moment),
                    report => return Ok((report, fd)),
                }
            }
        }
    }

    fn failed(&self, failure: &Failure) -> Error {
        self.moments.failed(failure.op.into());
        explain(&self.program, failure)
    }

    /// Why init ended without a report: killed, most often for want of memory.
    fn died(&self) -> Error {
        let status = wait(self.pidfd.as_fd());
        let text = match status {
            Ok(Exit::Signal(9)) => "signal 9 (is linux.resources.memory.limit too low?)".to_owned(),
            Ok(Exit::Signal(signal)) => format!("signal {signal}"),
            Ok(Exit::Code(code)) => format!("itself with status {code}"),
            Err(_) => "somebody else".to_owned(),
        };
        Error::InitDied(text)
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        if !self.kept {
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
            let _ = wait(self.pidfd.as_fd());
        }
        self.moments.record("clone3, execve of init", self.pid, &self.program);
    }
}

/// Words a failed operation, as engines expect it where the program itself is at fault.
pub(crate) fn explain(program: &Program, failure: &Failure) -> Error {
    let errno = failure.errno;
    match program.origin(failure) {
        Some((Op::FindProgram { .. } | Op::Exec { .. }, place)) => {
            Error::Program { program: place.to_owned(), reason: program_error(place, errno) }
        }
        Some((Op::Chdir { .. }, place)) => Error::Cwd { cwd: place.to_owned(), reason: go_errno(errno) },
        Some((Op::Hook { .. }, place)) => hooks::failed_in_init(place.to_owned(), failure.step, errno),
        _ => Error::Init(program.explain(failure)),
    }
}

fn program_error(program: &str, errno: i32) -> String {
    match errno {
        libc_errno::ENOENT if !program.contains('/') => "executable file not found in $PATH".to_owned(),
        libc_errno::ENOENT => format!("stat {program}: no such file or directory"),
        _ => go_errno(errno),
    }
}

/// An error number in the words of the C library, lower case, as Docker and Podman look for them.
pub(crate) fn go_errno(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

mod libc_errno {
    pub(super) const ENOENT: i32 = 2;
}

fn failed_at_load() -> [u8; 4] {
    let [a, b] = Failure::AT_LOAD.to_ne_bytes();
    [a, b, 0, 0]
}

/// `--preserve-fds N` promises the descriptors 3 to N+2. One that the caller did not open may be the runtime's own by now,
/// which close on exec, as none does that outlived the runtime's own exec.
fn check_preserved(count: u32) -> Result<(), Error> {
    for fd in (3..).take(count as usize) {
        if !is_from_caller(fd) {
            let problem =
                format!("--preserve-fds {count}: descriptor {fd} is not open; pass as many as are open from 3 on");
            return Err(Error::Other(problem));
        }
    }
    Ok(())
}

/// proc_pid_fdinfo(5): the flags are octal.
fn is_from_caller(fd: u32) -> bool {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & rustix::fs::OFlags::CLOEXEC.bits() == 0)
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// The shell's convention: 128 and the signal's number.
    pub(crate) fn code(self) -> u8 {
        let code = match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        };
        u8::try_from(code & 0xff).unwrap_or(u8::MAX)
    }
}

/// Waits for a child to end and reaps it.
pub(crate) fn wait(pidfd: BorrowedFd<'_>) -> rustix::io::Result<Exit> {
    loop {
        let ended = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED))?;
        let Some(status) = ended else { continue };
        if let Some(code) = status.exit_status() {
            return Ok(Exit::Code(code));
        }
        if let Some(signal) = status.terminating_signal() {
            return Ok(Exit::Signal(signal));
        }
    }
}

/// Waits until a process that may be another's child has ended; false if the time went by first.
pub(crate) fn wait_ended(pidfd: BorrowedFd<'_>, limit: std::time::Duration) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    let limit = timespec(limit);
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&limit))).is_ok_and(|ready| ready > 0)
}

/// A duration as poll(2) takes it; longer than it can say is for ever.
pub(crate) fn timespec(limit: std::time::Duration) -> rustix::event::Timespec {
    let tv_sec = limit.as_secs().try_into().unwrap_or(i64::MAX);
    rustix::event::Timespec { tv_sec, tv_nsec: limit.subsec_nanos().into() }
}

/// A pidfd of a child that std made.
pub(crate) fn pidfd_of(pid: u32) -> rustix::io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    rustix::process::pidfd_open(pid, PidfdFlags::empty())
}
