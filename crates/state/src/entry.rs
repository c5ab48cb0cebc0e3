//! One container's directory: read by anybody, changed by the holder of its lock.

use crate::directory::{self, or_missing};
use crate::{CONFIG, ContainerId, Error, JOURNAL, RECORD, RECORD_VERSION, Record, Result, Undo, file, journal};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, fchmod, flock, fstat, ftruncate, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::thread::nanosleep;
use std::ffi::OsStr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Mode of a container's directory and of the files in it.
const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: u32 = 0o600;
/// Only the holder of the lock writes, so one name is enough; what a killed writer left is written over.
const TEMPORARY: &str = "new";
/// A record that is not yet in force.
const DRAFT: &str = "record.new";

/// A container's directory.
#[derive(Debug)]
pub struct Entry {
    id: ContainerId,
    path: PathBuf,
    root: Arc<OwnedFd>,
    directory: OwnedFd,
    /// What this process has journaled. There is nothing else in the journal then: who makes the container writes it alone.
    journaled: Vec<Undo>,
}

/// A container's directory whose exclusive lock is held, until this is dropped or the process ends. A child inherits
/// the lock with the descriptor, up to its execve.
#[derive(Debug)]
pub struct Locked {
    entry: Entry,
    journal: Option<OwnedFd>,
}

impl Entry {
    pub(crate) fn new(id: ContainerId, path: PathBuf, root: Arc<OwnedFd>, directory: OwnedFd) -> Entry {
        Entry { id, path, root, directory, journaled: Vec::new() }
    }

    /// The container's id.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The directory's path, for messages and for things that have no `*at` call (the address of a socket).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The record, or nothing in a container that is being made or was left half-made.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file is truncated, not a record, of a later version, or of another container.
    pub fn record(&self) -> Result<Option<Record>> {
        let Some(bytes) = self.read(RECORD)? else { return Ok(None) };
        let damaged = |problem: String| Error::Damaged { path: self.path.join(RECORD), problem };
        let record: Record = serde_json::from_slice(&bytes).map_err(|error| damaged(format!("no record: {error}")))?;
        if record.version > RECORD_VERSION {
            return Err(damaged(format!("version {} is newer than {RECORD_VERSION}", record.version)));
        }
        if record.id != self.id {
            return Err(damaged(format!("the record of another container, {:?}", record.id.as_str())));
        }
        Ok(Some(record))
    }

    /// The bytes of a file in the directory, or nothing if there is no such file.
    pub fn read(&self, name: &'static str) -> Result<Option<Vec<u8>>> {
        file::contents(self.directory.as_fd(), OsStr::new(name)).map_err(Error::io("read", &self.path.join(name)))
    }

    /// What must be undone, the last acquisition first. Each may never have come to be, or be undone already. What a
    /// newer version wrote, or was damaged, is an error among the others.
    pub fn undos(&self) -> Result<Vec<Result<Undo>>> {
        if !self.journaled.is_empty() {
            return Ok(self.journaled.iter().rev().cloned().map(Ok).collect());
        }
        let bytes = self.read(JOURNAL)?.unwrap_or_default();
        let damaged = |problem| Error::Damaged { path: self.path.join(JOURNAL), problem };
        Ok(journal::in_reverse(&bytes).into_iter().map(|line| line.map_err(damaged)).collect())
    }

    /// Takes the exclusive lock. If others hold a lock this waits for at most `wait` (`Duration::ZERO`: not at all)
    /// and then gives up with [`Error::Busy`]; [`Error::Deleted`] if the last holder deleted the container.
    pub fn lock(self, wait: Duration) -> Result<Locked> {
        self.wait_for_lock(wait)?;
        self.linked_mode()?;
        Ok(Locked { entry: self, journal: None })
    }

    /// Locks the directory that [`crate::StateRoot::begin`] has just made.
    pub(crate) fn lock_new(self) -> Result<Locked> {
        // Until now it was not locked, so another command may have found it and be looking at it, or deleting it.
        self.wait_for_lock(Duration::from_secs(1))?;
        // The umask has been taken off the mode at mkdir.
        if self.linked_mode()? != DIRECTORY_MODE {
            fchmod(&self.directory, DIRECTORY_MODE).map_err(Error::io("set the mode of", &self.path))?;
        }
        Ok(Locked { entry: self, journal: None })
    }

