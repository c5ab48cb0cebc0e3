//! What a profile says of a call, evaluated rule by rule: an oracle that shares nothing with the generator but the table of
//! numbers.

use std::collections::BTreeSet;

use confine::seccomp::number;
use spec::seccomp::{Action, Arch, Condition, Operator, Seccomp};

use crate::interpreter::Call;

/// The sub-calls of socketcall(2), from 1 (linux/net.h), and of ipc(2) (linux/ipc.h).
pub(crate) const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];
pub(crate) const IPC: [(u64, &str); 12] = [
    (1, "semop"),
    (2, "semget"),
    (3, "semctl"),
    (4, "semtimedop"),
    (11, "msgsnd"),
    (12, "msgrcv"),
    (13, "msgget"),
    (14, "msgctl"),
    (21, "shmat"),
    (22, "shmdt"),
    (23, "shmget"),
    (24, "shmctl"),
];

/// What a call gets by the letter of the profile, evaluated rule by rule: an oracle that shares nothing with the
/// generator but the table of numbers.
pub(crate) fn meaning(profile: &Seccomp, native: Arch, arch: Arch, call: &Call) -> u32 {
    let spoken = archs(profile, native);
    let arch = abi(arch, call.number, &spoken);
    if !spoken.contains(&arch) {
        return 0;
    }
    let sub_call = match call.number {
        number_ if Some(number_) == number(arch, "socketcall") => {
            (call.arguments[0] as u32).checked_sub(1).and_then(|sub| SOCKETCALL.get(sub as usize)).copied()
        }
        number_ if Some(number_) == number(arch, "ipc") => {
            IPC.iter().find(|(sub, _)| *sub as u32 == call.arguments[0] as u32).map(|(_, name)| *name)
        }
        _ => None,
    };
    let is_wide = wide(arch);
    let sub_call = sub_call.filter(|_| !is_wide || call.arguments[0] >> 32 == 0);
    let holds = |condition: &Condition| {
        let narrow = |value: u64| if is_wide { value } else { value & 0xffff_ffff };
        let (argument, value) = (narrow(call.arguments[condition.index as usize]), narrow(condition.value));
        match condition.op {
            Operator::NotEqual => argument != value,
            Operator::Less => argument < value,
            Operator::LessOrEqual => argument <= value,
            Operator::Equal => argument == value,
            Operator::GreaterOrEqual => argument >= value,
            Operator::Greater => argument > value,
            Operator::MaskedEqual => argument & value == narrow(condition.value_two.unwrap_or(0)) & value,
        }
    };
    let default = return_value(profile.default_action, profile.default_errno_ret);
    let mut outcomes: [Option<u32>; 2] = [None, None];
    for rule in &profile.syscalls {
        let value = return_value(rule.action, rule.errno_ret);
        if value == default {
            continue;
        }
        let indexes: BTreeSet<_> = rule.args.iter().map(|condition| condition.index).collect();
        for name in &rule.names {
            let direct = number(arch, name) == Some(call.number);
            let through = sub_call == Some(name.as_str());
            if direct && rule.args.is_empty() {
                outcomes[0].get_or_insert(value);
            }
            let applies = |condition: &&Condition| direct || condition.index != 0;
            let matches = if indexes.len() < rule.args.len() {
                rule.args.iter().any(|condition| !applies(&condition) || holds(condition))
            } else {
                rule.args.iter().filter(applies).all(holds)
            };
            if (direct && !rule.args.is_empty() || through) && matches {
                outcomes[1].get_or_insert(value);
            }
        }
    }
    outcomes[0].or(outcomes[1]).unwrap_or(default)
}

/// `SECCOMP_RET_*` of linux/seccomp.h.
pub(crate) fn return_value(action: Action, errno: Option<u32>) -> u32 {
    match action {
        Action::Kill | Action::KillThread => 0,
        Action::KillProcess => 0x8000_0000,
        Action::Trap => 0x0003_0000,
        Action::Errno => 0x0005_0000 | errno.unwrap_or(1),
        Action::Notify => 0x7fc0_0000,
        Action::Trace => 0x7ff0_0000 | errno.unwrap_or(1),
        Action::Log => 0x7ffc_0000,
        Action::Allow => 0x7fff_0000,
    }
}

/// AUDIT_ARCH token of linux/audit.h, and whether the machine is big-endian.
pub(crate) fn token(arch: Arch) -> (u32, bool) {
    let token = match arch {
        Arch::X86 => 0x4000_0003,
        Arch::X86_64 | Arch::X32 => 0xc000_003e,
        Arch::Arm => 0x4000_0028,
        Arch::Aarch64 => 0xc000_00b7,
        Arch::Mips => 0x0000_0008,
        Arch::Mips64 => 0x8000_0008,
        Arch::Mips64N32 => 0xa000_0008,
        Arch::Mipsel => 0x4000_0008,
        Arch::Mipsel64 => 0xc000_0008,
        Arch::Mipsel64N32 => 0xe000_0008,
        Arch::Ppc => 0x0000_0014,
        Arch::Ppc64 => 0x8000_0015,
        Arch::Ppc64Le => 0xc000_0015,
        Arch::S390 => 0x0000_0016,
        Arch::S390x => 0x8000_0016,
        Arch::Parisc => 0x0000_000f,
        Arch::Parisc64 => 0x8000_000f,
        Arch::Riscv64 => 0xc000_00f3,
        Arch::Loongarch64 => 0xc000_0102,
        Arch::M68k => 0x0000_0004,
        Arch::Sh => 0x4000_002a,
        Arch::Sheb => 0x0000_002a,
    };
    (token, token & 0x4000_0000 == 0)
}

/// The architectures a profile speaks for.
pub(crate) fn archs(profile: &Seccomp, native: Arch) -> BTreeSet<Arch> {
    profile.architectures.iter().copied().chain([native]).collect()
}

/// x86_64 and x32 share a token: the number tells them apart, but for -1, which a tracer sets.
pub(crate) fn abi(arch: Arch, number: u32, spoken: &BTreeSet<Arch>) -> Arch {
    match (arch, number) {
        (Arch::X86_64 | Arch::X32, u32::MAX) if spoken.contains(&Arch::X32) => Arch::X32,
        (Arch::X86_64 | Arch::X32, 0x4000_0000..u32::MAX) => Arch::X32,
        (Arch::X86_64 | Arch::X32, _) => Arch::X86_64,
        (other, _) => other,
    }
}

/// Whether libseccomp compares arguments of this architecture in 64 bits.
pub(crate) fn wide(arch: Arch) -> bool {
    token(arch).0 & 0x8000_0000 != 0 && !matches!(arch, Arch::X32 | Arch::Mips64N32 | Arch::Mipsel64N32)
}
