//! Who holds a socket: its container and its process, without a walk over all of /proc.
//!
//! The kernel tells in which cgroup a socket was made. The cgroup's path names the container, and its members are the few
//! processes whose descriptors need a look.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat_raw};

use crate::Socket;
use crate::container::{Container, hostname_of_process, id_of_process, ids_in};
use crate::published::Published;

/// Who holds a socket, as far as it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its container; none if it is in no container.
    pub container: Option<Container>,
    /// The lowest pid that has a descriptor of the socket.
    pub pid: Option<i32>,
    /// That process's name (proc_pid_comm(5)).
    pub process: Option<String>,
    /// The port as the container knows it.
    pub inside_port: Option<u16>,
}

impl Holder {
    /// Writes who it is, with `more` behind the process's id.
    pub(crate) fn describe(&self, f: &mut fmt::Formatter<'_>, more: &str) -> fmt::Result {
        if let Some(container) = &self.container {
            write!(f, "container {container}, ")?;
        }
        match (&self.process, self.pid) {
            // A process names itself as it likes.
            (Some(process), Some(pid)) => write!(f, "process {} (pid {pid}{more})", process.escape_debug()),
            _ => f.write_str("a process that cannot be seen from here"),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f, "")
    }
}

/// Finds holders, and remembers what it has read of /proc on the way: for one moment, not for long.
pub struct Holders {
    /// The mount of the cgroup v2 hierarchy and a descriptor of it.
    unified: Option<(PathBuf, OwnedFd)>,
    /// Ids of containers that their cgroup's path does not tell, by that path.
    known: HashMap<PathBuf, String>,
    cgroups: HashMap<u64, Cgroup>,
    /// Whether the members of a socket's cgroup are looked at before all others.
    members_first: bool,
    everything: Scan,
    processes: HashMap<i32, Process>,
    containers: HashMap<String, Container>,
}

/// What is known of one cgroup.
struct Cgroup {
    container: Option<String>,
    published: Option<Published>,
    members: Scan,
}

/// What is known of one process.
#[derive(Clone)]
struct Process {
    name: Option<String>,
    container: Option<String>,
}

impl Holders {
    /// Begins a search. `unified` is where cgroup v2 is mounted; without it, and without the right to open files by handle,
    /// every process is looked at. `known` are containers of the caller's, by the directories of their cgroups.
    #[must_use]
    pub fn new(unified: Option<&Path>, known: HashMap<PathBuf, String>) -> Holders {
        let open =
            |mount: &Path| openat(CWD, mount, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        Holders {
            unified: unified.and_then(|mount| Some((mount.to_owned(), open(mount).ok()?))),
            known,
            cgroups: HashMap::new(),
            members_first: true,
            everything: Scan::All,
            processes: HashMap::new(),
            containers: HashMap::new(),
        }
    }

    /// Looks at these processes alone: what others hold is without a process.
    #[must_use]
    pub fn within(self, pids: Vec<i32>) -> Holders {
        Holders { members_first: false, everything: Scan::Processes(pids), ..self }
    }

    /// Who holds this socket.
    pub fn of(&mut self, socket: &Socket) -> Holder {
        let (mut container, mut pid, mut inside_port) = (None, None, None);
        if let Some(id) = socket.cgroup {
            if !self.cgroups.contains_key(&id) {
                let found = self.look_at(id);
                self.cgroups.insert(id, found);
            }
            if let Some(cgroup) = self.cgroups.get_mut(&id) {
                container.clone_from(&cgroup.container);
                pid = cgroup.members.find(socket.inode);
                inside_port = cgroup.published.as_ref().and_then(|published| published.inside_port(socket));
            }
        }
        // Made elsewhere and handed on, as systemd does with the sockets that it activates by; or the cgroup is gone.
        let pid = pid.or_else(|| self.everything.find(socket.inode));
        let process = pid.map(|pid| self.processes.entry(pid).or_insert_with(|| Process::of(pid)).clone());
        let (name, of_process) = process.map_or((None, None), |process| (process.name, process.container));
        let container = container.or(of_process).map(|id| self.named(id, pid));
        let inside_port = container.as_ref().map(|_| inside_port.unwrap_or_else(|| socket.address.port()));
        Holder { container, pid, process: name, inside_port }
    }

    /// The cgroup's path, and from it its container and its members. The root's are found with all others.
    fn look_at(&self, id: u64) -> Cgroup {
        let nothing = Cgroup { container: None, published: None, members: Scan::Nobody };
        let Some((mount, fd)) = &self.unified else { return nothing };
        let Ok(dir) = sys::handle::open_cgroup(fd.as_fd(), id) else { return nothing };
        let Ok(path) = fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd())) else { return nothing };
        match path.strip_prefix(mount) {
            Ok(below) if !below.as_os_str().is_empty() => {
                let container = path.ancestors().find_map(|directory| self.known.get(directory)).cloned();
                let container = container.or_else(|| ids_in(below.to_str()?).next().map(str::to_owned));
                let published = Published::of(mount, &path);
                let members = if self.members_first { Scan::Cgroup(path) } else { Scan::Nobody };
                Cgroup { container, published, members }
            }
            _ => nothing,
        }
    }

    fn named(&mut self, id: String, pid: Option<i32>) -> Container {
        self.containers.entry(id.clone()).or_insert_with(|| Container::named(id, || hostname_of_process(pid?))).clone()
    }
}

