//! Readiness for a service manager (sd_notify(3)): a container gets a socket of its own, and what is said there of its
//! readiness reaches the socket that the runtime was given in `NOTIFY_SOCKET`.
//!
//! The container is not trusted: it could name any process as the service's main one, or keep a watchdog quiet. The runtime
//! names the main process itself.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use spec::{Mount, Spec};
use state::{Entry, Locked};

use crate::{Error, launch, socket};

const VARIABLE: &str = "NOTIFY_SOCKET";
/// The folder of the socket, in the container's folder, and where the container sees it.
const FOLDER: &str = "notify";
const FOLDER_INSIDE: &str = "/run/notify";
const SOCKET: &str = "notify.sock";
/// How long the manager may take to read what it was sent.
const BARRIER_LIMIT: Duration = Duration::from_secs(5);

/// Between a container and the service manager.
pub(crate) struct Notify {
    container: UnixDatagram,
    manager: UnixDatagram,
    /// The service's main process from when it is ready.
    main: u32,
}

/// Lets a container have a socket for its readiness, where the runtime was given one.
pub(crate) fn prepare(spec: &mut Spec, container: &Path) {
    if manager().is_some() {
        add(spec, container);
    }
}

fn add(spec: &mut Spec, container: &Path) {
    let options = ["bind", "ro", "nosuid", "nodev", "noexec"];
    spec.mounts.push(Mount {
        destination: FOLDER_INSIDE.into(),
        kind: Some("bind".to_owned()),
        source: Some(folder(container)),
        options: options.map(str::to_owned).into(),
        ..Mount::default()
    });
    if let Some(process) = &mut spec.process {
        process.env.retain(|variable| !variable.starts_with("NOTIFY_SOCKET="));
        process.env.push(format!("{VARIABLE}={FOLDER_INSIDE}/{SOCKET}"));
    }
}

/// Makes the folder that [`prepare`] has mounted.
pub(crate) fn make_folder(spec: &Spec, entry: &Locked) -> Result<(), Error> {
    let path = folder(entry.path());
    if spec.mounts.last().and_then(|mount| mount.source.as_ref()) != Some(&path) {
        return Ok(());
    }
    let mode = Mode::from_raw_mode(0o755);
    rustix::fs::mkdirat(entry.directory(), FOLDER, mode)
        .and_then(|()| rustix::fs::chmodat(entry.directory(), FOLDER, mode, AtFlags::empty()))
        .map_err(Error::file("folder", path))
}

/// The folder to be mounted, for a container's folder that may be relative as `--root` is.
fn folder(container: &Path) -> PathBuf {
    std::path::absolute(container).unwrap_or_else(|_| container.to_owned()).join(FOLDER)
}

/// The manager's address: a path, or a name that begins with `@`.
fn manager() -> Option<SocketAddr> {
    let value = std::env::var_os(VARIABLE).filter(|value| !value.is_empty())?;
    let bytes = value.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name).ok(),
        None => bytes.starts_with(b"/").then(|| SocketAddr::from_pathname(&value).ok()).flatten(),
    };
    if address.is_none() {
        log::warn!("{VARIABLE}={}: left out: it is neither a path nor an abstract name", value.to_string_lossy());
    }
    address
}

impl Notify {
    /// Listens on the socket of a container that was created with one, if the runtime has a manager to pass its words on to.
    pub(crate) fn listen(entry: &Entry, main: u32) -> Result<Option<Notify>, Error> {
        let Some(address) = manager() else { return Ok(None) };
        if rustix::fs::statat(entry.directory(), FOLDER, AtFlags::SYMLINK_NOFOLLOW).is_err() {
            return Ok(None);
        }
        let name = format!("{FOLDER}/{SOCKET}");
        let failed = |error: std::io::Error| Error::file("socket", entry.path().join(&name))(error);
        let container = UnixDatagram::bind(socket::address(entry.directory(), &name)).map_err(failed)?;
        // Whatever its user is in the container.
        rustix::fs::chmodat(entry.directory(), &name, Mode::from_raw_mode(0o777), AtFlags::empty())
            .map_err(|errno| failed(errno.into()))?;
        let manager = UnixDatagram::unbound().map_err(failed)?;
        match manager.connect_addr(&address) {
            Ok(()) => Ok(Some(Notify { container, manager, main })),
            Err(error) => {
                // No reason for the container not to run.
                log::warn!("{VARIABLE}: {}", program::ErrnoText::from(error));
                Ok(None)
            }
        }
    }

