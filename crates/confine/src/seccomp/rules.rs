//! A profile → what happens to each system call number of each architecture.
//!
//! The meaning of rules is libseccomp's, as runc uses it, so that a profile filters the same under every runtime:
//! - a rule whose outcome is the default one changes nothing;
//! - a rule without conditions beats every rule with conditions, and the first one without beats later ones;
//! - the conditions of one rule must all hold, unless two are on the same argument: then each is a rule of its own;
//! - names that an architecture does not have are skipped there.

use std::collections::BTreeMap;

use spec::Refusal;
use spec::seccomp::{Action, Arch, Rule as ProfileRule, Seccomp};

use super::arch::{Abi, abi};
use super::syscalls::{self, X32_BIT};

/// `SECCOMP_RET_*` (linux/seccomp.h).
pub(super) const KILL_PROCESS: u32 = 0x8000_0000;
pub(super) const KILL_THREAD: u32 = 0x0000_0000;
pub(super) const TRAP: u32 = 0x0003_0000;
pub(super) const ERRNO: u32 = 0x0005_0000;
pub(super) const NOTIFY: u32 = 0x7fc0_0000;
pub(super) const TRACE: u32 = 0x7ff0_0000;
pub(super) const LOG: u32 = 0x7ffc_0000;
pub(super) const ALLOW: u32 = 0x7fff_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// All the calls of one AUDIT_ARCH token.
pub(super) struct Section {
    pub(super) token: u32,
    /// Ascending from 0, without gaps.
    pub(super) ranges: Vec<Range>,
}

/// Calls from `first` up to the next range.
#[derive(Clone)]
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) outcome: Outcome,
}

/// What happens to a call.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A `SECCOMP_RET_*` value.
    Return(u32),
    /// The first rule that matches, or else `otherwise`.
    Conditional { abi: Abi, rules: Vec<Rule>, otherwise: u32 },
}

/// A return value under conditions that must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) value: u32,
}

/// `argument & mask <operator> value`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) operator: Operator,
    pub(super) mask: u64,
    pub(super) value: u64,
}

/// How an argument is compared, unsigned. An equality with a mask is `SCMP_CMP_MASKED_EQ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A rule of the profile with its names still unresolved.
struct Named<'a> {
    names: &'a [String],
    value: u32,
    /// Each list is enough on its own; one that is empty always matches.
    alternatives: Vec<Vec<Condition>>,
}

/// Whether calls newer than the profile get `ENOSYS`, as in runc, or the default action, as plain libseccomp does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// A C library that tries a new call and falls back on `ENOSYS` keeps working: a profile cannot have meant to
    /// answer `EPERM` to what did not exist when it was written. Not with a default that lets calls through.
    Enosys,
    /// The default action.
    Default,
}

/// The sections of a filter for `native` and the architectures that the profile lists.
///
/// # Errors
/// What the profile asks for does not exist: an errno with an action that has none, a seventh argument, an action that
/// cannot be a default.
pub(super) fn sections(profile: &Seccomp, native: Arch, unknown: Unknown) -> Result<Vec<Section>, Refusal> {
    if profile.default_action == Action::Notify {
        return Err(Refusal::new(
            "/linux/seccomp/defaultAction",
            "SCMP_ACT_NOTIFY cannot be the default: the listener itself could not be handed over",
            "name the calls to notify in syscalls",
        ));
    }
    let default = value(profile.default_action, profile.default_errno_ret, "/linux/seccomp/defaultErrnoRet")?;
    let rules = profile.syscalls.iter().enumerate().map(|(i, rule)| named(rule, i)).collect::<Result<Vec<_>, _>>()?;

    let mut archs = vec![native];
    for &arch in &profile.architectures {
        if !archs.contains(&arch) {
            archs.push(arch);
        }
    }
    let permissive = matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace);
    let newer = if permissive || unknown == Unknown::Default { default } else { ERRNO | ENOSYS };
    let mut sections = Vec::new();
    for &arch in &archs {
        if arch == Arch::X32 && archs.contains(&Arch::X86_64) {
            continue; // in x86_64's section
        }
        let mut ranges = Calls::of(arch, &rules, default).ranges(default, newer);
        match arch {
            Arch::X86_64 if archs.contains(&Arch::X32) => {
                let x32 = Calls::of(Arch::X32, &rules, default).ranges(default, newer);
                ranges.extend(from(x32, X32_BIT));
            }
            Arch::X86_64 => {
                // x32 calls come with x86_64's token: unless they are listed, they are those of a wrong architecture.
                // -1 is not one of them: it is what a tracer sets to skip a call.
                push(&mut ranges, X32_BIT, Outcome::Return(KILL_THREAD));
                push(&mut ranges, u32::MAX, Outcome::Return(newer));
            }
            Arch::X32 => {
                ranges = from(ranges, X32_BIT);
                ranges.insert(0, Range { first: 0, outcome: Outcome::Return(KILL_THREAD) });
            }
            _ => {}
        }
        sections.push(Section { token: abi(arch).token, ranges });
    }
    Ok(sections)
}

/// What a profile says about the calls of one architecture.
struct Calls {
    arch: Arch,
    calls: BTreeMap<u32, Call>,
    /// The highest number of a call the profile knows, whatever it says of it.
    newest: Option<u32>,
}

#[derive(Default)]
struct Call {
    unconditional: Option<u32>,
    rules: Vec<Rule>,
}

