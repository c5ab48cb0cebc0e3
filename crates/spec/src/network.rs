//! What the configuration says about the network: the host's, a new one, or one that exists.

use std::path::PathBuf;

use crate::{NamespaceType, Spec};

/// How a container's network relates to the host's, read from `linux.namespaces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// No `network` entry: the container shares the runtime's network namespace (Docker 28 and later,
    /// `--network host`).
    Host,
    /// An entry without a path: a new namespace.
    New,
    /// An entry with a path: that namespace.
    ///
    /// Docker up to 26 spells host networking as a path too. Whether the path is the runtime's own namespace is a
    /// fact of the host, so whoever needs to know compares it with `/proc/self/ns/net`.
    Join(PathBuf),
}

impl Spec {
    /// The container's network mode.
    pub fn network_mode(&self) -> NetworkMode {
        match self.namespace(NamespaceType::Network) {
            None => NetworkMode::Host,
            Some(namespace) => namespace.path.clone().map_or(NetworkMode::New, NetworkMode::Join),
        }
    }
}
