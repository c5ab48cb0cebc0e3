//! The one shape of "no" at plan time: where in config.json, what is wrong, what to change.

use std::fmt;

/// Why a configuration is refused before anything was made.
///
/// `Display` prints `config.json: <pointer>: <problem> (<remedy>)`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.in_document("config.json"))]
pub struct Refusal {
    /// The place, as a JSON pointer (RFC 6901): `/linux/resources/memory/limit`.
    pub pointer: String,
    /// What is wrong there: lower case, no full stop.
    pub problem: String,
    /// What to change; empty when the problem says it all.
    pub remedy: String,
}

impl Refusal {
    /// A refusal of what `pointer` points to.
    pub fn new(pointer: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// The same text for another document than config.json, such as the process.json of `exec`.
    pub fn in_document(&self, document: &str) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            f.write_str(document)?;
            for part in [&self.pointer, &self.problem].into_iter().filter(|part| !part.is_empty()) {
                write!(f, ": {part}")?;
            }
            if self.remedy.is_empty() { Ok(()) } else { write!(f, " ({})", self.remedy) }
        })
    }
}

/// One reference token of a JSON pointer: RFC 6901 escapes `~` and `/`.
pub(crate) fn token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
