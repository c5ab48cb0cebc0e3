//! Makes the directories of a plan, sets the limits, and opens what a process joins by.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode};
use rustix::io::Errno;
use trace::Trace;

use crate::error::Error;
use crate::plan::CgroupPlan;
use crate::record::{CgroupRecord, Dir, Version};
use crate::writes::Write;
use crate::{devices, freeze, kernfs, procs};

/// What a new process of the container joins its cgroups with.
#[derive(Debug)]
pub struct JoinHandles {
    /// The `tasks` file of each v1 hierarchy, open for writing. The single-threaded child writes `0` to each, for itself:
    /// a pid written to `cgroup.procs` takes the threadgroup lock for writing and with it an RCU grace period, a
    /// millisecond for each file.
    pub tasks: Vec<OwnedFd>,
    /// The directory in the unified hierarchy, for `CLONE_INTO_CGROUP` (Linux 5.7).
    pub unified: Option<OwnedFd>,
}

impl CgroupPlan {
    /// Looks at which of the directories exist and returns the record to be journaled before
    /// [`create`](CgroupPlan::create).
    ///
    /// # Errors
    /// A directory exists that has processes or is frozen. Nothing was made.
    pub fn record(&self) -> Result<CgroupRecord, Error> {
        let unit = self.unit.as_ref().map(|plan| plan.unit.clone());
        let mut record = CgroupRecord { dirs: self.dirs.clone(), unit };
        for dir in &mut record.dirs {
            dir.made = !exists(&dir.path)?;
            if !dir.made {
                check_reusable(dir)?;
            }
        }
        Ok(record)
    }

    /// Makes everything at once: the directories of both versions, their limits, and the filter of devices. `trace` gets the steps.
    ///
    /// # Errors
    /// What failed. The directories made here are removed again.
    pub fn create(&self, record: &CgroupRecord, trace: &Trace) -> Result<(), Error> {
        let versions = [Version::V2, Version::V1];
        self.create_dirs(&versions, record, trace)?;
        let limited = self.set_limits(&versions, record, trace).and_then(|()| self.filter_devices(record, trace));
        limited.inspect_err(|_| {
            // The first error is the one to report; a directory left behind is in the journal.
            let _ = record.remove();
        })
    }

    /// Makes the directories of these versions.
    ///
    /// # Errors
    /// What failed. The directories made here are removed again.
    pub fn create_dirs(&self, versions: &[Version], record: &CgroupRecord, trace: &Trace) -> Result<(), Error> {
        let mut made = Vec::new();
        let of = |version: Version| record.dirs.iter().filter(move |dir| dir.version == version);
        let mut dirs = versions.iter().flat_map(|version| of(*version));
        dirs.try_for_each(|dir| trace.step(dir.path.display(), || self.create_dir(dir, record, &mut made))).inspect_err(
            |_| {
                for path in made.iter().rev() {
                    let _ = rustix::fs::unlinkat(CWD, *path, AtFlags::REMOVEDIR);
                }
            },
        )
    }

    /// Sets the limits of these versions. No process is in the directories yet, so none can be outrun.
    ///
    /// # Errors
    /// The first limit that cannot be had.
    pub fn set_limits(&self, versions: &[Version], record: &CgroupRecord, trace: &Trace) -> Result<(), Error> {
        let concerned = |write: &&Write| record.dirs.get(write.dir).is_some_and(|dir| versions.contains(&dir.version));
        trace.step("limits", || write_limits(&record.dirs, self.writes.iter().filter(concerned)))
    }

    /// Puts the rules for devices of v2 in force, before the container's program has devices to open.
    ///
    /// # Errors
    /// The kernel refuses the program, and the container must not be without it.
    pub fn filter_devices(&self, record: &CgroupRecord, trace: &Trace) -> Result<(), Error> {
        let (Some(filter), Some(path)) = (&self.device_filter, record.unified()) else { return Ok(()) };
        let Some(fd) = record.open_unified()? else { return Ok(()) };
        match trace.step("filter of devices (BPF)", || devices::attach(filter, &fd, path)) {
            Err(Error::DeviceFilter { .. }) if self.devices_optional => Ok(()),
            attached => attached,
        }
    }

