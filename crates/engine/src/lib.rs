//! The operations on containers: plan, apply, and what later commands do with what is recorded.
//!
//! One file for each operation, named after its command. [`plan`] is pure; [`create`](Runtime::create) reads as the list of
//! steps that design and specification ask for. Nothing here prints, exits or changes the process, so that a shim with
//! threads can use it as well as the command line.

mod bundle;
mod cgroup;
mod checkpoint;
mod console;
mod container;
mod create;
mod delete;
mod diagnosis;
mod error;
mod events;
mod exec;
mod external;
mod hooks;
mod host;
mod idmap;
mod images;
mod kernel_types;
mod kill;
mod launch;
mod list;
mod listener;
mod moments;
mod network;
mod notify;
mod pause;
mod plan;
mod ports;
mod process;
mod ps;
mod restore;
mod run;
mod seccomp;
mod socket;
mod start;
mod state;
mod terminal;
mod update;
mod user_namespace;
mod watcher;
mod whereabouts;

use std::path::PathBuf;

use trace::Trace;

pub use checkpoint::CheckpointOptions;
pub use create::CreateOptions;
pub use criu::CgroupsMode;
pub use diagnosis::Said;
pub use error::Error;
pub use exec::{ExecOptions, UserSpec};
pub use host::HostFacts;
pub use images::CriuOptions;
pub use list::Listed;
pub use network::NetworkDocument;
pub use plan::{ContainerPlan, PlanOptions, plan};
pub use ports::{Change, Port};
pub use restore::RestoreOptions;
pub use run::RunOptions;
pub use state::StateDocument;
pub use update::IntelRdtUpdate;

/// Whether to do without cgroups that the caller may not make, as long as no limit needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rootless {
    /// If the effective user is not root, or root in a user namespace only.
    #[default]
    Auto,
    /// Yes.
    Yes,
    /// No: whatever the kernel refuses is an error.
    No,
}

/// A runtime: where its containers are recorded, and how it makes their cgroups.
#[derive(Clone, Debug, Default)]
pub struct Runtime {
    /// The state root (`--root`).
    pub root: PathBuf,
    /// Who makes cgroups.
    pub cgroup_manager: cgroups::Manager,
    /// `--rootless`.
    pub rootless: Rootless,
    /// `--net-KEY=VALUE`: settings for all containers in the host's network.
    pub network: Vec<(hostnet::config::Key, String)>,
    /// `--trace`: where the steps of a command are recorded.
    pub trace: Trace,
}
