//! From the plan to init's operations. The order is part of the confinement; each place says why it stands where it does.

use program::{Failure, Op, ProgramBuilder, Resolve, Slot, Str};

use crate::plan::{ConfinePlan, Label};
use crate::scheduling::{Cpus, Scheduling};

const PROC_SUPER_MAGIC: u32 = 0x9fa0;
const O_WRONLY: u32 = 1;
const PR_SET_KEEPCAPS: u32 = 8;
const PR_SET_NO_NEW_PRIVS: u32 = 38;
const LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;

/// Files of the host's procfs that stay open until the end.
#[derive(Clone, Copy, Debug)]
pub struct Early {
    label: Slot,
}

/// No files: for a program that is only to be read, and in one that is run, a label fails instead of being left out.
impl Default for Early {
    fn default() -> Early {
        Early { label: Slot::NONE }
    }
}

/// Behind the cgroup, which says what CPUs there are, and before anything of the container runs.
pub fn emit_cpus(cpus: &Cpus, b: &mut ProgramBuilder) {
    let cpus = match cpus {
        Cpus::All => b.text(""),
        Cpus::Inherited => return,
        Cpus::These(mask) => words(mask, b),
    };
    b.place("process.execCPUAffinity.final");
    b.push(Op::Affinity { cpus });
}

/// What needs the host's /proc, which a container cannot have laid a trap in (CVE-2025-52881): before the root is changed
/// or another mount namespace is entered.
pub fn emit_early(plan: &ConfinePlan, b: &mut ProgramBuilder) -> Early {
    if let Some(score) = plan.oom_score.filter(|_| !plan.user_namespace) {
        b.place("process.oomScoreAdj");
        let path = b.text("/proc/self/oom_score_adj");
        let data = b.text(score.to_string());
        b.push(Op::WriteFile { dir: Slot::NONE, magic: PROC_SUPER_MAGIC, path, data });
    }
    let Some(label) = &plan.label else { return Early::default() };
    if let (Label::Selinux(label), Some(_)) = (label, &plan.keyring) {
        b.place("label of the session keyring");
        // Whoever is confined by the label may not use keys of another. The execve takes it back (selinux(8), keycreate).
        let path = b.text("/proc/thread-self/attr/keycreate");
        let data = b.text(label);
        b.push(Op::WriteFile { dir: Slot::NONE, magic: PROC_SUPER_MAGIC, path, data });
    }
    b.place(place_of(label));
    let path = b.text(match label {
        Label::AppArmor(_) => "/proc/thread-self/attr/apparmor/exec",
        Label::Selinux(_) => "/proc/thread-self/attr/exec",
    });
    let out = b.slot();
    let (dir, resolve) = (Slot::NONE, Resolve::Host);
    b.push(Op::Open { dir, resolve, out, flags: O_WRONLY, magic: PROC_SUPER_MAGIC, path });
    Early { label: out }
}

fn place_of(label: &Label) -> String {
    match label {
        Label::AppArmor(profile) => format!("process.apparmorProfile {profile:?}"),
        Label::Selinux(label) => format!("process.selinuxLabel {label:?}"),
    }
}

/// Everything that can be in force while the process waits for `start`.
pub fn emit_before_wait(plan: &ConfinePlan, b: &mut ProgramBuilder) {
    if let Some(name) = &plan.keyring {
        b.place("session keyring");
        let name = b.text(name);
        b.push(Op::Keyring { name });
    }
    if let Some(persona) = plan.personality {
        b.place("linux.personality");
        b.push(Op::Personality { persona });
    }
    emit_scheduling(&plan.scheduling, b);
    b.place("process.user.umask");
    b.push(Op::Umask { mask: plan.umask });
    if plan.no_abstract_sockets {
        b.place("abstract unix sockets");
        // While init has CAP_SYS_ADMIN, which landlock_restrict_self(2) takes, and before a filter that may deny the call.
        b.push(Op::LandlockScope { scoped: LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET });
    }
    emit_identity(plan, b);
    if plan.no_new_privileges {
        b.place("process.noNewPrivileges");
        b.push(Op::Prctl { option: PR_SET_NO_NEW_PRIVS, value: 1 });
    }
}

/// Behind the hooks that run in the container, which are not meant by it, and before the capabilities that it takes are gone.
fn emit_scheduling(scheduling: &Scheduling, b: &mut ProgramBuilder) {
    if let Some((mode, nodes)) = &scheduling.memory {
        b.place("linux.memoryPolicy");
        let nodes = words(nodes, b);
        b.push(Op::MemoryPolicy { mode: *mode, nodes });
    }
    if let Some(value) = scheduling.io_priority {
        b.place("process.ioPriority");
        b.push(Op::IoPriority { value });
    }
    if let Some(attributes) = &scheduling.attributes {
        b.place("process.scheduler");
        let attributes = b.aligned(&attributes.bytes());
        b.push(Op::Scheduler { attributes });
    }
}

