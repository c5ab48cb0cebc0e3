//! The status of a container, as the runtime specification names it. It is derived, never stored.

use std::fmt;

/// `status` in the state JSON (runtime-spec, "State"), and `paused`, which the specification allows to add and
/// every engine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Being made, or left half-made by a runtime that was killed.
    Creating,
    /// Made, and waiting for `start`.
    Created,
    /// The container's process has been executed and has not ended.
    Running,
    /// Running, with its cgroup frozen.
    Paused,
    /// The init process has ended.
    Stopped,
}

impl Status {
    /// The word of the specification.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
