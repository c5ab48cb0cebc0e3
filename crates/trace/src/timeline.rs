//! What was recorded, in the order of time.

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    /// This process.
    Runtime,
    /// The process that becomes the container's, by its id.
    Init(i32),
}

/// What it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work.
    Step,
    /// A hook at work.
    Hook,
    /// A process waits for another.
    Wait,
    /// The container's program at work, while nobody is kept waiting.
    Program,
}

/// Something that took its time. Times are nanoseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Span {
    pub process: Process,
    pub kind: Kind,
    /// How many others of the same process it is inside of.
    pub depth: usize,
    pub name: String,
    pub begin: u64,
    pub end: u64,
    pub failed: bool,
}

/// All that a command and its init did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The container's id.
    pub container: String,
    /// The id of the runtime's process.
    pub runtime: u32,
    /// Of one process after the other in the order of their beginnings; the first is the command as a whole.
    pub spans: Vec<Span>,
    /// Why the command failed.
    pub error: Option<String>,
}

impl Span {
    /// One that went well and is inside of no other.
    pub fn new(process: Process, kind: Kind, name: &str, begin: u64, end: u64) -> Span {
        Span { process, kind, depth: 0, name: name.to_owned(), begin, end, failed: false }
    }

    /// The same inside of others.
    #[must_use]
    pub fn inside(self, depth: usize) -> Span {
        Span { depth, ..self }
    }

    /// How long it took, in nanoseconds. Somebody may have set the clock meanwhile.
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}

impl Timeline {
    /// The command as a whole.
    pub(crate) fn whole(&self) -> Option<&Span> {
        self.spans.first()
    }
}

/// What the tests of both formats show: a create that failed in init.
#[cfg(test)]
pub(crate) fn example() -> Timeline {
    use {Kind::*, Process::*};
    let began = 1_700_000_000_000_000_000;
    let span = |process, kind, depth, name: &str, begin: u64, end: u64, failed| Span {
        process,
        kind,
        depth,
        name: name.to_owned(),
        begin: began + begin,
        end: began + end,
        failed,
    };
    Timeline {
        container: "web".to_owned(),
        runtime: 100,
        spans: vec![
            span(Runtime, Step, 0, "lightship create", 0, 5_000_000, true),
            span(Runtime, Step, 1, "cgroup", 250_000, 1_250_500, false),
            span(Runtime, Wait, 1, "wait for init: hooks", 1_500_000, 3_000_000, false),
            span(Runtime, Hook, 1, "hooks.prestart[0] /bin/<a&b>", 3_000_000, 4_000_000, false),
            span(Runtime, Wait, 1, "wait for init: ready", 4_000_000, 5_000_000, true),
            span(Init(101), Step, 0, "mounts[0] /proc", 2_000_000, 2_900_000, false),
            span(Init(101), Step, 1, "fsopen", 2_000_000, 2_400_000, false),
            span(Init(101), Step, 1, "move_mount", 2_400_000, 2_900_000, false),
            span(Init(101), Wait, 0, "hooks: gate", 2_900_000, 4_000_000, false),
            span(Init(101), Step, 0, "linux.sysctl net.core.x: write", 4_000_000, 4_500_000, true),
        ],
        error: Some("linux.sysctl net.core.x: open: \"refused\"".to_owned()),
    }
}