/// A bit mask as the kernel reads it.
fn words(mask: &[u64], b: &mut ProgramBuilder) -> Str {
    b.aligned(&mask.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>())
}

/// User, groups and capabilities, in the order that lets each step be made with what the one before has left.
fn emit_identity(plan: &ConfinePlan, b: &mut ProgramBuilder) {
    let sets = plan.capabilities;
    let (uid, gid) = plan.ids;
    b.place("process.capabilities.bounding");
    // While CAP_SETPCAP is still there.
    b.push(Op::DropBounding { keep: sets.bounding, last: plan.last_capability });
    b.place("process.user");
    if uid != 0 {
        // Or the change of user would clear the permitted set (capabilities(7)).
        b.push(Op::Prctl { option: PR_SET_KEEPCAPS, value: 1 });
    }
    // Also if there are none: the caller's own must go.
    if let Some(groups) = &plan.groups {
        let groups = b.numbers(groups);
        b.push(Op::SetGroups { groups });
    }
    b.push(Op::SetIds { uid, gid });
    b.place("process.capabilities");
    // What init's own last steps take does not survive the execve, which computes the new permitted set from the inheritable,
    // bounding and ambient ones and from the file's, never from the old permitted one (capabilities(7)). So the filter need
    // not allow a capset to drop it.
    b.push(Op::SetCaps {
        effective: sets.effective | plan.borrowed,
        permitted: sets.permitted | plan.borrowed,
        inheritable: sets.inheritable,
    });
    b.place("process.capabilities.ambient");
    b.push(Op::SetAmbient { caps: sets.ambient });
}