    fn create_dir<'r>(&self, dir: &'r Dir, record: &CgroupRecord, made: &mut Vec<&'r Path>) -> Result<(), Error> {
        if dir.version == Version::V2 && !self.wanted.is_empty() {
            self.enable_controllers(dir)?;
        }
        // systemd may have made it, and not every v1 hierarchy is systemd's.
        if dir.made && !(record.unit.is_some() && exists(&dir.path)?) {
            make_dir(dir)?;
            made.push(&dir.path);
        }
        if dir.version == Version::V1 && dir.has("cpuset") {
            fill_cpuset(dir)?;
        }
        Ok(())
    }

    /// Enables controllers in every ancestor of the container's v2 directory; a controller reaches a cgroup only if all
    /// its ancestors pass it on.
    fn enable_controllers(&self, dir: &Dir) -> Result<(), Error> {
        let mut ancestors = ancestors(dir);
        ancestors.reverse();
        for path in ancestors {
            if path != dir.mount {
                match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(Error::file("create", path, errno)),
                }
            }
            self.enable_in(&path)?;
        }
        Ok(())
    }

    fn enable_in(&self, ancestor: &Path) -> Result<(), Error> {
        let file = ancestor.join("cgroup.subtree_control");
        let enabled = kernfs::read_line(&file)?;
        refuse_processes_in(ancestor)?;
        let missing = |name: &&String| !enabled.split_ascii_whitespace().any(|on| on == name.as_str());
        let missing = self.wanted.iter().filter(missing).collect::<Vec<_>>();
        let all = missing.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
        if missing.is_empty() || kernfs::write(&file, &all).is_ok() {
            return Ok(());
        }
        // One bad controller fails the whole line: find out which, and whether a limit needs it.
        for name in missing {
            let Err(errno) = kernfs::write(&file, &format!("+{name}")) else { continue };
            let Some((_, pointer)) = self.needs.iter().find(|(controller, _)| controller == name) else { continue };
            let hint = match errno {
                Errno::NOENT => " (its parent does not pass it on: enable it there, or drop the limit)",
                _ => "",
            };
            let (pointer, controller, path) = (pointer.clone(), name.clone(), ancestor.to_owned());
            return Err(Error::Controller { pointer, controller, path, errno, hint });
        }
        Ok(())
    }
}

/// Refuses a cgroup with processes to put another one into. Of its controllers the threaded ones could be enabled all the same,
/// which would make it the root of a threaded subtree, where no container's process may be (cgroup-v2.rst, "Threads").
fn refuse_processes_in(ancestor: &Path) -> Result<(), Error> {
    // The root of the hierarchy has no type, and may have processes.
    let Ok(kind) = kernfs::try_read_line(&ancestor.join("cgroup.type")) else { return Ok(()) };
    let processes = || kernfs::try_read_line(&ancestor.join("cgroup.procs"));
    if kind != "domain" || processes().is_ok_and(|first| !first.is_empty()) {
        return Err(Error::Populated { path: ancestor.to_owned() });
    }
    Ok(())
}

impl CgroupRecord {
    /// Opens what a process joins the container's cgroups by, where it cannot open the files itself.
    pub fn join(&self) -> Result<JoinHandles, Error> {
        let open = |dir: &Dir| {
            let path = dir.path.join("tasks");
            kernfs::open_write(&path).map_err(|errno| Error::file("open", path, errno))
        };
        let tasks = self.dirs.iter().filter(|dir| dir.version == Version::V1).map(open).collect::<Result<_, _>>()?;
        Ok(JoinHandles { tasks, unified: self.open_unified()? })
    }

    /// Moves a process that runs into the container's cgroups, with the processes that it makes from then on.
    pub fn enter(&self, pid: i32) -> Result<(), Error> {
        self.dirs.iter().try_for_each(|dir| {
            let path = dir.path.join("cgroup.procs");
            kernfs::write(&path, &pid.to_string()).map_err(|errno| Error::file("write", path, errno))
        })
    }

    /// Opens the directory in the unified hierarchy, if there is one, for a process to be born in.
    pub fn open_unified(&self) -> Result<Option<OwnedFd>, Error> {
        let open = |path: &Path| kernfs::open_dir(path).map_err(|errno| Error::file("open", path, errno));
        self.unified().map(open).transpose()
    }
}

fn exists(path: &Path) -> Result<bool, Error> {
    match rustix::fs::access(path, Access::EXISTS) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::file("open", path, errno)),
    }
}

/// A directory that is there already may be used when it is idle: an administrator may have prepared it.
fn check_reusable(dir: &Dir) -> Result<(), Error> {
    let count = procs::below(&dir.path)?.len();
    if count > 0 {
        return Err(Error::NotEmpty { path: dir.path.clone(), count });
    }
    if freeze::is_frozen(dir)? {
        return Err(Error::Frozen { path: dir.path.clone() });
    }
    Ok(())
}