    /// Passes on what the container says until it is ready or its process has ended.
    pub(crate) fn until_ready(&self, process: BorrowedFd<'_>) {
        loop {
            let mut polled = [PollFd::new(&self.container, PollFlags::IN), PollFd::new(&process, PollFlags::IN)];
            match rustix::event::poll(&mut polled, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            let [said, ended] = polled.map(|fd| !fd.revents().is_empty());
            if said && self.pass_on() || ended && !said {
                return;
            }
        }
    }

    /// Reads one message and passes on what is trusted of it. The answer is whether the container is ready.
    pub(crate) fn pass_on(&self) -> bool {
        let mut message = [0; 4096];
        // The descriptor that came with a barrier is closed at the end, which tells the container that all was read.
        let Ok((len, _barrier)) = sys::socket::receive(self.container.as_fd(), &mut message) else { return false };
        let text = String::from_utf8_lossy(message.get(..len).unwrap_or_default());
        let mut lines = trusted(&text);
        let is_ready = lines.contains(&"READY=1");
        let main = format!("MAINPID={}", self.main);
        if is_ready {
            lines.push(&main);
        }
        if !lines.is_empty()
            && let Err(error) = self.manager.send(lines.join("\n").as_bytes())
        {
            log::warn!("{VARIABLE}: {}", program::ErrnoText::from(error));
        }
        if is_ready || text.lines().any(|line| line == "BARRIER=1") {
            self.wait_until_read();
        }
        is_ready
    }

    /// Sends the manager a descriptor that it closes once it has read everything before (sd_notify_barrier(3)): a runtime that
    /// ended earlier could not be told by its process to belong to the service.
    fn wait_until_read(&self) {
        let Ok((read, write)) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC) else { return };
        if send_barrier(self.manager.as_fd(), write).is_ok() {
            launch::wait_ended(read.as_fd(), BARRIER_LIMIT);
        }
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.container.as_fd()
    }
}

fn send_barrier(manager: BorrowedFd<'_>, write: OwnedFd) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [write.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(manager, &[IoSlice::new(b"BARRIER=1")], &mut control, SendFlags::NOSIGNAL)
}

/// The lines of a message that say something of the container and of nothing else.
fn trusted(message: &str) -> Vec<&str> {
    let is_trusted = |line: &&str| match line.split_once('=') {
        Some(("READY", "1")) => true,
        Some(("STATUS", text)) => !text.contains(char::is_control),
        Some(("ERRNO", number)) => !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    message.lines().filter(is_trusted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_speaks_for_itself_alone() {
        let message = "READY=1\nSTATUS=up and running\nERRNO=2\nMAINPID=1\nWATCHDOG=trigger\nFDSTORE=1\nX_Y=1\nBARRIER=1\nREADY=0";
        assert_eq!(trusted(message), ["READY=1", "STATUS=up and running", "ERRNO=2"]);
        assert_eq!(trusted("STATUS=a\x1b[2J\nERRNO=-1\nERRNO=\nREADY"), [] as [&str; 0]);
    }

    #[test]
    fn a_process_is_told_where_its_socket_is() {
        let config = r#"{"ociVersion":"1.3.0","process":{"cwd":"/","args":["a"],"env":["NOTIFY_SOCKET=/old","A=1"]}}"#;
        let mut spec = Spec::from_bytes(config.as_bytes()).unwrap();
        add(&mut spec, Path::new("/state/c"));
        assert_eq!(spec.process.unwrap().env, ["A=1", "NOTIFY_SOCKET=/run/notify/notify.sock"]);
        assert_eq!(spec.mounts[0].source.as_deref(), Some(Path::new("/state/c/notify")));
    }
}
