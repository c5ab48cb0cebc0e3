//! From bytes to types, and from a parser's complaint to a line that a person can act on.

use crate::seccomp::Seccomp;
use crate::{Linux, Process, Resources, Spec};

/// The largest document that is read, in bytes. Real configurations are some tens of KB.
pub const MAX_SIZE: usize = 16 << 20;

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{document}: {pointer}: {problem}")]
pub struct ReadError {
    /// Which document: `config.json`, `process.json`, `resources.json`.
    pub document: &'static str,
    /// The place, as a JSON pointer; empty for the document as a whole.
    pub pointer: String,
    /// What is wrong, with line and column.
    pub problem: String,
}

fn read<'de, T: serde::Deserialize<'de>>(document: &'static str, text: &'de [u8]) -> Result<T, ReadError> {
    serde_json::from_slice(text).map_err(|e| ReadError { document, pointer: String::new(), problem: e.to_string() })
}

impl Spec {
    /// Reads a config.json.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        read("config.json", bytes)
    }
}

impl Process {
    /// Reads the process.json of `exec`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        read("process.json", bytes)
    }
}

impl Resources {
    /// Reads the resources of `update`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        read("resources.json", bytes)
    }
}

impl Linux {
    /// The seccomp profile, parsed.
    pub fn seccomp_profile(&self) -> Result<Option<Seccomp>, ReadError> {
        self.seccomp.as_ref().map(|raw| read("config.json", raw.get().as_bytes())).transpose()
    }
}