fn make_dir(dir: &Dir) -> Result<(), Error> {
    let mode = Mode::from_raw_mode(0o755);
    let mut made = rustix::fs::mkdir(&dir.path, mode);
    if made == Err(Errno::NOENT) {
        for parent in ancestors(dir).iter().rev().filter(|parent| **parent != dir.mount) {
            match rustix::fs::mkdir(parent, mode) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::file("create", parent, errno)),
            }
        }
        made = rustix::fs::mkdir(&dir.path, mode);
    }
    match made {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(Error::Taken { path: dir.path.clone() }),
        Err(errno) => Err(Error::file("create", &dir.path, errno)),
    }
}

/// The directories above the container's own, nearest first, up to and with the mount point.
fn ancestors(dir: &Dir) -> Vec<PathBuf> {
    dir.path.ancestors().skip(1).take_while(|path| path.starts_with(&dir.mount)).map(Path::to_owned).collect()
}

/// A new v1 cpuset has no CPUs and no memory nodes, and nothing can join it until it has (cpuset(7)): it gets its
/// parent's, and so do parents that were just made.
fn fill_cpuset(dir: &Dir) -> Result<(), Error> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        match dir.path.parent() {
            // What was just made needs no look.
            Some(parent) if dir.made => set_cpuset(&dir.path, name, &cpuset_of(&dir.mount, parent, name)?)?,
            _ => drop(cpuset_of(&dir.mount, &dir.path, name)?),
        }
    }
    Ok(())
}

/// The value of a directory, which gets its parent's first if it has none.
fn cpuset_of(mount: &Path, path: &Path, name: &str) -> Result<String, Error> {
    let own = kernfs::read_line(&path.join(name))?;
    let Some(parent) = path.parent().filter(|_| own.is_empty() && path != mount) else { return Ok(own) };
    let value = cpuset_of(mount, parent, name)?;
    set_cpuset(path, name, &value)?;
    Ok(value)
}

fn set_cpuset(path: &Path, name: &str, value: &str) -> Result<(), Error> {
    let file = path.join(name);
    kernfs::write(&file, value).map_err(|errno| Error::file("write", file, errno))
}

/// Writes limits in order. One that the kernel finds invalid is tried once more after the others: an update may move
/// memory and memory+swap, or quota and burst, up or down, and only one order of the two is ever valid.
pub(crate) fn write_limits<'w>(dirs: &[Dir], writes: impl IntoIterator<Item = &'w Write>) -> Result<(), Error> {
    let mut again = Vec::new();
    let mut open: Option<(PathBuf, OwnedFd)> = None;
    for write in writes {
        match write_limit(dirs, write, &mut open) {
            Err(Errno::INVAL | Errno::BUSY) if !write.optional => again.push(write),
            result => settle(dirs, write, result)?,
        }
    }
    for write in again {
        let result = write_limit(dirs, write, &mut open);
        settle(dirs, write, result)?;
    }
    Ok(())
}

/// One write. The file stays open for the next one: device rules go to the same file one after another.
fn write_limit(dirs: &[Dir], write: &Write, open: &mut Option<(PathBuf, OwnedFd)>) -> Result<(), Errno> {
    let path = dirs.get(write.dir).ok_or(Errno::NOENT)?.path.join(&write.file);
    if let Some((_, fd)) = open.as_ref().filter(|(opened, _)| *opened == path) {
        return kernfs::write_fd(fd, &write.value);
    }
    match (kernfs::open_write(&path), &write.or) {
        (Ok(fd), _) => {
            let result = kernfs::write_fd(&fd, &write.value);
            *open = Some((path, fd));
            result
        }
        (Err(Errno::NOENT | Errno::ACCESS), Some((file, value))) => kernfs::write(&path.with_file_name(file), value),
        (Err(errno), _) => Err(errno),
    }
}

fn settle(dirs: &[Dir], write: &Write, result: Result<(), Errno>) -> Result<(), Error> {
    let Err(errno) = result else { return Ok(()) };
    if write.optional {
        return Ok(());
    }
    let hint = match errno {
        Errno::NOENT => " (this kernel does not have it: drop the limit)",
        Errno::BUSY => " (it is below what is in use)",
        Errno::INVAL => " (it is out of the range the host allows: change the value)",
        _ => "",
    };
    let path = dirs.get(write.dir).map(|dir| dir.path.join(&write.file)).unwrap_or_default();
    Err(Error::Limit { pointer: write.pointer.clone(), path, value: write.value.clone(), errno, hint })
}
