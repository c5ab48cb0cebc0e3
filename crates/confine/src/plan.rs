//! From `process` and `linux` to what a process may do. Pure; the same for a container's first process and for `exec`.

use spec::{Linux, NamespaceType, PersonalityDomain, Process, Refusal};

use crate::capabilities::{self, SYS_ADMIN, SYS_RESOURCE, Sets};
use crate::host::HostFacts;
use crate::rlimits::{self, Limit};
use crate::scheduling::{self, Scheduling};
use crate::seccomp::Filter;

/// The kernel's numbers of personality(2).
const PER_LINUX: u32 = 0;
const PER_LINUX32: u32 = 8;

/// What a process may do, fully decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfinePlan {
    /// User and group.
    pub ids: (u32, u32),
    /// Supplementary groups: all that it has, as the caller's are never kept. `None` where the kernel denies setgroups(2): in
    /// a user namespace that somebody else than root makes.
    pub groups: Option<Vec<u32>>,
    /// umask(2).
    pub umask: u32,
    /// Its capabilities.
    pub capabilities: Sets,
    /// Capabilities that init keeps for its own last steps, and that the execve takes from it.
    pub borrowed: u64,
    /// The highest capability that the bounding set may hold.
    pub last_capability: u32,
    /// no_new_privs.
    pub no_new_privileges: bool,
    /// It reaches no abstract unix sockets but those of its own descendants.
    pub no_abstract_sockets: bool,
    /// It is in a user namespace: what takes a capability over the host is for its parent to do.
    pub user_namespace: bool,
    /// Resource limits.
    pub limits: Vec<Limit>,
    /// `/proc/<pid>/oom_score_adj`.
    pub oom_score: Option<i32>,
    /// personality(2).
    pub personality: Option<u32>,
    /// How it is scheduled.
    pub scheduling: Scheduling,
    /// The label that the execve gives it.
    pub label: Option<Label>,
    /// The name of a new session keyring.
    pub keyring: Option<String>,
    /// The system call filter.
    pub filter: Option<Filter>,
    /// What is left out, and why.
    pub warnings: Vec<String>,
}

/// What a security module calls the process, and confines it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// A profile of AppArmor.
    AppArmor(String),
    /// A context of SELinux.
    Selinux(String),
}

/// Decides what a process may do. `keyring` is the name of its session keyring, `filter` the compiled seccomp profile.
///
/// # Errors
/// A confinement is asked for that this host cannot give.
pub fn plan(
    process: &Process,
    linux: &Linux,
    host: &HostFacts,
    keyring: Option<String>,
    filter: Option<Filter>,
) -> Result<ConfinePlan, Refusal> {
    let mut warnings = Vec::new();
    // A user namespace starts with every capability, over what it owns.
    let user_namespace = linux.namespace(NamespaceType::User).is_some();
    let available = match user_namespace {
        true => u64::MAX >> (63 - host.last_capability.min(63)),
        false => host.available,
    };
    if linux.mount_label.is_some() && !host.selinux {
        warnings.push("/linux/mountLabel: left out: SELinux is off on this host".to_owned());
    }
    Ok(ConfinePlan {
        ids: (process.user.uid, process.user.gid),
        groups: groups(process, linux, host)?,
        umask: process.user.umask.unwrap_or(host.umask),
        capabilities: capabilities::sets(process, available, &mut warnings),
        borrowed: borrowed(process, host, filter.is_some(), user_namespace),
        last_capability: host.last_capability,
        no_new_privileges: process.no_new_privileges,
        // Nothing in `process` or `linux` asks for it: settings of the host's network do.
        no_abstract_sockets: false,
        user_namespace,
        limits: rlimits::limits(process, host, &mut warnings),
        oom_score: oom_score(process, host, &mut warnings),
        personality: linux.personality.as_ref().map(|personality| match personality.domain {
            PersonalityDomain::Linux => PER_LINUX,
            PersonalityDomain::Linux32 => PER_LINUX32,
        }),
        scheduling: scheduling::scheduling(process, linux),
        label: label(process, host)?,
        keyring: keyring.filter(|_| host.keyrings),
        filter,
        warnings,
    })
}

