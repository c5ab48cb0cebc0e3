//! `lightship diagnose`: run by the watcher of a container in the host's network when a bind(2) of the container has failed.
//!
//! Its standard input is the ring buffer with the container's failed attempts, its standard output a file that remembers what has
//! been said, and its standard error that of the container.

use engine::Said;
use rustix::io::{pread, write};
use rustix::stdio::{stderr, stdin, stdout};

use super::Verb;
use crate::Error;
use crate::args::Arguments;
use crate::global::Global;

pub(super) const VERB: Verb = Verb { name: "diagnose", about: "explain failed binds", arguments: &[], run };

/// The container's own output is no place for complaints: what cannot be said is not said.
fn run(global: &Global, _: &Arguments) -> Result<u8, Error> {
    let Ok(failed) = rustix::io::fcntl_dupfd_cloexec(stdin(), 3) else { return Ok(1) };
    let Ok(lines) = global.runtime().diagnose(failed) else { return Ok(1) };
    for line in Said::before(remembered()).news(lines) {
        let _ = write(stderr(), line.as_bytes());
        let _ = write(stdout(), line.as_bytes());
    }
    Ok(0)
}

fn remembered() -> String {
    let mut text = vec![0; Said::MOST];
    let len = pread(stdout(), &mut text[..], 0).unwrap_or(0);
    text.truncate(len);
    String::from_utf8_lossy(&text).into_owned()
}
