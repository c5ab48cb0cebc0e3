//! The plan of a container: everything that is decided before anything is made. Pure: no system call, no file, no clock.

use std::path::PathBuf;

use cgroups::{CgroupPlan, Manager};
use confine::seccomp::Filter;
use namespaces::NamespacePlan;
use resctrl::ResctrlPlan;
use rootfs::{CgroupHierarchy, CgroupMounts, PlanInput, RootfsPlan};
use spec::{ConsoleSize, Hooks, Linux, NamespaceType, Process, Refusal, Spec};

use crate::HostFacts;
use crate::process::ProcessPlan;

/// What the caller's command says about a container.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// The container's id.
    pub id: String,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root file system.
    pub rootfs: PathBuf,
    /// Who makes the cgroup.
    pub cgroup_manager: Manager,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// `--no-new-keyring`.
    pub no_new_keyring: bool,
    /// The compiled seccomp profile.
    pub filter: Option<Filter>,
}

/// A container, fully decided.
#[derive(Clone, Debug)]
pub struct ContainerPlan {
    /// Its namespaces and the way into them.
    pub namespaces: NamespacePlan,
    /// Its root file system, mounts and devices.
    pub rootfs: RootfsPlan,
    /// Its cgroup and limits.
    pub cgroup: CgroupPlan,
    /// The host's number of the user that the cgroup v2 directory is handed to.
    pub cgroup_owner: Option<u32>,
    /// Its share of caches and memory bandwidth.
    pub resctrl: Option<ResctrlPlan>,
    /// Its process.
    pub process: ProcessPlan,
    /// The size of the terminal, if the process has one.
    pub terminal: Option<ConsoleSize>,
    /// Kernel parameters, as paths below `/proc/sys` and values.
    pub sysctls: Vec<(String, String)>,
    /// Its hooks.
    pub hooks: Hooks,
    /// What is left out of the configuration, and why.
    pub warnings: Vec<String>,
}

/// Decides everything about a container.
///
/// # Errors
/// Whatever the configuration asks for that is contradictory, that this host cannot do, or that lightship does not know.
pub fn plan(spec: &Spec, host: &HostFacts, options: &PlanOptions) -> Result<ContainerPlan, Refusal> {
    check_kernel(host.kernel)?;
    spec.validate()?;
    let process = spec.process_to_start()?;
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    check_user_namespace(spec, host)?;
    let namespaces = namespaces::plan(spec, host.privileged)?;
    let cgroup = cgroups::plan(spec, &options.id, &host.cgroups, options.cgroup_manager)?;
    let resctrl = resctrl::plan(spec, &options.id, host.resctrl.as_deref())?;
    let rootfs = rootfs::plan(
        spec,
        &PlanInput {
            bundle: &options.bundle,
            rootfs: &options.rootfs,
            user_namespace: spec.namespace(NamespaceType::User).is_some(),
            privileged: host.privileged,
            can_mknod: host.privileged,
            kernel: host.kernel,
            no_pivot: options.no_pivot,
            cgroups: cgroup_mounts(&cgroup, &host.cgroups),
            mount_label: linux.mount_label.as_deref().filter(|_| host.confine.selinux),
        },
    )?;
    let keyring = (!options.no_new_keyring).then(|| keyring(&options.id));
    let process = plan_process(process, linux, host, keyring, options.filter.clone())?;
    let mut warnings = cgroup.warnings.clone();
    warnings.extend(process.confine.warnings.iter().cloned());
    Ok(ContainerPlan {
        terminal: process.process.terminal.then(|| process.process.console_size.unwrap_or_default()),
        sysctls: sysctls(linux)?,
        hooks: spec.hooks.clone(),
        cgroup_owner: cgroup_owner(spec, &cgroup, process.confine.ids.0).filter(|_| host.privileged),
        namespaces,
        rootfs,
        cgroup,
        resctrl,
        process,
        warnings,
    })
}

/// mount_setattr(2), the newest call that every container needs.
const OLDEST_KERNEL: (u32, u32) = (5, 12);

