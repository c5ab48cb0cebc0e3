//! From the entries of `linux.namespaces` to clone flags, joins and the way the child is made.

use std::fmt::Write;
use std::path::PathBuf;

use spec::{NamespaceType, NetworkMode, Refusal, Spec};

use crate::idmap::IdMaps;
use crate::netdevice::{self, NetDevice};

/// How the child gets into its namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// One clone3 from the calling thread; what is joined, the child joins itself.
    Direct,
    /// A thread of its own first changes what only a parent can change for its child (a PID or time namespace), or what
    /// the child could not join from inside a new user namespace, then clones and ends.
    Launcher,
}

/// A namespace that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Its kind.
    pub kind: NamespaceType,
    /// Its path on the host, such as `/proc/4242/ns/net`.
    pub path: PathBuf,
    /// Index in `linux.namespaces`, for errors.
    pub index: usize,
}

/// Everything about a container's namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespacePlan {
    /// CLONE_NEW* flags of the clone3.
    pub new: u64,
    /// CLONE_NEW* flags of what the child makes itself once it has joined a user namespace, which is to own them.
    pub new_inside: u64,
    /// A new cgroup namespace is made by the child once it is in its cgroup, which is what the namespace's root becomes
    /// (cgroup_namespaces(7)).
    pub new_cgroup: bool,
    /// A new time namespace, made by the launcher: its offsets can only be set while nobody is inside.
    pub new_time: bool,
    /// The same for a caller without the right to it: made by the child, once it is in its user namespace.
    pub new_time_inside: bool,
    /// The lines for `/proc/<pid>/timens_offsets`.
    pub time_offsets: String,
    /// What is joined, in the order of the configuration.
    pub joins: Vec<Join>,
    /// How the child is made.
    pub strategy: Strategy,
    /// The id maps of a new user namespace.
    pub id_maps: Option<IdMaps>,
    /// Where the container's network comes from.
    pub network: NetworkMode,
    /// The PID namespace is joined by the child, once it has the right to by having joined a user namespace.
    pub join_pid_inside: bool,
    /// Devices of the host that move into the container's network namespace.
    pub net_devices: Vec<NetDevice>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `domainname`.
    pub domainname: Option<String>,
}

/// The CLONE_NEW* flag of a kind of namespace (namespaces(7)).
pub fn kind_flag(kind: NamespaceType) -> u64 {
    match kind {
        NamespaceType::Time => 0x80,
        NamespaceType::Mount => 0x0002_0000,
        NamespaceType::Cgroup => 0x0200_0000,
        NamespaceType::Uts => 0x0400_0000,
        NamespaceType::Ipc => 0x0800_0000,
        NamespaceType::User => 0x1000_0000,
        NamespaceType::Pid => 0x2000_0000,
        NamespaceType::Network => 0x4000_0000,
    }
}

/// Plans a container's namespaces. `privileged`: the caller may join any namespace of the host, without joining the user
/// namespace that owns it first.
///
/// # Errors
/// Refuses a new user namespace without id maps, and combinations that the kernel cannot make.
pub fn plan(spec: &Spec, privileged: bool) -> Result<NamespacePlan, Refusal> {
    let linux = spec.linux.clone().unwrap_or_default();
    let mut new = 0;
    let mut joins = Vec::new();
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        match &namespace.path {
            None => new |= kind_flag(namespace.kind),
            Some(path) => joins.push(Join { kind: namespace.kind, path: path.clone(), index }),
        }
    }
    let is_new = |kind| new & kind_flag(kind) != 0;
    let new_user = is_new(NamespaceType::User);
    if let Some(join) = joins.iter().find(|join| new_user && join.kind == NamespaceType::Time) {
        return Err(Refusal::new(
            format!("/linux/namespaces/{}", join.index),
            "a time namespace cannot be joined together with a new user namespace",
            "join the user namespace that owns it, or make a new time namespace",
        ));
    }
    let id_maps = if new_user { Some(id_maps(&linux)?) } else { None };
    let new_time = is_new(NamespaceType::Time);
    let new_cgroup = is_new(NamespaceType::Cgroup);
    let join_pid = joins.iter().any(|join| join.kind == NamespaceType::Pid);
    let new = new & !kind_flag(NamespaceType::Cgroup) & !kind_flag(NamespaceType::Time);
    let join_user = joins.iter().any(|join| join.kind == NamespaceType::User);
    let join_pid_inside = join_pid && join_user && !privileged;
    let new_time_inside = new_time && (new_user || join_user) && !privileged;
    let new_time = new_time && !new_time_inside;
    let launcher = (join_pid && !join_pid_inside) || new_time || (new_user && !joins.is_empty());
    // What is in a time namespace is born there, and the first process of a PID namespace has no siblings (clone(2)).
    let outside = match (join_user, new_time_inside) {
        (true, _) => 0,
        (false, true) => kind_flag(NamespaceType::User),
        (false, false) => new,
    };
    Ok(NamespacePlan {
        new: outside,
        new_inside: new & !outside,
        new_cgroup,
        new_time,
        new_time_inside,
        time_offsets: time_offsets(&linux),
        strategy: if launcher { Strategy::Launcher } else { Strategy::Direct },
        id_maps,
        join_pid_inside,
        net_devices: netdevice::plan(&linux, &spec.network_mode())?,
        network: spec.network_mode(),
        joins,
        hostname: spec.hostname.clone(),
        domainname: spec.domainname.clone(),
    })
}

