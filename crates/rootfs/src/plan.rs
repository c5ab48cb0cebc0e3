//! From the configuration and facts of the host to everything that will be mounted, made and hidden; or a refusal.

mod devices;
mod mounts;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use spec::{NamespaceType, Refusal, RootfsPropagation, Spec};

use crate::options::{PRIVATE, SHARED, SLAVE, UNBINDABLE};
use crate::path::inside;

pub use devices::device_paths;
pub(crate) use devices::{DevicePlan, Node};
pub use mounts::{IdMap, UserNamespace};
pub(crate) use mounts::{MountKind, MountPlan, PROC_SUPER_MAGIC, Source};

/// What the plan must know beyond the configuration.
#[derive(Clone, Debug)]
pub struct PlanInput<'a> {
    /// The bundle, absolute: relative sources of bind mounts start here.
    pub bundle: &'a Path,
    /// The root file system's folder on the host, absolute and without links.
    pub rootfs: &'a Path,
    /// The container is in a user namespace, new or joined, that is not the runtime's.
    pub user_namespace: bool,
    /// The runtime may clone the host's mounts (CAP_SYS_ADMIN where they belong), so it can do that for a container whose
    /// user namespace keeps it from reaching them.
    pub privileged: bool,
    /// Device nodes can be made (CAP_MKNOD on the host); otherwise the host's own are bind-mounted.
    pub can_mknod: bool,
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
    /// The container's cgroup, for mounts of type `cgroup`.
    pub cgroups: CgroupMounts,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// `linux.mountLabel`, where SELinux is enabled.
    pub mount_label: Option<&'a str>,
}

/// Where the container's own cgroup is on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CgroupMounts {
    /// The host has no hierarchy mounted.
    #[default]
    None,
    /// The container has none of its own, as none is to be made (Podman's `--cgroups=disabled`) or its caller could not make
    /// any: it sees the host's, and cannot write to them.
    Host,
    /// Version 1 or hybrid: one folder for each hierarchy.
    V1(Vec<CgroupHierarchy>),
    /// Version 2: the cgroup's folder.
    V2(PathBuf),
}

/// A cgroup v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupHierarchy {
    /// What its folder is called inside the container, as on the host: `memory`, `cpu,cpuacct`, `systemd`.
    pub name: String,
    /// Names that link to it: `cpu` and `cpuacct` for `cpu,cpuacct`.
    pub links: Vec<String>,
    /// The container's cgroup in it, on the host.
    pub folder: PathBuf,
}

/// The first kernel that clones detached mounts (may_copy_tree in fs/namespace.c).
const CLONES_DETACHED: (u32, u32) = (6, 15);

/// Everything about a container's root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootfsPlan {
    pub(crate) rootfs: PathBuf,
    /// What becomes of the host's mounts in the container's mount namespace, all of them: MS_SLAVE or MS_PRIVATE; `None` where
    /// the container has no mount namespace, and they are the host's for real.
    pub(crate) host_propagation: Option<u64>,
    /// What becomes of the container's `/` at the end.
    pub(crate) root_propagation: Option<u64>,
    pub(crate) read_only: bool,
    pub(crate) mounts: Vec<MountPlan>,
    pub(crate) devices: DevicePlan,
    pub(crate) masked: Vec<(String, PathBuf)>,
    pub(crate) read_only_paths: Vec<(String, PathBuf)>,
    pub(crate) entry: Entry,
    /// A mount that is not attached yet can be cloned (Linux 6.15).
    pub(crate) clones_detached: bool,
    /// The SELinux label of what the runtime mounts of its own accord.
    pub(crate) label: Option<String>,
}

/// How the root becomes `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// pivot_root(2): nothing else is left in the mount namespace.
    Pivot,
    /// It is moved over what is there (`--no-pivot`).
    Move,
    /// chroot(2), in the host's mount namespace.
    Chroot,
}

/// A mount of the host that the runtime clones for the container: open_tree(2) with OPEN_TREE_CLONE and, where `recursive`,
/// AT_RECURSIVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InheritedSource {
    /// Its index in `mounts`.
    pub mount: usize,
    /// Its path on the host.
    pub path: PathBuf,
    /// With everything mounted below it.
    pub recursive: bool,
    /// The id maps that it is to have.
    pub idmap: Option<IdMap>,
}

