//! The floor: `floor.c`, which makes the container of a bundle with the fewest system calls. What a runtime takes is told as
//! a multiple of it.

use std::fs;
use std::path::{Path, PathBuf};

use confine::seccomp::{self, Filter};
use integration::cgroup;
use serde_json::Value;

use crate::Result;
use crate::runtime::Command;
use crate::stage::{Bundle, Network, Stage, TRUE};

pub struct Floor {
    program: PathBuf,
    /// That of the stage, where the root filesystem is.
    folder: PathBuf,
    filter: PathBuf,
    /// Where the cgroup of a bundle is looked for: the hierarchies of version 1 or, where there are none, that of version 2.
    hierarchies: Vec<PathBuf>,
}

impl Floor {
    /// The seccomp profile of all bundles is compiled beforehand.
    pub fn new(program: &Path, stage: &Stage<'_>) -> Result<Self> {
        let folder = stage.folder().to_owned();
        let filter = folder.join("filter");
        let floor = Self { program: program.to_owned(), folder, filter, hierarchies: hierarchies() };
        let bundle = stage.bundle("floor", Network::Host, TRUE, None)?;
        let config: Value = serde_json::from_slice(&fs::read(bundle.path.join("config.json"))?)?;
        let profile = serde_json::from_value(config["linux"]["seccomp"].clone())?;
        let native = seccomp::native().ok_or("no system call table for this architecture")?;
        let filter = Filter::compile(&profile, native).map_err(|refusal| refusal.to_string())?;
        fs::write(&floor.filter, filter.program)?;
        Ok(floor)
    }

    /// Its program is always [`TRUE`].
    pub fn run(&self, bundle: &Bundle) -> Command {
        let mut command: Command = vec![self.program.clone().into(), self.folder.clone().into()];
        command.extend([bundle.network.name().into(), bundle.memory.to_string().into(), self.filter.clone().into()]);
        let cgroup = bundle.cgroup.trim_start_matches('/');
        command.extend(self.hierarchies.iter().map(|hierarchy| hierarchy.join(cgroup).into()));
        command
    }
}

fn hierarchies() -> Vec<PathBuf> {
    let (v2, v1): (Vec<_>, Vec<_>) = cgroup::hierarchies().into_iter().partition(|found| found.controllers.is_empty());
    let chosen = if v1.is_empty() { v2 } else { v1 };
    chosen.into_iter().map(|hierarchy| hierarchy.mount).collect()
}
