//! The listener of a seccomp filter: the descriptor on which an agent hears of the calls that the profile hands to it
//! (config-linux.md, "Seccomp", `listenerPath`).
//!
//! Init sends it over the connection on which it would report a failure, directly before the execve; from here it goes to the
//! agent's socket, with the state of the process.

use std::os::fd::{AsFd, OwnedFd};

use spec::{ContainerProcessState, Linux, OCI_VERSION, Refusal, SECCOMP_FD_NAME, State};

use crate::{Error, socket};

/// Hands the listener of the process `pid` to the agent that the profile names.
pub(crate) fn hand_over(linux: &Linux, pid: i32, state: State, listener: &OwnedFd) -> Result<(), Error> {
    let Some(profile) = linux.seccomp_profile().map_err(Refusal::from)? else { return Ok(()) };
    let Some(path) = &profile.listener_path else { return Ok(()) };
    let process = ContainerProcessState {
        oci_version: OCI_VERSION.to_owned(),
        fds: vec![SECCOMP_FD_NAME.to_owned()],
        pid,
        metadata: profile.listener_metadata.clone(),
        state,
    };
    let json = serde_json::to_vec(&process)
        .map_err(|error| Error::Other(format!("the process state for {}: {error}", path.display())))?;
    socket::send("/linux/seccomp/listenerPath:", path, &json, listener.as_fd())
}
