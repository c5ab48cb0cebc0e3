//! What another crate has written down about a container: kept as its JSON text, and not understood here.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON document within the record or the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Part(Box<RawValue>);

impl Part {
    /// Writes it down.
    ///
    /// # Errors
    /// It cannot be written as JSON, such as a path that is not UTF-8.
    pub fn of(what: &impl Serialize) -> serde_json::Result<Part> {
        serde_json::value::to_raw_value(what).map(Part)
    }

    /// Reads what [`Part::of`] has written.
    ///
    /// # Errors
    /// It is something else.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.0.get())
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Part) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Part {}
