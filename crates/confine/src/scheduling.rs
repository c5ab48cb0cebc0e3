//! When and where a process runs, and from where its memory comes: scheduler, I/O priority, CPUs, NUMA nodes.

use spec::{
    IoPriority, IoPriorityClass, Linux, MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode, Process, Scheduler,
    SchedulerFlag, SchedulerPolicy,
};

/// The part of a plan that says how a process is scheduled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// `struct sched_attr` (sched_setattr(2)).
    pub attributes: Option<SchedAttr>,
    /// The value of ioprio_set(2).
    pub io_priority: Option<u32>,
    /// Mode with its flags, and nodes, of set_mempolicy(2).
    pub memory: Option<(u32, Vec<u64>)>,
    /// The CPUs that it may use, if it is not a container's first process.
    pub cpus: Cpus,
}

/// Which CPUs a process may use once it is in its cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cpus {
    /// Every one that the cgroup allows, whatever the runtime's caller was restricted to.
    #[default]
    All,
    /// Those that it has been started on.
    Inherited,
    /// These.
    These(Vec<u64>),
}

/// `struct sched_attr` of Linux 5.3, which older kernels take as well while the clamps are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedAttr {
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl SchedAttr {
    const SIZE: u32 = 56;

    fn new(scheduler: &Scheduler) -> SchedAttr {
        SchedAttr {
            policy: policy_number(scheduler.policy),
            flags: scheduler.flags.iter().fold(0, |flags, flag| flags | flag_bit(*flag)),
            nice: scheduler.nice.unwrap_or_default(),
            priority: scheduler.priority.unwrap_or_default().unsigned_abs(),
            runtime: scheduler.runtime.unwrap_or_default(),
            deadline: scheduler.deadline.unwrap_or_default(),
            period: scheduler.period.unwrap_or_default(),
        }
    }

    /// The structure as it lies in memory.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(SchedAttr::SIZE.to_ne_bytes());
        bytes.extend(self.policy.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(self.nice.to_ne_bytes());
        bytes.extend(self.priority.to_ne_bytes());
        for time in [self.runtime, self.deadline, self.period] {
            bytes.extend(time.to_ne_bytes());
        }
        // The configuration has no values for the clamps of the CPU's utilization.
        bytes.resize(SchedAttr::SIZE as usize, 0);
        bytes
    }
}

/// `SCHED_*` (linux/sched.h). `SCHED_ISO` has a number and no implementation: the kernel refuses it.
fn policy_number(policy: SchedulerPolicy) -> u32 {
    match policy {
        SchedulerPolicy::Other => 0,
        SchedulerPolicy::Fifo => 1,
        SchedulerPolicy::Rr => 2,
        SchedulerPolicy::Batch => 3,
        SchedulerPolicy::Iso => 4,
        SchedulerPolicy::Idle => 5,
        SchedulerPolicy::Deadline => 6,
    }
}

/// `SCHED_FLAG_*` (linux/sched.h).
fn flag_bit(flag: SchedulerFlag) -> u64 {
    match flag {
        SchedulerFlag::ResetOnFork => 0x01,
        SchedulerFlag::Reclaim => 0x02,
        SchedulerFlag::DlOverrun => 0x04,
        SchedulerFlag::KeepPolicy => 0x08,
        SchedulerFlag::KeepParams => 0x10,
        SchedulerFlag::UtilClampMin => 0x20,
        SchedulerFlag::UtilClampMax => 0x40,
    }
}

/// linux/ioprio.h.
fn io_priority(io: &IoPriority) -> u32 {
    const CLASS_SHIFT: u32 = 13;
    let class = match io.class {
        IoPriorityClass::Realtime => 1,
        IoPriorityClass::BestEffort => 2,
        IoPriorityClass::Idle => 3,
    };
    class << CLASS_SHIFT | io.priority.unsigned_abs()
}