/// Where a user maps its own group alone, setgroups(2) is denied, or a group could be left that a file denies access to
/// (CVE-2014-8989); in a namespace that is joined it may be. Where newgidmap(1) has mapped granted groups, it is not.
fn groups(process: &Process, linux: &Linux, host: &HostFacts) -> Result<Option<Vec<u32>>, Refusal> {
    let groups = &process.user.additional_gids;
    let Some(namespace) = linux.namespace(NamespaceType::User).filter(|_| host.ids.0 != 0) else {
        return Ok(Some(groups.clone()));
    };
    if namespace.path.is_some() {
        return Ok(Some(groups.clone()).filter(|groups| !groups.is_empty()));
    }
    let denied = matches!(linux.gid_mappings.as_slice(), [map] if map.size == 1 && map.host_id == host.ids.1);
    if denied && !groups.is_empty() {
        let problem = "a user namespace that maps nothing but the caller's own group has no further groups";
        let remedy = "map groups that /etc/subgid grants as well in /linux/gidMappings, leave them out, or run lightship as root";
        return Err(Refusal::new("/process/user/additionalGids", problem, remedy));
    }
    Ok((!denied).then(|| groups.clone()))
}

/// Installing a filter takes CAP_SYS_ADMIN or no_new_privs (seccomp(2)), raising a limit CAP_SYS_RESOURCE over the host
/// (getrlimit(2)).
fn borrowed(process: &Process, host: &HostFacts, filter: bool, user_namespace: bool) -> u64 {
    let for_filter = if filter && !process.no_new_privileges { SYS_ADMIN } else { 0 };
    let raises = host.raises_limits && !user_namespace && !process.rlimits.is_empty();
    let for_limits = if raises { SYS_RESOURCE } else { 0 };
    for_filter | for_limits
}

/// Without CAP_SYS_RESOURCE a score can be raised, but not lowered below what a privileged process once set (proc(5)).
fn oom_score(process: &Process, host: &HostFacts, warnings: &mut Vec<String>) -> Option<i32> {
    let score = process.oom_score_adj?;
    if score < host.oom_score && !host.raises_limits {
        let own = host.oom_score;
        warnings.push(format!(
            "/process/oomScoreAdj: {score} is left out, as the runtime lacks CAP_SYS_RESOURCE to go below {own}"
        ));
        return None;
    }
    Some(score)
}

/// A confinement that is asked for and cannot be had is refused: silence would leave the process unconfined.
fn label(process: &Process, host: &HostFacts) -> Result<Option<Label>, Refusal> {
    let off = |pointer: &str, module: &str| {
        let remedy = format!("turn {module} on in the kernel, or take the property out");
        Err(Refusal::new(pointer, format!("{module} is off on this host"), remedy))
    };
    match (&process.apparmor_profile, &process.selinux_label) {
        (Some(_), _) if !host.apparmor => off("/process/apparmorProfile", "AppArmor"),
        (_, Some(_)) if !host.selinux => off("/process/selinuxLabel", "SELinux"),
        (Some(profile), _) if is_missing(profile, host.apparmor_profiles.as_deref()) => {
            let problem = format!("the AppArmor profile \"{}\" is not loaded", profile.escape_default());
            let remedy = "load it with apparmor_parser -r, or name one of /sys/kernel/security/apparmor/profiles";
            Err(Refusal::new("/process/apparmorProfile", problem, remedy))
        }
        (Some(profile), _) => Ok(Some(Label::AppArmor(profile.clone()))),
        (None, Some(label)) => Ok(Some(Label::Selinux(label.clone()))),
        (None, None) => Ok(None),
    }
}

