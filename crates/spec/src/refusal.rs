//! The one shape of "no" at plan time: where in config.json, what is wrong, what to change.

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

    /// The text for another document than config.json, such as the process.json of `exec`.
    pub fn in_document(&self, document: &str) -> String {
        let Self { pointer, problem, remedy } = self;
        let place = if pointer.is_empty() { document.to_owned() } else { format!("{document}: {pointer}") };
        if remedy.is_empty() { format!("{place}: {problem}") } else { format!("{place}: {problem} ({remedy})") }
    }
}

/// One reference token of a JSON pointer: RFC 6901 escapes `~` and `/`.
pub fn token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
