//! Lays out a program: collects operations and the bytes they refer to, hands out slots, and remembers which place of the
//! configuration each operation comes from, for the text of an error.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};

use sys::memfd::{self, Raw};

use crate::INIT;
use crate::op::{Failure, Header, Inherited, MAGIC, Op, Slot, Str, StrList};

/// Collects a program's operations in the order of their execution.
#[derive(Default)]
pub struct ProgramBuilder {
    ops: Vec<Op>,
    /// For each operation the index of its place.
    places_of: Vec<u16>,
    places: Vec<String>,
    arena: Arena,
    inherited: Vec<(Slot, OwnedFd)>,
    used: Vec<bool>,
}

/// A finished program.
pub struct Program {
    header: Header,
    arena: Vec<u8>,
    ops: Vec<Op>,
    table: Vec<Inherited>,
    places_of: Vec<u16>,
    places: Vec<String>,
    /// The descriptors that init inherits. They must stay open until the child exists.
    pub inherited: Vec<OwnedFd>,
}

/// What [`ProgramBuilder::finish`] must know of the process that will start init.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Signals that the process ignores, bit n-1 for signal n.
    pub ignored_signals: u64,
    /// `--preserve-fds`: how many descriptors from 3 on the container keeps.
    pub preserve_fds: u32,
    /// The child's end of the socket for reports.
    pub report: i32,
    /// Whether init tells when each operation was done.
    pub traced: bool,
}

impl ProgramBuilder {
    /// An empty program.
    pub fn new() -> ProgramBuilder {
        ProgramBuilder { places: vec![String::new()], ..ProgramBuilder::default() }
    }

    /// Names the place that the operations from here on come from, such as `mounts[7] /data` or `linux.sysctl net.core.x`.
    pub fn place(&mut self, place: impl Into<String>) {
        self.places.push(place.into());
    }

    /// Appends an operation. The slots that it closes are free again.
    pub fn push(&mut self, op: Op) {
        self.ops.push(op);
        self.places_of.push(u16::try_from(self.places.len() - 1).unwrap_or(u16::MAX));
        match op {
            Op::MoveMount { from, to, keep: 0 } => {
                self.release(from);
                self.release(to);
            }
            Op::MoveMount { to, .. } => self.release(to),
            Op::FsMount { fs, .. } | Op::FsReconfigure { fs } => self.release(fs),
            Op::Close { fd: from } | Op::MountInFolder { from, .. } => self.release(from),
            _ => {}
        }
    }

    /// Puts a string or plain bytes into the arena. A NUL inside ends a string early, so the reader of the configuration
    /// refuses it; here it would only be cut.
    pub fn text(&mut self, text: impl AsRef<[u8]>) -> Str {
        self.arena.text(text.as_ref())
    }

    /// Puts numbers into the arena, aligned for them.
    pub fn numbers(&mut self, numbers: &[u32]) -> Str {
        self.arena.align();
        self.arena.text(&numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<_>>())
    }

    /// Puts bytes into the arena, aligned to eight, as a seccomp filter must be.
    pub fn aligned(&mut self, data: &[u8]) -> Str {
        self.arena.align();
        self.arena.text(data)
    }

    /// Puts a list of strings into the arena.
    pub fn list<T: AsRef<[u8]>>(&mut self, items: impl IntoIterator<Item = T>) -> StrList {
        let mut words: Vec<u64> = items.into_iter().map(|item| u64::from(self.arena.text(item.as_ref()).at)).collect();
        let count = words.len();
        // The second 0 leaves init room for one more string, HOME.
        words.extend([0, 0]);
        self.arena.align();
        let at = self.arena.end();
        for word in &words {
            self.arena.bytes.extend_from_slice(&word.to_ne_bytes());
        }
        StrList { at, count: u32::try_from(count).unwrap_or(u32::MAX) }
    }

    /// A free slot.
    ///
    /// A program never comes near [`Slot::COUNT`] open descriptors, since mounts are made one after the other.
    pub fn slot(&mut self) -> Slot {
        let free = self.used.iter().position(|&used| !used).unwrap_or(self.used.len());
        if free == self.used.len() {
            self.used.push(true);
        } else {
            self.used[free] = true;
        }
        Slot(u16::try_from(free).unwrap_or(0))
    }

    /// Gives a slot back that no later operation uses, without an operation that closes it.
    pub fn release(&mut self, slot: Slot) {
        if let Some(used) = self.used.get_mut(slot.0 as usize) {
            *used = false;
        }
    }

    /// Lets the child inherit a descriptor.
    pub fn inherit(&mut self, fd: OwnedFd) -> Slot {
        // Never one that was free again: inherited descriptors are in their slots before the first operation.
        let slot = Slot(u16::try_from(self.used.len()).unwrap_or(0));
        self.used.push(true);
        self.inherited.push((slot, fd));
        slot
    }

