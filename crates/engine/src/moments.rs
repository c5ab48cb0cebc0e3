//! An init's program on the timeline: which operation took how long, by the moments that init tells.

use std::cell::{Cell, RefCell};

use program::{Op, Program, main_call};
use trace::{Kind, Process, Span, Trace};

/// Init tells the lowest bits of a moment (`program::Failure::moment`).
const TOLD: u64 = (1 << 48) - 1;

/// What an init has told so far.
pub(crate) struct Moments {
    trace: Trace,
    /// When it was called into being, or told to go on.
    began: u64,
    told: RefCell<Vec<u64>>,
    /// When it executed its program, or failed.
    ended: Cell<Option<u64>>,
    failed: Cell<Option<usize>>,
}

impl Moments {
    /// Begins now.
    pub(crate) fn new(trace: &Trace) -> Moments {
        let (told, ended, failed) = Default::default();
        Moments { trace: trace.clone(), began: trace.now(), told, ended, failed }
    }

    /// Whether init is to tell any.
    pub(crate) fn wanted(&self) -> bool {
        self.trace.is_on()
    }

    /// Takes one.
    pub(crate) fn told(&self, moment: u64) {
        self.told.borrow_mut().push(self.began + (moment.wrapping_sub(self.began) & TOLD));
    }

    /// Init has executed its program.
    pub(crate) fn executed(&self) {
        self.ended.set(Some(self.trace.now()));
    }

    /// This operation has failed.
    pub(crate) fn failed(&self, op: usize) {
        self.failed.set(Some(op));
        self.ended.set(Some(self.trace.now()));
    }

    /// Puts the operations on the timeline. `first` is what comes before them.
    pub(crate) fn record(&self, first: &str, pid: i32, program: &Program) {
        let told = self.told.borrow();
        let (true, Some(&begin)) = (self.wanted(), told.first()) else { return };
        let process = Process::Init(pid);
        self.trace.add([Span::new(process, Kind::Step, first, self.began, begin)]);
        let operations: Vec<_> = program.operations().collect();
        let spans = told.windows(2).zip(&operations).enumerate().map(|(index, (moment, (op, place)))| {
            let mut span = Span::new(process, kind(op), main_call(op), moment[0], moment[1]);
            span.failed = self.failed.get() == Some(index);
            (*place, span)
        });
        self.trace.add(grouped(spans.collect()));
        self.trace.add(self.rest(process, &operations));
    }

    /// The last operations, which go without moments of their own.
    fn rest(&self, process: Process, operations: &[(&Op, &str)]) -> Option<Span> {
        let told = self.told.borrow();
        let rest = operations.get(told.len() - 1..self.failed.get().map_or(operations.len(), |failed| failed + 1))?;
        let calls: Vec<_> = rest.iter().map(|(op, _)| main_call(op)).collect();
        let mut span = Span::new(process, Kind::Step, &calls.join(", "), *told.last()?, self.ended.get()?);
        span.failed = self.failed.get().is_some();
        (!calls.is_empty()).then_some(span)
    }
}

fn kind(op: &Op) -> Kind {
    match op {
        Op::Gate { .. } | Op::WaitStart { .. } => Kind::Wait,
        Op::Hook { .. } => Kind::Hook,
        _ => Kind::Step,
    }
}

/// Neighbours from the same place of the configuration become parts of a span of that name; one alone is named as in errors.
fn grouped(spans: Vec<(&str, Span)>) -> Vec<Span> {
    let mut grouped = Vec::new();
    for group in spans.chunk_by(|one, other| one.0 == other.0) {
        match group {
            [(place, only)] if !place.is_empty() => {
                grouped.push(Span { name: format!("{place}: {}", only.name), ..only.clone() });
            }
            [(place, first), .., (_, last)] if !place.is_empty() => {
                let whole = Span::new(first.process, first.kind, place, first.begin, last.end);
                grouped.push(Span { failed: last.failed, ..whole });
                grouped.extend(group.iter().map(|(_, part)| part.clone().inside(1)));
            }
            _ => grouped.extend(group.iter().map(|(_, span)| span.clone())),
        }
    }
    grouped
}

#[cfg(test)]
mod tests {
    use program::{ProgramBuilder, Start};

    use super::*;

    fn program() -> Program {
        let mut b = ProgramBuilder::new();
        b.push(Op::NewSession);
        b.place("mounts[0] /proc");
        b.push(Op::Umask { mask: 0 });
        b.push(Op::LoopbackUp);
        b.place("linux.sysctl x");
        b.push(Op::Unshare { flags: 0 });
        b.place("");
        b.push(Op::Personality { persona: 0 });
        let empty = b.list([""; 0]);
        b.push(Op::Exec { args: empty, env: empty });
        b.finish(Start::default())
    }

    /// Name, depth and whether it failed of what is recorded when these moments are told.
    fn recorded(moments: u64, end: impl Fn(&Moments)) -> Vec<(String, usize, bool)> {
        let trace = Trace::start(std::time::Duration::ZERO);
        let told = Moments::new(&trace);
        (1..=moments).for_each(|at| told.told((told.began + at) & TOLD));
        end(&told);
        told.record("clone", 7, &program());
        let Some(timeline) = trace.finish("create", "c", None) else { return Vec::new() };
        let init: Vec<_> = timeline.spans.into_iter().filter(|span| span.process == Process::Init(7)).collect();
        // Each begins where the one before it ended.
        assert!(init.iter().filter(|span| span.depth == 0).is_sorted_by(|one, next| one.end == next.begin), "{init:?}");
        init.into_iter().map(|span| (span.name, span.depth, span.failed)).collect()
    }

    #[test]
    fn operations_are_gathered_by_their_places() {
        let names = recorded(5, Moments::executed);
        let expected = [
            ("clone", 0),
            ("setsid", 0),
            ("mounts[0] /proc", 0),
            ("umask", 1),
            ("ioctl SIOCSIFFLAGS", 1),
            ("linux.sysctl x: unshare", 0),
            ("personality, execve", 0),
        ];
        assert_eq!(names, expected.map(|(name, depth)| (name.to_owned(), depth, false)));
    }

    #[test]
    fn a_failure_marks_its_operation_and_is_the_last() {
        let names = recorded(4, |moments| moments.failed(2));
        let failed: Vec<_> = names.iter().filter(|(.., failed)| *failed).map(|(name, ..)| name.as_str()).collect();
        assert_eq!(failed, ["mounts[0] /proc", "ioctl SIOCSIFFLAGS"]);
        assert_eq!(names.last().unwrap().0, "ioctl SIOCSIFFLAGS");
    }

    #[test]
    fn an_execve_that_failed_is_the_last_as_well() {
        let names = recorded(5, |moments| moments.failed(5));
        assert_eq!(names.last().unwrap(), &("personality, execve".to_owned(), 0, true));
    }

    #[test]
    fn init_that_tells_nothing_leaves_nothing() {
        assert!(recorded(0, Moments::executed).is_empty());
    }
}
