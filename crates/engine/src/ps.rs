//! `ps`: the processes of a container.

use crate::{Error, Runtime};

impl Runtime {
    /// The ids, in the runtime's PID namespace, of all processes of the container.
    ///
    /// # Errors
    /// There is no such container, or its cgroup cannot be read.
    pub fn ps(&self, id: &str) -> Result<Vec<i32>, Error> {
        let (_, container) = self.find(id)?;
        Ok(container.processes()?.into_iter().map(|pid| pid.as_raw_nonzero().get()).collect())
    }
}
