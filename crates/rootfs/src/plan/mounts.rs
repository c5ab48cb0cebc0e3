//! One entry of `mounts`: what kind of mount it is, with which flags, and whether it may be there.

use std::path::{Path, PathBuf};

use program::Resolve;
use spec::{IdMapping, Mount, NamespaceType, Refusal, Spec};

use crate::options::{Attributes, Options, PRIVATE, Propagation, SHARED, SLAVE};
use crate::path::inside;
use crate::plan::{CgroupHierarchy, CgroupMounts, PlanInput};

/// statfs(2)
pub(crate) const PROC_SUPER_MAGIC: u32 = 0x9fa0;

/// As many sources can be held open at once; a program has 256 slots, and other uses for them.
const HELD_SOURCES_MAX: usize = 128;

/// The longest key and value that fsconfig(2) takes, in bytes (strndup_user in fs/fsopen.c).
const CONFIG_LEN_MAX: usize = 255;

/// The files of procfs that may be covered: system-wide numbers that lxcfs and CRIU replace by the container's own.
/// Anything else there could fool a runtime that writes to /proc (CVE-2019-16884, CVE-2019-19921).
const COVERABLE: [&str; 10] = [
    "proc/cpuinfo",
    "proc/diskstats",
    "proc/loadavg",
    "proc/meminfo",
    "proc/slabinfo",
    "proc/stat",
    "proc/swaps",
    "proc/sys/crypto/fips_enabled",
    "proc/sys/kernel/ns_last_pid",
    "proc/uptime",
];

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountPlan {
    /// Index in `mounts`.
    pub(crate) index: usize,
    pub(crate) place: String,
    /// Below the root.
    pub(crate) target: PathBuf,
    /// How links on the way to the target are treated.
    pub(crate) resolve: Resolve,
    /// A file system type that the target must not turn out to be on, or 0.
    pub(crate) avoid: u32,
    pub(crate) kind: MountKind,
    pub(crate) attributes: Attributes,
    /// For the mounts below as well.
    pub(crate) tree_attributes: Attributes,
    pub(crate) propagation: Vec<Propagation>,
    /// Read-only once everything inside is made.
    pub(crate) read_only_late: bool,
    /// A tmpfs whose mode is not given has that of the folder it covers.
    pub(crate) keep_mode: bool,
    /// A tmpfs that gets a copy of what it covers.
    pub(crate) copy_up: Option<CopyUp>,
    pub(crate) idmap: Option<IdMap>,
    /// The SELinux label of a file system that takes none as an option.
    pub(crate) label: Option<String>,
}

/// The id maps of an idmapped mount, which are those of a user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// For everything mounted below as well.
    pub recursive: bool,
    /// Which user namespace.
    pub user_namespace: UserNamespace,
}

/// A user namespace whose id maps a mount gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserNamespace {
    /// One to be made for this, with these maps: from ids on the file system (`containerID`) to ids on the host.
    Maps {
        /// Of users.
        uids: Vec<IdMapping>,
        /// Of groups.
        gids: Vec<IdMapping>,
    },
    /// The one that the container joins.
    Joined(PathBuf),
}

/// What `tmpcopyup` copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyUp {
    /// The owner of the folder itself as well, as the options name none.
    pub(crate) owner: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// A copy of a mount of the host's. `procfs`: it must be one.
    Bind { source: PathBuf, recursive: bool, from: Source, procfs: bool },
    /// A new mount of a file system.
    FileSystem { name: String, config: Vec<(String, Option<String>)> },
    /// A change of what is mounted there.
    Remount { config: Vec<(String, Option<String>)> },
    /// A tmpfs with the container's cgroup of each hierarchy in it.
    Cgroups(Vec<CgroupHierarchy>),
}

/// Who clones the source of a bind mount, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Init, when its turn comes.
    Late,
    /// Init, while its mounts are still peers of the host's, for the propagation asked for.
    Early,
    /// Init, when its turn comes, from mounts that are the host's own, which nothing must travel to.
    Host,
    /// The runtime: init could not reach it.
    Inherited,
}

