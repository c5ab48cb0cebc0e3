//! The command lines of a runtime.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::floor::Floor;
use crate::stage::Bundle;

/// A command line; the first word is the program.
pub type Command = Vec<OsString>;

/// youki's library in a program of its own (`integration/bench/libcontainer`), which has no other command than `run`.
const LIBRARY: &str = "libcontainer";
const OURS: &str = "lightship";

/// Something that makes, runs and removes a container.
pub enum Contender {
    Floor(Floor),
    Runtime(Runtime),
}

impl Contender {
    pub fn name(&self) -> &str {
        match self {
            Self::Floor(_) => "floor",
            Self::Runtime(runtime) => &runtime.name,
        }
    }

    pub fn is_ours(&self) -> bool {
        self.name() == OURS
    }

    pub fn run(&self, bundle: &Bundle) -> Command {
        match self {
            Self::Floor(floor) => floor.run(bundle),
            Self::Runtime(runtime) => runtime.run(bundle),
        }
    }

    /// The runtime, if it has a command for each step.
    pub fn steps(&self) -> Option<&Runtime> {
        match self {
            Self::Runtime(runtime) if runtime.name != LIBRARY => Some(runtime),
            _ => None,
        }
    }

    /// Forgets all containers; they must be gone.
    pub fn forget(&self) {
        if let Self::Runtime(runtime) = self {
            runtime.forget();
        }
    }

    /// The command that removes what a failed one has left, if there is one.
    pub fn remove(&self, bundle: &Bundle) -> Option<Command> {
        self.steps().map(|runtime| runtime.remove(&bundle.id))
    }
}

pub struct Runtime {
    pub name: String,
    pub path: PathBuf,
    state: PathBuf,
}

impl Runtime {
    /// What it writes down goes into a folder of its own below `folder`.
    pub fn new(name: &str, path: &Path, folder: &Path) -> Self {
        Self { name: name.to_owned(), path: path.to_owned(), state: folder.join("state").join(name) }
    }

    pub fn is_ours(&self) -> bool {
        self.name == OURS
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command: Command = vec![self.path.clone().into(), "--root".into(), self.state.clone().into()];
        command.extend(words.iter().map(OsString::from));
        command
    }

    pub fn run(&self, bundle: &Bundle) -> Command {
        let mut command = self.command(&["run", "--bundle"]);
        command.extend([bundle.path.clone().into(), OsString::from(&bundle.id)]);
        command
    }

    pub fn create(&self, bundle: &Bundle) -> Command {
        let mut command = self.command(&["create", "--bundle"]);
        command.extend([bundle.path.clone().into(), "--pid-file".into(), bundle.pid_file().into()]);
        command.push(OsString::from(&bundle.id));
        command
    }

    pub fn start(&self, id: &str) -> Command {
        self.command(&["start", id])
    }

    pub fn state(&self, id: &str) -> Command {
        self.command(&["state", id])
    }

    pub fn list(&self) -> Command {
        self.command(&["list"])
    }

    pub fn exec(&self, id: &str, program: &[&str]) -> Command {
        self.command(&[&["exec", id], program].concat())
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

    /// Forgets all containers; they must be gone.
    pub fn forget(&self) {
        let _ = std::fs::remove_dir_all(&self.state);
    }
}
