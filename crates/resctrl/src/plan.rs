//! From `linux.intelRdt` to a group and its lines: pure, and the place where things are refused.

use std::path::{Path, PathBuf};

use spec::{IntelRdt, Refusal, Spec};

/// Folders of the file system's root that are no control groups.
const RESERVED: [&str; 3] = ["info", "mon_groups", "mon_data"];

/// What is to be made for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResctrlPlan {
    pub(crate) mount: PathBuf,
    pub(crate) group: PathBuf,
    /// The configuration names the group, so others may use it too.
    pub(crate) named: bool,
    /// `l3CacheSchema` and `memBwSchema`.
    pub(crate) lines: Vec<String>,
    /// `schemata`, which is written last: one write must not name the same part of a cache twice.
    pub(crate) last_lines: Vec<String>,
    pub(crate) monitor: Option<PathBuf>,
}

/// Decides which group the container `id` belongs to; nothing without `linux.intelRdt`. `mount` is what [`mount_point`] found.
///
/// [`mount_point`]: crate::mount_point
///
/// # Errors
/// resctrl is not mounted, or the group's name cannot be one.
pub fn plan(spec: &Spec, id: &str, mount: Option<&Path>) -> Result<Option<ResctrlPlan>, Refusal> {
    let Some(rdt) = spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref()) else { return Ok(None) };
    let Some(mount) = mount else {
        let problem = "no resctrl file system is mounted on this host";
        let remedy = "mount -t resctrl resctrl /sys/fs/resctrl, or take the property out";
        return Err(Refusal::new("/linux/intelRdt", problem, remedy));
    };
    let group = group(rdt, id, mount)?;
    Ok(Some(ResctrlPlan {
        mount: mount.to_owned(),
        named: rdt.clos_id.is_some(),
        lines: lines(rdt.l3_cache_schema.as_deref(), rdt.mem_bw_schema.as_deref()),
        last_lines: rdt.schemata.clone(),
        monitor: rdt.enable_monitoring.then(|| group.join("mon_groups").join(id)),
        group,
    }))
}

/// `/` is the default group, which is the root of the file system; without a name the group has the container's.
fn group(rdt: &IntelRdt, id: &str, mount: &Path) -> Result<PathBuf, Refusal> {
    let (pointer, name) = match rdt.clos_id.as_deref() {
        Some("/") => return Ok(mount.to_owned()),
        Some(name) => ("/linux/intelRdt/closID", name),
        None => ("/linux/intelRdt", id),
    };
    if RESERVED.contains(&name) {
        let problem = format!("`{name}` is a folder of resctrl's own");
        return Err(Refusal::new(pointer, problem, "set closID to another name"));
    }
    Ok(mount.join(name))
}

/// The lines of both properties, the cache's first. Before version 1.3 of the specification the cache's could have lines for
/// the bandwidth in them, which count only if the other property is absent.
pub(crate) fn lines(l3_cache: Option<&str>, mem_bw: Option<&str>) -> Vec<String> {
    let cache = l3_cache.unwrap_or_default().lines();
    let cache = cache.filter(|line| mem_bw.is_none() || !line.trim_start().starts_with("MB:"));
    cache.chain(mem_bw).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(rdt: &str, id: &str) -> Result<Option<ResctrlPlan>, Refusal> {
        let config = format!(r#"{{"ociVersion":"1.3.0","linux":{{"intelRdt":{rdt}}}}}"#);
        plan(&Spec::from_bytes(config.as_bytes()).unwrap(), id, Some(Path::new("/r")))
    }

    fn group_of(rdt: &str) -> PathBuf {
        planned(rdt, "c").unwrap().unwrap().group
    }

    #[test]
    fn the_group_is_the_named_one_or_the_containers_own() {
        assert_eq!(group_of(r#"{"closID":"gold"}"#), Path::new("/r/gold"));
        assert_eq!(group_of(r#"{"closID":"/"}"#), Path::new("/r"));
        assert_eq!(group_of("{}"), Path::new("/r/c"));
        let plan = planned(r#"{"closID":"/","enableMonitoring":true}"#, "c").unwrap().unwrap();
        assert_eq!(plan.monitor.as_deref(), Some(Path::new("/r/mon_groups/c")));
    }

    #[test]
    fn a_folder_of_the_file_systems_own_is_no_group() {
        assert_eq!(planned(r#"{"closID":"info"}"#, "c").unwrap_err().pointer, "/linux/intelRdt/closID");
        assert_eq!(planned("{}", "mon_data").unwrap_err().pointer, "/linux/intelRdt");
    }

    #[test]
    fn a_host_without_resctrl_is_refused_only_if_it_is_asked_for() {
        let spec =
            |linux: &str| Spec::from_bytes(format!(r#"{{"ociVersion":"1.3.0","linux":{linux}}}"#).as_bytes()).unwrap();
        assert_eq!(plan(&spec("{}"), "c", None), Ok(None));
        let refusal = plan(&spec(r#"{"intelRdt":{}}"#), "c", None).unwrap_err();
        assert_eq!(refusal.pointer, "/linux/intelRdt");
        assert!(refusal.remedy.contains("mount"), "{refusal}");
    }

    #[test]
    fn the_cache_comes_first_and_bandwidth_from_its_own_property() {
        assert_eq!(lines(Some("L3:0=f\nMB:0=10"), Some("MB:0=20")), ["L3:0=f", "MB:0=20"]);
        assert_eq!(lines(Some("L3:0=f\nMB:0=10"), None), ["L3:0=f", "MB:0=10"]);
        assert_eq!(lines(None, Some("MB:0=20")), ["MB:0=20"]);
        assert!(lines(None, None).is_empty());
    }
}