pub(crate) fn plan(
    spec: &Spec,
    input: &PlanInput<'_>,
    host_propagation: Option<u64>,
) -> Result<Vec<MountPlan>, Refusal> {
    let planner = Planner { spec, input, host_propagation };
    let plans = spec.mounts.iter().enumerate().map(|(i, mount)| planner.mount(i, mount));
    let plans: Vec<MountPlan> = plans.collect::<Result<_, _>>()?;
    let held = |plan: &&MountPlan| matches!(plan.kind, MountKind::Bind { from, .. } if matches!(from, Source::Early | Source::Inherited));
    let also = |plan: &&MountPlan| plan.read_only_late || plan.idmap.is_some();
    let held = plans.iter().filter(held).count() + plans.iter().filter(also).count();
    if held > HELD_SOURCES_MAX {
        let problem = format!(
            "{held} mounts are read-only tmpfs, shared with the host, idmapped, or bound into a user namespace"
        );
        return Err(Refusal::new("/mounts", problem, format!("use at most {HELD_SOURCES_MAX} of them")));
    }
    Ok(plans)
}

struct Planner<'a> {
    spec: &'a Spec,
    input: &'a PlanInput<'a>,
    host_propagation: Option<u64>,
}

impl Planner<'_> {
    fn mount(&self, index: usize, mount: &Mount) -> Result<MountPlan, Refusal> {
        let pointer = format!("/mounts/{index}");
        let target = inside(&mount.destination);
        if target.as_os_str().is_empty() {
            let remedy = "set root.path to what the root is to be";
            return Err(Refusal::new(format!("{pointer}/destination"), "a mount would cover the root itself", remedy));
        }
        let mut options = Options::read(&mount.options);
        if mount.kind.as_deref() == Some("bind") {
            options.bind = options.bind.or(Some(false));
        }
        if options.bind != Some(true) {
            options.fold_tree();
        }
        if !options.remount {
            check_proc(mount, &target, &options, &pointer)?;
        }
        self.check_ids(&options, &pointer)?;
        let idmap = self.idmap(mount, &options, &pointer)?;
        let kind = self.kind(mount, &target, &mut options, &pointer)?;
        if idmap.is_some() && !matches!(kind, MountKind::Bind { .. } | MountKind::FileSystem { .. }) {
            let problem = "only a bind mount and a new mount of a file system can be idmapped";
            return Err(Refusal::new(&pointer, problem, "remove its mappings and the options idmap and ridmap"));
        }
        let fresh = matches!(kind, MountKind::FileSystem { .. });
        let is_tmpfs = mount.kind.as_deref() == Some("tmpfs") || target == Path::new("dev");
        // Targets of later mounts and devices are still to be made in there.
        let read_only_late = (fresh || options.remount) && is_tmpfs && options.attributes.read_only();
        if read_only_late {
            options.attributes = options.attributes.without_read_only();
        }
        let has = |name: &str| options.data.iter().any(|(key, _)| key == name);
        let is_new_tmpfs = mount.kind.as_deref() == Some("tmpfs") && fresh;
        let keep_mode = is_new_tmpfs && !has("mode");
        if options.copy_up && !is_new_tmpfs {
            let problem = "`tmpcopyup` is for a new tmpfs, and this is another kind of mount";
            return Err(Refusal::new(format!("{pointer}/options"), problem, "remove it, or set the type to tmpfs"));
        }
        let copy_up = options.copy_up.then(|| CopyUp { owner: !has("uid") && !has("gid") });
        let label = self.input.mount_label.filter(|_| fresh && mount.kind.as_deref() == Some("mqueue"));
        let (resolve, avoid) = resolution(mount, &target);
        Ok(MountPlan {
            index,
            place: self.place(index, mount, &kind),
            target,
            resolve,
            avoid,
            kind,
            attributes: options.attributes,
            tree_attributes: options.tree_attributes,
            propagation: options.propagation,
            read_only_late,
            keep_mode,
            copy_up,
            idmap,
            label: label.map(str::to_owned),
        })
    }

    /// The mount's name for errors, with what is special about one of the kernel's own in a user namespace.
    fn place(&self, index: usize, mount: &Mount, kind: &MountKind) -> String {
        let place = format!("mounts[{index}] {}", mount.destination.display());
        let by_user = self.input.user_namespace && !self.input.privileged;
        match (mount.kind.as_deref(), kind) {
            (Some("proc" | "sysfs" | "mqueue"), MountKind::Bind { source, .. })
                if mount.source.as_ref() != Some(source) =>
            {
                format!(
                    "{place} (the host's own: a new one takes a namespace that the container's user namespace owns)"
                )
            }
            // mount_too_revealing in fs/namespace.c
            (Some(name @ ("proc" | "sysfs")), MountKind::FileSystem { .. }) if by_user => {
                format!("{place} (inside an outer container, its {name} must have no masked parts)")
            }
            _ => place,
        }
    }

    fn kind(&self, mount: &Mount, target: &Path, options: &mut Options, pointer: &str) -> Result<MountKind, Refusal> {
        if options.remount {
            let config = if options.bind.is_some() { vec![] } else { superblock_config(options) };
            check_config(&config, pointer)?;
            return Ok(MountKind::Remount { config });
        }
        if let Some(recursive) = options.bind {
            let Some(source) = &mount.source else {
                let remedy = "set it to the file or folder that is to be mounted";
                return Err(Refusal::new(format!("{pointer}/source"), "missing, and it is a bind mount", remedy));
            };
            let source = self.input.bundle.join(source);
            if self.input.user_namespace && !self.input.privileged {
                options.attributes = options.attributes.unlocked();
                options.tree_attributes = options.tree_attributes.unlocked();
            }
            let procfs = target == Path::new("proc");
            let idmapped = options.idmap.is_some() || !mount.uid_mappings.is_empty();
            return Ok(MountKind::Bind { source, recursive, from: self.source(options, idmapped), procfs });
        }
        match mount.kind.as_deref() {
            None | Some("none") => {
                let remedy = "set it to the file system's type, or add the option bind";
                Err(Refusal::new(format!("{pointer}/type"), "missing, and it is not a bind mount", remedy))
            }
            Some("cgroup" | "cgroup2") if self.input.cgroups == CgroupMounts::Host => {
                Ok(self.hosts_own("/sys/fs/cgroup", Attributes::SEALED, options))
            }
            Some(name @ ("cgroup" | "cgroup2")) => self.cgroup(name, pointer),
            Some("sysfs") if !self.owns(NamespaceType::Network) => {
                Ok(self.hosts_own("/sys", Attributes::SEALED, options))
            }
            Some("mqueue") if !self.owns(NamespaceType::Ipc) => {
                Ok(self.hosts_own("/dev/mqueue", Attributes::INERT, options))
            }
            Some("proc") if !self.owns(NamespaceType::Pid) => Ok(self.hosts_own("/proc", Attributes::INERT, options)),
            Some(name) => {
                let config = self.config(name, mount, options);
                check_config(&config, pointer)?;
                Ok(MountKind::FileSystem { name: name.to_owned(), config })
            }
        }
    }

    /// Whether the container's user namespace owns its namespace of this kind, so that the file system which shows it can be
    /// mounted anew. Of two that are joined, it is taken that they belong together.
    fn owns(&self, kind: NamespaceType) -> bool {
        let Some(user) = self.spec.namespace(NamespaceType::User) else { return true };
        self.spec.namespace(kind).is_some_and(|namespace| namespace.path.is_none() || user.path.is_some())
    }

    /// The host's mount instead of a new one that the kernel would refuse, and whatever is mounted below it, for else the kernel
    /// would refuse the copy. Below `/sys` are the cgroups, and those of a user are writable to it (CVE-2023-25809).
    fn hosts_own(&self, source: &str, attributes: Attributes, options: &mut Options) -> MountKind {
        let wanted = options.attributes.unlocked().then(attributes);
        (options.attributes, options.tree_attributes) = (Attributes::default(), wanted);
        let procfs = source == "/proc";
        MountKind::Bind { source: source.into(), recursive: true, from: self.source(options, false), procfs }
    }

    /// A file system mounted in a user namespace can have no owner that the namespace does not know.
    fn check_ids(&self, options: &Options, pointer: &str) -> Result<(), Refusal> {
        let new = self.spec.namespace(NamespaceType::User).filter(|namespace| namespace.path.is_none());
        let Some(linux) = self.spec.linux.as_ref().filter(|_| new.is_some() && options.bind.is_none()) else {
            return Ok(());
        };
        for (key, maps, list) in
            [("uid", &linux.uid_mappings, "uidMappings"), ("gid", &linux.gid_mappings, "gidMappings")]
        {
            let ids =
                options.data.iter().filter(|(name, _)| name == key).filter_map(|(_, id)| id.as_ref()?.parse().ok());
            let is_mapped =
                |id: u32| maps.iter().any(|map| id.checked_sub(map.container_id).is_some_and(|at| at < map.size));
            if let Some(id) = ids.into_iter().find(|&id| !is_mapped(id)) {
                let problem = format!("`{key}={id}` is not mapped in the container's user namespace");
                let remedy = format!("remove it, or map the id in /linux/{list}");
                return Err(Refusal::new(format!("{pointer}/options"), problem, remedy));
            }
        }
        Ok(())
    }

    /// The mount's own mappings, else those of the container (config.md, "idmap").
    fn idmap(&self, mount: &Mount, options: &Options, pointer: &str) -> Result<Option<IdMap>, Refusal> {
        if let Some((key, _)) = options.data.iter().find(|(key, _)| key == "idmap" || key == "ridmap") {
            let problem = format!("`{key}` takes no value");
            let remedy = "write the mappings as uidMappings and gidMappings of the mount";
            return Err(Refusal::new(format!("{pointer}/options"), problem, remedy));
        }
        let own = !mount.uid_mappings.is_empty();
        let Some(recursive) = options.idmap.or_else(|| own.then_some(false)) else { return Ok(None) };
        let linux = self.spec.linux.as_ref();
        let container = self.spec.namespace(NamespaceType::User);
        let user_namespace = match (container.map(|namespace| &namespace.path), linux) {
            _ if own => UserNamespace::Maps { uids: mount.uid_mappings.clone(), gids: mount.gid_mappings.clone() },
            (Some(Some(path)), _) => UserNamespace::Joined(path.clone()),
            (Some(None), Some(linux)) => {
                UserNamespace::Maps { uids: linux.uid_mappings.clone(), gids: linux.gid_mappings.clone() }
            }
            _ => {
                let problem =
                    "an idmapped mount has no mappings, and the container no user namespace to take them from";
                return Err(Refusal::new(pointer, problem, "add uidMappings and gidMappings to the mount"));
            }
        };
        Ok(Some(IdMap { recursive, user_namespace }))
    }

    fn source(&self, options: &Options, idmapped: bool) -> Source {
        let asks_for = |kind| options.propagation.iter().any(|propagation| propagation.kind == kind);
        if idmapped || (self.input.user_namespace && self.input.privileged) {
            Source::Inherited
        } else {
            match self.host_propagation {
                Some(PRIVATE) if asks_for(SHARED) || asks_for(SLAVE) => Source::Early,
                Some(_) if asks_for(SHARED) => Source::Early,
                None if asks_for(SHARED) => Source::Late,
                None => Source::Host,
                Some(_) => Source::Late,
            }
        }
    }

    /// The container's own cgroup, always bound from the host: with a cgroup namespace it shows as `/` there all the same
    /// (cgroup_show_path in kernel/cgroup/cgroup.c), and it is several times faster than a new mount.
    fn cgroup(&self, name: &str, pointer: &str) -> Result<MountKind, Refusal> {
        match &self.input.cgroups {
            CgroupMounts::V1(_) if name == "cgroup2" => {
                let remedy = "use the type cgroup";
                Err(Refusal::new(format!("{pointer}/type"), "the container's cgroups are of version 1", remedy))
            }
            CgroupMounts::V1(hierarchies) => Ok(MountKind::Cgroups(hierarchies.clone())),
            CgroupMounts::V2(folder) => {
                let source = folder.clone();
                Ok(MountKind::Bind { source, recursive: false, from: Source::Late, procfs: false })
            }
            CgroupMounts::Host | CgroupMounts::None => {
                let problem = "the container has no cgroup that could be shown";
                Err(Refusal::new(format!("{pointer}/type"), problem, "remove the mount"))
            }
        }
    }

    /// What fsconfig(2) is given for a new mount.
    fn config(&self, name: &str, mount: &Mount, options: &Options) -> Vec<(String, Option<String>)> {
        let source = mount.source.as_ref().map(|source| source.to_string_lossy().into_owned());
        let mut config: Vec<_> = source.map(|source| ("source".to_owned(), Some(source))).into_iter().collect();
        // mount(2) makes the superblock read-only as well. A tmpfs has things to be made in it first.
        if options.attributes.read_only() && name != "tmpfs" {
            config.push(("ro".to_owned(), None));
        }
        config.extend(superblock_config(options));
        // The kernel labels the first two by its policy, and the third has no such option.
        let labelled =
            !matches!(name, "proc" | "sysfs" | "mqueue") && !options.data.iter().any(|(key, _)| key == "context");
        if let Some(label) = self.input.mount_label.filter(|_| labelled) {
            config.push(("context".to_owned(), Some(label.to_owned())));
        }
        config
    }
}

