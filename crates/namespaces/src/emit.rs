//! The child's side: what it joins and names itself.

use std::io;

use program::{Op, ProgramBuilder, Slot};
use spec::{NamespaceType, NetworkMode};

use crate::apply::Joined;
use crate::plan::{NamespacePlan, Strategy, kind_flag};

/// The type of procfs (statfs(2)).
const PROC_SUPER_MAGIC: u32 = 0x9fa0;

/// Joins existing namespaces, first of all the user namespace, which gives the right to join those that it owns.
///
/// # Errors
/// A descriptor cannot be duplicated for the child.
pub fn emit_joins(plan: &NamespacePlan, joined: &[Joined], b: &mut ProgramBuilder) -> io::Result<()> {
    if plan.strategy == Strategy::Launcher && plan.id_maps.is_some() {
        return Ok(());
    }
    let by_launcher = |kind| kind == NamespaceType::Pid && !plan.join_pid_inside;
    let not_own = joined.iter().filter(|joined| !joined.own && !by_launcher(joined.kind));
    let (user, others): (Vec<_>, Vec<_>) = not_own.partition(|joined| joined.kind == NamespaceType::User);
    for joined in user {
        emit_join(joined, b)?;
        b.push(Op::SetIds { uid: 0, gid: 0 });
    }
    others.into_iter().try_for_each(|joined| emit_join(joined, b))?;
    emit_inside(plan, b);
    Ok(())
}

fn emit_join(joined: &Joined, b: &mut ProgramBuilder) -> io::Result<()> {
    b.place(format!("linux.namespaces {}", joined.kind));
    let fd = b.inherit(joined.fd.try_clone()?);
    b.push(Op::Setns { fd, kind: kind_flag(joined.kind) as u32 });
    b.push(Op::Close { fd });
    Ok(())
}

/// Makes the namespaces that take a right of the child's in its user namespace, and goes where it has to be born.
fn emit_inside(plan: &NamespacePlan, b: &mut ProgramBuilder) {
    b.place("linux.namespaces");
    if plan.new_time_inside {
        b.push(Op::Unshare { flags: kind_flag(NamespaceType::Time) as u32 });
        if !plan.time_offsets.is_empty() {
            b.place("linux.timeOffsets");
            let (path, data) = (b.text("/proc/self/timens_offsets"), b.text(&plan.time_offsets));
            b.push(Op::WriteFile { dir: Slot::NONE, magic: PROC_SUPER_MAGIC, path, data });
        }
    }
    let flags = plan.new_inside as u32;
    if plan.clones_itself() {
        b.push(Op::Clone { flags });
    } else if flags != 0 {
        b.push(Op::Unshare { flags });
    }
}

/// Joins the namespaces of a running container through the pidfd of its init: all at once, so that either every one is
/// entered or none (setns(2), Linux 5.8). With a PID namespace among them, a sibling goes on in it.
pub fn emit_join_process(init: Slot, kinds: u64, b: &mut ProgramBuilder) {
    if kinds == 0 {
        return;
    }
    b.place("the container's namespaces");
    b.push(Op::Setns { fd: init, kind: kinds as u32 });
    if kinds & kind_flag(NamespaceType::User) != 0 {
        b.push(Op::SetIds { uid: 0, gid: 0 });
    }
    if kinds & kind_flag(NamespaceType::Pid) != 0 {
        b.push(Op::Clone { flags: 0 });
    }
}

/// Makes the cgroup namespace; the process must be in its cgroup by now.
pub fn emit_late(plan: &NamespacePlan, b: &mut ProgramBuilder) {
    if plan.new_cgroup {
        b.place("linux.namespaces cgroup");
        b.push(Op::Unshare { flags: kind_flag(NamespaceType::Cgroup) as u32 });
    }
}

/// Gives the namespaces their names, and a new network its loopback.
pub fn emit_names(plan: &NamespacePlan, b: &mut ProgramBuilder) {
    if plan.network == NetworkMode::New {
        b.place("loopback interface");
        b.push(Op::LoopbackUp);
    }
    if let Some(name) = plan.hostname.as_deref().filter(|name| !name.is_empty()) {
        b.place("hostname");
        let name = b.text(name);
        b.push(Op::SetHostname { name });
    }
    if let Some(name) = plan.domainname.as_deref().filter(|name| !name.is_empty()) {
        b.place("domainname");
        let name = b.text(name);
        b.push(Op::SetDomainname { name });
    }
}
