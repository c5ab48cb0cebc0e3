//! The receiving end of a console socket: what a shim or conmon does with `--console-socket`.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A listening console socket.
#[derive(Debug)]
pub struct ConsoleSocket {
    /// Where it listens.
    pub path: PathBuf,
    listener: UnixListener,
}

impl ConsoleSocket {
    /// Listens at `path`, which must fit a socket address.
    pub fn listen(path: &Path) -> ConsoleSocket {
        std::fs::remove_file(path).ok();
        ConsoleSocket { path: path.to_owned(), listener: UnixListener::bind(path).unwrap() }
    }

    /// The path as a command-line word.
    pub fn word(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Everything that one connection sends: one entry per message, each with the descriptors it carried.
    pub fn messages(&self) -> Vec<Vec<OwnedFd>> {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(crate::wait::PATIENCE)).unwrap();
        std::iter::from_fn(|| receive(&stream)).map(|(_, descriptors)| descriptors).collect()
    }

    /// The first message of the next connection: its bytes, and the descriptors it carried.
    pub fn letter(&self) -> (Vec<u8>, Vec<OwnedFd>) {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(crate::wait::PATIENCE)).unwrap();
        receive(&stream).unwrap()
    }
}

/// One message; `None` at the end of the connection.
fn receive(stream: &UnixStream) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
    let mut data = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(stream, &mut [IoSliceMut::new(&mut data)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut descriptors = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    let bytes = data[..message.bytes].to_vec();
    (message.bytes > 0 || !descriptors.is_empty()).then_some((bytes, descriptors))
}
