//! What a container has from outside, which CRIU neither writes nor makes again but is handed: mounts from the host,
//! namespaces that were joined, and the files and pipes of standard input and output.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Component, Path, PathBuf};

use cgroups::{CgroupRecord, Version};
use criu::{Options, Text};
use namespaces::Joined;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use spec::{Mount, NamespaceType, Refusal, Spec};

use crate::hooks::path_bytes;
use crate::{Error, bundle};

/// Where a dump notes what the container's standard streams were: a JSON list of three names, as runc has it.
pub(crate) const DESCRIPTORS: &str = "descriptors.json";
/// What masks a file.
const MASK: &str = "/dev/null";
/// The character devices of the memory driver, /dev/null among them (devices.txt).
const MEMORY_DEVICES: u32 = 1;

/// A mount from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternalMount {
    /// Where it is in the container.
    pub(crate) destination: PathBuf,
    /// What is mounted there.
    pub(crate) source: PathBuf,
}

/// The mounts that config.json has from the host: bind mounts, and what init binds as well, the cgroups and, where it may not
/// make nodes, devices. CRIU takes no offence at one that is not there.
pub(crate) fn mounts(spec: &Spec, cgroup: &CgroupRecord, bundle: &Path, rootfs: &Path) -> Vec<ExternalMount> {
    let device = |path: PathBuf| ExternalMount { destination: in_rootfs(rootfs, &path), source: path };
    let mut mounts: Vec<_> = rootfs::device_paths(spec).map(device).collect();
    for mount in &spec.mounts {
        let destination = in_rootfs(rootfs, &mount.destination);
        match (&mount.source, mount.kind.as_deref()) {
            (Some(source), _) if binds(mount) => {
                mounts.push(ExternalMount { destination, source: bundle.join(source) });
            }
            (_, Some("cgroup" | "cgroup2")) => mounts.extend(cgroup_mounts(cgroup, &destination)),
            _ => {}
        }
    }
    mounts
}

fn binds(mount: &Mount) -> bool {
    let bind = ["bind", "rbind"];
    mount.kind.as_deref() == Some("bind") || mount.options.iter().any(|option| bind.contains(&option.as_str()))
}

/// The cgroups as the root file system shows them: one mount, or one for each hierarchy of v1.
fn cgroup_mounts(cgroup: &CgroupRecord, destination: &Path) -> Vec<ExternalMount> {
    let v1: Vec<_> = cgroup.dirs.iter().filter(|dir| dir.version == Version::V1).collect();
    if let (true, Some(source)) = (v1.is_empty(), cgroup.unified()) {
        return vec![ExternalMount { destination: destination.to_owned(), source: source.to_owned() }];
    }
    let mount = |dir: &&cgroups::Dir| {
        let destination = destination.join(dir.mount.file_name()?);
        Some(ExternalMount { destination, source: dir.path.clone() })
    };
    v1.iter().filter_map(mount).collect()
}

/// A path of the container's with the links of its root file system resolved: mounts are known by such paths. What is not
/// there, or below another mount, stays as it is.
fn in_rootfs(rootfs: &Path, path: &Path) -> PathBuf {
    let inside = || {
        let root = open_root(rootfs).ok()?;
        let found = open_inside(root.as_fd(), path).ok()?;
        let link = std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()?;
        Some(Path::new("/").join(link.strip_prefix(rootfs).ok()?))
    };
    inside().unwrap_or_else(|| Path::new("/").join(path))
}