fn check_kernel(running: (u32, u32)) -> Result<(), Refusal> {
    if running >= OLDEST_KERNEL {
        return Ok(());
    }
    let ((major, minor), (oldest_major, oldest_minor)) = (running, OLDEST_KERNEL);
    let problem = format!("this host runs Linux {major}.{minor}");
    Err(Refusal::new("", problem, format!("lightship needs {oldest_major}.{oldest_minor} or newer")))
}

/// A user can make and join the other namespaces only inside of one (user_namespaces(7)).
fn check_user_namespace(spec: &Spec, host: &HostFacts) -> Result<(), Refusal> {
    if host.privileged || host.confine.ids.0 == 0 || spec.namespace(NamespaceType::User).is_some() {
        return Ok(());
    }
    let problem = "a user without root's privileges can have no container without a user namespace";
    Err(Refusal::new(
        "/linux/namespaces",
        problem,
        "add {\"type\": \"user\"} and id mappings, as `lightship spec --rootless` does",
    ))
}

/// Decides what a process may do, for a container's first process as for `exec`.
///
/// # Errors
/// As [`plan`].
pub(crate) fn plan_process(
    process: &Process,
    linux: &Linux,
    host: &HostFacts,
    keyring: Option<String>,
    filter: Option<Filter>,
) -> Result<ProcessPlan, Refusal> {
    let confine = confine::plan(process, linux, &host.confine, keyring, filter)?;
    Ok(ProcessPlan { process: process.clone(), confine })
}

/// The name of a container's session keyring, by which `exec` finds it again.
fn keyring(id: &str) -> String {
    format!("_ses.{id}")
}

/// What the rootfs must know of cgroups to show the container its own.
fn cgroup_mounts(plan: &CgroupPlan, layout: &cgroups::Layout) -> CgroupMounts {
    let v1: Vec<CgroupHierarchy> =
        plan.dirs.iter().filter(|dir| dir.version == cgroups::Version::V1).map(cgroup_hierarchy).collect();
    match plan.dirs.last() {
        None if *layout != cgroups::Layout::default() => CgroupMounts::Host,
        None => CgroupMounts::None,
        Some(dir) if v1.is_empty() => CgroupMounts::V2(dir.path.clone()),
        Some(_) => CgroupMounts::V1(v1),
    }
}

/// Who is to own the cgroup, if not root: the user of the container's process, where that process can write there at all
/// (config-linux.md, "Cgroup ownership").
fn cgroup_owner(spec: &Spec, plan: &CgroupPlan, uid: u32) -> Option<u32> {
    let v2 = plan.dirs.iter().all(|dir| dir.version == cgroups::Version::V2);
    let own_namespace = spec.namespace(NamespaceType::Cgroup).is_some_and(|namespace| namespace.path.is_none());
    let writable = spec.mounts.iter().any(|mount| {
        matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2"))
            && !mount.options.iter().any(|option| ["ro", "rro"].contains(&option.as_str()))
    });
    if !v2 || !own_namespace || !writable {
        return None;
    }
    let owner = match spec.namespace(NamespaceType::User) {
        None => Some(uid),
        Some(_) => spec.linux.iter().flat_map(|linux| &linux.uid_mappings).find_map(|map| {
            let offset = uid.checked_sub(map.container_id).filter(|offset| *offset < map.size)?;
            map.host_id.checked_add(offset)
        }),
    };
    owner.filter(|owner| *owner != 0)
}

/// A hierarchy is called in the container what it is called on the host, with a link for each of several controllers.
fn cgroup_hierarchy(dir: &cgroups::Dir) -> CgroupHierarchy {
    let name = dir.mount.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let links = dir.controllers.iter().filter(|controller| !controller.contains('=') && **controller != name);
    CgroupHierarchy { links: links.cloned().collect(), folder: dir.path.clone(), name }
}