impl NamespacePlan {
    /// The child makes the container's first process: a PID namespace is entered by being born in it.
    pub fn clones_itself(&self) -> bool {
        self.join_pid_inside || self.new_time_inside || self.new_inside & kind_flag(NamespaceType::Pid) != 0
    }
}

/// The flags of every namespace that a process of an existing container has to enter through its init's pidfd: first
/// those that the child enters itself, then whether the launcher enters the PID namespace.
pub fn plan_exec(spec: &Spec) -> (u64, bool) {
    let kinds = spec.linux.iter().flat_map(|linux| linux.namespaces.iter().map(|namespace| namespace.kind));
    let all = kinds.fold(0, |flags, kind| flags | kind_flag(kind));
    let pid = kind_flag(NamespaceType::Pid);
    (all & !pid, all & pid != 0)
}

/// The maps of a new user namespace, in which init is root while it sets the container up.
fn id_maps(linux: &spec::Linux) -> Result<IdMaps, Refusal> {
    for (list, mappings) in [("uidMappings", &linux.uid_mappings), ("gidMappings", &linux.gid_mappings)] {
        if !mappings.iter().any(|mapping| mapping.container_id == 0) {
            let problem = "the container's id 0 is not mapped, and it takes root inside to set the container up";
            return Err(Refusal::new(format!("/linux/{list}"), problem, "add a mapping with containerID 0"));
        }
    }
    IdMaps::new(&linux.uid_mappings, &linux.gid_mappings)
}