/// `MPOL_*` and `MPOL_F_*` (linux/mempolicy.h).
fn memory(policy: &MemoryPolicy) -> (u32, Vec<u64>) {
    let mode = match policy.mode {
        MemoryPolicyMode::Default => 0,
        MemoryPolicyMode::Preferred => 1,
        MemoryPolicyMode::Bind => 2,
        MemoryPolicyMode::Interleave => 3,
        MemoryPolicyMode::Local => 4,
        MemoryPolicyMode::PreferredMany => 5,
        MemoryPolicyMode::WeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlag| match flag {
        MemoryPolicyFlag::NumaBalancing => 1 << 13,
        MemoryPolicyFlag::RelativeNodes => 1 << 14,
        MemoryPolicyFlag::StaticNodes => 1 << 15,
    };
    let nodes = policy.nodes.as_ref().map(|nodes| nodes.mask().to_vec()).unwrap_or_default();
    (policy.flags.iter().map(flag).fold(mode, |mode, flag| mode | flag), nodes)
}

/// What was asked for is left to the kernel as it is: only it knows which CPUs and nodes there are.
pub(crate) fn scheduling(process: &Process, linux: &Linux) -> Scheduling {
    let affinity = process.exec_cpu_affinity.as_ref();
    let initial = affinity.and_then(|affinity| affinity.initial.as_ref());
    let last = affinity.and_then(|affinity| affinity.last.as_ref());
    Scheduling {
        attributes: process.scheduler.as_ref().map(SchedAttr::new),
        io_priority: process.io_priority.as_ref().map(io_priority),
        memory: linux.memory_policy.as_ref().map(memory),
        cpus: match (initial, last) {
            (_, Some(last)) => Cpus::These(last.mask().to_vec()),
            (Some(_), None) => Cpus::Inherited,
            (None, None) => Cpus::All,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(process: &str, linux: &str) -> Scheduling {
        let process = Process::from_bytes(format!("{{{process}}}").as_bytes()).unwrap();
        scheduling(&process, &serde_json::from_str(linux).unwrap())
    }

    #[test]
    fn attributes_are_laid_out_as_the_kernel_reads_them() {
        let scheduler = r#""scheduler":{"policy":"SCHED_DEADLINE","nice":-5,"flags":["SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_UTIL_CLAMP_MAX"],"runtime":1,"deadline":2,"period":3}"#;
        let bytes = planned(scheduler, "{}").attributes.unwrap().bytes();
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!((bytes.len(), word(0), word(4), long(8)), (56, 56, 6, 0x41));
        assert_eq!((word(16) as i32, word(20)), (-5, 0));
        assert_eq!((long(24), long(32), long(40), long(48)), (1, 2, 3, 0));
    }

    #[test]
    fn every_policy_and_flag_has_its_number() {
        let policies = SchedulerPolicy::ALL.iter().map(|policy| policy_number(*policy));
        assert_eq!(policies.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6], "in the order of the specification");
        assert_eq!(SchedulerFlag::ALL.iter().fold(0, |flags, flag| flags | flag_bit(*flag)), 0x7f);
    }

    #[test]
    fn class_and_priority_are_one_number() {
        let io = |class: &str| planned(&format!(r#""ioPriority":{{"class":"{class}","priority":7}}"#), "{}");
        let values = ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"].map(|class| io(class).io_priority);
        assert_eq!(values, [Some(0x2007), Some(0x4007), Some(0x6007)]);
    }

    #[test]
    fn a_memory_policy_has_its_flags_in_the_mode() {
        let policy = |policy: &str| planned("", &format!(r#"{{"memoryPolicy":{policy}}}"#)).memory.unwrap();
        assert_eq!(policy(r#"{"mode":"MPOL_LOCAL","nodes":""}"#), (4, vec![]));
        let flags = r#"["MPOL_F_STATIC_NODES","MPOL_F_NUMA_BALANCING"]"#;
        assert_eq!(
            policy(&format!(r#"{{"mode":"MPOL_BIND","nodes":"0-1,64","flags":{flags}}}"#)),
            (0xa002, vec![3, 1])
        );
        assert_eq!(policy(r#"{"mode":"MPOL_WEIGHTED_INTERLEAVE","nodes":"0"}"#).0, 6);
    }

    #[test]
    fn without_final_cpus_the_initial_ones_stay() {
        let cpus = |affinity: &str| planned(&format!(r#""execCPUAffinity":{affinity}"#), "{}").cpus;
        assert_eq!(cpus(r#"{"initial":"0","final":"1,3"}"#), Cpus::These(vec![0b1010]));
        assert_eq!(cpus(r#"{"initial":"0","final":""}"#), Cpus::Inherited);
        assert_eq!(cpus("{}"), Cpus::All);
    }
}
