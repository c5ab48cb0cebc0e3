//! From a configuration and a host's layout to what is to be made: pure, and the place where things are refused.

use std::path::{Path, PathBuf};

use spec::{Refusal, Spec};
use sys::bpf::Instruction;

use crate::devices::{self, Rule};
use crate::layout::{Layout, Mode};
use crate::record::{Dir, Version};
use crate::systemd::{self, UnitPlan, properties};
use crate::writes::{self, Write};

const RESOURCES: &str = "/linux/resources";
pub(crate) const CGROUPS_PATH: &str = "/linux/cgroupsPath";

/// What the kernel takes as a path and as a name in it, in bytes (path_resolution(7)).
const PATH_LEN_MAX: usize = 4095;
const NAME_LEN_MAX: usize = 255;

/// Who makes the container's cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manager {
    /// lightship, by `mkdir` in the cgroup filesystem.
    #[default]
    Cgroupfs,
    /// systemd, as a transient unit.
    Systemd,
    /// Nobody: the container stays in the caller's cgroups, and limits are refused.
    Disabled,
}

/// What is to be made for a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupPlan {
    /// The path below each hierarchy's mount point, with a leading slash. Empty without cgroups.
    pub path: String,
    /// The unit that systemd is to make the directories for.
    pub unit: Option<UnitPlan>,
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
    /// Device rules that the kernel refuses are no error: only root over the host can set them, and to a caller who is not
    /// devices are closed by their permissions.
    pub devices_optional: bool,
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
/// A path with `..` or, for systemd, not of the form `slice:prefix:name`; a limit the host's hierarchies cannot have.
pub fn plan(spec: &Spec, id: &str, layout: &Layout, manager: Manager) -> Result<CgroupPlan, Refusal> {
    let linux = spec.linux.as_ref();
    let default = spec::Resources::default();
    let resources = linux.and_then(|linux| linux.resources.as_ref()).unwrap_or(&default);
    let cgroups_path = linux.and_then(|linux| linux.cgroups_path.as_deref());
    let unit = match manager {
        Manager::Disabled => return without_cgroup(resources),
        Manager::Cgroupfs => None,
        Manager::Systemd => Some(plan_unit(cgroups_path, id, spec, layout)?),
    };
    let path = match &unit {
        Some(unit) => unit.path.clone(),
        None => cgroup_path(cgroups_path, id)?,
    };
    let dirs = container_dirs(layout, &path);
    if dirs.is_empty() && layout.withheld.is_none() {
        let remedy = "mount the cgroup filesystem, or use --cgroup-manager=disabled";
        return Err(Refusal::new(CGROUPS_PATH, "this host has no cgroup hierarchy mounted", remedy));
    }
    if dirs.iter().any(|dir| dir.path.as_os_str().len() > PATH_LEN_MAX - NAME_LEN_MAX) {
        return Err(refused_path(&path, "is too long for a path below the hierarchies", "use a shorter one"));
    }
    let lowered = writes::lower(resources, &dirs, RESOURCES).map_err(|refusal| withheld(refusal, layout))?;
    let wanted = match (layout.mode(), &layout.unified) {
        // Statistics need the controllers too.
        (Mode::V2, Some(unified)) => unified.controllers.clone(),
        // The unified hierarchy of a hybrid host is someone else's: only what a limit needs.
        _ => lowered.needs.iter().map(|(controller, _)| controller.clone()).collect(),
    };
    let mut plan = CgroupPlan {
        path,
        unit,
        dirs,
        writes: lowered.writes,
        wanted,
        needs: lowered.needs,
        device_filter: None,
        // A user may attach no program, and has no devices but those that are everybody's.
        devices_optional: layout.withheld.is_some() || layout.systemd.as_ref().is_some_and(|instance| instance.user),
        warnings: lowered.warnings,
    };
    let rules = plan.restrict_devices(resources)?;
    plan.limit_unit(&rules);
    Ok(plan)
}

/// A hierarchy that is there, but not the caller's to use, needs another remedy than one that is missing.
fn withheld(refusal: Refusal, layout: &Layout) -> Refusal {
    match layout.withheld {
        Some(remedy) if refusal.remedy == writes::ENABLE => Refusal { remedy: remedy.to_owned(), ..refusal },
        _ => refusal,
    }
}

