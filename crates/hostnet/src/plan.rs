//! From the settings to what is put in force.

use crate::rules::{Addresses, AllowedBind, AllowedConnect, Publish};

/// Everything that is in force for a container in the host's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetPlan {
    /// Ports that the host sees elsewhere.
    pub publish: Publish,
    /// The addresses that the container is confined to.
    pub address: Option<Addresses>,
    /// All that it may bind; anything if absent.
    pub allow_bind: Option<Vec<AllowedBind>>,
    /// All that it may connect and send to; anything if absent.
    pub allow_connect: Option<Vec<AllowedConnect>>,
    /// Ports below 1024 need no capability.
    pub low_ports: bool,
    /// Failed attempts to bind a port are explained.
    pub diagnose: bool,
    /// What is received and sent is counted.
    pub counters: bool,
    /// The host's network settings cannot be changed.
    pub guard: bool,
}