impl RootfsPlan {
    /// Where the root stays attached among the host's own mounts, for a container without a mount namespace: whoever makes
    /// the container has to take it away again.
    pub fn attached_on_host(&self) -> Option<&Path> {
        (self.entry == Entry::Chroot).then_some(&self.rootfs)
    }

    /// Whether file systems of the container's are filled while its root is assembled, which is the container's use of memory.
    pub fn fills_file_systems(&self) -> bool {
        self.mounts.iter().any(|mount| mount.copy_up.is_some())
    }

    /// What the runtime has to clone before the container's init exists, and hand to [`Emitter::prepare`]; empty unless
    /// the container has a user namespace or idmapped bind mounts.
    ///
    /// [`Emitter::prepare`]: crate::Emitter::prepare
    pub fn inherited_sources(&self) -> Vec<InheritedSource> {
        let binds = self.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Bind { source: path, recursive, from: Source::Inherited, .. } => Some(InheritedSource {
                mount: mount.index,
                path: path.clone(),
                recursive: *recursive,
                idmap: mount.idmap.clone(),
            }),
            _ => None,
        });
        binds.collect()
    }

    /// The user namespaces of idmapped mounts of file systems, by the index of the mount: they are handed to
    /// [`Emitter::prepare`] behind the sources.
    ///
    /// [`Emitter::prepare`]: crate::Emitter::prepare
    pub fn inherited_user_namespaces(&self) -> Vec<(usize, &UserNamespace)> {
        let fresh = self.mounts.iter().filter(|mount| matches!(mount.kind, MountKind::FileSystem { .. }));
        fresh.filter_map(|mount| Some((mount.index, &mount.idmap.as_ref()?.user_namespace))).collect()
    }
}

/// Plans a container's root file system.
///
/// # Errors
/// Refuses mounts and devices over `/` or inside `/proc`, mounts that lack a type or a source, and a user namespace without a
/// mount namespace.
pub fn plan(spec: &Spec, input: &PlanInput<'_>) -> Result<RootfsPlan, Refusal> {
    let own_mounts = spec.namespace(NamespaceType::Mount).is_some();
    if input.user_namespace && !own_mounts {
        let problem = "a container in a user namespace cannot mount in the host's mount namespace";
        return Err(Refusal::new("/linux/namespaces", problem, "add {\"type\": \"mount\"}"));
    }
    if input.rootfs == Path::new("/") {
        let remedy = "bind-mount it at another path and name that";
        return Err(Refusal::new("/root/path", "the host's own root cannot be a container's", remedy));
    }
    let linux = spec.linux.clone().unwrap_or_default();
    let host_propagation = match linux.rootfs_propagation {
        _ if !own_mounts => None,
        Some(RootfsPropagation::Private) => Some(PRIVATE),
        // Never shared, or the container's mounts would appear on the host. A bind mount that asks to be shared with the host
        // is cloned while `/` still is.
        _ => Some(SLAVE),
    };
    let root_propagation = match linux.rootfs_propagation {
        Some(RootfsPropagation::Shared) => Some(SHARED),
        Some(RootfsPropagation::Unbindable) => Some(UNBINDABLE),
        _ => None,
    };
    Ok(RootfsPlan {
        rootfs: input.rootfs.to_owned(),
        host_propagation,
        root_propagation,
        read_only: spec.root.as_ref().is_some_and(|root| root.readonly),
        mounts: mounts::plan(spec, input, host_propagation)?,
        devices: devices::plan(spec, input)?,
        masked: hidden("maskedPaths", &linux.masked_paths)?,
        read_only_paths: hidden("readonlyPaths", &linux.readonly_paths)?,
        entry: match input.no_pivot {
            _ if !own_mounts => Entry::Chroot,
            true => Entry::Move,
            false => Entry::Pivot,
        },
        clones_detached: input.kernel >= CLONES_DETACHED,
        label: input.mount_label.map(str::to_owned),
    })
}

/// The paths of one list, with their places for errors.
fn hidden(list: &str, paths: &[PathBuf]) -> Result<Vec<(String, PathBuf)>, Refusal> {
    let each = |(i, path): (usize, &PathBuf)| {
        let target = inside(path);
        if target.as_os_str().is_empty() {
            let remedy = "for a root that cannot be written, set root.readonly";
            return Err(Refusal::new(format!("/linux/{list}/{i}"), "the root itself cannot be hidden", remedy));
        }
        Ok((format!("linux.{list}[{i}] {}", path.display()), target))
    };
    paths.iter().enumerate().map(each).collect()
}
