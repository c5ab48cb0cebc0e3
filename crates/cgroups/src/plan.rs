//! From a configuration and a host's layout to what is to be made: pure, and the place where things are refused.

use std::path::{Path, PathBuf};

use spec::{Refusal, Spec};

use crate::devices::{self, Instruction};
use crate::layout::{Layout, Mode};
use crate::limits::{self, Write};
use crate::record::{Dir, Version};

const RESOURCES: &str = "/linux/resources";
const CGROUPS_PATH: &str = "/linux/cgroupsPath";

/// Who makes the container's cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manager {
    /// lightship, by `mkdir` in the cgroup filesystem.
    #[default]
    Cgroupfs,
    /// systemd, as a transient unit. Not there yet: refused.
    Systemd,
    /// Nobody: the container stays in the caller's cgroups, and limits are refused.
    Disabled,
}

/// What is to be made for a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupPlan {
    /// The path below each hierarchy's mount point, with a leading slash. Empty without cgroups.
    pub path: String,
    /// The container's directory in each hierarchy: v1 first, the unified one last. On a hybrid host the latter is there
    /// without limits too: cgroup-BPF is attached to it, and `cgroup.kill` and `cgroup.events` work on it.
    pub dirs: Vec<Dir>,
    /// The limits, in order. Those of the v1 devices controller come last.
    pub writes: Vec<Write>,
    /// v2 controllers to enable in the ancestors if they can be.
    pub wanted: Vec<String>,
    /// v2 controllers that must be enabled, each with the JSON pointer of the limit that needs it.
    pub needs: Vec<(String, String)>,
    /// The program of the device controller, where that is not v1's.
    pub device_filter: Option<Vec<Instruction>>,
    /// What is left out of the configuration, and why.
    pub warnings: Vec<String>,
}

/// Plans the cgroup of the container `id`.
///
/// `cgroupsPath` is taken from the root of each hierarchy as it is mounted, whether absolute or relative; without one the
/// path is `/<id>`. (A relative path is the runtime's to place, config-linux.md; runc takes it below its own cgroup, which
/// makes the container's place depend on who started it, and on v2 fails where that cgroup has processes. crun does as
/// we do.)
///
/// # Errors
/// A path with `..`, a limit the host's hierarchies cannot have, the systemd manager.
pub fn plan(spec: &Spec, id: &str, layout: &Layout, manager: Manager) -> Result<CgroupPlan, Refusal> {
    let linux = spec.linux.as_ref();
    let default = spec::Resources::default();
    let resources = linux.and_then(|linux| linux.resources.as_ref()).unwrap_or(&default);
    match manager {
        Manager::Systemd => {
            return Err(Refusal::new(
                CGROUPS_PATH,
                "the systemd cgroup manager is not supported yet",
                "use the cgroupfs manager: run without --systemd-cgroup and give cgroupsPath as a path",
            ));
        }
        Manager::Disabled => return without_cgroup(resources),
        Manager::Cgroupfs => {}
    }
    let path = cgroup_path(linux.and_then(|linux| linux.cgroups_path.as_deref()), id)?;
    let dirs = container_dirs(layout, &path);
    if dirs.is_empty() {
        let remedy = "mount the cgroup filesystem, or use --cgroup-manager=disabled";
        return Err(Refusal::new(CGROUPS_PATH, "this host has no cgroup hierarchy mounted", remedy));
    }
    let lowered = limits::lower(resources, &dirs, RESOURCES)?;
    let wanted = match (layout.mode(), &layout.unified) {
        // Statistics need the controllers too.
        (Mode::V2, Some(unified)) => unified.controllers.clone(),
        // The unified hierarchy of a hybrid host is someone else's: only what a limit needs.
        _ => lowered.needs.iter().map(|(controller, _)| controller.clone()).collect(),
    };
    let mut plan = CgroupPlan {
        path,
        dirs,
        writes: lowered.writes,
        wanted,
        needs: lowered.needs,
        device_filter: None,
        warnings: lowered.warnings,
    };
    plan.restrict_devices(resources)?;
    Ok(plan)
}

fn without_cgroup(resources: &spec::Resources) -> Result<CgroupPlan, Refusal> {
    let lowered = limits::lower(resources, &[], RESOURCES)?;
    let mut warnings = lowered.warnings;
    warnings.push(format!("{RESOURCES}/devices: left out: the cgroup manager is disabled"));
    Ok(CgroupPlan { warnings, ..CgroupPlan::default() })
}

impl CgroupPlan {
    /// Adds the device rules: to v1's controller where there is one, else as a program for the unified hierarchy.
    fn restrict_devices(&mut self, resources: &spec::Resources) -> Result<(), Refusal> {
        let pointer = format!("{RESOURCES}/devices");
        let rules = devices::rules(&resources.devices, &pointer)?;
        if let Some(dir) = self.dirs.iter().position(|dir| dir.version == Version::V1 && dir.has("devices")) {
            self.writes.extend(devices::v1_writes(&rules, dir));
        } else if self.dirs.iter().any(|dir| dir.version == Version::V2) {
            self.device_filter = devices::filter(&rules);
        } else {
            let remedy = "mount the v1 devices controller or a cgroup v2 hierarchy on the host";
            return Err(Refusal::new(pointer, "cgroup controller \"devices\" is not available", remedy));
        }
        Ok(())
    }

    /// The directories that [`create`](CgroupPlan::create) may make, apart from missing parents.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().map(|dir| dir.path.as_path())
    }
}

/// The path below the mount points: `/docker/<id>`.
fn cgroup_path(configured: Option<&str>, id: &str) -> Result<String, Refusal> {
    let configured = configured.filter(|path| !path.is_empty()).unwrap_or(id);
    let mut path = String::new();
    for component in configured.split('/').filter(|component| !component.is_empty() && *component != ".") {
        if component == ".." {
            return Err(refused_path(configured, "leads out of the hierarchy", "give it without \"..\""));
        }
        if component.contains(|c: char| c.is_control()) {
            return Err(refused_path(configured, "has a control character", "use printable characters"));
        }
        if component.len() > 255 {
            return Err(refused_path(configured, "has a name of more than 255 bytes", "use a shorter name"));
        }
        path.push('/');
        path.push_str(component);
    }
    if path.is_empty() {
        return Err(refused_path(configured, "is the root cgroup", "name a cgroup below it"));
    }
    Ok(path)
}

fn refused_path(path: &str, problem: &str, remedy: &str) -> Refusal {
    Refusal::new(CGROUPS_PATH, format!("\"{}\" {problem}", path.escape_default()), remedy)
}

fn container_dirs(layout: &Layout, path: &str) -> Vec<Dir> {
    let dir = |version, controllers: &[String], mount: &Path| Dir {
        version,
        controllers: controllers.to_vec(),
        mount: mount.to_owned(),
        path: join(mount, path),
        made: false,
    };
    let v1 = layout.v1.iter().map(|hierarchy| dir(Version::V1, &hierarchy.controllers, &hierarchy.mount));
    let v2 = layout.unified.iter().map(|unified| dir(Version::V2, &unified.controllers, &unified.mount));
    v1.chain(v2).collect()
}

fn join(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}
