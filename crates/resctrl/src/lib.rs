//! Intel RDT and its like: shares of the last-level cache and of memory bandwidth, by the kernel's resctrl file system
//! (Documentation/filesystems/resctrl.rst; config-linux.md, "IntelRdt").
//!
//! A container belongs to one control group, a folder there whose `schemata` says what its tasks may use, and with
//! `enableMonitoring` to a monitoring group below it. In the order a container goes through it:
//!
//! 1. [`mount_point`] finds the file system; only a configuration with `intelRdt` has it looked for.
//! 2. [`plan`](plan()) is pure: it refuses, or says which group and which lines.
//! 3. [`ResctrlPlan::record`] looks at the groups there are, and refuses one that does not fit. The caller journals
//!    [`ResctrlRecord::folders`] before the next step.
//! 4. [`ResctrlPlan::make_group`] and [`ResctrlPlan::configure`] make the groups; [`ResctrlRecord::join`] is the way in.
//! 5. Everything later (exec, update, stats, delete) works from the [`ResctrlRecord`] alone.

mod apply;
mod error;
mod mount;
mod plan;
mod record;
mod schemata;
mod stats;

pub use error::Error;
pub use mount::mount_point;
pub use plan::{ResctrlPlan, plan};
pub use record::ResctrlRecord;
pub use stats::{BandwidthInfo, CacheInfo, Occupancy, Stats, Traffic};
