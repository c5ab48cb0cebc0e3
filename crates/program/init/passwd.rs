//! The home directory of a user, from a passwd(5) file that the image brought and that may be anything.

use crate::linux::*;

/// How much of the file is read. The largest of real ones are a tenth of this, and one that a hostile image has made
/// terabytes long, which costs it nothing, must not make the container wait.
const MOST: usize = 16 << 20;

/// Reads the sixth field of the first line whose third field is `uid` into `home`; the length, or `None`.
pub fn home_of(uid: u32, home: &mut [u8]) -> Option<usize> {
    // A FIFO must not make the container wait, nor a device act.
    let file = openat2(AT_FDCWD, c"/etc/passwd", O_NONBLOCK | O_NOCTTY, 0, 0).ok()?;
    let regular = stat_fd(file).is_ok_and(|file| file.mode & S_IFMT == S_IFREG);
    let found = if regular { scan(file, uid, home) } else { None };
    close(file);
    found
}

fn scan(file: i32, uid: u32, home: &mut [u8]) -> Option<usize> {
    let mut buffer = [0u8; 1024];
    let mut line = Line::new();
    for _ in 0..MOST / buffer.len() {
        let len = read(file, &mut buffer).ok()?;
        for &byte in &buffer[..len] {
            if byte != b'\n' {
                line.push(byte, home);
            } else if line.is_of(uid) {
                return Some(line.home_len);
            } else {
                line = Line::new();
            }
        }
        if len == 0 {
            return line.is_of(uid).then_some(line.home_len);
        }
    }
    None
}

/// One line, read byte by byte.
struct Line {
    field: u32,
    uid: Option<u64>,
    home_len: usize,
    valid: bool,
}

impl Line {
    fn new() -> Line {
        Line { field: 0, uid: None, home_len: 0, valid: true }
    }

    fn push(&mut self, byte: u8, home: &mut [u8]) {
        match (self.field, byte) {
            (_, b':') => self.field += 1,
            (2, b'0'..=b'9') if self.uid.unwrap_or(0) <= u64::from(u32::MAX) => {
                self.uid = Some(self.uid.unwrap_or(0) * 10 + u64::from(byte - b'0'));
            }
            (2, _) => self.valid = false,
            (5, _) => match home.get_mut(self.home_len) {
                Some(place) => {
                    *place = byte;
                    self.home_len += 1;
                }
                None => self.valid = false,
            },
            _ => {}
        }
    }

    fn is_of(&self, uid: u32) -> bool {
        self.valid && self.field >= 5 && self.uid == Some(u64::from(uid)) && self.home_len > 0
    }
}
