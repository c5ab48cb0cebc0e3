//! Host networking without its limits: published ports, policy, diagnosis, counters and a guard for containers that share
//! the host's network namespace, all by programs on the container's cgroup; and the answer to "who holds this port?".

pub mod attach;
pub mod config;
mod container;
pub mod diagnosis;
mod grammar;
mod held;
mod holder;
pub mod plan;
pub mod programs;
pub mod published;
mod record;
pub mod rules;
mod sockets;

pub use container::Container;
pub use held::{AlreadyHeld, BindFailed, Held, first_held};
pub use holder::{Holder, Holders};
pub use plan::{NetFacts, NetPlan, plan};
pub use record::NetRecord;
pub use rules::Protocol;
pub use sockets::{Socket, sockets};
