//! `delete`: takes back everything that a container acquired, whatever state it was left in.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use cgroups::CgroupRecord;
use rustix::fs::{AtFlags, StatxFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::process::Signal;
use spec::{Hooks, State, Status};
use state::{Entry, InitProcess, Locked, Undo};
use trace::{Kind, Trace};

use crate::container::Container;
use crate::{Error, Runtime, hooks, launch};

/// How long killed processes may take to go: they may be in the middle of writing to a slow disk.
const END_WAIT: Duration = Duration::from_secs(10);
/// How long a forced delete waits for another command on the same container.
const FORCED_LOCK_WAIT: Duration = Duration::from_secs(10);

impl Runtime {
    /// Deletes a stopped container; with `force` one in any state, also half-made or with a damaged record, and without an
    /// error if there is none.
    ///
    /// # Errors
    /// The container is not stopped (runtime.md, "Delete"), or something could not be taken back. The container is still
    /// there then, and can be deleted again.
    pub fn delete(&self, id: &str, force: bool) -> Result<(), Error> {
        let entry = match self.entry(id) {
            Err(error) if force && error.is_not_found() => return Ok(()),
            entry => entry?,
        };
        if !force {
            let (entry, container) = self.find_locked(id)?;
            return match container.status(&entry)? {
                Status::Stopped => destroy(&self.trace, entry, &container),
                status => Err(Error::NotStopped { id: id.to_owned(), status }),
            };
        }
        let entry = match self.trace.step("lock", || entry.lock(FORCED_LOCK_WAIT)) {
            Err(error) if error.is_not_found() => return Ok(()),
            entry => entry?,
        };
        match Container::of(&entry) {
            Ok(container) => destroy(&self.trace, entry, &container),
            // Half-made, or damaged: the journal is enough.
            Err(_) => {
                undo(&self.trace, &entry, None)?;
                Ok(entry.remove()?)
            }
        }
    }
}

/// Ends the container's processes, undoes everything, runs the poststop hooks and forgets the container.
///
/// A poststop hook that fails is a warning, and the others run (config.md, "Poststop").
pub(crate) fn destroy(trace: &Trace, entry: Locked, container: &Container) -> Result<(), Error> {
    // A configuration that cannot be read any more must not keep the container from being deleted.
    let hooks = container.hooks(&entry).unwrap_or_default();
    take_down(trace, entry, container, &hooks)
}

/// Destroys what this process has created itself, so that nothing need be read, unless another command has done so meanwhile.
pub(crate) fn destroy_created(trace: &Trace, entry: Entry, container: &Container, hooks: &Hooks) -> Result<(), Error> {
    match trace.step("lock", || entry.lock(FORCED_LOCK_WAIT)) {
        Err(error) if error.is_not_found() => Ok(()),
        entry => take_down(trace, entry?, container, hooks),
    }
}

fn take_down(trace: &Trace, entry: Locked, container: &Container, hooks: &Hooks) -> Result<(), Error> {
    if let Some(init) = &container.init {
        trace.span(Kind::Wait, "wait for the end of the killed init", || end(&container.cgroup, init))?;
    }
    undo(trace, &entry, Some(&container.cgroup))?;
    poststop(trace, hooks, &container.state(Status::Stopped));
    Ok(trace.step("removal of the record", || entry.remove())?)
}

fn poststop(trace: &Trace, hooks: &Hooks, state: &State) {
    for error in hooks::run_all(trace, "poststop", &hooks.poststop, state) {
        log::warn!("{error}");
    }
}

/// Kills init and waits for its end. In a v1 freezer a process does not even die.
fn end(cgroup: &CgroupRecord, init: &std::os::fd::OwnedFd) -> Result<(), Error> {
    match rustix::process::pidfd_send_signal(init, Signal::KILL) {
        Ok(()) => {}
        // It has ended, and its parent has waited for it.
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(Error::call("killing the container's init")(errno)),
    }
    if cgroup.is_frozen().unwrap_or(false) {
        cgroup.thaw()?;
    }
    if launch::wait_ended(init.as_fd(), END_WAIT) {
        return Ok(());
    }
    Err(Error::Other(format!("the container's init does not end within {} s of being killed", END_WAIT.as_secs())))
}

/// Takes back what the journal lists, the last first, and goes on after an error.
///
/// A line that cannot be understood never will be, so it is no reason to keep the container. Its cgroup, the one thing worth
/// searching for, is then taken from the record.
fn undo(trace: &Trace, entry: &Entry, recorded: Option<&CgroupRecord>) -> Result<(), Error> {
    let undos = entry.undos()?;
    let (mut first, mut damaged) = (None, undos.is_empty());
    for undo in undos {
        match undo.map_err(Error::from).and_then(|undo| trace.step(name(&undo), || undo_one(&undo))) {
            Ok(()) => {}
            Err(error @ Error::State(state::Error::Damaged { .. })) => {
                log::warn!("{error}");
                damaged = true;
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    if let (true, Some(cgroup)) = (damaged, recorded) {
        remove_cgroup(cgroup)?;
    }
    first.map_or(Ok(()), Err)
}

fn name(undo: &Undo) -> &'static str {
    match undo {
        Undo::Cgroup(_) => "removal of the cgroup",
        Undo::Mount { .. } => "removal of the root's mount",
        Undo::Process(_) => "end of init",
        Undo::Folder { .. } | Undo::File { .. } => "removal of a file",
    }
}

fn remove_cgroup(cgroup: &CgroupRecord) -> Result<(), Error> {
    if !cgroup.remove_main_if_empty() {
        cgroup.kill_all(END_WAIT)?;
    }
    Ok(cgroup.remove()?)
}

fn undo_one(undo: &Undo) -> Result<(), Error> {
    match undo {
        Undo::Cgroup(cgroup) => {
            let cgroup = cgroup.read().map_err(|error| state::Error::Damaged {
                path: "journal".into(),
                problem: format!("no cgroup: {error}"),
            })?;
            remove_cgroup(&cgroup)
        }
        Undo::Mount { path, over } => unmount(path, *over),
        Undo::Process(process) => kill(process),
        Undo::Folder { path } => match std::fs::remove_dir(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("folder", path)(error)),
            _ => Ok(()),
        },
        Undo::File { path } => match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("file", path)(error)),
            _ => Ok(()),
        },
    }
}

