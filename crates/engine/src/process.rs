//! A process of a container, the first one or a further one: who it is, where it starts, and the program it executes.
//!
//! The operations here are the same for `create` and `exec`; what differs comes before them.

use confine::Early;
use program::{Op, ProgramBuilder, Slot};
use spec::{Hook, Process};

use crate::hooks;

/// Where programs are looked for without a PATH in the environment (execvp(3) as Docker's images expect it).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A process that is to be executed.
#[derive(Clone, Debug)]
pub struct ProcessPlan {
    /// `process`, its environment completed.
    pub process: Process,
    /// What it may do.
    pub confine: confine::ConfinePlan,
}

impl ProcessPlan {
    /// Everything before the process waits, or before the last step where it does not.
    pub(crate) fn emit_setup(&self, b: &mut ProgramBuilder) {
        self.emit_chdir(0, b);
        confine::emit_before_wait(&self.confine, b);
        self.emit_chdir(1, b);
        if !self.process.env.iter().any(|variable| variable.starts_with("HOME=")) {
            b.place("process.env");
            b.push(Op::FindHome { uid: self.process.user.uid });
        }
        // Looked for already at create: engines expect a program that does not exist to fail there.
        b.place(self.process.args.first().cloned().unwrap_or_default());
        let candidates = b.list(candidates(&self.process));
        b.push(Op::FindProgram { candidates });
    }

    fn emit_chdir(&self, attempt: u16, b: &mut ProgramBuilder) {
        b.place(self.process.cwd.to_string_lossy());
        let path = b.text(hooks::path_bytes(&self.process.cwd));
        b.push(Op::Chdir { path, attempt });
    }

    /// The filter and the execve. Nothing may stand between them: the filter need then allow execve alone.
    pub(crate) fn emit_exec(&self, early: Early, b: &mut ProgramBuilder) {
        confine::emit_before_exec(&self.confine, early, b);
        b.place(self.process.args.first().cloned().unwrap_or_default());
        let args = b.list(&self.process.args);
        let env = b.list(&self.process.env);
        b.push(Op::Exec { args, env });
    }

    /// What init does once `start` has told it to go on.
    pub(crate) fn emit_start(&self, hooks: &[Hook], io: [Slot; 2], early: Early, b: &mut ProgramBuilder) {
        hooks::emit("startContainer", hooks, io, b);
        self.emit_exec(early, b);
    }
}

/// The paths that a program's name may stand for, as execvp(3) tries them in the container's PATH.
fn candidates(process: &Process) -> Vec<String> {
    let Some(name) = process.args.first() else { return Vec::new() };
    if name.contains('/') {
        return vec![name.clone()];
    }
    let path = process.env.iter().rev().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':')
        .map(|folder| if folder.is_empty() { format!("./{name}") } else { format!("{folder}/{name}") })
        .collect()
}

/// How many descriptors the process keeps, and what it must know of those that a service manager passed on
/// (sd_listen_fds(3)): they count from 3, in front of those of `--preserve-fds`.
pub(crate) fn preserved_fds(asked_for: u32, process: &mut Process) -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    let ours = number("LISTEN_PID").is_none_or(|pid| pid == std::process::id());
    let Some(passed) = number("LISTEN_FDS").filter(|&count| ours && count > 0) else { return asked_for };
    process.env.push(format!("LISTEN_FDS={passed}"));
    process.env.push("LISTEN_PID=1".to_owned());
    if let Ok(names) = std::env::var("LISTEN_FDNAMES") {
        process.env.push(format!("LISTEN_FDNAMES={names}"));
    }
    asked_for.saturating_add(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(program: &str, env: &[&str]) -> Process {
        let env = env.iter().map(|variable| (*variable).to_owned()).collect();
        Process { args: vec![program.to_owned()], env, ..Process::default() }
    }

    #[test]
    fn a_name_is_looked_for_along_the_last_path_and_a_path_is_taken_as_it_is() {
        let found = candidates(&process("sh", &["PATH=/old", "PATH=/bin::/x"]));
        assert_eq!(found, ["/bin/sh", "./sh", "/x/sh"]);
        assert_eq!(candidates(&process("./sh", &[])), ["./sh"]);
        assert_eq!(candidates(&process("sh", &[])).len(), 6);
    }
}
