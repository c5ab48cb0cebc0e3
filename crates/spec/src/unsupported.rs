//! What the specification has and lightship does not do yet: refused, never ignored.
//!
//! One row for each; the row goes when the feature comes.

use crate::{Linux, Refusal, Spec};

struct Row {
    /// What it is, as the text of the refusal names it.
    feature: &'static str,
    /// Where the configuration asks for it.
    find: fn(&Spec) -> Option<String>,
    remedy: &'static str,
}

const ROWS: &[Row] = &[Row {
    feature: "Intel RDT",
    find: |spec| in_linux(spec, "intelRdt", |linux| linux.intel_rdt.is_some()),
    remedy: "remove it",
}];

impl Spec {
    /// Refuses the first thing that the configuration asks for and lightship does not do.
    ///
    /// # Errors
    /// A refusal with the place of that thing.
    pub fn refuse_unsupported(&self) -> Result<(), Refusal> {
        ROWS.iter().find_map(|row| (row.find)(self).map(|place| (row, place))).map_or(Ok(()), |(row, place)| {
            let problem = format!("{} is not supported yet", row.feature);
            Err(Refusal::new(place, problem, row.remedy))
        })
    }
}

fn in_linux(spec: &Spec, property: &str, wanted: fn(&Linux) -> bool) -> Option<String> {
    spec.linux.as_ref().filter(|linux| wanted(linux)).map(|_| format!("/linux/{property}"))
}