/// Kernel parameters, as files below `/proc/sys`.
fn sysctls(linux: &Linux) -> Result<Vec<(String, String)>, Refusal> {
    let file = |key: &String| {
        spec::sysctl::file(key).ok_or_else(|| {
            Refusal::new(
                format!("/linux/sysctl/{}", spec::token(key)),
                "is no name of a kernel parameter",
                "write it as in sysctl.conf(5)",
            )
        })
    };
    linux.sysctl.iter().map(|(key, value)| Ok((file(key)?, value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = r#"{"ociVersion":"1.0.2","process":{"args":["sh"],"cwd":"/","terminal":true,"consoleSize":{"height":24,"width":80}},
        "root":{"path":"/rootfs"},"hostname":"c","linux":{"sysctl":{"net.ipv4.ip_forward":"1"},
        "namespaces":[{"type":"mount"},{"type":"uts"},{"type":"network"}]}}"#;

    fn planned(config: &str, host: &HostFacts) -> Result<ContainerPlan, Refusal> {
        let options = PlanOptions {
            id: "c".to_owned(),
            bundle: "/bundle".into(),
            rootfs: "/rootfs".into(),
            cgroup_manager: Manager::Disabled,
            ..PlanOptions::default()
        };
        plan(&Spec::from_bytes(config.as_bytes()).unwrap(), host, &options)
    }

    fn host() -> HostFacts {
        HostFacts { kernel: (6, 1), ..HostFacts::default() }
    }

    #[test]
    fn the_parts_of_a_configuration_come_together() {
        let plan = planned(DOCKER, &host()).unwrap();
        assert_eq!(plan.terminal, Some(ConsoleSize { height: 24, width: 80 }));
        assert_eq!(plan.sysctls, [("net/ipv4/ip_forward".to_owned(), "1".to_owned())]);
        assert_eq!(plan.namespaces.hostname.as_deref(), Some("c"));
        assert!(plan.cgroup.dirs.is_empty());
    }

    #[test]
    fn without_a_cgroup_of_its_own_a_container_sees_the_hosts() {
        let plan = CgroupPlan::default();
        assert_eq!(cgroup_mounts(&plan, &cgroups::Layout::default()), CgroupMounts::None);
        let unified = cgroups::Unified { controllers: vec![], mount: "/sys/fs/cgroup".into() };
        let layout = cgroups::Layout { unified: Some(unified), ..cgroups::Layout::default() };
        assert_eq!(cgroup_mounts(&plan, &layout), CgroupMounts::Host);
    }

    #[test]
    fn a_writable_cgroup_is_handed_to_the_containers_user() {
        let config = r#"{"ociVersion":"1.0.2","process":{"args":["sh"],"cwd":"/","user":{"uid":5,"gid":0}},"root":{"path":"/r"},
            "mounts":[{"destination":"/sys/fs/cgroup","type":"cgroup","options":["rw"]}],
            "linux":{"namespaces":[{"type":"cgroup"},{"type":"user"}],
            "uidMappings":[{"containerID":0,"hostID":1000,"size":10}]}}"#;
        let owner = |config: &str| {
            let spec = Spec::from_bytes(config.as_bytes()).unwrap();
            cgroup_owner(&spec, &CgroupPlan::default(), spec.process.as_ref().unwrap().user.uid)
        };
        assert_eq!(owner(config), Some(1005));
        assert_eq!(owner(&config.replace(r#",{"type":"user"}"#, "")), Some(5));
        for (from, to) in [(r#""rw""#, r#""ro""#), (r#"{"type":"cgroup"},"#, ""), (r#""size":10"#, r#""size":5"#)] {
            assert_eq!(owner(&config.replace(from, to)), None, "{to}");
        }
    }

    #[test]
    fn a_user_needs_a_user_namespace() {
        let mut user = host();
        user.confine.ids = (1000, 1000);
        assert_eq!(planned(DOCKER, &user).unwrap_err().pointer, "/linux/namespaces");
        user.privileged = true;
        assert!(planned(DOCKER, &user).is_ok());
    }

    #[test]
    fn an_old_kernel_is_refused_before_anything_else() {
        let old = HostFacts { kernel: (5, 4), ..HostFacts::default() };
        let refusal = planned(DOCKER, &old).unwrap_err().to_string();
        assert_eq!(refusal, "config.json: this host runs Linux 5.4 (lightship needs 5.12 or newer)");
    }

    #[test]
    fn a_configuration_without_a_process_is_refused() {
        let config = DOCKER.replace("process", "nobody");
        assert_eq!(planned(&config, &host()).unwrap_err().pointer, "/process");
    }
}
