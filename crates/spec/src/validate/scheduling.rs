//! How a process is scheduled, and where its memory comes from: what the kernel would call no more than an invalid argument.

use super::Checked;
use crate::{MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode, Process, Refusal, Scheduler, SchedulerPolicy};

/// The shortest runtime of `SCHED_DEADLINE` in nanoseconds (DL_SCALE in kernel/sched/sched.h).
const RUNTIME_MIN: u64 = 1024;
/// The top bit of a time must be clear (sched(7)).
const TIME_MAX: u64 = i64::MAX as u64;

pub(super) fn check(process: &Process, pointer: &str) -> Checked {
    if let Some(scheduler) = &process.scheduler {
        if scheduler.policy == SchedulerPolicy::Iso {
            // It has a number in linux/sched.h, and sched_setattr(2) refuses it.
            let problem = "no kernel has an implementation of SCHED_ISO";
            return Err(Refusal::new(format!("{pointer}/scheduler/policy"), problem, "use another policy"));
        }
        priorities(scheduler, &format!("{pointer}/scheduler"))?;
        deadline(scheduler, &format!("{pointer}/scheduler"))?;
    }
    match process.io_priority {
        Some(io) if !(0..=7).contains(&io.priority) => {
            let pointer = format!("{pointer}/ioPriority/priority");
            Err(Refusal::new(pointer, format!("{} is out of range", io.priority), "use 0 to 7"))
        }
        _ => Ok(()),
    }
}

fn priorities(scheduler: &Scheduler, pointer: &str) -> Checked {
    let nice = scheduler.nice.unwrap_or_default();
    if !(-20..=19).contains(&nice) {
        return Err(Refusal::new(format!("{pointer}/nice"), format!("{nice} is out of range"), "use -20 to 19"));
    }
    let priority = scheduler.priority.unwrap_or_default();
    let pointer = format!("{pointer}/priority");
    let policy = scheduler.policy;
    match policy {
        SchedulerPolicy::Fifo | SchedulerPolicy::Rr if !(1..=99).contains(&priority) => {
            Err(Refusal::new(pointer, format!("{priority} is out of range for {policy}"), "use 1 to 99"))
        }
        SchedulerPolicy::Fifo | SchedulerPolicy::Rr => Ok(()),
        _ if priority != 0 => {
            let remedy = "remove it, or use SCHED_FIFO or SCHED_RR";
            Err(Refusal::new(pointer, format!("{policy} has no priorities"), remedy))
        }
        _ => Ok(()),
    }
}

/// sched(7): runtime <= deadline <= period, where a period of 0 stands for the deadline.
fn deadline(scheduler: &Scheduler, pointer: &str) -> Checked {
    let [runtime, deadline, period] =
        [scheduler.runtime, scheduler.deadline, scheduler.period].map(Option::unwrap_or_default);
    let times = [("runtime", runtime), ("deadline", deadline), ("period", period)];
    let refuse =
        |name: &str, problem: String, remedy: &str| Err(Refusal::new(format!("{pointer}/{name}"), problem, remedy));
    let policy = scheduler.policy;
    if policy != SchedulerPolicy::Deadline {
        return match times.into_iter().find(|&(_, time)| time != 0) {
            Some((name, _)) => refuse(name, format!("{policy} has no {name}"), "remove it, or use SCHED_DEADLINE"),
            None => Ok(()),
        };
    }
    if let Some((name, time)) = times.into_iter().find(|&(_, time)| time > TIME_MAX) {
        return refuse(name, format!("{time} ns are out of range"), "use less than 2^63");
    }
    if runtime < RUNTIME_MIN {
        return refuse("runtime", format!("{runtime} ns are too short"), "use 1024 or more");
    }
    if runtime > deadline {
        let problem = format!("{deadline} ns are over before a runtime of {runtime} ns is");
        return refuse("deadline", problem, "raise it to the runtime or more");
    }
    if period != 0 && period < deadline {
        let problem = format!("a period of {period} ns is over before its deadline of {deadline} ns");
        return refuse("period", problem, "raise it to the deadline or more, or remove it");
    }
    Ok(())
}

/// set_mempolicy(2): which modes take nodes, and which flags go together.
pub(super) fn memory_policy(policy: &MemoryPolicy, pointer: &str) -> Checked {
    let mode = policy.mode;
    let pinned = [MemoryPolicyFlag::StaticNodes, MemoryPolicyFlag::RelativeNodes]
        .map(|flag| policy.flags.contains(&flag).then_some(flag));
    if let [Some(one), Some(other)] = pinned {
        let problem = format!("{one} and {other} exclude each other");
        return Err(Refusal::new(format!("{pointer}/flags"), problem, "keep one of them"));
    }
    if let Some(flag) = policy.flags.iter().find(|flag| !goes_with(**flag, policy)) {
        let problem = format!("{flag} does not go with {mode} and these nodes");
        return Err(Refusal::new(format!("{pointer}/flags"), problem, "remove it, or use MPOL_BIND with nodes"));
    }
    match (mode, &policy.nodes) {
        (MemoryPolicyMode::Default | MemoryPolicyMode::Local, Some(nodes)) => {
            let problem = format!("{mode} takes no nodes, and these are `{nodes}`");
            Err(Refusal::new(format!("{pointer}/nodes"), problem, "remove them, or use another mode"))
        }
        (MemoryPolicyMode::Default | MemoryPolicyMode::Local | MemoryPolicyMode::Preferred, _) | (_, Some(_)) => Ok(()),
        (_, None) => Err(Refusal::new(
            format!("{pointer}/nodes"),
            format!("missing or empty, and {mode} needs nodes"),
            "name at least one node, such as `0`",
        )),
    }
}

/// mpol_new and sanitize_mpol_flags in the kernel's mm/mempolicy.c.
fn goes_with(flag: MemoryPolicyFlag, policy: &MemoryPolicy) -> bool {
    match (flag, policy.mode) {
        (MemoryPolicyFlag::NumaBalancing, mode) => {
            matches!(mode, MemoryPolicyMode::Bind | MemoryPolicyMode::PreferredMany)
        }
        (_, MemoryPolicyMode::Local) => false,
        (_, MemoryPolicyMode::Preferred) => policy.nodes.is_some(),
        _ => true,
    }
}
