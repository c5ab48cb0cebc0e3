//! `state`: what a container is and where it is in its life.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use spec::Status;

use crate::{Error, Runtime};

/// The state document of the specification (runtime.md, "State"), with the members that runc adds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateDocument {
    /// The version of the container's configuration.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The init process, 0 when it has ended.
    pub pid: i32,
    /// Where it is in its life.
    pub status: Status,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root file system.
    pub rootfs: PathBuf,
    /// When it was created (RFC 3339, UTC).
    pub created: String,
    /// The annotations of the configuration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Who created it: a user name, or empty as with runc.
    pub owner: String,
}

impl Runtime {
    /// The state of a container.
    ///
    /// # Errors
    /// There is no such container, or its record is damaged.
    pub fn state(&self, id: &str) -> Result<StateDocument, Error> {
        let (entry, container) = self.find(id)?;
        let status = container.status(&entry)?;
        let pid = container.record.init.filter(|_| status != Status::Stopped).map_or(0, |init| init.pid);
        let record = container.record;
        Ok(StateDocument {
            oci_version: record.oci_version,
            id: record.id.to_string(),
            pid,
            status,
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            annotations: record.annotations,
            owner: String::new(),
        })
    }
}
