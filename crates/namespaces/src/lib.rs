//! Namespaces: which ones are new, which are joined, how the child gets into them, and its id maps.
//!
//! `plan` is pure, `apply` opens what is joined and makes the child, `emit` is what the child does itself.

mod apply;
mod emit;
mod idmap;
mod netdevice;
mod plan;
mod rtnetlink;

pub use apply::{Error, Joined, open_joins, spawn, spawn_into, without_own_user};
pub use emit::{emit_join_process, emit_joins, emit_late, emit_names};
pub use idmap::{IdMaps, MapWriter, write_maps};
pub use netdevice::{NetDevice, move_devices};
pub use plan::{Join, NamespacePlan, Strategy, kind_flag, plan, plan_exec};
