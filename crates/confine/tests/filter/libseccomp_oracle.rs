//! The filter that libseccomp makes of a profile, and where it is known to be wrong.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek};

use confine::seccomp::{Instruction, number};
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use spec::seccomp::{Action, Arch, Condition, Operator, Rule, Seccomp};

use crate::meaning::{IPC, SOCKETCALL, token, wide};

/// The filter libseccomp makes of a profile, fed as runc feeds it.
pub(crate) fn libseccomp_filter(profile: &Seccomp, native: Arch) -> Option<Vec<Instruction>> {
    let default = scmp_action(profile.default_action, profile.default_errno_ret);
    let mut filter = ScmpFilterContext::new(default).unwrap();
    filter.remove_arch(ScmpArch::Native).unwrap();
    filter.add_arch(scmp_arch(native).unwrap()).unwrap();
    for arch in &profile.architectures {
        if !filter.is_arch_present(scmp_arch(*arch).unwrap()).unwrap() {
            filter.add_arch(scmp_arch(*arch).unwrap()).unwrap();
        }
    }
    for rule in &profile.syscalls {
        let action = scmp_action(rule.action, rule.errno_ret);
        if action == default {
            continue;
        }
        let conditions: Vec<_> = rule.args.iter().map(scmp_condition).collect();
        let indexes: BTreeSet<_> = rule.args.iter().map(|condition| condition.index).collect();
        for name in &rule.names {
            let Ok(syscall) = ScmpSyscall::from_name(name) else { continue };
            if conditions.is_empty() {
                filter.add_rule(action, syscall).ok()?;
            } else if indexes.len() < conditions.len() {
                for condition in &conditions {
                    filter.add_rule_conditional(action, syscall, &[*condition]).ok()?;
                }
            } else {
                filter.add_rule_conditional(action, syscall, &conditions).ok()?;
            }
        }
    }
    let memfd = rustix::fs::memfd_create("filter", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(memfd);
    filter.export_bpf(&file).unwrap();
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    // libseccomp exports in the byte order of the filter's architecture.
    let swap = |i: Instruction| Instruction { code: i.code.swap_bytes(), k: i.k.swap_bytes(), ..i };
    let foreign = token(native).1 != cfg!(target_endian = "big");
    let program = bytes.as_chunks().0.iter().map(|bytes| Instruction::from_bytes(*bytes));
    Some(if foreign { program.map(swap).collect() } else { program.collect() })
}

/// Whether several rules with conditions meet in one call in a way where libseccomp 2.5 is no oracle. It joins them into
/// one tree of comparisons, in which
/// - the order of the rules is lost, so that it is open which of two different actions wins;
/// - greater and less on one argument hide each other (`a <= 2` or `a < 2^64 - 1` lets 2^32 - 1 pass neither);
/// - where it compares only the low half of arguments, a rule with several conditions that fails leaves its argument
///   loaded, and the next rule compares that one instead of its own.
///
/// [`crate::meaning`] judges those.
pub(crate) fn incomparable(profile: &Seccomp, arch: Arch, call: u32) -> bool {
    let conditional = profile.syscalls.iter().filter(|rule| !rule.args.is_empty());
    let rules: Vec<&Rule> = conditional.filter(|rule| rule.names.iter().any(|name| meets(arch, name, call))).collect();
    let repeated = |rule: &&Rule| {
        rule.args.iter().map(|condition| condition.index).collect::<BTreeSet<_>>().len() < rule.args.len()
    };
    if rules.len() < 2 && !rules.iter().any(repeated) {
        return false;
    }
    let ordered = rules
        .iter()
        .flat_map(|rule| &rule.args)
        .any(|condition| !matches!(condition.op, Operator::Equal | Operator::NotEqual | Operator::MaskedEqual));
    let mixed = rules.iter().any(|rule| (rule.action, rule.errno_ret) != (rules[0].action, rules[0].errno_ret));
    let long = rules.iter().any(|rule| rule.args.len() > 1);
    mixed || ordered || (long && !wide(arch))
}

/// Whether `name` can be called by that number, be it as a sub-call.
pub(crate) fn meets(arch: Arch, name: &str, call: u32) -> bool {
    let call = Some(call);
    number(arch, name) == call
        || SOCKETCALL.contains(&name) && number(arch, "socketcall") == call
        || IPC.iter().any(|(_, sub)| *sub == name) && number(arch, "ipc") == call
}

pub(crate) fn scmp_arch(arch: Arch) -> Option<ScmpArch> {
    Some(match arch {
        Arch::X86 => ScmpArch::X86,
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X32 => ScmpArch::X32,
        Arch::Arm => ScmpArch::Arm,
        Arch::Aarch64 => ScmpArch::Aarch64,
        Arch::Mips => ScmpArch::Mips,
        Arch::Mips64 => ScmpArch::Mips64,
        Arch::Mips64N32 => ScmpArch::Mips64N32,
        Arch::Mipsel => ScmpArch::Mipsel,
        Arch::Mipsel64 => ScmpArch::Mipsel64,
        Arch::Mipsel64N32 => ScmpArch::Mipsel64N32,
        Arch::Ppc => ScmpArch::Ppc,
        Arch::Ppc64 => ScmpArch::Ppc64,
        Arch::Ppc64Le => ScmpArch::Ppc64Le,
        Arch::S390 => ScmpArch::S390,
        Arch::S390x => ScmpArch::S390X,
        Arch::Parisc => ScmpArch::Parisc,
        Arch::Parisc64 => ScmpArch::Parisc64,
        Arch::Riscv64 => ScmpArch::Riscv64,
        // Younger than libseccomp 2.5.
        Arch::Loongarch64 | Arch::M68k | Arch::Sh | Arch::Sheb => return None,
    })
}

pub(crate) fn scmp_action(action: Action, errno: Option<u32>) -> ScmpAction {
    match action {
        Action::Kill | Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
        Action::Trap => ScmpAction::Trap,
        Action::Errno => ScmpAction::Errno(errno.unwrap_or(1) as i32),
        Action::Trace => ScmpAction::Trace(errno.unwrap_or(1) as u16),
        Action::Allow => ScmpAction::Allow,
        Action::Log => ScmpAction::Log,
        Action::Notify => ScmpAction::Notify,
    }
}

pub(crate) fn scmp_condition(condition: &Condition) -> ScmpArgCompare {
    let two = condition.value_two.unwrap_or(0);
    let (op, value) = match condition.op {
        Operator::NotEqual => (ScmpCompareOp::NotEqual, condition.value),
        Operator::Less => (ScmpCompareOp::Less, condition.value),
        Operator::LessOrEqual => (ScmpCompareOp::LessOrEqual, condition.value),
        Operator::Equal => (ScmpCompareOp::Equal, condition.value),
        Operator::GreaterOrEqual => (ScmpCompareOp::GreaterEqual, condition.value),
        Operator::Greater => (ScmpCompareOp::Greater, condition.value),
        Operator::MaskedEqual => (ScmpCompareOp::MaskedEqual(condition.value), two),
    };
    ScmpArgCompare::new(condition.index, op, value)
}