fn superblock_config(options: &Options) -> Vec<(String, Option<String>)> {
    let flags = options.superblock.iter().map(|&flag| (flag.to_owned(), None));
    flags.chain(options.data.iter().cloned()).collect()
}

fn check_config(config: &[(String, Option<String>)], pointer: &str) -> Result<(), Refusal> {
    let long = |text: &str| text.len() > CONFIG_LEN_MAX;
    let too_long = |(key, value): &&(String, Option<String>)| long(key) || value.as_deref().is_some_and(long);
    let Some((key, _)) = config.iter().find(too_long) else { return Ok(()) };
    let property = if key == "source" { "source" } else { "options" };
    let problem = format!("`{key:.40}` has more bytes than the kernel takes for a parameter of a file system");
    let remedy = format!("use at most {CONFIG_LEN_MAX} for each name and each value");
    Err(Refusal::new(format!("{pointer}/{property}"), problem, remedy))
}

/// procfs may be mounted at `/proc`, some of its files may be covered, and nothing else.
fn check_proc(mount: &Mount, target: &Path, options: &Options, pointer: &str) -> Result<(), Refusal> {
    let is_procfs = target == Path::new("proc") && (options.bind.is_some() || mount.kind.as_deref() == Some("proc"));
    let allowed = is_procfs || COVERABLE.iter().any(|path| target == Path::new(path));
    if allowed || !target.starts_with("proc") {
        return Ok(());
    }
    let problem = format!("`{}` would cover a part of procfs", mount.destination.display());
    Err(Refusal::new(
        format!("{pointer}/destination"),
        problem,
        "mount it outside /proc; at /proc only the type proc can be",
    ))
}

/// `/proc` and `/sys` must be real folders (CVE-2019-19921); other targets may be behind links, which must not lead into
/// procfs, where [`check_proc`] cannot see it.
fn resolution(mount: &Mount, target: &Path) -> (Resolve, u32) {
    let kernels = matches!(mount.kind.as_deref(), Some("proc" | "sysfs"));
    if kernels || target.starts_with("proc") || target == Path::new("sys") {
        (Resolve::NoLinks, 0)
    } else {
        (Resolve::InRoot, PROC_SUPER_MAGIC)
    }
}
