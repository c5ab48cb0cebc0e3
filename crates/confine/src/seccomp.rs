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
