//! Compiled filters on disk, so that a container with a known profile neither parses nor compiles it.
//!
//! A file holds the profile's text and the filter made of it, and a hit is the equality of the text: the hash in the file's
//! name only says where to look. Were the hash the key, whoever finds a second profile with the same one could weaken the
//! filter of somebody else's container, and a hash that rules this out would be one more dependency.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use spec::seccomp::Arch;

use super::{Filter, Instruction, MAX_INSTRUCTIONS};

/// Which generator the filters come from: to be counted up with whatever changes a compiled filter (a test of it fails).
pub(super) const GENERATION: u32 = 1;

const MAGIC: [u8; 8] = *b"lsfilter";

/// Longer texts are compiled each time.
const MAX_TEXT: usize = 1 << 20;

/// When the folder holds so many files, it is emptied: hosts use a handful of profiles.
const MAX_FILES: usize = 64;

/// Bytes before the text: magic, generation, architecture, flags, length of the text, checksum.
const HEADER: usize = 8 + 4 + 4 + 4 + 4 + 8;

/// A folder of compiled filters that only its owner can write.
#[derive(Debug)]
pub struct Cache {
    dir: OwnedFd,
}

impl Cache {
    /// Opens the folder, making it with mode 0700 if it is not there; its parent must exist.
    ///
    /// # Errors
    /// It cannot be made or opened, or another user owns it or may write to it.
    pub fn open(path: &Path) -> io::Result<Cache> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(CWD, path, flags, Mode::empty());
        let dir = match open() {
            Err(Errno::NOENT) => match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => open()?,
                Err(error) => return Err(error.into()),
            },
            opened => opened?,
        };
        if !is_ours(&rustix::fs::fstat(&dir)?, FileType::Directory) {
            let problem = format!("{}: another user can write to it", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        Ok(Cache { dir })
    }

    /// The filter kept for exactly this text of `linux.seccomp`. A file that is damaged, foreign or of another version is
    /// none.
    pub fn find(&self, text: &str, native: Arch) -> Option<Filter> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, name(text, native), flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        let size = usize::try_from(stat.st_size).ok()?;
        let program = size.checked_sub(HEADER + text.len())?;
        if !is_ours(&stat, FileType::RegularFile) || program > MAX_INSTRUCTIONS * Instruction::SIZE {
            return None;
        }
        let mut bytes = vec![0; size];
        File::from(file).read_exact(&mut bytes).ok()?;
        let program = bytes.split_off(HEADER + text.len());
        if bytes.get(HEADER..)? != text.as_bytes() || program.is_empty() || program.len() % Instruction::SIZE != 0 {
            return None;
        }
        let flags = u32::from_ne_bytes(bytes.get(16..20)?.try_into().ok()?);
        let filter = Filter { program, flags };
        (bytes.get(..HEADER)? == header(text, native, &filter)).then_some(filter)
    }

    /// Keeps the filter made of `text`, atomically: a reader finds all of it or nothing.
    ///
    /// # Errors
    /// It cannot be written; the container does not need it to be.
    pub fn keep(&self, text: &str, native: Arch, filter: &Filter) -> io::Result<()> {
        if text.len() > MAX_TEXT {
            return Ok(());
        }
        self.make_room()?;
        let name = name(text, native);
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let temporary = format!("{name}.{:x}", u64::from_ne_bytes(random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
        let bytes = [&header(text, native, filter), text.as_bytes(), &filter.program].concat();
        let written = File::from(file)
            .write_all(&bytes)
            .and_then(|()| Ok(rustix::fs::renameat(&self.dir, &temporary, &self.dir, &name)?));
        if written.is_err() {
            rustix::fs::unlinkat(&self.dir, &temporary, AtFlags::empty())?;
        }
        written
    }

    fn make_room(&self) -> io::Result<()> {
        let names: Vec<_> = Dir::read_from(&self.dir)?
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_owned())
            .filter(|name| !name.to_bytes().starts_with(b"."))
            .collect();
        if names.len() >= MAX_FILES {
            for name in names {
                // Another process may have been faster.
                let _ = rustix::fs::unlinkat(&self.dir, name, AtFlags::empty());
            }
        }
        Ok(())
    }
}

/// Of that kind, owned by the caller, and writable for nobody else.
fn is_ours(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && stat.st_mode & 0o022 == 0
}

fn name(text: &str, native: Arch) -> String {
    format!("{:016x}", checksum(&[text.as_bytes(), native.name().as_bytes()]))
}

fn header(text: &str, native: Arch, filter: &Filter) -> [u8; HEADER] {
    let arch = Arch::ALL.iter().position(|arch| *arch == native).unwrap_or(usize::MAX) as u32;
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    let words = [GENERATION, arch, filter.flags, text.len() as u32];
    for (word, bytes) in words.iter().zip(header[8..24].as_chunks_mut().0) {
        *bytes = word.to_ne_bytes();
    }
    let sum = checksum(&[&header[..24], &filter.program]);
    header[24..].copy_from_slice(&sum.to_ne_bytes());
    header
}

/// SipHash of std. Its exact kind may change with the compiler: then no file is found and each is made again.
fn checksum(parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        hasher.write(part);
    }
    hasher.finish()
}
