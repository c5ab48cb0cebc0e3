//! A container's root file system: from `root`, `mounts` and `linux.devices` to the operations that assemble it.
//!
//! [`plan`] is pure: it reads the configuration and a few facts of the host and refuses, or says what will be mounted. The
//! [`Emitter`] turns the plan into operations of the container's init, all of which run before the root is changed: the
//! container is assembled below one descriptor of its root, and the host's paths stay usable until the end. Every path
//! inside the root is resolved below that descriptor at the moment of use, because an image may be full of links.
//!
//! What each mount option does is in one table, [`MOUNT_OPTIONS`].

mod emit;
mod options;
mod path;
mod plan;

pub use emit::{ConsolePlan, Emitter};
pub use options::{MOUNT_OPTIONS, MountOption};
pub use plan::{
    CgroupHierarchy, CgroupMounts, IdMap, InheritedSource, PlanInput, RootfsPlan, UserNamespace, device_paths, plan,
};