/// The last operations before the execve: nothing may come between them and it, so that the filter need allow nothing but
/// execve itself.
pub fn emit_before_exec(plan: &ConfinePlan, early: Early, b: &mut ProgramBuilder) {
    if let Some(label) = &plan.label {
        // As late as this, or a startContainer hook would be executed under the label.
        b.place(place_of(label));
        let data = match label {
            Label::AppArmor(profile) => b.text(format!("exec {profile}")),
            Label::Selinux(label) => b.text(label),
        };
        b.push(Op::Write { fd: early.label, data });
    }
    for limit in &plan.limits {
        // As late as this, or few descriptors or little memory for the program would be too little for init and its hooks.
        b.place(format!("process.rlimits {}", limit.kind));
        b.push(Op::SetRlimit { resource: limit.resource, soft: limit.soft, hard: limit.hard });
    }
    if let Some(filter) = &plan.filter {
        b.place("linux.seccomp");
        let program = b.aligned(&filter.program);
        let out = if filter.has_listener() { b.slot() } else { Slot::NONE };
        b.push(Op::Seccomp { filter: program, flags: filter.flags, out });
        if filter.has_listener() {
            // The one call that the filter must let pass besides execve: nobody but init has the descriptor.
            let data = b.text(Failure::LISTENER_MESSAGE);
            b.push(Op::SendFd { socket: Slot::REPORT, fd: out, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::Sets;
    use crate::rlimits::Limit;
    use crate::seccomp::Filter;

    fn everything() -> ConfinePlan {
        ConfinePlan {
            ids: (1000, 1000),
            groups: Some(vec![7]),
            umask: 0o022,
            capabilities: Sets { bounding: 0b11, effective: 0b1, permitted: 0b1, inheritable: 0b1, ambient: 0b1 },
            borrowed: 1 << 21,
            last_capability: 40,
            no_new_privileges: true,
            no_abstract_sockets: true,
            user_namespace: false,
            limits: vec![Limit { kind: spec::RlimitType::Nofile, resource: 7, soft: 1, hard: 2 }],
            oom_score: Some(5),
            personality: Some(8),
            scheduling: Scheduling {
                attributes: Some(crate::SchedAttr::default()),
                io_priority: Some(0x4007),
                memory: Some((2, vec![1])),
                cpus: Cpus::These(vec![0b101]),
            },
            label: Some(Label::Selinux("u:r:t:s0".to_owned())),
            keyring: Some("_ses.x".to_owned()),
            filter: Some(Filter { program: vec![0; 8], flags: 4 }),
            warnings: Vec::new(),
        }
    }

    /// The operations by name, the stages parted by a line.
    fn order(plan: &ConfinePlan) -> Vec<String> {
        let mut b = ProgramBuilder::new();
        emit_cpus(&plan.scheduling.cpus, &mut b);
        let early = emit_early(plan, &mut b);
        let first = b.ops().len();
        emit_before_wait(plan, &mut b);
        let second = b.ops().len();
        emit_before_exec(plan, early, &mut b);
        let mut names: Vec<String> = b
            .ops()
            .iter()
            .map(|op| format!("{op:?}").split([' ', '{']).next().unwrap_or_default().to_owned())
            .collect();
        names.insert(second, "-- start".to_owned());
        names.insert(first, "-- inside".to_owned());
        names
    }

    #[test]
    fn the_order_with_everything() {
        let golden = [
            "Affinity",
            "WriteFile",
            "WriteFile",
            "Open",
            "-- inside",
            "Keyring",
            "Personality",
            "MemoryPolicy",
            "IoPriority",
            "Scheduler",
            "Umask",
            "LandlockScope",
            "DropBounding",
            "Prctl",
            "SetGroups",
            "SetIds",
            "SetCaps",
            "SetAmbient",
            "Prctl",
            "-- start",
            "Write",
            "SetRlimit",
            "Seccomp",
        ];
        assert_eq!(order(&everything()), golden);
    }

    /// Few machines have SELinux, so what it is told is held here to the letter.
    #[test]
    fn the_module_is_told_through_the_hosts_procfs() {
        let told = |label: Label, keyring: Option<&str>| {
            let mut b = ProgramBuilder::new();
            let keyring = keyring.map(str::to_owned);
            let plan = ConfinePlan { label: Some(label), keyring, ..ConfinePlan::default() };
            let early = emit_early(&plan, &mut b);
            emit_before_exec(&plan, early, &mut b);
            let text = |text| String::from_utf8_lossy(b.bytes_of(text)).into_owned();
            let line = |op: &Op| match *op {
                Op::WriteFile { path, data, magic: PROC_SUPER_MAGIC, .. } => format!("{} < {}", text(path), text(data)),
                Op::Open { path, magic: PROC_SUPER_MAGIC, resolve: Resolve::Host, out, .. } => {
                    format!("{out:?} {}", text(path))
                }
                Op::Write { fd, data } => format!("{fd:?} < {}", text(data)),
                ref other => format!("{other:?}"),
            };
            b.ops().iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(
            told(Label::Selinux("u:r:t:s0".to_owned()), Some("_ses.x")),
            [
                "/proc/thread-self/attr/keycreate < u:r:t:s0",
                "Slot(0) /proc/thread-self/attr/exec",
                "Slot(0) < u:r:t:s0"
            ]
        );
        let without_keyring = told(Label::Selinux("u:r:t:s0".to_owned()), None);
        assert_eq!(without_keyring, ["Slot(0) /proc/thread-self/attr/exec", "Slot(0) < u:r:t:s0"]);
        let apparmor = told(Label::AppArmor("p".to_owned()), Some("_ses.x"));
        assert_eq!(apparmor, ["Slot(0) /proc/thread-self/attr/apparmor/exec", "Slot(0) < exec p"]);
    }

    /// `start` emits the last operations once more, to name the one that failed by its number.
    #[test]
    fn the_last_operations_are_as_many_without_the_early_files() {
        let mut b = ProgramBuilder::new();
        emit_before_exec(&everything(), Early::default(), &mut b);
        let names = b.ops().iter().map(|op| format!("{op:?}")).collect::<Vec<_>>();
        assert!(names.len() == 3 && names[0].starts_with("Write"), "{names:?}");
    }

    #[test]
    fn in_a_user_namespace_the_score_is_the_parents_to_set() {
        let plan = ConfinePlan { user_namespace: true, ..everything() };
        assert!(plan.needs_apply());
        let mut without_score = order(&everything());
        without_score.remove(1);
        assert_eq!(order(&plan), without_score);
    }

    #[test]
    fn the_order_with_nothing_asked_for() {
        let golden = [
            "Affinity",
            "-- inside",
            "Umask",
            "DropBounding",
            "SetGroups",
            "SetIds",
            "SetCaps",
            "SetAmbient",
            "-- start",
        ];
        assert_eq!(order(&ConfinePlan { groups: Some(Vec::new()), ..ConfinePlan::default() }), golden);
    }

    #[test]
    fn affinity_is_a_mask_of_eight_byte_words_and_empty_for_all() {
        let mask = |cpus: &Cpus| {
            let mut b = ProgramBuilder::new();
            emit_cpus(cpus, &mut b);
            let &[Op::Affinity { cpus }] = b.ops() else { return None };
            Some(b.bytes_of(cpus).to_vec())
        };
        assert_eq!(mask(&Cpus::All), Some(vec![]));
        assert_eq!(mask(&Cpus::Inherited), None);
        assert_eq!(mask(&Cpus::These(vec![0b101])), Some(0b101_u64.to_ne_bytes().to_vec()));
    }

    #[test]
    fn what_is_borrowed_is_permitted_and_effective_and_nothing_more() {
        let mut b = ProgramBuilder::new();
        emit_before_wait(&everything(), &mut b);
        let caps = b.ops().iter().find(|op| matches!(op, Op::SetCaps { .. }));
        let borrowed = 1 << 21;
        let wanted = Op::SetCaps { effective: borrowed | 1, permitted: borrowed | 1, inheritable: 1 };
        assert_eq!(caps, Some(&wanted));
        let bounding = b.ops().iter().find(|op| matches!(op, Op::DropBounding { .. }));
        assert_eq!(bounding, Some(&Op::DropBounding { keep: 0b11, last: 40 }));
    }
}
