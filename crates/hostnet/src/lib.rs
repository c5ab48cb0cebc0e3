//! Host networking without its limits: published ports, policy, diagnosis, counters and a guard for containers that share
//! the host's network namespace, all by programs on the container's cgroup; and the answer to "who holds this port?".

pub mod assembler;
pub mod attach;
pub mod plan;
pub mod programs;
pub mod rules;

mod container;
mod holder;
mod sockets;

pub use container::Container;
pub use holder::{Holder, Holders};
pub use plan::NetPlan;
pub use rules::Protocol;
pub use sockets::{Socket, sockets};
