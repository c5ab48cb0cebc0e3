//! CRIU's own log, which alone says why something failed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};

/// A log is long; its end tells.
const END: i64 = 64 * 1024;
/// How many errors are shown: the first has often caused the others.
const SHOWN: usize = 4;

/// The last errors in the log `name`, the oldest first, on one line.
pub(crate) fn last_errors(folder: BorrowedFd<'_>, name: &str) -> String {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) else { return String::new() };
    let mut file = File::from(file);
    // A log that is shorter has no such place, and is read from its beginning.
    let _ = file.seek(SeekFrom::End(-END));
    let mut end = Vec::new();
    let _ = file.take(END.unsigned_abs()).read_to_end(&mut end);
    errors_in(&String::from_utf8_lossy(&end))
}

/// A line is `(00.201451) Error (criu/files-reg.c:1790): why`.
fn errors_in(log: &str) -> String {
    let why = |line: &str| line.split_once(" Error (")?.1.split_once("): ").map(|(_, why)| why.trim().to_owned());
    // CRIU would have as many files open as there may be, but can do without; and that it has failed is known.
    let tells = |why: &String| !why.starts_with("rlimit: ") && !why.ends_with("FAILED.");
    let mut errors: Vec<String> = log.lines().filter_map(why).filter(tells).collect();
    errors.drain(..errors.len().saturating_sub(SHOWN));
    errors.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_errors_are_taken_from_the_log() {
        let log = "(00.08) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self\n\
            (00.1) Error (criu/a.c:1): one\n(00.2) Warn  (criu/a.c:2): no\n(00.3) Error (criu/a.c:3): two (x): y \n\
            (00.4) Error (criu/a.c:4): three\n(00.5) Error (criu/a.c:5): four\n\
            (00.6) Error (criu/a.c:6): Dumping FAILED.\n";
        assert_eq!(errors_in(log), "one; two (x): y; three; four");
        assert_eq!(errors_in(""), "");
        assert_eq!(errors_in("Error (no end"), "");
    }
}
