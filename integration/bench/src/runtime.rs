//! The command lines of a runtime.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::bundle::Bundle;

/// A command line; the first word is the program.
pub type Command = Vec<OsString>;

pub struct Runtime {
    pub name: String,
    path: PathBuf,
    state: PathBuf,
}

impl Runtime {
    /// What it writes down goes into a folder of its own below `state`.
    pub fn new(name: &str, path: &Path, state: &Path) -> Self {
        Self { name: name.to_owned(), path: path.to_owned(), state: state.join(name) }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command: Command = vec![self.path.clone().into(), "--root".into(), self.state.clone().into()];
        command.extend(words.iter().map(OsString::from));
        command
    }

    pub fn version(&self) -> Command {
        vec![self.path.clone().into(), "--version".into()]
    }

    pub fn run(&self, bundle: &Bundle, id: &str) -> Command {
        let mut command = self.command(&["run", "--bundle"]);
        command.extend([bundle.path().into(), id.into()]);
        command
    }

    pub fn create(&self, bundle: &Bundle, id: &str) -> Command {
        let mut command = self.command(&["create", "--bundle"]);
        command.extend([bundle.path().into(), "--pid-file".into(), bundle.pid_file().into(), id.into()]);
        command
    }

    pub fn start(&self, id: &str) -> Command {
        self.command(&["start", id])
    }

    pub fn state(&self, id: &str) -> Command {
        self.command(&["state", id])
    }

    pub fn kill(&self, id: &str) -> Command {
        self.command(&["kill", id, "KILL"])
    }

    pub fn delete(&self, id: &str) -> Command {
        self.command(&["delete", id])
    }

    pub fn remove(&self, id: &str) -> Command {
        self.command(&["delete", "--force", id])
    }
}
