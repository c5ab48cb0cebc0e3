//! The conversation with a `criu swrk`: one request, and an answer to each notice on the way to its response.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus};
use sys::companion::{self, Program};

use crate::protobuf::{Fields, Message, Value};
use crate::{Error, Options, log};

/// The oldest that is used: it has notices of terminals, external namespaces of both kinds, and the freezer of cgroup v2.
pub(crate) const OLDEST: Version = Version { major: 3, minor: 16, sublevel: 0 };
/// A response holds a few numbers and perhaps a sentence.
const LONGEST: usize = 64 * 1024;
/// Where CRIU has its end of the socket, behind standard error.
const SOCKET: &CStr = c"3";
/// The types of requests and responses.
const NOTIFY: i64 = 6;
const VERSION: i64 = 10;

/// The descriptor that CRIU has the first inherited one at; the others follow.
pub const FIRST_INHERITED: RawFd = 4;

/// A version of CRIU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u64,
    minor: u64,
    sublevel: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Version { major, minor, sublevel } = self;
        match sublevel {
            0 => write!(f, "{major}.{minor}"),
            _ => write!(f, "{major}.{minor}.{sublevel}"),
        }
    }
}

/// What CRIU is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Write everything.
    Dump,
    /// Write memory alone, and let the processes go on.
    PreDump,
    /// Make processes again.
    Restore,
}

impl Task {
    fn number(self) -> i64 {
        match self {
            Task::Dump => 1,
            Task::Restore => 2,
            Task::PreDump => 4,
        }
    }

    /// The file in the working folder that CRIU's log goes to.
    pub fn log_name(self) -> &'static str {
        match self {
            Task::Dump | Task::PreDump => "dump.log",
            Task::Restore => "restore.log",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Task::Dump | Task::PreDump => "dump",
            Task::Restore => "restore",
        }
    }
}

/// CRIU tells of a step, and waits (criu.org/Action_scripts).
#[derive(Debug)]
pub struct Notice {
    /// Its name: `setup-namespaces`, `post-restore` and others.
    pub step: String,
    /// The process that it is about, in the caller's PID namespace: the container's first.
    pub pid: i32,
    /// What comes with it: the terminal of `orphan-pts-master`.
    pub fd: Option<OwnedFd>,
}

/// Where the log of a task is.
#[derive(Clone, Copy, Debug)]
pub struct WorkFolder<'a> {
    /// The open folder.
    pub fd: BorrowedFd<'a>,
    /// Its path, for messages.
    pub path: &'a Path,
}

/// A CRIU that waits for a request.
#[derive(Debug)]
pub struct Criu {
    /// Its process id.
    pub pid: i32,
    version: Version,
    pidfd: OwnedFd,
    /// Gone before the process is waited for: its end is what ends an idle CRIU.
    socket: Option<OwnedFd>,
}

