//! `list`: all containers of a state root.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use spec::Status;
use state::{Entry, StateRoot};

use crate::container::Container;
use crate::{Error, Runtime};

/// One line of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The container's id.
    pub id: String,
    /// The init process, 0 when there is none.
    pub pid: i32,
    /// Where it is in its life.
    pub status: String,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root file system.
    pub rootfs: PathBuf,
    /// When it was created.
    pub created: String,
    /// The user that created it.
    pub owner: String,
    /// The annotations of the configuration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Why its record cannot be read. The others are listed all the same.
    #[serde(skip)]
    pub error: Option<Error>,
}

impl Runtime {
    /// Every container, in the order of the ids.
    ///
    /// # Errors
    /// The state root cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let root = StateRoot::open(&self.root)?;
        Ok(root.list()?.map(|(id, entry)| listed(id.to_string(), entry)).collect())
    }
}

fn listed(id: String, entry: state::Result<Entry>) -> Listed {
    match entry.map_err(Error::from).and_then(|entry| look_at(&entry)) {
        Ok(listed) => listed,
        Err(error) => Listed {
            id,
            pid: 0,
            status: Status::Creating.to_string(),
            bundle: PathBuf::new(),
            rootfs: PathBuf::new(),
            created: String::new(),
            owner: String::new(),
            annotations: BTreeMap::new(),
            error: Some(error),
        },
    }
}

fn look_at(entry: &Entry) -> Result<Listed, Error> {
    let container = Container::of(entry)?;
    let status = container.status(entry)?;
    let record = container.record;
    Ok(Listed {
        id: record.id.to_string(),
        pid: record.init.filter(|_| status != Status::Stopped).map_or(0, |init| init.pid),
        status: status.to_string(),
        bundle: record.bundle,
        rootfs: record.rootfs,
        created: record.created,
        owner: user_name(record.owner),
        annotations: record.annotations,
        error: None,
    })
}

/// The name of a user of the host, or the number (as `#1000`) where there is none.
fn user_name(uid: u32) -> String {
    let number = uid.to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(number.as_str())).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("#{number}"))
}
