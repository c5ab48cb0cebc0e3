//! Unix sockets: the one in the container's folder on which init waits for `start`, and those of callers who want a
//! descriptor sent.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use program::{GO, GO_TRACED, Report};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use state::Entry;
use sys::socket::receive;

use crate::Error;
use crate::moments::Moments;

/// Its name in the container's folder.
const START: &str = "start";

/// The path of a file in a folder that is open. An address has room for 107 bytes only (unix(7)); a state root may be
/// longer.
pub(crate) fn address(folder: BorrowedFd<'_>, name: &str) -> PathBuf {
    format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()).into()
}

/// Makes the socket on which init will wait.
pub(crate) fn listen(entry: &Entry) -> Result<OwnedFd, Error> {
    let path = entry.path().join(START);
    UnixListener::bind(address(entry.directory(), START)).map(OwnedFd::from).map_err(Error::file("socket", path))
}

/// Whether init may be waiting.
pub(crate) fn exists(entry: &Entry) -> bool {
    rustix::fs::statat(entry.directory(), START, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Nobody waits any more.
pub(crate) fn remove(entry: &Entry) -> Result<(), Error> {
    match rustix::fs::unlinkat(entry.directory(), START, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::file("socket", entry.path().join(START))(errno)),
    }
}

/// Tells init to go on, and waits for its execve or its failure; `listener` gets what a filter with notifications makes.
pub(crate) fn start(
    entry: &Entry,
    moments: &Moments,
    listener: impl Fn(OwnedFd) -> Result<(), Error>,
) -> Result<Report, Error> {
    let failed = |error: std::io::Error| Error::file("socket", entry.path().join(START))(error);
    let mut connection = UnixStream::connect(address(entry.directory(), START)).map_err(failed)?;
    connection.write_all(&[if moments.wanted() { GO_TRACED } else { GO }]).map_err(failed)?;
    loop {
        let mut message = [0; 8];
        let (len, fd) = receive(connection.as_fd(), &mut message).map_err(|errno| failed(errno.into()))?;
        match (Report::from_bytes(message.get(..len).unwrap_or_default()), fd) {
            (Report::Listener, Some(fd)) => listener(fd)?,
            (Report::Moment(moment), _) => moments.told(moment),
            (report, _) => return Ok(report),
        }
    }
}

/// Connects to the socket of a caller who waits for a descriptor.
pub(crate) fn connect(what: &'static str, path: &Path) -> Result<OwnedFd, Error> {
    // Through the opened folder, for paths longer than an address.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty()).map_err(Error::file(what, path))?;
    let socket = UnixStream::connect(address(folder.as_fd(), name)).map_err(Error::file(what, path))?;
    Ok(socket.into())
}

/// Sends a descriptor in one message.
pub(crate) fn send(what: &'static str, path: &Path, data: &[u8], fd: BorrowedFd<'_>) -> Result<(), Error> {
    let socket = connect(what, path)?;
    send_over(socket.as_fd(), data, fd).map_err(Error::file(what, path))
}

/// Sends a descriptor in one message over a connection.
pub(crate) fn send_over(socket: BorrowedFd<'_>, data: &[u8], fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(data)], &mut control, SendFlags::NOSIGNAL).map(drop)
}
