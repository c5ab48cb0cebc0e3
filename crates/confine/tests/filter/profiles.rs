//! Profiles to try, and the calls that tell them apart.

use std::collections::BTreeSet;

use confine::seccomp::{names, number};
use libseccomp::ScmpSyscall;
use spec::seccomp::{Action, Arch, Condition, Operator, Rule, Seccomp};

use crate::libseccomp_oracle::scmp_arch;
use crate::meaning::token;

/// Every number that can matter: all small ones, those of each architecture, the borders.
pub(crate) fn numbers(arch: Arch) -> BTreeSet<u32> {
    const X32: u32 = 0x4000_0000;
    let mut all: BTreeSet<u32> = (0..1200).chain(4000..4500).chain(5000..5500).chain(6000..6500).collect();
    all.extend(X32..X32 + 700);
    all.extend(0x000f_0000..0x000f_0010);
    all.extend([X32 - 1, 0x7fff_ffff, 0x8000_0000, 0xc000_0000, u32::MAX - 1, u32::MAX]);
    all.extend(names().filter_map(|name| number(arch, name)));
    all
}

/// The argument values that a profile can tell apart, and some beside.
pub(crate) fn values(profile: &Seccomp, index: u32) -> Vec<u64> {
    let mut values = BTreeSet::from([0, 1, u64::MAX]);
    for condition in profile.syscalls.iter().flat_map(|rule| &rule.args).filter(|c| c.index == index) {
        for value in
            [condition.value, condition.value_two.unwrap_or(0), condition.value & condition.value_two.unwrap_or(0)]
        {
            values.extend([value, value.wrapping_sub(1), value.wrapping_add(1), value ^ 1 << 32, value ^ 1 << 63]);
            values.extend([value & 0xffff_ffff, value << 32, !value, value | 0xffff_ffff]);
        }
    }
    // The sub-calls of socketcall and ipc.
    if index == 0 {
        values.extend(1..25);
    }
    values.into_iter().collect()
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// xorshift64*
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

pub(crate) fn rule(names: &[&str], action: Action, args: &[(u32, Operator, u64, u64)]) -> Rule {
    Rule {
        names: names.iter().map(ToString::to_string).collect(),
        action,
        errno_ret: None,
        args: args
            .iter()
            .map(|&(index, op, value, two)| Condition { index, value, value_two: Some(two), op })
            .collect(),
    }
}

pub(crate) fn profile(default_action: Action, architectures: &[Arch], syscalls: Vec<Rule>) -> Seccomp {
    Seccomp {
        default_action,
        default_errno_ret: None,
        architectures: architectures.to_vec(),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

pub(crate) const OPERATORS: [Operator; 7] = [
    Operator::NotEqual,
    Operator::Less,
    Operator::LessOrEqual,
    Operator::Equal,
    Operator::GreaterOrEqual,
    Operator::Greater,
    Operator::MaskedEqual,
];

/// Everything libseccomp 2.5 resolves.
pub(crate) fn resolvable() -> Vec<&'static str> {
    names()
        // libseccomp cannot name this one across architectures.
        .filter(|name| *name != "sys_debug_setcontext" && ScmpSyscall::from_name(name).is_ok())
        .collect()
}

pub(crate) fn random_value(random: &mut Random) -> u64 {
    const CORNERS: [u64; 10] =
        [0, 1, 16, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 0x10_0000_0007, u64::MAX - 1, u64::MAX];
    match random.below(3) {
        0 => random.below(64) as u64,
        1 => *random.pick(&CORNERS),
        _ => random.next(),
    }
}

/// A profile of `rules` rules over a few names, so that rules meet.
pub(crate) fn random_profile(random: &mut Random, names: &[&str], native: Arch, rules: usize, mixed: bool) -> Seccomp {
    const ACTIONS: [Action; 6] =
        [Action::Allow, Action::Errno, Action::KillProcess, Action::Trap, Action::Log, Action::Trace];
    let subs: Vec<Arch> = Arch::ALL
        .iter()
        .copied()
        .filter(|arch| scmp_arch(*arch).is_some() && token(*arch).1 == token(native).1 && random.below(6) == 0)
        .collect();
    // Where a rule names a call that an architecture lacks, libseccomp 2.5 may forget to load the call's number: no rule of
    // that architecture ever matches. On x86_64 it loads the number anyway, to tell x32 apart.
    let x86 = subs.iter().chain([&native]).all(|arch| matches!(arch, Arch::X86_64 | Arch::X32));
    let common: Vec<&str>;
    let names = if !x86 {
        let everywhere = |name: &&str| subs.iter().chain([&native]).all(|arch| number(*arch, name).is_some());
        common = names.iter().copied().filter(everywhere).collect();
        &common
    } else {
        names
    };
    let default = *random.pick(&ACTIONS);
    let only = *random.pick(&ACTIONS);
    let pool: Vec<&str> = (0..1 + random.below(2 * rules)).map(|_| *random.pick(names)).collect();
    let rules = (0..rules)
        .map(|_| {
            let count = random.below(4);
            let names: Vec<&str> = (0..1 + random.below(4)).map(|_| *random.pick(&pool)).collect();
            let args: Vec<_> = (0..count)
                .map(|_| {
                    let (index, operator) = (random.below(6) as u32, *random.pick(&OPERATORS));
                    // A mask of nothing is a condition that always holds; libseccomp takes it for none.
                    let value = random_value(random) | u64::from(operator == Operator::MaskedEqual);
                    (index, operator, value, random_value(random))
                })
                .collect();
            let action = if mixed || args.is_empty() { *random.pick(&ACTIONS) } else { only };
            rule(&names, action, &args)
        })
        .collect();
    profile(default, &subs, rules)
}
