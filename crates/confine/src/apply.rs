//! The parent's side: what takes a capability over the host, which a process in a user namespace of its own does not have.

use program::ErrnoText;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Rlimit};
use spec::RlimitType;

use crate::plan::ConfinePlan;
use crate::rlimits;

/// Why a process cannot be given what its plan says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A hard limit.
    #[error("process.rlimits {kind}: prlimit: {error}")]
    Limit {
        /// Which one.
        kind: RlimitType,
        /// prlimit(2)'s error.
        error: ErrnoText,
    },
    /// The score.
    #[error("process.oomScoreAdj: write: {0}")]
    OomScore(ErrnoText),
}

impl ConfinePlan {
    /// Whether the process has to wait for [`ConfinePlan::apply`].
    pub fn needs_apply(&self) -> bool {
        self.user_namespace && (self.oom_score.is_some() || !self.limits.is_empty())
    }

    /// Sets the score of a process in a user namespace, and raises its hard limits to what is asked for. The process itself
    /// sets the limits, late; it may do that below a hard limit. It must be a child that waits.
    ///
    /// # Errors
    /// Those of prlimit(2), and of the write to `/proc/<pid>/oom_score_adj`.
    pub fn apply(&self, pid: Pid) -> Result<(), Error> {
        if !self.user_namespace {
            return Ok(());
        }
        for limit in &self.limits {
            let resource = rlimits::resource(limit.kind);
            // It has the runtime's own, as its child.
            let own = rustix::process::getrlimit(resource);
            if own.maximum.is_some_and(|hard| hard < limit.hard) {
                let maximum = (limit.hard != u64::MAX).then_some(limit.hard);
                rustix::process::prlimit(Some(pid), resource, Rlimit { current: own.current, maximum })
                    .map_err(|error| Error::Limit { kind: limit.kind, error: ErrnoText(error.raw_os_error()) })?;
            }
        }
        let Some(score) = self.oom_score else { return Ok(()) };
        let path = format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero());
        let write = || {
            let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
            rustix::io::write(&file, score.to_string().as_bytes())
        };
        write().map(drop).map_err(|error| Error::OomScore(ErrnoText(error.raw_os_error())))
    }
}