impl Criu {
    /// Executes the `criu` of PATH. A restored process gets `stdio` from it where that is asked for; `inherited` are its
    /// descriptors from 4 on ([`Options::inherit_fd`]).
    ///
    /// # Errors
    /// There is none, or it is too old, or does not answer.
    pub fn start(stdio: [BorrowedFd<'_>; 3], inherited: &[BorrowedFd<'_>]) -> Result<Criu, Error> {
        let path = find(std::env::var_os("PATH").as_deref().unwrap_or_default()).ok_or(Error::Missing)?;
        let kind = SocketType::SEQPACKET;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
            .map_err(Error::call("a socket pair"))?;
        // It finds iptables, nft and tar by its environment.
        let environment: Vec<CString> = std::env::vars_os()
            .filter_map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok())
            .collect();
        let environment: Vec<&CStr> = environment.iter().map(CString::as_c_str).collect();
        let descriptors = [&stdio[..], &[theirs.as_fd()], inherited].concat();
        let words = [c"criu", c"swrk", SOCKET];
        let pid = companion::spawn(Program::Path(&path), &words, &environment, &descriptors)
            .map_err(Error::call("executing it"))?;
        let process = Pid::from_raw(pid).ok_or_else(|| Error::NoAnswer(String::new()))?;
        let pidfd = rustix::process::pidfd_open(process, PidfdFlags::empty()).map_err(Error::call("pidfd_open"))?;
        let mut criu = Criu { pid, version: OLDEST, pidfd, socket: Some(ours) };
        drop(theirs);
        criu.version = criu.ask_version()?;
        if criu.version < OLDEST { Err(Error::TooOld(criu.version)) } else { Ok(criu) }
    }

    fn ask_version(&self) -> Result<Version, Error> {
        // Kept open (field 4) for the request itself.
        self.send(Message::default().number(1, VERSION).number(4, 1))?;
        self.receive()?.version.ok_or_else(|| Error::NoAnswer(" to what its version is".to_owned()))
    }

    /// Sends the request, and gives each notice to `step` while CRIU waits; it goes on unless that fails.
    ///
    /// # Errors
    /// That of `step`, or CRIU's own with the last lines of its log.
    pub fn carry_out<E: From<Error>>(
        self,
        task: Task,
        options: &Options,
        work: WorkFolder<'_>,
        mut step: impl FnMut(Notice) -> Result<(), E>,
    ) -> Result<(), E> {
        self.send(Message::default().number(1, task.number()).bytes(2, options.0.as_bytes()))?;
        let mut failed = None;
        loop {
            let response = match self.receive() {
                Ok(response) => response,
                Err(error) => return Err(failed.unwrap_or_else(|| self.failure(task, work, error.to_string()).into())),
            };
            let Some(notice) = response.notice else {
                return match (failed, response.success) {
                    (Some(error), _) => Err(error),
                    (None, true) => Ok(()),
                    (None, false) => Err(self.failure(task, work, response.message).into()),
                };
            };
            let answer = step(notice);
            let sent = self.send(Message::default().number(1, NOTIFY).number(3, i64::from(answer.is_ok())));
            // The first error is the one to report: CRIU has notices for its cleaning up as well.
            failed = failed.or_else(|| answer.err());
            if let Err(error) = sent {
                return Err(failed.unwrap_or_else(|| error.into()));
            }
        }
    }

    /// Puts a failure in words: those of the log, else what CRIU or the end of the conversation says.
    fn failure(&self, task: Task, work: WorkFolder<'_>, otherwise: String) -> Error {
        let name = task.log_name();
        let reason = match log::last_errors(work.fd, name) {
            nothing if nothing.is_empty() => otherwise,
            errors => errors,
        };
        Error::Failed { version: self.version, task: task.verb(), reason, log: work.path.join(name) }
    }

    fn send(&self, message: &Message) -> Result<(), Error> {
        let Some(socket) = &self.socket else { return Ok(()) };
        match rustix::net::send(socket, message.as_bytes(), SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Err(self.ended()),
            Err(errno) => Err(Error::call("sending a request")(errno)),
        }
    }

    fn receive(&self) -> Result<Response, Error> {
        let mut message = vec![0; LONGEST];
        let received = self.socket.as_ref().map(|socket| sys::socket::receive(socket.as_fd(), &mut message));
        match received {
            None | Some(Ok((0, _)) | Err(rustix::io::Errno::CONNRESET)) => Err(self.ended()),
            Some(Ok((length, fd))) => Ok(Response::parse(message.get(..length).unwrap_or_default(), fd)),
            Some(Err(errno)) => Err(Error::call("receiving a response")(errno)),
        }
    }

    fn ended(&self) -> Error {
        let status = wait(self.pidfd.as_fd());
        let code = status.as_ref().and_then(|status| status.exit_status());
        let signal = status.as_ref().and_then(|status| status.terminating_signal());
        Error::NoAnswer(match (code, signal) {
            (Some(code), _) => format!(": it ended with status {code}"),
            (_, Some(signal)) => format!(": it was ended by signal {signal}"),
            _ => String::new(),
        })
    }
}

