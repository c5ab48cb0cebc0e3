//! A stand-in with the engine's agreed signatures, until `crates/engine` has them.
#![allow(missing_docs, clippy::unused_self, reason = "replaced as a whole by the engine crate")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rootless {
    Auto,
    Yes,
    No,
}

#[derive(Debug)]
pub struct Runtime {
    pub root: PathBuf,
    pub cgroup_manager: cgroups::Manager,
    pub rootless: Rootless,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    pub bundle: PathBuf,
    pub config: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    pub preserve_fds: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    pub detach: bool,
    pub keep: bool,
    pub no_subreaper: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserSpec {
    pub uid: u32,
    pub gid: Option<u32>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct ExecOptions {
    pub process: Option<PathBuf>,
    pub args: Vec<OsString>,
    pub cwd: Option<PathBuf>,
    pub env: Vec<String>,
    pub tty: bool,
    pub user: Option<UserSpec>,
    pub additional_gids: Vec<u32>,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub detach: bool,
    pub process_label: Option<String>,
    pub apparmor: Option<String>,
    pub no_new_privs: bool,
    pub caps: Vec<String>,
    pub preserve_fds: u32,
    pub cgroup: Vec<String>,
    pub ignore_paused: bool,
}

#[derive(Debug, Default)]
pub struct IntelRdtUpdate {
    pub l3_cache_schema: Option<String>,
    pub mem_bw_schema: Option<String>,
}

/// One container of `list`; `error` says why a record could not be read.
#[derive(Debug, serde::Serialize)]
pub struct Listed {
    pub id: String,
    pub pid: i32,
    pub status: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub created: String,
    pub owner: String,
    pub annotations: std::collections::BTreeMap<String, String>,
    #[serde(skip)]
    pub error: Option<Error>,
}

impl Runtime {
    fn absent<T>(&self, id: &str) -> Result<T, Error> {
        Err(Error(format!("container {id} does not exist (the engine is not built in)")))
    }
    pub fn create(&self, id: &str, _: &CreateOptions) -> Result<(), Error> {
        self.absent(id)
    }
    pub fn start(&self, id: &str) -> Result<(), Error> {
        self.absent(id)
    }
    pub fn run(&self, id: &str, _: &CreateOptions, _: &RunOptions) -> Result<u8, Error> {
        self.absent(id)
    }
    pub fn state(&self, id: &str) -> Result<Value, Error> {
        self.absent(id)
    }
    pub fn kill(&self, id: &str, _signal: i32, _all: bool) -> Result<(), Error> {
        self.absent(id)
    }
    pub fn delete(&self, id: &str, force: bool) -> Result<(), Error> {
        if force { Ok(()) } else { self.absent(id) }
    }
    pub fn pause(&self, id: &str) -> Result<(), Error> {
        self.absent(id)
    }
    pub fn resume(&self, id: &str) -> Result<(), Error> {
        self.absent(id)
    }
    pub fn exec(&self, id: &str, _: &ExecOptions) -> Result<u8, Error> {
        self.absent(id)
    }
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        Ok(Vec::new())
    }
    pub fn ps(&self, id: &str) -> Result<Vec<i32>, Error> {
        self.absent(id)
    }
    pub fn update(&self, id: &str, _: &spec::Resources, _: &IntelRdtUpdate) -> Result<(), Error> {
        self.absent(id)
    }
    /// One event, `{"type":"stats","id":..,"data":..}`.
    pub fn stats(&self, id: &str) -> Result<Value, Error> {
        self.absent(id)
    }
    /// Calls `event` with `{"type":"stats"|"oom","id":..,"data":..}` until the container ends or `event` says stop.
    pub fn events(&self, id: &str, _interval: Duration, _event: &mut dyn FnMut(&Value) -> bool) -> Result<(), Error> {
        self.absent(id)
    }
}
