//! The cgroup of a container in the making: what is there before init, what is made beside it, and how it gets in.

use std::os::fd::OwnedFd;

use cgroups::{CgroupRecord, Dir, Version};
use program::{Op, ProgramBuilder, Slot};
use spec::NamespaceType;
use state::{Locked, Undo};
use trace::Trace;

use crate::create::{Request, part};
use crate::launch::Launch;
use crate::{ContainerPlan, Error, hooks};

/// Init waits here for its v1 cgroup to be made, and does not say so.
const GATE_SILENT: u32 = 0;
/// Init waits here for systemd to put it into its cgroup.
pub(crate) const GATE_UNIT: u32 = 1;

/// Writes down which cgroup will be made, then makes it, unless systemd is to do so.
pub(crate) fn make(trace: &Trace, request: &Request<'_>, entry: &mut Locked) -> Result<CgroupRecord, Error> {
    let cgroup = begin(trace, request, entry)?;
    if cgroup.unit.is_none() {
        complete(trace, request, entry, &cgroup, || {})?;
    }
    Ok(cgroup)
}

/// Writes down which cgroup will be made, then makes what must be there before init, unless systemd is to do so: the v2 directory,
/// which it is born in, and what it could not open.
pub(crate) fn begin(trace: &Trace, request: &Request<'_>, entry: &mut Locked) -> Result<CgroupRecord, Error> {
    let cgroup = request.plan.cgroup.record()?;
    if cgroup.dirs.is_empty() {
        return Ok(cgroup);
    }
    entry.journal([Undo::Cgroup(part(&cgroup)?)])?;
    if cgroup.unit.is_none() {
        let early: &[Version] = if joins_late(request, &cgroup) { &[Version::V2] } else { &[Version::V2, Version::V1] };
        make_dirs(trace, request, entry, &cgroup, early)?;
        request.plan.cgroup.set_limits(early, &cgroup, trace)?;
        delegate(request, &cgroup)?;
    }
    Ok(cgroup)
}

/// Whether the v1 directories, which take the most time of all that a container is made of, are made while init starts and mounts. It
/// joins them while it has the right to open them, before it makes a cgroup namespace, whose root they are to be, and before it uses
/// memory that is the container's.
fn joins_late(request: &Request<'_>, cgroup: &CgroupRecord) -> bool {
    let ContainerPlan { namespaces, rootfs, .. } = &request.plan;
    let joins_user_namespace = request.joined.iter().any(|joined| joined.kind == NamespaceType::User);
    cgroup.unit.is_none()
        && v1_dirs(cgroup).next().is_some()
        && !(namespaces.id_maps.is_some() || joins_user_namespace || namespaces.new_cgroup)
        && !rootfs.fills_file_systems()
        // Until it is in the cgroup, nobody knows when it has ended, and may take a mount of the host's away.
        && rootfs.attached_on_host().is_none()
}

/// Makes what init does without for a while. `let_on` makes it go on where it does not: before it mounts the directories, and before it
/// joins them.
fn complete(
    trace: &Trace,
    request: &Request<'_>,
    entry: &mut Locked,
    cgroup: &CgroupRecord,
    let_on: impl Fn(),
) -> Result<(), Error> {
    let plan = &request.plan.cgroup;
    if joins_late(request, cgroup) {
        make_dirs(trace, request, entry, cgroup, &[Version::V1])?;
        let_on();
        plan.set_limits(&[Version::V1], cgroup, trace)?;
        let_on();
    }
    Ok(plan.filter_devices(cgroup, trace)?)
}

fn make_dirs(
    trace: &Trace,
    request: &Request<'_>,
    entry: &mut Locked,
    cgroup: &CgroupRecord,
    versions: &[Version],
) -> Result<(), Error> {
    let made = request.plan.cgroup.create_dirs(versions, cgroup, trace);
    if let Err(cgroups::Error::Taken { .. }) = made {
        // Another create was faster. Its processes are not to be killed, and may be in what this one has made before.
        entry.retract()?;
    }
    Ok(made?)
}