    /// flock(2) knows no timeout, and no descriptor becomes ready when a lock is released: what is left is to try
    /// again. A wait without end is no choice, since a hook of the holder may hang.
    fn wait_for_lock(&self, wait: Duration) -> Result<()> {
        const PAUSE: Duration = Duration::from_millis(2);
        let deadline = Instant::now().checked_add(wait);
        loop {
            match flock(&self.directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    return Err(Error::Busy { id: self.id.to_string() });
                }
                Err(Errno::WOULDBLOCK) => {
                    drop(nanosleep(&rustix::time::Timespec { tv_sec: 0, tv_nsec: PAUSE.subsec_nanos().into() }))
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("lock", &self.path)(errno)),
            }
        }
    }

    /// The directory's mode; an error if it has been removed (it then has no link left), since a lock on it would
    /// keep nobody out of a new directory of the same name.
    fn linked_mode(&self) -> Result<Mode> {
        let stat = fstat(&self.directory).map_err(Error::io("stat", &self.path))?;
        if stat.st_nlink == 0 {
            return Err(Error::Deleted { id: self.id.to_string() });
        }
        Ok(Mode::from_raw_mode(stat.st_mode))
    }
}

impl Deref for Locked {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Locked {
    /// Writes a record, which nobody reads until [`Locked::commit`].
    pub fn draft(&self, record: &Record) -> Result<()> {
        let json = serde_json::to_vec(record)
            .map_err(|error| Error::Unwritable { path: self.path.join(RECORD), problem: error.to_string() })?;
        file::write_new(self.directory(), OsStr::new(DRAFT), OFlags::TRUNC, &json, FILE_MODE)
            .map_err(Error::io("write", &self.path.join(RECORD)))
    }

    /// Makes the draft the container's record. With it the container exists for other commands.
    pub fn commit(&self) -> Result<()> {
        renameat(self.directory(), DRAFT, self.directory(), RECORD).map_err(Error::io("write", &self.path.join(RECORD)))
    }

    /// Writes a file in the directory, atomically and with mode 0600.
    pub fn write(&self, name: &'static str, bytes: &[u8]) -> Result<()> {
        let temporary = OsStr::new(TEMPORARY);
        file::replace(self.directory(), temporary, OFlags::TRUNC, OsStr::new(name), bytes, FILE_MODE)
            .map_err(Error::io("write", &self.path.join(name)))
    }

    /// Notes acquisitions that are about to be made, with one write(2). If this fails they must not be made.
    pub fn journal(&mut self, undos: impl Into<Vec<Undo>>) -> Result<()> {
        let undos = undos.into();
        let path = self.path.join(JOURNAL);
        let lines = journal::lines(&undos)
            .map_err(|error| Error::Unwritable { path: path.clone(), problem: error.to_string() })?;
        let journal = match self.journal.take() {
            Some(journal) => journal,
            None => open_journal(self.directory()).map_err(Error::io("open", &path))?,
        };
        let written = rustix::io::write(&journal, &lines).map_err(Error::io("write", &path))?;
        if written < lines.len() {
            return Err(Error::io("write", &path)(Errno::NOSPC));
        }
        self.journal = Some(journal);
        self.entry.journaled.extend(undos);
        Ok(())
    }

    /// Takes back the last note of this process: it has turned out to be about something of another's, which is not to be undone.
    pub fn retract(&mut self) -> Result<()> {
        self.entry.journaled.pop();
        let path = self.path.join(JOURNAL);
        let left = journal::lines(&self.entry.journaled)
            .map_err(|error| Error::Unwritable { path: path.clone(), problem: error.to_string() })?;
        let shorten = |journal: &OwnedFd| ftruncate(journal, left.len() as u64).map_err(Error::io("shorten", &path));
        self.journal.as_ref().map_or(Ok(()), shorten)
    }

    /// Lets other commands change the container, until it is locked again.
    pub fn unlock(self) -> Result<Entry> {
        flock(&self.entry.directory, FlockOperation::Unlock).map_err(Error::io("unlock", &self.entry.path))?;
        Ok(self.entry)
    }

    /// Removes the container's directory, after everything in the journal has been undone.
    ///
    /// The id stays claimed to the end. Killed in the middle, this leaves a directory that `find` finds and the next
    /// `remove` removes. `config.json` goes first, so that the hooks in it are not run again; the record last, so that
    /// the container is a stopped one until it is gone.
    pub fn remove(self) -> Result<()> {
        let fail = Error::io("remove", &self.path);
        let removed = directory::names(self.directory()).and_then(|mut names| {
            names.sort_by_key(|name| match name.to_str() {
                Ok(CONFIG) => 0,
                Ok(RECORD) => 2,
                _ => 1,
            });
            names.iter().try_for_each(|name| directory::remove(self.directory(), name))?;
            or_missing(unlinkat(&self.root, self.id.as_str(), AtFlags::REMOVEDIR))
        });
        removed.map_err(fail)
    }
}

fn open_journal(directory: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(FILE_MODE);
    let journal = openat(directory, JOURNAL, flags, mode)?;
    fchmod(&journal, mode)?;
    Ok(journal)
}
