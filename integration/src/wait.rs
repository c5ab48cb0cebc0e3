//! Waiting for a condition that nothing announces.

use std::time::{Duration, Instant};

/// How long a condition may take before the test fails: generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls `probe` until it gives a value; panics after `deadline`, naming `what` was waited for.
#[track_caller]
pub fn eventually<T>(deadline: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