impl Process {
    fn of(pid: i32) -> Process {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok();
        Process { name: name.map(|name| name.trim_end_matches('\n').to_owned()), container: id_of_process(pid) }
    }
}

/// A search through the descriptors of processes, which goes only as far as it must.
enum Scan {
    Nobody,
    All,
    Cgroup(PathBuf),
    Processes(Vec<i32>),
    /// What is left, and the sockets that were seen, with the first process that has each.
    Begun(Box<dyn Iterator<Item = (u32, i32)>>, HashMap<u32, i32>),
}

impl Scan {
    /// The first process, in the order of the pids, that has a socket.
    fn find(&mut self, inode: u32) -> Option<i32> {
        // A socket that no process has is without an inode.
        if inode == 0 {
            return None;
        }
        let pids = match self {
            Scan::Nobody | Scan::Begun(..) => None,
            Scan::All => Some(all_pids()),
            Scan::Cgroup(dir) => Some(members(dir)),
            Scan::Processes(pids) => Some(std::mem::take(pids)),
        };
        if let Some(mut pids) = pids {
            pids.sort_unstable();
            let left = pids.into_iter().flat_map(|pid| sockets_of(pid).map(move |inode| (inode, pid)));
            *self = Scan::Begun(Box::new(left), HashMap::new());
        }
        let Scan::Begun(left, seen) = self else { return None };
        let known = seen.get(&inode).copied();
        known.or_else(|| {
            left.find_map(|(found, pid)| {
                let pid = *seen.entry(found).or_insert(pid);
                (found == inode).then_some(pid)
            })
        })
    }
}

fn all_pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The processes of a cgroup v2 directory and of those below it.
fn members(dir: &Path) -> Vec<i32> {
    let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = procs.lines().filter_map(|pid| pid.parse().ok()).collect();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(members(&entry.path()));
        }
    }
    pids
}

/// The inode of every socket that a process has a descriptor of, read as they are asked for.
fn sockets_of(pid: i32) -> impl Iterator<Item = u32> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, format!("/proc/{pid}/fd"), flags, Mode::empty());
    let mut dir = opened.and_then(Dir::new).ok();
    std::iter::from_fn(move || {
        let dir = dir.as_mut()?;
        while let Some(Ok(entry)) = dir.next() {
            let mut link = [0u8; 32];
            // A longer text is cut, and no socket's.
            let Ok(len) = readlinkat_raw(dir.fd().ok()?, entry.file_name(), &mut link[..]) else { continue };
            if let Some(inode) = inode_in(link.get(..len).unwrap_or_default()) {
                return Some(inode);
            }
        }
        None
    })
}

/// `socket:[123]`
fn inode_in(link: &[u8]) -> Option<u32> {
    str::from_utf8(link).ok()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}