/// Whether a profile is not among those that are loaded. Of names in another policy namespace and of stacks of profiles the
/// list says nothing.
fn is_missing(profile: &str, loaded: Option<&str>) -> bool {
    let Some(loaded) = loaded.filter(|_| profile != "unconfined" && !profile.contains([':', '&'])) else {
        return false;
    };
    !loaded.lines().any(|line| line.rsplit_once(" (").is_some_and(|(name, _)| name == profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostFacts {
        HostFacts {
            available: u64::MAX >> 23,
            last_capability: 40,
            umask: 0o022,
            keyrings: true,
            ..HostFacts::default()
        }
    }

    fn planned(process: &str, linux: &str, host: &HostFacts, filter: Option<Filter>) -> Result<ConfinePlan, Refusal> {
        let process = Process::from_bytes(format!(r#"{{"cwd":"/","args":["a"]{process}}}"#).as_bytes()).unwrap();
        plan(&process, &serde_json::from_str(linux).unwrap(), host, Some("_ses.a".to_owned()), filter)
    }

    #[test]
    fn a_confinement_that_cannot_be_had_is_refused() {
        let refused = |process: &str| planned(process, "{}", &host(), None).unwrap_err().pointer;
        assert_eq!(refused(r#","apparmorProfile":"p""#), "/process/apparmorProfile");
        assert_eq!(refused(r#","selinuxLabel":"l""#), "/process/selinuxLabel");
        let apparmor = HostFacts { apparmor: true, ..host() };
        let label = planned(r#","apparmorProfile":"p""#, "{}", &apparmor, None).unwrap().label;
        assert_eq!(label, Some(Label::AppArmor("p".to_owned())));
        let selinux = HostFacts { selinux: true, ..host() };
        let label = planned(r#","selinuxLabel":"l""#, "{}", &selinux, None).unwrap().label;
        assert_eq!(label, Some(Label::Selinux("l".to_owned())));
    }

    #[test]
    fn a_profile_must_be_loaded() {
        let loaded = Some("docker-default (enforce)\n/usr/bin/my prog (complain)\n");
        let missing = ["docker-default", "/usr/bin/my prog", "docker", "unconfined", ":ns:docker", "a//&b"]
            .map(|name| is_missing(name, loaded));
        assert_eq!(missing, [false, false, true, false, false, false]);
        assert!(!is_missing("docker", None), "not known");
        let host = HostFacts { apparmor: true, apparmor_profiles: Some(String::new()), ..host() };
        let refused = planned(r#","apparmorProfile":"p""#, "{}", &host, None).unwrap_err();
        assert!(refused.to_string().contains("apparmor_parser"), "{refused}");
    }

    #[test]
    fn a_mount_label_without_selinux_is_a_warning() {
        let plan = planned("", r#"{"mountLabel":"l"}"#, &host(), None).unwrap();
        assert_eq!(plan.warnings.len(), 1);
        assert!(plan.warnings[0].starts_with("/linux/mountLabel"), "{:?}", plan.warnings);
        let selinux = HostFacts { selinux: true, ..host() };
        assert!(planned("", r#"{"mountLabel":"l"}"#, &selinux, None).unwrap().warnings.is_empty());
    }

    #[test]
    fn init_borrows_only_what_its_last_steps_take() {
        let filter = || Some(Filter { program: vec![0; 8], flags: 0 });
        let borrowed = |process: &str, host: &HostFacts, filter| planned(process, "{}", host, filter).unwrap().borrowed;
        let limits = r#","rlimits":[{"type":"RLIMIT_CORE","hard":1,"soft":1}]"#;
        let raises = HostFacts { raises_limits: true, ..host() };
        assert_eq!(borrowed("", &raises, None), 0);
        assert_eq!(borrowed("", &raises, filter()), SYS_ADMIN);
        assert_eq!(borrowed(r#","noNewPrivileges":true"#, &raises, filter()), 0);
        assert_eq!(borrowed(limits, &host(), None), 0);
        assert_eq!(borrowed(limits, &raises, filter()), SYS_RESOURCE | SYS_ADMIN);
        let user = planned(limits, r#"{"namespaces":[{"type":"user"}]}"#, &raises, filter()).unwrap();
        assert_eq!(user.borrowed, SYS_ADMIN, "it would not be over the host");
        assert!(user.needs_apply());
    }

    #[test]
    fn a_score_that_cannot_be_lowered_is_left_out_with_a_warning() {
        let low = r#","oomScoreAdj":-500"#;
        let plan = planned(low, "{}", &host(), None).unwrap();
        assert_eq!((plan.oom_score, plan.warnings.len()), (None, 1));
        let raises = HostFacts { raises_limits: true, ..host() };
        assert_eq!(planned(low, "{}", &raises, None).unwrap().oom_score, Some(-500));
        let high = HostFacts { oom_score: 200, ..host() };
        let score = |score: i32| planned(&format!(r#","oomScoreAdj":{score}"#), "{}", &high, None).unwrap().oom_score;
        assert_eq!((score(0), score(199), score(200), score(300)), (None, None, Some(200), Some(300)));
    }

    #[test]
    fn a_user_has_further_groups_where_granted_ones_are_mapped() {
        let planned = |ids, namespace: &str, maps: &str, groups: &[u32]| {
            let linux = format!(r#"{{"namespaces":[{{"type":"user"{namespace}}}],"gidMappings":[{maps}]}}"#);
            let mut process = Process::default();
            process.user.additional_gids = groups.to_vec();
            let host = HostFacts { ids, ..host() };
            plan(&process, &serde_json::from_str(&linux).unwrap(), &host, None, None).map(|plan| plan.groups)
        };
        let (own, user) = (r#"{"containerID":0,"hostID":100,"size":1}"#, (1000, 100));
        assert_eq!((planned((0, 0), "", own, &[]), planned(user, "", own, &[])), (Ok(Some(Vec::new())), Ok(None)));
        assert_eq!(planned(user, "", own, &[5]).unwrap_err().pointer, "/process/user/additionalGids");
        let granted = format!(r#"{own},{{"containerID":1,"hostID":100000,"size":9}}"#);
        assert_eq!(planned(user, "", &granted, &[5]), Ok(Some(vec![5])));
        assert_eq!(planned(user, "", &granted, &[]), Ok(Some(Vec::new())));
        let joined = r#","path":"/proc/1/ns/user""#;
        assert_eq!((planned(user, joined, "", &[]), planned(user, joined, "", &[5])), (Ok(None), Ok(Some(vec![5]))));
    }

    #[test]
    fn a_user_namespace_gives_every_capability_of_the_kernel() {
        let few = HostFacts { available: 0, ..host() };
        let process = r#","capabilities":{"bounding":["CAP_SYS_ADMIN"]}"#;
        assert_eq!(planned(process, "{}", &few, None).unwrap().capabilities.bounding, 0);
        let linux = r#"{"namespaces":[{"type":"user"}]}"#;
        assert_eq!(planned(process, linux, &few, None).unwrap().capabilities.bounding, SYS_ADMIN);
    }

    #[test]
    fn identity_and_mask_are_taken_as_they_are() {
        let user = r#","user":{"uid":4294967294,"gid":2,"umask":63,"additionalGids":[9,9]}"#;
        let plan = planned(user, r#"{"personality":{"domain":"LINUX32"}}"#, &host(), None).unwrap();
        assert_eq!((plan.ids, plan.umask, plan.groups), ((4_294_967_294, 2), 0o77, Some(vec![9, 9])));
        assert_eq!(plan.personality, Some(PER_LINUX32));
        assert_eq!(planned("", "{}", &host(), None).unwrap().umask, 0o022, "absent: the caller's");
    }
}
