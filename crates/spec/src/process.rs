//! `process`: what runs in the container and with which identity, limits and scheduling (config.md, Process).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::json;
use crate::named::named;
use crate::number_list::NumberList;

/// The container's process; also the document that `exec --process` reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether the process gets a pseudoterminal.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "json::is_false")]
    pub terminal: bool,
    /// The first size of that terminal.
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Whom the process runs as.
    #[serde(default, deserialize_with = "json::object_or_default")]
    pub user: User,
    /// `argv`; the first one is looked up as execvp(3) does. Required, not empty.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The environment, `NAME=value` each, in order.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The working directory, an absolute path inside the container. Required.
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub cwd: PathBuf,
    /// The five capability sets; absent means the process has none.
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Resource limits, one of each type at most.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<Rlimit>,
    /// prctl(2) `PR_SET_NO_NEW_PRIVS`.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "json::is_false")]
    pub no_new_privileges: bool,
    /// The AppArmor profile of the process.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub apparmor_profile: Option<String>,
    /// Written to `/proc/<pid>/oom_score_adj`: -1000 to 1000; absent leaves it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// sched_setattr(2).
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// The SELinux label of the process.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub selinux_label: Option<String>,
    /// ioprio_set(2).
    #[serde(default, deserialize_with = "json::object", skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// Which CPUs an exec'd process may use before and after it enters the container's cgroup.
    #[serde(
        rename = "execCPUAffinity",
        default,
        deserialize_with = "json::object",
        skip_serializing_if = "Option::is_none"
    )]
    pub exec_cpu_affinity: Option<CpuAffinity>,
}

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ConsoleSize {
    /// Rows. The kernel's `struct winsize` holds 16 bits.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// The identity of the process, in the ids of the container's user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User id.
    #[serde(deserialize_with = "json::null_as_default")]
    pub uid: u32,
    /// Group id.
    #[serde(deserialize_with = "json::null_as_default")]
    pub gid: u32,
    /// The file mode mask; absent leaves it to the runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// The supplementary groups; the caller's are never kept.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}

/// capabilities(7) by name, such as `CAP_NET_BIND_SERVICE`.
///
/// Names stay text: one that the kernel or lightship does not know is a warning, not an error (config.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Capabilities {
    /// The bounding set.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub bounding: Vec<String>,
    /// The effective set.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub effective: Vec<String>,
    /// The inheritable set.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub inheritable: Vec<String>,
    /// The permitted set.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub permitted: Vec<String>,
    /// The ambient set.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub ambient: Vec<String>,
}

/// One resource limit, setrlimit(2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rlimit {
    /// Which resource.
    #[serde(rename = "type")]
    pub kind: RlimitType,
    /// The ceiling; `u64::MAX` is no limit.
    #[serde(deserialize_with = "json::null_as_default")]
    pub hard: u64,
    /// The limit the kernel enforces; not above `hard`.
    #[serde(deserialize_with = "json::null_as_default")]
    pub soft: u64,
}

named! {
    /// The resources of getrlimit(2).
    pub enum RlimitType {
        As = "RLIMIT_AS",
        Core = "RLIMIT_CORE",
        Cpu = "RLIMIT_CPU",
        Data = "RLIMIT_DATA",
        Fsize = "RLIMIT_FSIZE",
        Locks = "RLIMIT_LOCKS",
        Memlock = "RLIMIT_MEMLOCK",
        Msgqueue = "RLIMIT_MSGQUEUE",
        Nice = "RLIMIT_NICE",
        Nofile = "RLIMIT_NOFILE",
        Nproc = "RLIMIT_NPROC",
        Rss = "RLIMIT_RSS",
        Rtprio = "RLIMIT_RTPRIO",
        Rttime = "RLIMIT_RTTIME",
        Sigpending = "RLIMIT_SIGPENDING",
        Stack = "RLIMIT_STACK",
    }
}

/// Scheduling attributes, sched_setattr(2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Scheduler {
    /// The policy.
    pub policy: SchedulerPolicy,
    /// The nice value of `SCHED_OTHER` and `SCHED_BATCH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// The static priority of `SCHED_FIFO` and `SCHED_RR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Flags.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<SchedulerFlag>,
    /// `SCHED_DEADLINE`: nanoseconds of work in each period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<u64>,
    /// `SCHED_DEADLINE`: nanoseconds until the work must be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// `SCHED_DEADLINE`: the length of a period in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
}

named! {
    /// The policies of sched(7).
    pub enum SchedulerPolicy {
        Other = "SCHED_OTHER",
        Fifo = "SCHED_FIFO",
        Rr = "SCHED_RR",
        Batch = "SCHED_BATCH",
        Iso = "SCHED_ISO",
        Idle = "SCHED_IDLE",
        Deadline = "SCHED_DEADLINE",
    }
}

named! {
    /// The flags of sched_setattr(2).
    pub enum SchedulerFlag {
        ResetOnFork = "SCHED_FLAG_RESET_ON_FORK",
        Reclaim = "SCHED_FLAG_RECLAIM",
        DlOverrun = "SCHED_FLAG_DL_OVERRUN",
        KeepPolicy = "SCHED_FLAG_KEEP_POLICY",
        KeepParams = "SCHED_FLAG_KEEP_PARAMS",
        UtilClampMin = "SCHED_FLAG_UTIL_CLAMP_MIN",
        UtilClampMax = "SCHED_FLAG_UTIL_CLAMP_MAX",
    }
}

/// I/O scheduling, ioprio_set(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct IoPriority {
    /// The scheduling class.
    pub class: IoPriorityClass,
    /// 0 (highest) to 7 within the class.
    #[serde(deserialize_with = "json::null_as_default")]
    pub priority: i32,
}

named! {
    /// The classes of ioprio_set(2).
    pub enum IoPriorityClass {
        Realtime = "IOPRIO_CLASS_RT",
        BestEffort = "IOPRIO_CLASS_BE",
        Idle = "IOPRIO_CLASS_IDLE",
    }
}

/// The CPUs of an exec'd process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct CpuAffinity {
    /// Before the process enters the container's cgroup.
    #[serde(default, deserialize_with = "json::empty_as_none", skip_serializing_if = "Option::is_none")]
    pub initial: Option<NumberList>,
    /// After it has.
    #[serde(
        rename = "final",
        default,
        deserialize_with = "json::empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub last: Option<NumberList>,
}
