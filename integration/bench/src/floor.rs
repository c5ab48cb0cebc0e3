//! The floor: `floor.c`, which makes the container of the bundle with the fewest system calls. What a runtime takes is told as
//! a multiple of it.

use std::fs;
use std::path::{Path, PathBuf};

use confine::seccomp::{self, Filter};
use serde_json::Value;

use crate::Result;
use crate::bundle::{Bundle, Network};
use crate::runtime::Command;

/// The folder that it makes in each hierarchy.
const CGROUP: &str = "lightship-floor";

pub struct Floor {
    program: PathBuf,
    filter: PathBuf,
    cgroups: Vec<PathBuf>,
}

impl Floor {
    /// `config` is the bundle's: its seccomp profile is compiled beforehand.
    pub fn new(program: &Path, bundle: &Bundle) -> Result<Self> {
        let floor =
            Self { program: program.to_owned(), filter: bundle.scratch().join("filter"), cgroups: hierarchies()? };
        let config: Value = serde_json::from_slice(&fs::read(bundle.path().join("config.json"))?)?;
        let profile = serde_json::from_value(config["linux"]["seccomp"].clone())?;
        let native = seccomp::native().ok_or("no system call table for this architecture")?;
        let filter = Filter::compile(&profile, native).map_err(|refusal| refusal.to_string())?;
        fs::write(&floor.filter, filter.program)?;
        Ok(floor)
    }

    pub fn run(&self, bundle: &Bundle, network: Network) -> Command {
        let mut command: Command = vec![self.program.clone().into(), bundle.path().into(), network.name().into()];
        command.push(self.filter.clone().into());
        command.extend(self.cgroups.iter().map(Into::into));
        command
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        for cgroup in &self.cgroups {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

/// The hierarchies of version 1 or, where there are none, that of version 2.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let of_type = |wanted: &str| -> Vec<PathBuf> {
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        fields.filter(|fields| fields.get(2) == Some(&wanted)).map(|fields| Path::new(fields[1]).join(CGROUP)).collect()
    };
    Ok(Some(of_type("cgroup")).filter(|found| !found.is_empty()).unwrap_or_else(|| of_type("cgroup2")))
}