impl Calls {
    fn of(arch: Arch, rules: &[Named<'_>], default: u32) -> Self {
        let mut this = Self { arch, calls: BTreeMap::new(), newest: None };
        for rule in rules {
            for name in rule.names {
                let number = syscalls::number(arch, name);
                this.newest = this.newest.max(number);
                if rule.value == default {
                    continue;
                }
                for conditions in &rule.alternatives {
                    if let Some(number) = number {
                        this.add(number, conditions.clone(), rule.value);
                    }
                    if let Some((number, sub_call)) = syscalls::multiplexed(arch, name) {
                        // Behind socketcall(2) and ipc(2) the first argument is the call and cannot be compared.
                        let mut conditions = conditions.clone();
                        conditions.retain(|condition| condition.index != 0);
                        conditions.insert(0, Condition::equal(0, sub_call));
                        this.add(number, conditions, rule.value);
                    }
                }
            }
        }
        this
    }

    fn add(&mut self, number: u32, conditions: Vec<Condition>, value: u32) {
        let call = self.calls.entry(number).or_default();
        if conditions.is_empty() {
            call.unconditional.get_or_insert(value);
        } else {
            let rule = Rule { conditions, value };
            if !call.rules.contains(&rule) {
                call.rules.push(rule);
            }
        }
    }

    fn ranges(self, default: u32, newer: u32) -> Vec<Range> {
        let mut ranges = Vec::new();
        let mut next = 0;
        let abi = abi(self.arch);
        for (number, call) in self.calls {
            if number > next {
                push(&mut ranges, next, Outcome::Return(default));
            }
            let outcome = match call.unconditional {
                Some(value) => Outcome::Return(value),
                None => Outcome::Conditional { abi, rules: call.rules, otherwise: default },
            };
            push(&mut ranges, number, outcome);
            next = number + 1;
        }
        let Some(newest) = self.newest else {
            push(&mut ranges, next, Outcome::Return(default));
            return ranges;
        };
        if newest >= next {
            push(&mut ranges, next, Outcome::Return(default));
        }
        push(&mut ranges, newest + 1, Outcome::Return(newer));
        // s390 makes calls with numbers above 255 through number 0, setup(2), and leaves it there when it does not
        // know the call.
        if matches!(self.arch, Arch::S390 | Arch::S390x) && newer != default {
            ranges = from(ranges, 1);
            ranges.insert(0, Range { first: 0, outcome: Outcome::Return(newer) });
        }
        ranges
    }
}

/// The part of the ranges that starts at `first`.
fn from(mut ranges: Vec<Range>, first: u32) -> Vec<Range> {
    let covering = ranges.iter().rposition(|range| range.first <= first).unwrap_or(0);
    ranges.drain(..covering);
    if let Some(range) = ranges.first_mut() {
        range.first = first;
    }
    ranges
}

/// Appends a range, unless the one before it has the same outcome.
fn push(ranges: &mut Vec<Range>, first: u32, outcome: Outcome) {
    if ranges.last().is_none_or(|last| last.outcome != outcome) {
        ranges.push(Range { first, outcome });
    }
}

fn named(rule: &ProfileRule, index: usize) -> Result<Named<'_>, Refusal> {
    let pointer = format!("/linux/seccomp/syscalls/{index}");
    let value = value(rule.action, rule.errno_ret, &format!("{pointer}/errnoRet"))?;
    let mut conditions = Vec::with_capacity(rule.args.len());
    for (i, condition) in rule.args.iter().enumerate() {
        if condition.index > 5 {
            let problem = format!("a system call has no argument {}", condition.index);
            return Err(Refusal::new(format!("{pointer}/args/{i}/index"), problem, "use 0 to 5"));
        }
        conditions.push(Condition::of(condition));
    }
    let repeated = conditions.iter().enumerate().any(|(i, a)| conditions[..i].iter().any(|b| a.index == b.index));
    let alternatives =
        if repeated { conditions.into_iter().map(|condition| vec![condition]).collect() } else { vec![conditions] };
    Ok(Named { names: &rule.names, value, alternatives })
}

/// The `SECCOMP_RET_*` value of an action; `errno` without a value is `EPERM` (config-linux.md, Seccomp).
fn value(action: Action, errno: Option<u32>, pointer: &str) -> Result<u32, Refusal> {
    let base = match action {
        Action::Errno => ERRNO,
        Action::Trace => TRACE,
        other if errno.is_some() => {
            return Err(Refusal::new(pointer, format!("{other} returns no errno"), "remove it, or use SCMP_ACT_ERRNO"));
        }
        Action::Kill | Action::KillThread => return Ok(KILL_THREAD),
        Action::KillProcess => return Ok(KILL_PROCESS),
        Action::Trap => return Ok(TRAP),
        Action::Allow => return Ok(ALLOW),
        Action::Log => return Ok(LOG),
        Action::Notify => return Ok(NOTIFY),
    };
    match errno.unwrap_or(EPERM) {
        data if data <= 0xffff => Ok(base | data),
        data => Err(Refusal::new(pointer, format!("{data} does not fit in 16 bits"), "use an errno of errno(3)")),
    }
}

impl Condition {
    fn of(condition: &spec::seccomp::Condition) -> Self {
        use spec::seccomp::Operator as Op;
        let (operator, mask, value) = match condition.op {
            Op::NotEqual => (Operator::NotEqual, u64::MAX, condition.value),
            Op::Less => (Operator::Less, u64::MAX, condition.value),
            Op::LessOrEqual => (Operator::LessOrEqual, u64::MAX, condition.value),
            Op::Equal => (Operator::Equal, u64::MAX, condition.value),
            Op::GreaterOrEqual => (Operator::GreaterOrEqual, u64::MAX, condition.value),
            Op::Greater => (Operator::Greater, u64::MAX, condition.value),
            Op::MaskedEqual => (Operator::Equal, condition.value, condition.value_two.unwrap_or(0)),
        };
        Self { index: condition.index, operator, mask, value }
    }

    fn equal(index: u32, value: u64) -> Self {
        Self { index, operator: Operator::Equal, mask: u64::MAX, value }
    }
}
