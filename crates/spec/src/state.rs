//! The state of a container as hooks, seccomp agents and the `state` command see it (runtime.md, State).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::json;
use crate::named::named;

/// The state document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The specification version the state follows: [`crate::OCI_VERSION`].
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Where the container is in its life.
    pub status: Status,
    /// The init process as the host sees it; there when created or running, absent when stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// The annotations of the configuration.
    #[serde(default, deserialize_with = "json::unique_keys", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

named! {
    /// Where a container is in its life. `paused` is an addition that every runtime with `pause` makes.
    pub enum Status {
        Creating = "creating",
        Created = "created",
        Running = "running",
        Paused = "paused",
        Stopped = "stopped",
    }
}

/// The name of the seccomp listener in [`ContainerProcessState::fds`].
pub const SECCOMP_FD_NAME: &str = "seccompFd";

/// What goes over the seccomp listener's socket (config-linux.md, The Container Process State).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerProcessState {
    /// The specification version: [`crate::OCI_VERSION`].
    pub oci_version: String,
    /// The names of the descriptors sent along, in their order.
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub fds: Vec<String>,
    /// The process whose filter it is, as the runtime sees it.
    pub pid: i32,
    /// `listenerMetadata` of the profile.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// The container's state.
    pub state: State,
}
