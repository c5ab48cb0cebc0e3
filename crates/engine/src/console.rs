//! The terminal of a container's process: who gets its other end, and the operations that make it.

use std::os::fd::OwnedFd;
use std::path::Path;

use program::{Op, ProgramBuilder, Slot};
use rustix::fs::FileType;

use crate::{Error, socket};

/// What runc calls the message with the descriptor; receivers do not look at it.
pub(crate) const NAME: &[u8] = b"/dev/ptmx";

/// Connects to `--console-socket`.
pub(crate) fn connect(path: Option<&Path>) -> Result<Option<OwnedFd>, Error> {
    path.map(|path| socket::connect("--console-socket", path)).transpose()
}

/// A terminal needs somebody at the other end, and somebody at the other end a terminal.
pub(crate) fn check(terminal: bool, socket: bool, detached: bool) -> Result<(), Error> {
    let problem = match (terminal, socket) {
        (true, false) if detached => {
            "cannot allocate tty if lightship will detach without setting console socket (give --console-socket)"
        }
        (false, true) => {
            "cannot use console socket if lightship will not detach or allocate tty (set process.terminal)"
        }
        _ => return Ok(()),
    };
    Err(Error::Other(problem.to_owned()))
}

/// Makes the terminal the process's own: its stdio and controlling terminal; the other end goes to the caller.
pub(crate) fn emit(master: Slot, peer: Slot, socket: OwnedFd, b: &mut ProgramBuilder) {
    b.place("process.terminal");
    let socket = b.inherit(socket);
    let data = b.text(NAME);
    b.push(Op::SendFd { socket, fd: master, data });
    b.push(Op::Close { fd: socket });
    b.push(Op::Close { fd: master });
    b.push(Op::ControllingTerminal { fd: peer });
    for to in 0..=2 {
        b.push(Op::Dup { fd: peer, to });
    }
    b.push(Op::Close { fd: peer });
}

/// Gives pipes and files on stdio to the process's user, so that it can open /dev/stdout and its like anew. What belongs to
/// nobody (/dev/null) or cannot be given away stays as it is.
pub(crate) fn give_stdio(host_uid: u32) {
    for stdio in [&rustix::stdio::stdin(), &rustix::stdio::stdout(), &rustix::stdio::stderr()] {
        let Ok(stat) = rustix::fs::fstat(stdio) else { continue };
        let device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        if stat.st_uid != host_uid && !device {
            let _ = rustix::fs::fchown(stdio, Some(rustix::fs::Uid::from_raw(host_uid)), None);
        }
    }
}
