//! Timelines: what a command and the init it makes spent their time on, for Perfetto or as a picture.
//!
//! A [`Trace`] that is off reads no clock, allocates nothing and formats no name.

mod chrome;
mod svg;
mod timeline;

use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use timeline::{Kind, Process, Span, Timeline};

/// A step that takes less, in nanoseconds, had nothing to do. That nothing was to be waited for is told all the same.
const NOTHING: u64 = 5000;

/// Where steps are recorded; off unless started.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<Arc<Mutex<Recording>>>);

#[derive(Debug)]
struct Recording {
    began: u64,
    /// When recording began.
    started: u64,
    /// How many steps the next one is inside of.
    depth: usize,
    spans: Vec<Span>,
}

/// What tells whether a step went well.
pub trait Outcome {
    /// Whether it did not.
    fn failed(&self) -> bool;
}

impl Outcome for () {
    fn failed(&self) -> bool {
        false
    }
}

impl<T, E> Outcome for Result<T, E> {
    fn failed(&self) -> bool {
        self.is_err()
    }
}

impl Trace {
    /// A trace that is on. It begins with this process, whose CPU time so far (exec, loading, the command line) is its first step.
    pub fn start(used: Duration) -> Trace {
        let started = now();
        let began = started.saturating_sub(nanoseconds(used));
        Trace(Some(Arc::new(Mutex::new(Recording { began, started, depth: 1, spans: Vec::new() }))))
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The time in nanoseconds since the epoch, 0 when off.
    ///
    /// Init may be in a time namespace, which has a monotonic clock of its own, so it is CLOCK_REALTIME.
    pub fn now(&self) -> u64 {
        if self.is_on() { now() } else { 0 }
    }

    /// Does a step of the runtime's.
    pub fn step<R: Outcome>(&self, name: impl Display, step: impl FnOnce() -> R) -> R {
        self.span(Kind::Step, name, step)
    }

    /// Does something that takes as long as somebody else takes.
    pub fn span<R: Outcome>(&self, kind: Kind, name: impl Display, step: impl FnOnce() -> R) -> R {
        let Some(begin) = self.enter() else { return step() };
        let outcome = step();
        let mut span = Span::new(Process::Runtime, kind, &name.to_string(), begin, now());
        span.failed = outcome.failed();
        self.leave(span);
        outcome
    }

    fn enter(&self) -> Option<u64> {
        self.0.as_ref()?.lock().ok()?.depth += 1;
        Some(now())
    }

    fn leave(&self, span: Span) {
        let Some(Ok(mut recording)) = self.0.as_ref().map(|recording| recording.lock()) else { return };
        recording.depth -= 1;
        let depth = recording.depth;
        if span.failed || span.kind == Kind::Wait || span.duration() >= NOTHING {
            recording.spans.push(span.inside(depth));
        }
    }

    /// Records what another process did.
    pub fn add(&self, spans: impl IntoIterator<Item = Span>) {
        if let Some(Ok(mut recording)) = self.0.as_ref().map(|recording| recording.lock()) {
            recording.spans.extend(spans);
        }
    }

    /// Takes what was recorded as the timeline of a command that ends now; nothing when off, or when there was nothing to do.
    pub fn finish(&self, command: &str, container: &str, error: Option<String>) -> Option<Timeline> {
        let mut recording = self.0.as_ref()?.lock().ok()?;
        let mut spans = std::mem::take(&mut recording.spans);
        if spans.is_empty() {
            return None;
        }
        let step = |name: &str, end| Span::new(Process::Runtime, Kind::Step, name, recording.began, end);
        spans.push(Span { failed: error.is_some(), ..step(&format!("lightship {command}"), now()) });
        spans.push(step("start of lightship", recording.started).inside(1));
        // Where one begins with another that it is inside of, the outer one comes first.
        spans.sort_by_key(|span| (span.process, span.begin, span.depth));
        Some(Timeline { container: container.to_owned(), runtime: std::process::id(), spans, error })
    }
}

fn now() -> u64 {
    nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_nested_and_know_whether_they_failed() {
        let trace = Trace::start(Duration::from_millis(1));
        let outcome: Result<(), ()> = trace.step("outer", || {
            trace.step("nothing", || ());
            let began = trace.now();
            trace.step("inner", || while trace.now() < began + 2 * NOTHING {});
            trace.step(format_args!("in {}", "vain"), || Err(()))
        });
        assert_eq!(outcome, Err(()));
        let timeline = trace.finish("create", "c", Some("no".to_owned())).unwrap();
        let spans: Vec<_> = timeline.spans.iter().map(|span| (span.name.as_str(), span.depth, span.failed)).collect();
        let expected = [
            ("lightship create", 0, true),
            ("start of lightship", 1, false),
            ("outer", 1, true),
            ("inner", 2, false),
            ("in vain", 2, true),
        ];
        assert_eq!(spans, expected);
        assert!(timeline.spans.iter().all(|span| span.begin <= span.end && span.end <= timeline.spans[0].end));
    }

    #[test]
    fn a_command_that_did_nothing_has_no_timeline() {
        assert!(Trace::start(Duration::from_millis(1)).finish("delete", "c", None).is_none());
    }

    #[test]
    fn off_it_neither_formats_nor_records() {
        struct Untouched;
        impl Display for Untouched {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                unreachable!("nobody wants the name")
            }
        }
        let trace = Trace::default();
        assert_eq!(trace.step(Untouched, || Ok::<_, ()>(7)), Ok(7));
        assert_eq!(trace.now(), 0);
        assert!(trace.finish("create", "c", None).is_none());
    }
}
