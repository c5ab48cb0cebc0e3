//! Real sockets in a cgroup with a plan in force: what the program inside sees, and what the host sees.
//!
//! Needs root and a cgroup v2 hierarchy; a test that cannot run here says why and passes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

mod address;
mod auto;
mod contained;
mod counters;
mod diagnosis;
mod guard;
mod host;
mod policy;
mod publish;
mod publish_address;
mod watcher;