/// Completes the cgroup beside init, which goes on into it as soon as it can.
pub(crate) fn complete_beside(
    trace: &Trace,
    request: &Request<'_>,
    entry: &mut Locked,
    cgroup: &CgroupRecord,
    launch: &Launch,
) -> Result<(), Error> {
    if cgroup.unit.is_some() {
        return enter_unit(trace, request, cgroup, launch);
    }
    complete(trace, request, entry, cgroup, || launch.open_silent_gate())
}

/// Lets systemd make the cgroup around init, which waits for it at its first gate. A runtime that is killed meanwhile takes init
/// with it, and what systemd has made is in the journal.
fn enter_unit(trace: &Trace, request: &Request<'_>, cgroup: &CgroupRecord, launch: &Launch) -> Result<(), Error> {
    launch.wait_gate(GATE_UNIT)?;
    request.plan.cgroup.start_unit(cgroup, launch.pid, trace)?;
    delegate(request, cgroup)?;
    launch.open_gate()
}

/// Gives the cgroup to the container's root user, where that is to make cgroups of its own.
pub(crate) fn delegate(request: &Request<'_>, cgroup: &CgroupRecord) -> Result<(), Error> {
    match request.plan.cgroup_owner {
        Some(owner) => Ok(cgroup.delegate(owner)?),
        None => Ok(()),
    }
}

/// Lets init join the cgroup before anything else, unless it joins later or systemd puts it there. The answer is the v2 folder that it is
/// to be born in.
pub(crate) fn emit_early(
    request: &Request<'_>,
    cgroup: &CgroupRecord,
    b: &mut ProgramBuilder,
) -> Result<Option<OwnedFd>, Error> {
    match cgroup.unit {
        Some(_) => Ok(None),
        None if joins_late(request, cgroup) => Ok(cgroup.open_unified()?),
        None => emit_join(cgroup, request.plan.namespaces.id_maps.is_some(), b),
    }
}

/// Lets init wait for a cgroup that it joins late: for its directories, and once more for their limits.
pub(crate) fn emit_wait(request: &Request<'_>, cgroup: &CgroupRecord, b: &mut ProgramBuilder) {
    if joins_late(request, cgroup) {
        b.place("cgroup");
        b.push(Op::Gate { number: GATE_SILENT });
    }
}

/// Lets init wait for the limits, and join, if it joins late.
pub(crate) fn emit_late(request: &Request<'_>, cgroup: &CgroupRecord, b: &mut ProgramBuilder) {
    emit_wait(request, cgroup, b);
    if joins_late(request, cgroup) {
        emit_tasks(cgroup, b);
    }
}

/// Lets a process join the cgroup. In v2 it is born in it, in the folder that is the answer.
pub(crate) fn emit_join(
    cgroup: &CgroupRecord,
    inherit: bool,
    b: &mut ProgramBuilder,
) -> Result<Option<OwnedFd>, Error> {
    if !inherit {
        emit_tasks(cgroup, b);
        return Ok(cgroup.open_unified()?);
    }
    // From a user namespace of its own the child has no right to open them.
    let (handles, data) = (cgroup.join()?, b.text("0"));
    for (dir, tasks) in v1_dirs(cgroup).zip(handles.tasks) {
        b.place(format!("cgroup {}", dir.path.display()));
        let fd = b.inherit(tasks);
        b.push(Op::Write { fd, data });
        b.push(Op::Close { fd });
    }
    Ok(handles.unified)
}

/// Lets init join the v1 directories. It writes `0` to each `tasks` file, being single-threaded: a pid written to `cgroup.procs` by
/// somebody else waits for an RCU grace period each time.
fn emit_tasks(cgroup: &CgroupRecord, b: &mut ProgramBuilder) {
    let data = b.text("0");
    for dir in v1_dirs(cgroup) {
        b.place(format!("cgroup {}", dir.path.display()));
        let path = b.text(hooks::path_bytes(&dir.path.join("tasks")));
        b.push(Op::WriteFile { dir: Slot::NONE, magic: 0, path, data });
    }
}

fn v1_dirs(cgroup: &CgroupRecord) -> impl Iterator<Item = &Dir> {
    cgroup.dirs.iter().filter(|dir| dir.version == Version::V1)
}