/// Lines of `/proc/<pid>/timens_offsets` (time_namespaces(7)).
fn time_offsets(linux: &spec::Linux) -> String {
    let mut lines = String::new();
    for (clock, offset) in &linux.time_offsets {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{clock} {} {}", offset.secs, offset.nanosecs);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(linux: &str) -> Result<NamespacePlan, Refusal> {
        planned_by(true, linux)
    }

    fn planned_by(privileged: bool, linux: &str) -> Result<NamespacePlan, Refusal> {
        let config = format!(
            r#"{{"ociVersion":"1.3.0","root":{{"path":"r"}},"process":{{"cwd":"/","args":["a"]}},"linux":{linux}}}"#
        );
        plan(&Spec::from_bytes(config.as_bytes()).unwrap(), privileged)
    }

    #[test]
    fn no_entry_shares_the_hosts_network_in_one_clone() {
        let plan = planned(r#"{"namespaces":[{"type":"pid"},{"type":"mount"}]}"#).unwrap();
        assert_eq!(plan.network, NetworkMode::Host);
        assert_eq!(plan.new, 0x2002_0000);
        assert_eq!(plan.strategy, Strategy::Direct);
    }

    #[test]
    fn a_cgroup_namespace_is_made_late() {
        let plan = planned(r#"{"namespaces":[{"type":"cgroup"},{"type":"network"}]}"#).unwrap();
        assert_eq!(plan.new, 0x4000_0000);
        assert!(plan.new_cgroup);
    }

    #[test]
    fn joining_a_pid_namespace_takes_a_launcher_and_joining_a_network_does_not() {
        let pid = planned(r#"{"namespaces":[{"type":"pid","path":"/proc/1/ns/pid"}]}"#).unwrap();
        assert_eq!(pid.strategy, Strategy::Launcher);
        let net = planned(r#"{"namespaces":[{"type":"network","path":"/proc/1/ns/net"}]}"#).unwrap();
        assert_eq!(net.strategy, Strategy::Direct);
        assert_eq!(net.network, NetworkMode::Join("/proc/1/ns/net".into()));
    }

    #[test]
    fn a_new_user_namespace_needs_maps_and_a_launcher_for_joins() {
        assert!(planned(r#"{"namespaces":[{"type":"user"}]}"#).is_err());
        let maps = r#""uidMappings":[{"containerID":0,"hostID":1000,"size":10}],"gidMappings":[{"containerID":0,"hostID":1000,"size":10}]"#;
        let plan = planned(&format!(
            r#"{{"namespaces":[{{"type":"user"}},{{"type":"network","path":"/proc/1/ns/net"}}],{maps}}}"#
        ))
        .unwrap();
        assert_eq!(plan.strategy, Strategy::Launcher);
        assert!(
            planned(&format!(
                r#"{{"namespaces":[{{"type":"user"}},{{"type":"time","path":"/proc/1/ns/time"}}],{maps}}}"#
            ))
            .is_err()
        );
    }

    #[test]
    fn a_new_user_namespace_has_a_root() {
        let root = r#"[{"containerID":0,"hostID":1000,"size":1}]"#;
        let user = r#"[{"containerID":1,"hostID":1001,"size":9}]"#;
        for (uids, gids, pointer) in [(user, root, "/linux/uidMappings"), (root, user, "/linux/gidMappings")] {
            let linux = format!(r#"{{"namespaces":[{{"type":"user"}}],"uidMappings":{uids},"gidMappings":{gids}}}"#);
            assert_eq!(planned(&linux).unwrap_err().pointer, pointer);
        }
    }

    #[test]
    fn what_a_joined_user_namespace_is_to_own_is_made_inside() {
        let user = r#"{"type":"user","path":"/proc/1/ns/user"}"#;
        let plan = planned(&format!(r#"{{"namespaces":[{user},{{"type":"pid"}},{{"type":"mount"}}]}}"#)).unwrap();
        assert_eq!((plan.new, plan.new_inside, plan.strategy), (0, 0x2002_0000, Strategy::Direct));
        assert!(plan.clones_itself());
        let plan = planned(&format!(r#"{{"namespaces":[{user},{{"type":"mount"}}]}}"#)).unwrap();
        assert!(!plan.clones_itself());
    }

    #[test]
    fn a_user_has_rights_from_inside_its_user_namespace_only() {
        let joins =
            r#"{"namespaces":[{"type":"user","path":"/proc/9/ns/user"},{"type":"pid","path":"/proc/9/ns/pid"}]}"#;
        let ways = [true, false].map(|privileged| {
            let plan = planned_by(privileged, joins).unwrap();
            (plan.strategy, plan.clones_itself())
        });
        assert_eq!(ways, [(Strategy::Launcher, false), (Strategy::Direct, true)]);
        let map = r#"[{"containerID":0,"hostID":1000,"size":1}]"#;
        let time = format!(
            r#"{{"namespaces":[{{"type":"user"}},{{"type":"time"}},{{"type":"pid"}}],"uidMappings":{map},"gidMappings":{map}}}"#
        );
        let ways = [true, false].map(|privileged| {
            let plan = planned_by(privileged, &time).unwrap();
            (plan.new, plan.new_inside, plan.new_time, plan.strategy)
        });
        let (launched, inside) = (Strategy::Launcher, Strategy::Direct);
        assert_eq!(ways, [(0x3000_0000, 0, true, launched), (0x1000_0000, 0x2000_0000, false, inside)]);
    }

    #[test]
    fn time_offsets_are_lines_of_the_kernels_file() {
        let plan = planned(
            r#"{"namespaces":[{"type":"time"}],"timeOffsets":{"monotonic":{"secs":5,"nanosecs":7},"boottime":{"secs":-1}}}"#,
        )
        .unwrap();
        assert_eq!(plan.time_offsets, "boottime -1 0\nmonotonic 5 7\n");
        assert_eq!((plan.new, plan.new_time, plan.strategy), (0, true, Strategy::Launcher));
    }
}
