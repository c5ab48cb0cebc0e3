//! The system call filter: an OCI seccomp profile → a classic BPF program (seccomp(2), config-linux.md "Seccomp").
//!
//! `rules` says what a profile means, `generate` and `bpf` turn that into instructions, `syscalls` and `arch` are the
//! tables, `cache` keeps compiled filters. Pure, but for the cache. That a filter decides like the one libseccomp makes
//! of the same profile is tested call by call (tests/libseccomp.rs).

mod arch;
mod bpf;
mod cache;
mod generate;
mod rules;
mod syscalls;

use spec::Refusal;
use spec::seccomp::{Arch, Flag, Seccomp};

pub use arch::native;
pub use bpf::Instruction;
pub use cache::Cache;
pub use generate::MAX_INSTRUCTIONS;
pub use rules::Unknown;
pub use syscalls::{is_known, names, number};

/// A compiled filter: what seccomp(2) is called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The program, an array of `struct sock_filter`.
    pub program: Vec<u8>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

/// `SECCOMP_FILTER_FLAG_*` (linux/seccomp.h).
const TSYNC: u32 = 1 << 0;
const LOG: u32 = 1 << 1;
const SPEC_ALLOW: u32 = 1 << 2;
const NEW_LISTENER: u32 = 1 << 3;
const WAIT_KILLABLE_RECV: u32 = 1 << 5;

impl Filter {
    /// Compiles a profile for processes of `native` and of the architectures it lists.
    ///
    /// # Errors
    /// The profile asks for what does not exist, or its program exceeds [`MAX_INSTRUCTIONS`].
    pub fn compile(profile: &Seccomp, native: Arch) -> Result<Self, Refusal> {
        let program = compile(profile, native, Unknown::Enosys)?;
        let program = program.into_iter().flat_map(Instruction::to_bytes).collect();
        Ok(Self { program, flags: flags(profile) })
    }

    /// Whether installing it makes a descriptor that the agent at `listenerPath` is to get.
    pub fn has_listener(&self) -> bool {
        self.flags & NEW_LISTENER != 0
    }
}

/// Compiles a profile, with a choice for the calls it does not know; see [`Filter::compile`].
///
/// # Errors
/// As [`Filter::compile`].
pub fn compile(profile: &Seccomp, native: Arch, unknown: Unknown) -> Result<Vec<Instruction>, Refusal> {
    let sections = rules::sections(profile, native, unknown)?;
    let program = generate::program(&sections, rules::KILL_THREAD);
    if program.len() > MAX_INSTRUCTIONS {
        let problem =
            format!("compiles to {} instructions, the kernel takes {MAX_INSTRUCTIONS} (bpf(2))", program.len());
        return Err(Refusal::new("/linux/seccomp", problem, "use fewer conditions or architectures"));
    }
    Ok(program)
}

fn flags(profile: &Seccomp) -> u32 {
    let notifies = profile.notifies();
    let mut bits = if notifies { NEW_LISTENER } else { 0 };
    // Without the flag, kernels before 5.16 slow the container down by the mitigation of speculative store bypass.
    let Some(flags) = &profile.flags else { return bits | SPEC_ALLOW };
    for flag in flags {
        bits |= match flag {
            // The kernel refuses it together with a listener, and the container's init has one thread.
            Flag::Tsync if notifies => 0,
            Flag::Tsync => TSYNC,
            Flag::Log => LOG,
            Flag::SpecAllow => SPEC_ALLOW,
            // The kernel refuses it without a listener.
            Flag::WaitKillableRecv if !notifies => 0,
            Flag::WaitKillableRecv => WAIT_KILLABLE_RECV,
        };
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(profile: &str) -> Result<Filter, Refusal> {
        Filter::compile(&serde_json::from_str(profile).unwrap(), Arch::X86_64)
    }

    #[test]
    fn flags_are_the_kernels() {
        let flags = |text: &str| compiled(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW"{text}}}"#)).unwrap().flags;
        assert_eq!(flags(""), SPEC_ALLOW, "as runc: unset is SPEC_ALLOW");
        assert_eq!(flags(r#","flags":[]"#), 0);
        let all = r#","flags":["SECCOMP_FILTER_FLAG_TSYNC","SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#;
        assert_eq!(flags(all), TSYNC | LOG | SPEC_ALLOW);
        let notify = r#","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]"#;
        assert_eq!(flags(&format!("{all}{notify}")), LOG | SPEC_ALLOW | NEW_LISTENER | WAIT_KILLABLE_RECV);
    }

    #[test]
    fn what_a_profile_cannot_ask_for_is_refused_with_its_place() {
        let refused = |text: &str| compiled(text).unwrap_err().pointer;
        assert_eq!(refused(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#), "/linux/seccomp/defaultAction");
        assert_eq!(
            refused(r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#),
            "/linux/seccomp/defaultErrnoRet"
        );
        let rule = |rule: &str| {
            refused(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["read"],{rule}}}]}}"#))
        };
        assert_eq!(rule(r#""action":"SCMP_ACT_KILL","errnoRet":2"#), "/linux/seccomp/syscalls/0/errnoRet");
        assert_eq!(rule(r#""action":"SCMP_ACT_ERRNO","errnoRet":65536"#), "/linux/seccomp/syscalls/0/errnoRet");
        assert_eq!(
            rule(r#""action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]"#),
            "/linux/seccomp/syscalls/0/args/0/index"
        );
    }

    /// Whatever changes a compiled filter has to change the cache's `GENERATION` with it; then this number too.
    #[test]
    fn cached_filters_are_those_of_this_generator() {
        let names: Vec<String> = names().step_by(3).map(|name| format!("\"{name}\"")).collect();
        let filter = compiled(&format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"],"syscalls":[
            {{"names":[{}],"action":"SCMP_ACT_ALLOW"}},
            {{"names":["socket"],"action":"SCMP_ACT_TRAP","args":[{{"index":0,"value":40,"op":"SCMP_CMP_GT"}}]}}]}}"#,
            names.join(",")
        ))
        .unwrap();
        // FNV-1a, which does not depend on the compiler.
        let sum = filter
            .program
            .iter()
            .fold(0xcbf2_9ce4_8422_2325u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        assert_eq!((cache::GENERATION, format!("{sum:016x}")), (1, "f8ec2888ff5949f3".to_owned()));
    }
}
