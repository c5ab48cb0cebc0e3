//! `linux.seccomp`: rules that cannot mean anything.

use super::Checked;
use crate::Refusal;
use crate::seccomp::{Action, Rule, Seccomp};

/// How many arguments a system call has at most.
const ARGUMENTS: u32 = 6;

impl Seccomp {
    /// Checks the profile; it is not part of [`crate::Spec::validate`] because parsing it can often be saved.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Checked {
        errno(self.default_action, self.default_errno_ret, "/linux/seccomp/defaultErrnoRet")?;
        if self.listener_metadata.is_some() && self.listener_path.is_none() {
            let remedy = "set listenerPath as well, or remove it";
            return Err(Refusal::new("/linux/seccomp/listenerMetadata", "there is no listener to send it to", remedy));
        }
        self.notification()?;
        for (i, entry) in self.syscalls.iter().enumerate() {
            rule(entry, &format!("/linux/seccomp/syscalls/{i}"))?;
        }
        Ok(())
    }
}

impl Seccomp {
    /// `SCMP_ACT_NOTIFY` needs an agent to notify; and the call that hands the listener to the agent cannot wait for it.
    fn notification(&self) -> Checked {
        if !self.notifies() {
            return Ok(());
        }
        if self.listener_path.is_none() {
            let problem = "SCMP_ACT_NOTIFY has nobody to notify";
            return Err(Refusal::new("/linux/seccomp/listenerPath", problem, "set it to the agent's socket"));
        }
        let names = |rule: &Rule| rule.names.iter().any(|name| name == "sendmsg");
        let problem = "sendmsg cannot be notified, as the listener is sent with it";
        match self.syscalls.iter().position(|rule| rule.action == Action::Notify && names(rule)) {
            Some(i) => {
                let pointer = format!("/linux/seccomp/syscalls/{i}/names");
                Err(Refusal::new(pointer, problem, "take it out of the rule"))
            }
            None if self.default_action == Action::Notify && !self.syscalls.iter().any(names) => {
                Err(Refusal::new("/linux/seccomp/defaultAction", problem, "allow sendmsg by a rule of its own"))
            }
            None => Ok(()),
        }
    }
}

fn rule(rule: &Rule, pointer: &str) -> Checked {
    if rule.names.is_empty() {
        return Err(Refusal::new(
            format!("{pointer}/names"),
            "missing or empty",
            "name a system call or remove the rule",
        ));
    }
    errno(rule.action, rule.errno_ret, &format!("{pointer}/errnoRet"))?;
    match rule.args.iter().enumerate().find(|(_, condition)| condition.index >= ARGUMENTS) {
        Some((i, condition)) => {
            let problem = format!("system calls have no argument {}", condition.index);
            Err(Refusal::new(format!("{pointer}/args/{i}/index"), problem, "use 0 to 5"))
        }
        None => Ok(()),
    }
}

fn errno(action: Action, errno: Option<u32>, pointer: &str) -> Checked {
    match errno {
        Some(errno) if !matches!(action, Action::Errno | Action::Trace) => {
            let problem = format!("{action} does not return {errno} or any other errno");
            Err(Refusal::new(pointer, problem, "remove it, or use SCMP_ACT_ERRNO or SCMP_ACT_TRACE"))
        }
        _ => Ok(()),
    }
}
