//! Control groups: from `linux.resources` and `linux.cgroupsPath` to directories, limits, and processes in them.
//!
//! The way through the crate, in the order a container goes it:
//!
//! 1. [`Layout::probe`] looks at where the host has its hierarchies (v1, hybrid, v2).
//! 2. [`plan`](plan::plan) is pure: it refuses, or says which directories and which writes.
//! 3. [`CgroupPlan::record`] looks at what exists already and says which directories will be ours. The caller
//!    journals the record *before* the next step, so a crash leaves nothing unknown.
//! 4. [`CgroupPlan::create`] makes the directories and writes the limits; [`CgroupRecord::join`] is the way in.
//! 5. Everything later (join, freeze, kill, stats, update, remove) works from the [`CgroupRecord`] alone and never from
//!    `/proc/PID/cgroup`, which the container can change.
//!
//! What a limit is called in each version is in one table: [`limits`].
//!
//! Where systemd makes the cgroup ([`systemd`]), step 4 is [`CgroupPlan::start_unit`], and comes after the clone.

pub mod devices;
pub mod layout;
pub mod limits;
pub mod plan;
pub mod stats;
pub mod systemd;
pub mod writes;

mod apply;
mod delegate;
mod delegated;
mod error;
mod freeze;
mod kernfs;
mod kill;
mod oom;
mod procs;
mod record;
mod remove;
mod update;

pub use apply::JoinHandles;
pub use error::Error;
pub use layout::{Hierarchy, Layout, Mode, Unified};
pub use oom::OomWatch;
pub use plan::{CgroupPlan, Manager, plan};
pub use record::{CgroupRecord, Dir, Version};
pub use stats::Stats;
pub use systemd::{Instance, Unit};