impl Drop for Criu {
    /// Never killed alone: it would leave processes stopped, with its code in them.
    fn drop(&mut self) {
        self.socket = None;
        wait(self.pidfd.as_fd());
    }
}

fn wait(pidfd: BorrowedFd<'_>) -> Option<WaitIdStatus> {
    rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED)).ok().flatten()
}

/// A program of that name in a list of folders, as execvp(3) looks for it.
fn find(path: &OsStr) -> Option<CString> {
    let candidates = path.as_bytes().split(|byte| *byte == b':').filter(|folder| !folder.is_empty());
    candidates.filter_map(|folder| CString::new([folder, b"/criu"].concat()).ok()).find(|candidate| {
        rustix::fs::accessat(CWD, candidate, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
            && std::fs::metadata(OsStr::from_bytes(candidate.to_bytes())).is_ok_and(|file| file.is_file())
    })
}

/// The message `criu_resp`, as far as it matters.
#[derive(Debug, Default)]
struct Response {
    success: bool,
    notice: Option<Notice>,
    message: String,
    version: Option<Version>,
}

impl Response {
    fn parse(bytes: &[u8], fd: Option<OwnedFd>) -> Response {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (mut response, mut fd) = (Response::default(), fd);
        for field in Fields(bytes) {
            match field {
                (2, Value::Number(success)) => response.success = success != 0,
                (5, Value::Bytes(notice)) => {
                    let step = Fields(notice).find_map(|field| match field {
                        (1, Value::Bytes(step)) => Some(text(step)),
                        _ => None,
                    });
                    let pid = number(notice, 2).and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
                    response.notice = Some(Notice { step: step.unwrap_or_default(), pid, fd: fd.take() });
                }
                (9, Value::Bytes(message)) => response.message = text(message),
                (10, Value::Bytes(version)) => {
                    response.version = number(version, 1).zip(number(version, 2)).map(|(major, minor)| {
                        let sublevel = number(version, 4).unwrap_or_default();
                        Version { major, minor, sublevel }
                    });
                }
                _ => {}
            }
        }
        response
    }
}

fn number(message: &[u8], wanted: u64) -> Option<u64> {
    Fields(message).find_map(|field| match field {
        (field, Value::Number(number)) if field == wanted => Some(number),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_understood() {
        let mut version = Message::default();
        version.number(1, 4).number(2, 2).bytes(3, b"git").number(4, 1);
        let mut message = Message::default();
        message.number(1, VERSION).number(2, 1).bytes(10, version.as_bytes());
        let response = Response::parse(message.as_bytes(), None);
        assert!(response.success && response.notice.is_none());
        assert_eq!(response.version.unwrap().to_string(), "4.2.1");

        let (mut notice, mut message) = (Message::default(), Message::default());
        notice.bytes(1, b"post-restore").number(2, 77);
        message.number(1, NOTIFY).number(2, 1).bytes(5, notice.as_bytes());
        let notice = Response::parse(message.as_bytes(), None).notice.unwrap();
        assert_eq!((notice.step.as_str(), notice.pid), ("post-restore", 77));

        let failed = Response::parse(Message::default().number(2, 0).bytes(9, b"no way").as_bytes(), None);
        assert!(!failed.success && failed.message == "no way");
    }

    #[test]
    fn versions_are_ordered() {
        let version = |major, minor, sublevel| Version { major, minor, sublevel };
        assert!(version(3, 9, 9) < OLDEST && version(4, 0, 0) > OLDEST && version(3, 17, 1) > OLDEST);
    }

    #[test]
    fn the_program_is_looked_for_along_the_path() {
        assert_eq!(find(OsStr::new("")), None);
        assert_eq!(find(OsStr::new("/proc:/nowhere")), None);
    }
}