fn plan_unit(cgroups_path: Option<&str>, id: &str, spec: &Spec, layout: &Layout) -> Result<UnitPlan, Refusal> {
    let refused = |problem, remedy| Refusal::new(CGROUPS_PATH, problem, remedy);
    let Some(instance) = &layout.systemd else {
        let problem = "systemd not running on this host, cannot use systemd cgroups manager";
        return Err(refused(problem, "leave out --systemd-cgroup"));
    };
    if instance.user && layout.mode() != Mode::V2 {
        let problem = "a user's systemd has controllers on cgroup v2 alone";
        return Err(refused(problem, "leave out --systemd-cgroup, or boot with systemd.unified_cgroup_hierarchy=1"));
    }
    systemd::plan::plan(cgroups_path, id, &spec.annotations, instance)
}

fn without_cgroup(resources: &spec::Resources) -> Result<CgroupPlan, Refusal> {
    let lowered = writes::lower(resources, &[], RESOURCES)?;
    let mut warnings = lowered.warnings;
    warnings.push(format!("{RESOURCES}/devices: left out: the cgroup manager is disabled"));
    Ok(CgroupPlan { warnings, ..CgroupPlan::default() })
}

impl CgroupPlan {
    /// Adds the device rules: to v1's controller where there is one, else as a program for the unified hierarchy.
    fn restrict_devices(&mut self, resources: &spec::Resources) -> Result<Vec<Rule>, Refusal> {
        let pointer = format!("{RESOURCES}/devices");
        let rules = devices::rules(&resources.devices, &pointer)?;
        if let Some(dir) = self.dirs.iter().position(|dir| dir.version == Version::V1 && dir.has("devices")) {
            let optional = self.devices_optional;
            self.writes.extend(devices::v1_writes(&rules, dir).into_iter().map(|write| Write { optional, ..write }));
        } else if self.dirs.iter().any(|dir| dir.version == Version::V2) {
            let filter = devices::filter(&rules);
            self.device_filter =
                filter.map_err(|error| Refusal::new(&pointer, error.to_string(), "use fewer rules"))?;
        } else if self.devices_optional {
            // The container is in no cgroup that could have rules.
        } else {
            let remedy = "mount the v1 devices controller or a cgroup v2 hierarchy on the host";
            return Err(Refusal::new(pointer, "cgroup controller \"devices\" is not available", remedy));
        }
        Ok(rules)
    }

    /// Gives the unit the properties that mean the same as the limits, before those of annotations, which win.
    fn limit_unit(&mut self, rules: &[Rule]) {
        let Some(unit) = &mut self.unit else { return };
        if unit.unit.user {
            // Its user may attach no program, and has no devices but those that are everybody's.
            self.device_filter = None;
        }
        let v2 = self.dirs.iter().all(|dir| dir.version == Version::V2);
        let mut limits = properties::accounting(v2);
        limits.extend(properties::of(&self.writes, unit.version, properties::DEFAULT_PERIOD));
        if !v2 {
            limits.extend(properties::devices(rules));
        }
        unit.properties.splice(0..0, limits);
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
        if component.len() > NAME_LEN_MAX {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Hierarchy, Unified};
    use crate::limits;
    use crate::systemd::Instance;
    use serde_json::{Value, json};

    const V1_CONTROLLERS: [&str; 13] = [
        "cpu,cpuacct",
        "cpuset",
        "memory",
        "devices",
        "freezer",
        "blkio",
        "pids",
        "hugetlb",
        "net_cls",
        "net_prio",
        "rdma",
        "perf_event",
        "name=systemd",
    ];
    const V2_CONTROLLERS: [&str; 7] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"];

    fn hierarchy(names: &str) -> Hierarchy {
        let controllers = names.split(',').map(str::to_owned).collect();
        Hierarchy { controllers, mount: Path::new("/sys/fs/cgroup").join(names.trim_start_matches("name=")) }
    }

    fn v1() -> Layout {
        Layout { v1: V1_CONTROLLERS.map(hierarchy).into(), ..Layout::default() }
    }

    fn hybrid() -> Layout {
        let v1 = V1_CONTROLLERS.into_iter().filter(|names| *names != "hugetlb").map(hierarchy).collect();
        let unified = Unified { controllers: vec!["hugetlb".into()], mount: "/sys/fs/cgroup/unified".into() };
        Layout { v1, unified: Some(unified), ..Layout::default() }
    }

    fn v2() -> Layout {
        let controllers = V2_CONTROLLERS.map(str::to_owned).into();
        let unified = Some(Unified { controllers, mount: "/sys/fs/cgroup".into() });
        Layout { unified, ..Layout::default() }
    }

    fn config(resources: Value) -> Spec {
        let linux = json!({"cgroupsPath": "/docker/c1", "resources": resources});
        serde_json::from_value(json!({"ociVersion": "1.3.0", "linux": linux})).unwrap()
    }

    fn planned(resources: Value, layout: &Layout) -> CgroupPlan {
        plan(&config(resources), "c1", layout, Manager::Cgroupfs).unwrap()
    }

    /// The limits as `FILE VALUE`, without the device rules, which have their own tests.
    fn limits(resources: Value, layout: &Layout) -> Vec<String> {
        let plan = planned(resources, layout);
        let writes = plan.writes.iter().filter(|write| !write.file.starts_with("devices."));
        writes.map(|w| format!("{}{} {}", w.file, if w.optional { "?" } else { "" }, w.value)).collect()
    }

    fn refusal(resources: Value, layout: &Layout) -> Refusal {
        plan(&config(resources), "c1", layout, Manager::Cgroupfs).unwrap_err()
    }

    type Lines = &'static [&'static str];

