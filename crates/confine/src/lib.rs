//! What a container's process may do: capabilities, no_new_privs, limits, identity, labels, scheduling and the seccomp
//! filter.
//!
//! [`plan`](plan()) decides, purely; the `emit` functions turn the plan into init's operations.

mod apply;
pub mod capabilities;
mod emit;
mod host;
mod plan;
mod rlimits;
mod scheduling;
pub mod seccomp;

pub use apply::Error;
pub use emit::{Early, emit_before_exec, emit_before_wait, emit_cpus, emit_early};
pub use host::{HostFacts, apparmor_profiles, hard_limits};
pub use plan::{ConfinePlan, Label, plan};
pub use rlimits::Limit;
pub use scheduling::{Cpus, SchedAttr, Scheduling};