    /// The operations so far, for tests of a plan.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The text or bytes that an operation refers to, for tests of a plan.
    pub fn bytes_of(&self, text: Str) -> &[u8] {
        let start = (text.at as usize).saturating_sub(size_of::<Header>());
        self.arena.bytes.get(start..start + text.len as usize).unwrap_or_default()
    }

    /// Lays everything out.
    pub fn finish(mut self, start: Start) -> Program {
        self.arena.align();
        let table: Vec<Inherited> =
            self.inherited.iter().map(|(slot, fd)| Inherited { slot: u32::from(slot.0), fd: fd.as_raw_fd() }).collect();
        let size = self.arena.end() as usize + size_of_val(self.ops.as_slice()) + size_of_val(table.as_slice());
        let header = Header {
            magic: MAGIC,
            size: size as u32,
            ops: self.ops.len() as u32,
            ops_at: self.arena.end(),
            ignored_signals: start.ignored_signals,
            first_private_fd: start.preserve_fds.saturating_add(3),
            report: start.report,
            inherited: table.len() as u32,
            traced: u32::from(start.traced),
        };
        Program {
            header,
            arena: self.arena.bytes,
            ops: self.ops,
            table,
            places_of: self.places_of,
            places: self.places,
            inherited: self.inherited.into_iter().map(|(_, fd)| fd).collect(),
        }
    }
}

impl Program {
    /// Init as a file to be executed, with the program behind it, and from which byte to which that is.
    ///
    /// # Errors
    /// Those of [`sys::memfd::sealed`].
    pub fn to_file(&self) -> io::Result<(OwnedFd, Range<u32>)> {
        const BEGIN: usize = INIT.len().next_multiple_of(align_of::<Header>());
        let (padding, header) = ([0u8; BEGIN - INIT.len()], [self.header]);
        let init = [Raw::of(INIT), Raw::of(&padding)];
        let program = [Raw::of(&header), Raw::of(&self.arena), Raw::of(&self.ops), Raw::of(&self.table)];
        let parts: Vec<_> = init.into_iter().chain(program).collect();
        let begin = BEGIN as u32;
        Ok((memfd::sealed("lightship-init", &parts)?, begin..begin + self.header.size))
    }

    /// The operation that a failure names, and the place of the configuration that it comes from.
    pub fn origin(&self, failure: &Failure) -> Option<(&Op, &str)> {
        self.operations().nth(failure.op.into())
    }

    /// The operations, each with the place of the configuration that it comes from.
    pub fn operations(&self) -> impl Iterator<Item = (&Op, &str)> {
        let place = |index: &u16| self.places.get(usize::from(*index)).map_or("", String::as_str);
        self.ops.iter().zip(self.places_of.iter().map(place))
    }
}

/// The bytes that operations refer to, by offsets from the start of the program.
#[derive(Default)]
struct Arena {
    bytes: Vec<u8>,
}

impl Arena {
    /// The offset of the next byte; the arena follows the header.
    fn end(&self) -> u32 {
        (size_of::<Header>() + self.bytes.len()) as u32
    }

    /// Every boundary that anything in a program needs is one of eight bytes.
    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }

    fn text(&mut self, text: &[u8]) -> Str {
        let at = self.end();
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        Str { at, len: text.len() as u32 }
    }
}

// The arena is aligned if what stands before it is.
const _: () = assert!(size_of::<Header>().is_multiple_of(8));

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn inherited_slots_are_never_shared_but_others_are() {
        let mut b = ProgramBuilder::new();
        let first = b.inherit(descriptor());
        b.push(Op::Close { fd: first });
        let second = b.inherit(descriptor());
        assert_ne!(first, second);
        let own = b.slot();
        assert_eq!(own, first);
    }

    #[test]
    fn a_failure_is_told_by_the_place_of_its_operation() {
        let mut b = ProgramBuilder::new();
        b.push(Op::NewSession);
        b.place("mounts[7] /data");
        b.push(Op::MoveMount { from: Slot(0), to: Slot(1), keep: 0 });
        let program = b.finish(Start::default());
        let failure = Failure { op: 1, step: 0, errno: 22 };
        assert_eq!(program.explain(&failure).to_string(), "mounts[7] /data: move_mount: invalid argument");
        assert_eq!(program.explain(&Failure { op: 0, ..failure }).to_string(), "setsid: invalid argument");
        assert!(program.origin(&Failure { op: 2, ..failure }).is_none());
    }

    #[test]
    fn lists_leave_room_for_one_more_string() {
        let mut b = ProgramBuilder::new();
        let list = b.list(["a", "bc"]);
        let words = b.bytes_of(Str { at: list.at, len: 32 }).to_vec();
        assert_eq!((list.count, list.at % 8), (2, 0));
        assert!(words[16..].iter().all(|&byte| byte == 0));
    }
}