/// Takes away what was mounted on top of the mount `over`, with all below it.
fn unmount(path: &Path, over: u64) -> Result<(), Error> {
    let failed = Error::file("mount", path);
    match mount_id(path) {
        // Undone already, or never done.
        Ok(id) if id == over => return Ok(()),
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
        Ok(_) => {}
    }
    // A volume that is shared with the host has the host's own mounts below it, and as its peer would take them away as well.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    match rustix::mount::mount_change(path, private)
        .and_then(|()| rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW))
    {
        // No mount point: the one that was there before has gone as well.
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

/// The mount that a path leads to (statx(2), Linux 5.8).
pub(crate) fn mount_id(path: &Path) -> rustix::io::Result<u64> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(rustix::fs::CWD, path, flags, StatxFlags::MNT_ID).map(|file| file.stx_mnt_id)
}

fn kill(process: &InitProcess) -> Result<(), Error> {
    let Some(pidfd) = process.alive()? else { return Ok(()) };
    let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
    launch::wait_ended(pidfd.as_fd(), END_WAIT);
    Ok(())
}

/// After a create that failed. Its error is the one to be reported; what cannot be undone stays in the journal for
/// `delete --force`.
pub(crate) fn undo_create(trace: &Trace, entry: Locked, hooks: &Hooks, state: &State, run_poststop: bool) {
    let undone = undo(trace, &entry, None);
    if run_poststop {
        poststop(trace, hooks, state);
    }
    if let Err(error) = undone.and_then(|()| Ok(entry.remove()?)) {
        log::warn!("what the failed create had made is left for delete --force: {error}");
    }
}