    #[test]
    fn withheld_hierarchies_refuse_limits_and_nothing_else() {
        let withheld = Layout { withheld: Some("ask root"), ..Layout::default() };
        let plan = planned(json!({"devices": [{"allow": false, "access": "rwm"}]}), &withheld);
        assert_eq!((plan.dirs.len(), plan.writes.len(), plan.device_filter), (0, 0, None));
        let refused = refusal(json!({"memory": {"limit": 4096}}), &withheld);
        assert_eq!((refused.pointer.as_str(), refused.remedy.as_str()), ("/linux/resources/memory/limit", "ask root"));
        let some = Layout { withheld: Some("ask root"), ..v1() };
        let devices = planned(json!({"devices": [{"allow": false, "access": "rwm"}]}), &some);
        assert!(devices.writes.iter().all(|write| write.optional) && !devices.writes.is_empty());
    }

    /// Every row of the table: what it is in config.json, in v1, and in v2 (`Err`: refused at that pointer).
    fn cases() -> Vec<(Value, Lines, Result<Lines, &'static str>)> {
        vec![
            (json!({"memory": {"useHierarchy": true}}), &["memory.use_hierarchy 1"], Ok(&[])),
            (json!({"memory": {"limit": 4096}}), &["memory.limit_in_bytes 4096"], Ok(&["memory.max 4096"])),
            (
                json!({"memory": {"limit": -1}}),
                &["memory.limit_in_bytes -1", "memory.memsw.limit_in_bytes? -1"],
                Ok(&["memory.max max", "memory.swap.max? max"]),
            ),
            (
                json!({"memory": {"limit": 4096, "swap": 12288}}),
                &["memory.limit_in_bytes 4096", "memory.memsw.limit_in_bytes 12288"],
                Ok(&["memory.max 4096", "memory.swap.max 8192"]),
            ),
            (
                json!({"memory": {"limit": 4096, "swap": 4096}}),
                &["memory.limit_in_bytes 4096", "memory.memsw.limit_in_bytes 4096"],
                Ok(&["memory.max 4096", "memory.swap.max? 0"]),
            ),
            (
                json!({"memory": {"limit": 4096, "swap": -1}}),
                &["memory.limit_in_bytes 4096", "memory.memsw.limit_in_bytes? -1"],
                Ok(&["memory.max 4096", "memory.swap.max? max"]),
            ),
            (json!({"memory": {"reservation": 2048}}), &["memory.soft_limit_in_bytes 2048"], Ok(&["memory.low 2048"])),
            (json!({"memory": {"kernel": 2048}}), &["memory.kmem.limit_in_bytes? 2048"], Ok(&[])),
            (json!({"memory": {"kernelTCP": 2048}}), &["memory.kmem.tcp.limit_in_bytes 2048"], Ok(&[])),
            (json!({"memory": {"swappiness": 0}}), &["memory.swappiness 0"], Err("/memory/swappiness")),
            (json!({"memory": {"swappiness": u64::MAX}}), &[], Ok(&[])),
            (json!({"memory": {"disableOOMKiller": true}}), &["memory.oom_control 1"], Err("/memory/disableOOMKiller")),
            (json!({"cpu": {"shares": 1024}}), &["cpu.shares 1024"], Ok(&["cpu.weight 100"])),
            (
                json!({"cpu": {"shares": 512, "idle": 1}}),
                &["cpu.shares 512", "cpu.idle 1"],
                Ok(&["cpu.weight 59", "cpu.idle 1"]),
            ),
            (json!({"cpu": {"quota": 50000}}), &["cpu.cfs_quota_us 50000"], Ok(&["cpu.max 50000"])),
            (json!({"cpu": {"quota": -1}}), &["cpu.cfs_quota_us -1"], Ok(&["cpu.max max"])),
            (json!({"cpu": {"period": 20000}}), &["cpu.cfs_period_us 20000"], Ok(&["cpu.max max 20000"])),
            (
                json!({"cpu": {"quota": 5000, "period": 20000, "burst": 1000}}),
                &["cpu.cfs_period_us 20000", "cpu.cfs_quota_us 5000", "cpu.cfs_burst_us 1000"],
                Ok(&["cpu.max 5000 20000", "cpu.max.burst 1000"]),
            ),
            (json!({"cpu": {"idle": 0}}), &["cpu.idle? 0"], Ok(&["cpu.idle? 0"])),
            (json!({"cpu": {"burst": 0}}), &["cpu.cfs_burst_us? 0"], Ok(&["cpu.max.burst? 0"])),
            (json!({"cpu": {"realtimePeriod": 9}}), &["cpu.rt_period_us 9"], Err("/cpu/realtimePeriod")),
            (json!({"cpu": {"realtimeRuntime": 9}}), &["cpu.rt_runtime_us 9"], Err("/cpu/realtimeRuntime")),
            (
                json!({"cpu": {"cpus": "0-1", "mems": "0"}}),
                &["cpuset.cpus 0-1", "cpuset.mems 0"],
                Ok(&["cpuset.cpus 0-1", "cpuset.mems 0"]),
            ),
            (json!({"pids": {"limit": 7}}), &["pids.max 7"], Ok(&["pids.max 7"])),
            (json!({"pids": {"limit": -1}}), &["pids.max max"], Ok(&["pids.max max"])),
            (json!({"pids": {"limit": 0}}), &["pids.max 1"], Ok(&["pids.max 1"])),
            (json!({"pids": {}}), &[], Ok(&[])),
            (json!({"blockIO": {"weight": 500}}), &["blkio.weight 500"], Ok(&["io.bfq.weight 500"])),
            (json!({"blockIO": {"leafWeight": 500}}), &["blkio.leaf_weight 500"], Err("/blockIO/leafWeight")),
            (
                json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}}),
                &["blkio.weight_device 8:0 10"],
                Ok(&["io.bfq.weight 8:0 10"]),
            ),
            (
                json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 10}]}}),
                &["blkio.leaf_weight_device 8:0 10"],
                Err("/blockIO/weightDevice/0/leafWeight"),
            ),
            (
                json!({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}]}}),
                &["blkio.throttle.read_bps_device 8:0 9"],
                Ok(&["io.max 8:0 rbps=9"]),
            ),
            (
                json!({"blockIO": {"throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 9}]}}),
                &["blkio.throttle.write_bps_device 8:0 9"],
                Ok(&["io.max 8:0 wbps=9"]),
            ),
            (
                json!({"blockIO": {"throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}]}}),
                &["blkio.throttle.read_iops_device 8:0 0"],
                Ok(&["io.max 8:0 riops=max"]),
            ),
            (
                json!({"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 9}]}}),
                &["blkio.throttle.write_iops_device 8:0 9"],
                Ok(&["io.max 8:0 wiops=9"]),
            ),
            (
                json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}),
                &["hugetlb.2MB.limit_in_bytes 4194304", "hugetlb.2MB.rsvd.limit_in_bytes? 4194304"],
                Ok(&["hugetlb.2MB.max 4194304", "hugetlb.2MB.rsvd.max? 4194304"]),
            ),
            (json!({"network": {"classID": 1048577}}), &["net_cls.classid 1048577"], Err("/network/classID")),
            (
                json!({"network": {"priorities": [{"name": "lo", "priority": 5}]}}),
                &["net_prio.ifpriomap lo 5"],
                Err("/network/priorities/0"),
            ),
            (
                json!({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10}}}),
                &["rdma.max mlx5_1 hca_handle=3 hca_object=10"],
                Ok(&["rdma.max mlx5_1 hca_handle=3 hca_object=10"]),
            ),
        ]
    }

    #[test]
    fn every_row_has_a_case() {
        let files =
            cases().iter().flat_map(|(resources, ..)| planned(resources.clone(), &v1()).writes).collect::<Vec<_>>();
        for limit in limits::TABLE {
            if let limits::Place::File(_, file, _) = limit.v1 {
                let file = file.replace("<size>", "2MB");
                assert!(files.iter().any(|write| write.file == file), "no case for {file}");
            }
        }
    }

    #[test]
    fn limits_go_to_their_files() {
        for (resources, in_v1, in_v2) in cases() {
            assert_eq!(limits(resources.clone(), &v1()), in_v1, "{resources}");
            match in_v2 {
                Ok(in_v2) => assert_eq!(limits(resources.clone(), &v2()), in_v2, "{resources}"),
                Err(pointer) => {
                    assert_eq!(refusal(resources, &v2()).pointer, format!("{RESOURCES}{pointer}"));
                }
            }
        }
    }

    #[test]
    fn zero_is_not_set() {
        let zeros = json!({
            "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0, "kernelTCP": 0, "disableOOMKiller": false,
                "useHierarchy": false},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimePeriod": 0, "realtimeRuntime": 0, "cpus": "", "mems": ""},
            "blockIO": {"weight": 0, "leafWeight": 0},
            "network": {"classID": 0},
        });
        for layout in [v1(), hybrid(), v2()] {
            assert_eq!(limits(zeros.clone(), &layout), [""; 0]);
        }
    }

    #[test]
    fn older_kernels_have_other_files() {
        let resources = json!({"blockIO": {"weight": 10, "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}]}});
        let or = |layout: &Layout| {
            planned(resources.clone(), layout).writes.iter().filter_map(|w| w.or.clone()).collect::<Vec<_>>()
        };
        let pair = |file: &str, value: &str| (file.to_owned(), value.to_owned());
        assert_eq!(or(&v1()), [pair("blkio.bfq.weight", "10"), pair("blkio.bfq.weight_device", "8:0 1000")]);
        assert_eq!(or(&v2()), [pair("io.weight", "1"), pair("io.weight", "8:0 10000")]);
    }

    #[test]
    fn shares_become_weights() {
        let weight = |shares: u64| limits(json!({"cpu": {"shares": shares}}), &v2())[0].clone();
        let expected = [
            (1, 1),
            (2, 1),
            (10, 4),
            (256, 35),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ];
        for (shares, expected) in expected {
            assert_eq!(weight(shares), format!("cpu.weight {expected}"));
        }
    }

    #[test]
    fn docker_on_a_hybrid_host() {
        let resources = json!({
            "memory": {"limit": 67108864, "swap": 134217728, "reservation": 0},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000},
            "pids": {"limit": 100},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
            "devices": [{"allow": false, "access": "rwm"}],
        });
        let plan = planned(resources, &hybrid());
        let at = |write: &Write| format!("{}={}", plan.dirs[write.dir].path.join(&write.file).display(), write.value);
        let writes = plan.writes.iter().map(at).collect::<Vec<_>>();
        let expected = [
            "/sys/fs/cgroup/memory/docker/c1/memory.limit_in_bytes=67108864",
            "/sys/fs/cgroup/memory/docker/c1/memory.memsw.limit_in_bytes=134217728",
            "/sys/fs/cgroup/cpu,cpuacct/docker/c1/cpu.shares=512",
            "/sys/fs/cgroup/cpu,cpuacct/docker/c1/cpu.cfs_period_us=100000",
            "/sys/fs/cgroup/cpu,cpuacct/docker/c1/cpu.cfs_quota_us=50000",
            "/sys/fs/cgroup/pids/docker/c1/pids.max=100",
            "/sys/fs/cgroup/unified/docker/c1/hugetlb.2MB.max=0",
            "/sys/fs/cgroup/unified/docker/c1/hugetlb.2MB.rsvd.max=0",
            "/sys/fs/cgroup/devices/docker/c1/devices.deny=a",
        ];
        assert_eq!(writes[..9], expected);
        assert_eq!(plan.device_filter, None);
        assert_eq!(plan.wanted, ["hugetlb"]);
        assert_eq!(plan.needs, [("hugetlb".to_owned(), "/linux/resources/hugepageLimits/0/limit".to_owned())]);
        assert_eq!(plan.dirs.len(), 13);
        assert_eq!(plan.dirs[12].path, Path::new("/sys/fs/cgroup/unified/docker/c1"));
    }

    #[test]
    fn v2_enables_what_there_is_and_filters_devices() {
        let plan = planned(json!({"memory": {"limit": 4096, "kernel": 4096}}), &v2());
        assert_eq!(plan.wanted, V2_CONTROLLERS);
        assert_eq!(plan.needs, [("memory".to_owned(), "/linux/resources/memory/limit".to_owned())]);
        assert!(plan.device_filter.is_some());
        assert_eq!(plan.warnings.len(), 1, "{:?}", plan.warnings);
        // In hybrid mode nobody else's hierarchy is touched without need.
        assert_eq!(planned(json!({}), &hybrid()).wanted, [""; 0]);
    }

    #[test]
    fn unified_is_written_last_and_only_to_v2() {
        let resources = json!({"memory": {"limit": 4096}, "unified": {"memory.max": "8192", "cgroup.max.depth": "2"}});
        assert_eq!(limits(resources.clone(), &v2()), ["memory.max 4096", "cgroup.max.depth 2", "memory.max 8192"]);
        assert_eq!(refusal(resources, &v1()).pointer, "/linux/resources/unified/cgroup.max.depth");
        assert_eq!(limits(json!({"unified": {"hugetlb.2MB.max": "0"}}), &hybrid()), ["hugetlb.2MB.max 0"]);
        for file in ["a/b.c", "memory", ".x", "../memory.max", "misc.max"] {
            let pointer = format!("/linux/resources/unified/{}", file.replace('/', "~1"));
            assert_eq!(refusal(json!({"unified": {file: "1"}}), &v2()).pointer, pointer);
        }
    }

    #[test]
    fn a_missing_controller_is_refused() {
        let mut layout = v1();
        layout.v1.retain(|hierarchy| !["memory", "net_cls"].contains(&hierarchy.controllers[0].as_str()));
        let refused = refusal(json!({"memory": {"limit": 4096}}), &layout);
        assert_eq!(refused.pointer, "/linux/resources/memory/limit");
        assert_eq!(refused.problem, "cgroup controller \"memory\" is not available");
        assert_eq!(refusal(json!({"memory": {"swappiness": 5}}), &layout).problem, refused.problem);
        assert_eq!(refusal(json!({"network": {"classID": 5}}), &layout).pointer, "/linux/resources/network/classID");
        layout.v1.retain(|hierarchy| hierarchy.controllers[0] != "devices");
        assert_eq!(refusal(json!({}), &layout).pointer, "/linux/resources/devices");
        let plain = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}], "pids": {"limit": -1}});
        let mut layout = v2();
        layout.unified.as_mut().unwrap().controllers.clear();
        assert_eq!(limits(plain.clone(), &layout), [""; 0]);
        assert_eq!(planned(plain, &layout).warnings.len(), 2);
        assert_eq!(refusal(json!({"cpu": {"cpus": "0"}}), &layout).pointer, "/linux/resources/cpu/cpus");
        assert_eq!(refusal(json!({}), &Layout::default()).pointer, "/linux/cgroupsPath");
    }

    #[test]
    fn nonsense_is_refused() {
        let cases = [
            (json!({"memory": {"limit": 4096, "swap": 2048}}), "/memory/swap"),
            (json!({"memory": {"limit": -2}}), "/memory/limit"),
            (json!({"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]}), "/hugepageLimits/0/pageSize"),
            (json!({"hugepageLimits": [{"pageSize": "02MB", "limit": 1}]}), "/hugepageLimits/0/pageSize"),
            (json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}), "/hugepageLimits/0/pageSize"),
            (json!({"rdma": {"a b": {}}}), "/rdma"),
        ];
        for (resources, pointer) in cases {
            for layout in [v1(), v2()] {
                assert_eq!(refusal(resources.clone(), &layout).pointer, format!("{RESOURCES}{pointer}"));
            }
        }
        assert_eq!(refusal(json!({"memory": {"swap": 4096}}), &v2()).pointer, "/linux/resources/memory/swap");
    }

    #[test]
    fn paths() {
        let ok = |path, expected: &str| assert_eq!(cgroup_path(path, "id-1").unwrap(), expected);
        ok(None, "/id-1");
        ok(Some(""), "/id-1");
        ok(Some("a/b"), "/a/b");
        ok(Some("//a/./b/"), "/a/b");
        for path in ["/", "..", "/a/../../b", "/a\nb", "."] {
            assert_eq!(cgroup_path(Some(path), "id").unwrap_err().pointer, CGROUPS_PATH);
        }
        assert!(cgroup_path(None, "..").is_err());
        let linux = json!({"cgroupsPath": "x/".repeat(2000)});
        let long = serde_json::from_value(json!({"ociVersion": "1.3.0", "linux": linux})).unwrap();
        assert_eq!(plan(&long, "c1", &v2(), Manager::Cgroupfs).unwrap_err().pointer, CGROUPS_PATH);
    }

    #[test]
    fn a_unit_has_the_limits_that_the_files_have() {
        let instance = |user| Instance { user, version: 257, ..Instance::default() };
        let linux =
            json!({"cgroupsPath": "a-b.slice:p:n", "resources": {"memory": {"limit": 4096}, "pids": {"limit": 9}}});
        let annotations =
            json!({"org.systemd.property.TasksMax": "uint64 7", "org.systemd.property.After": "['x.service']"});
        let spec = json!({"ociVersion": "1.3.0", "linux": linux, "annotations": annotations});
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let layout = |base: fn() -> Layout, user| Layout { systemd: Some(instance(user)), ..base() };
        let planned = plan(&spec, "c1", &layout(v2, false), Manager::Systemd).unwrap();
        assert_eq!(planned.dirs[0].path, Path::new("/sys/fs/cgroup/a.slice/a-b.slice/p-n.scope"));
        assert!(planned.device_filter.is_some());
        let names =
            |plan: CgroupPlan| plan.unit.unwrap().properties.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let count = |names: &[String], wanted: &str| names.iter().filter(|name| *name == wanted).count();
        let on_v2 = names(planned);
        // The annotation comes after the limit.
        assert_eq!((count(&on_v2, "MemoryMax"), count(&on_v2, "TasksMax"), count(&on_v2, "DeviceAllow")), (1, 2, 0));
        assert_eq!(on_v2.last().unwrap(), "TasksMax");
        let on_v1 = names(plan(&spec, "c1", &layout(v1, false), Manager::Systemd).unwrap());
        assert_eq!((count(&on_v1, "MemoryLimit"), count(&on_v1, "DeviceAllow")), (1, 1));
        assert!(plan(&spec, "c1", &layout(hybrid, true), Manager::Systemd).is_err());
    }

    #[test]
    fn managers() {
        let docker = config(json!({"devices": [{"allow": false, "access": "rwm"}]}));
        assert_eq!(plan(&docker, "c1", &v2(), Manager::Systemd).unwrap_err().pointer, CGROUPS_PATH);
        let disabled = plan(&docker, "c1", &v2(), Manager::Disabled).unwrap();
        assert_eq!((disabled.dirs.len(), disabled.writes.len(), disabled.warnings.len()), (0, 0, 1));
        let limited = config(json!({"pids": {"limit": 3}}));
        assert_eq!(plan(&limited, "c1", &v2(), Manager::Disabled).unwrap_err().pointer, "/linux/resources/pids/limit");
    }
}