fn open_root(rootfs: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(rootfs, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn open_inside(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Names, for a dump, the mounts from outside; a masked file is one too.
pub(crate) fn name_mounts(options: &mut Options, mounts: &[ExternalMount], spec: &Spec, pid: i32) -> Result<(), Error> {
    for mount in mounts {
        let name = path_bytes(&mount.destination);
        options.external_mount(name, name);
    }
    let root = format!("/proc/{pid}/root");
    let root = open_root(Path::new(&root)).map_err(Error::file("root", root))?;
    for path in spec.linux.iter().flat_map(|linux| &linux.masked_paths) {
        let Ok(masked) = open_inside(root.as_fd(), path) else { continue };
        let stat = rustix::fs::fstat(&masked).map_err(Error::file("masked path", path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            options.external_mount(path_bytes(path), MASK.as_bytes());
        }
    }
    Ok(())
}

/// Tells, for a restore, what is mounted where [`name_mounts`] has named a mount.
pub(crate) fn hand_mounts(options: &mut Options, mounts: &[ExternalMount]) {
    for ExternalMount { destination, source } in mounts {
        options.external_mount(path_bytes(destination), path_bytes(source));
    }
    options.external_mount(MASK.as_bytes(), MASK.as_bytes());
}

/// Makes the mount points that the root file system lacks, as it may be another copy of the image. What is below another
/// mount comes with that one's content.
pub(crate) fn make_mount_points(spec: &Spec, bundle: &Path, rootfs: &Path) -> Result<(), Error> {
    let root = open_root(rootfs).map_err(Error::file("root", rootfs))?;
    for mount in &spec.mounts {
        let above =
            |other: &Mount| other.destination != mount.destination && mount.destination.starts_with(&other.destination);
        if spec.mounts.iter().any(above) {
            continue;
        }
        let file = binds(mount) && mount.source.as_ref().is_some_and(|source| !bundle.join(source).is_dir());
        make_mount_point(root.as_fd(), &mount.destination, file)
            .map_err(Error::file("mount point", &mount.destination))?;
    }
    Ok(())
}

fn make_mount_point(root: BorrowedFd<'_>, path: &Path, file: bool) -> rustix::io::Result<()> {
    let names: Vec<_> = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let (mut at, mut parent) = (PathBuf::new(), open_inside(root, Path::new("."))?);
    for (index, name) in names.iter().enumerate() {
        at.push(name);
        parent = match open_inside(root, &at) {
            Err(Errno::NOENT) => {
                if file && index + 1 == names.len() {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                    return rustix::fs::openat(&parent, name.as_os_str(), flags, Mode::from_raw_mode(0o644)).map(drop);
                }
                rustix::fs::mkdirat(&parent, name.as_os_str(), Mode::from_raw_mode(0o755))?;
                open_inside(root, &at)?
            }
            found => found?,
        };
    }
    Ok(())
}

/// The kinds of namespace that are left out of a dump where they were joined, with CRIU's names for them.
const EXTERNAL: [(NamespaceType, &str, &str); 2] =
    [(NamespaceType::Network, "net", "extRootNetNS"), (NamespaceType::Pid, "pid", "extRootPidNS")];

/// Names, for a dump, the namespaces that were joined. One that is CRIU's own as well is nothing that it looks at.
pub(crate) fn name_namespaces(options: &mut Options, spec: &Spec, pid: i32) -> Result<(), Error> {
    for (kind, name, key) in EXTERNAL {
        if spec.namespace(kind).is_none_or(|namespace| namespace.path.is_none()) {
            continue;
        }
        let inode = |process: &str| {
            let path = format!("/proc/{process}/ns/{name}");
            rustix::fs::stat(&path).map(|stat| stat.st_ino).map_err(Error::file("namespace", path))
        };
        let joined = inode(&pid.to_string())?;
        if joined != inode("self")? {
            options.text(Text::External, format!("{name}[{joined}]:{key}").as_bytes());
        }
    }
    Ok(())
}

/// The descriptors that CRIU inherits: our standard streams, /dev/null, and the namespaces that were joined.
pub(crate) fn inherited<'a>(null: BorrowedFd<'a>, joined: &'a [Joined]) -> Vec<BorrowedFd<'a>> {
    let external = joined.iter().filter(|joined| !joined.own && external_key(joined.kind).is_some());
    own_streams().into_iter().chain([null]).chain(external.map(|joined| joined.fd.as_fd())).collect()
}

/// Where [`inherited`] has /dev/null.
const NULL: RawFd = criu::FIRST_INHERITED + 3;

/// Our standard input, output and error.
pub(crate) fn own_streams() -> [BorrowedFd<'static>; 3] {
    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
}

/// Lets a restore join the namespaces anew, some by what [`inherited`] lists.
pub(crate) fn hand_namespaces(options: &mut Options, joined: &[Joined]) -> Result<(), Error> {
    let mut fds = NULL + 1..;
    for namespace in joined.iter().filter(|joined| !joined.own) {
        if let Some(key) = external_key(namespace.kind) {
            options.inherit_fd(key.as_bytes(), fds.next().unwrap_or_default());
            continue;
        }
        let kind = match namespace.kind {
            NamespaceType::Ipc => "ipc",
            NamespaceType::Uts => "uts",
            NamespaceType::Time => "time",
            NamespaceType::User => "user",
            kind => return Err(not_joined(kind).into()),
        };
        let fd = namespace.fd.as_raw_fd();
        options.join_namespace(kind, format!("/proc/{}/fd/{fd}", std::process::id()).as_bytes());
    }
    Ok(())
}

fn external_key(kind: NamespaceType) -> Option<&'static str> {
    EXTERNAL.iter().find(|(external, ..)| *external == kind).map(|(_, _, key)| *key)
}

fn not_joined(kind: NamespaceType) -> Refusal {
    let problem = format!("criu restores no container that joins a {kind} namespace");
    Refusal::new("/linux/namespaces", problem, "leave out its `path` to get a new one")
}

/// Names, for a dump, what the container's standard streams are.
pub(crate) fn name_streams(options: &mut Options, pid: i32) -> Result<Vec<String>, Error> {
    let own = own_mounts(pid)?;
    let streams: Vec<String> = (0..3).map(|fd| stream(pid, fd, &own)).collect();
    let files: BTreeSet<&String> = streams.iter().filter(|name| name.starts_with("file[")).collect();
    for file in files {
        options.text(Text::External, file.as_bytes());
    }
    Ok(streams)
}

/// A pipe is known by its inode, a file of a mount that the container does not have by that mount's id and its own inode;
/// all else by its path, and that is CRIU's matter.
fn stream(pid: i32, fd: i32, own: &BTreeSet<u64>) -> String {
    let path = format!("/proc/{pid}/fd/{fd}");
    let link = std::fs::read_link(&path).map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
    let external = || {
        let stat = rustix::fs::stat(&path).ok()?;
        let file = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => true,
            FileType::CharacterDevice => rustix::fs::major(stat.st_rdev) == MEMORY_DEVICES,
            _ => false,
        };
        let mount = mount_of(pid, fd).filter(|mount| file && !own.contains(mount))?;
        Some(format!("file[{mount:x}:{:x}]", stat.st_ino))
    };
    external().unwrap_or(link)
}

/// The mount that a descriptor of a process is on (proc_pid_fdinfo(5), `mnt_id`).
fn mount_of(pid: i32, fd: i32) -> Option<u64> {
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

/// The ids of the mounts that a process sees (proc_pid_mountinfo(5)).
fn own_mounts(pid: i32) -> Result<BTreeSet<u64>, Error> {
    let path = format!("/proc/{pid}/mountinfo");
    let table = std::fs::read_to_string(&path).map_err(Error::file("mounts", path))?;
    Ok(table.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect())
}

/// Lets a restored container have our standard streams, as [`inherited`] lists them, where a dump has named its own.
pub(crate) fn hand_streams(options: &mut Options, descriptors: &Path) -> Result<(), Error> {
    let document = bundle::read_document("images", descriptors)?;
    let streams: Vec<String> = serde_json::from_slice(&document)
        .map_err(|error| Error::Other(format!("images {}: {error}", descriptors.display())))?;
    for ((fd, name), own) in (criu::FIRST_INHERITED..).zip(&streams).zip(own_streams()) {
        if name.starts_with("pipe:[") {
            options.inherit_fd(name.as_bytes(), fd);
        } else if name.starts_with("file[") {
            // CRIU goes to a place in it, which a pipe does not have: what was /dev/null stays that.
            let seekable = rustix::fs::tell(own).is_ok();
            options.inherit_fd(name.as_bytes(), if seekable { fd } else { NULL });
        }
    }
    Ok(())
}
