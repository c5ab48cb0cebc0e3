//! The device allow-list: rules in order, for v1's controller or as a program for the unified hierarchy.
//!
//! Every access starts out denied. Then come the configuration's rules, then the devices that every container has
//! (config-linux.md, Default Devices) and leave to make nodes of any device, which alone opens none.
//!
//! The program decides by access bit: the last rule that speaks of a bit wins. v1 keeps a list of exceptions instead,
//! where denying a device only takes it off the list; the two differ where a single device is denied that a wildcard
//! allows, which v1 cannot express.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use spec::{DeviceRule, DeviceRuleType, Refusal};
use sys::bpf::{self, Assembler, AssemblyError, If, Instruction, Label, Register, Width};

use crate::error::Error;
use crate::writes::Write;

/// `BPF_DEVCG_ACC_*`
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

/// The largest numbers that a Linux `dev_t` holds (12 and 20 bits).
const MAX_MAJOR: i64 = (1 << 12) - 1;
const MAX_MINOR: i64 = (1 << 20) - 1;

/// Keeps the jumps of the program within their 16 bits.
const MAX_RULES: usize = 4096;

/// Block or character: the numbers are the kernel's (`BPF_DEVCG_DEV_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `BPF_DEVCG_DEV_BLOCK`
    Block = 1,
    /// `BPF_DEVCG_DEV_CHAR`
    Char = 2,
}

/// A rule, checked and with its wildcards resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Allow or deny.
    pub allow: bool,
    /// Both kinds if absent.
    pub kind: Option<Kind>,
    /// Any if absent.
    pub major: Option<u32>,
    /// Any if absent.
    pub minor: Option<u32>,
    /// `BPF_DEVCG_ACC_*` bits: mknod 1, read 2, write 4.
    pub access: u8,
    /// JSON pointer of the rule; `None` for one of our own.
    pub pointer: Option<String>,
}

/// The devices that every container has, besides leave to make nodes.
const DEFAULT_DEVICES: [(u32, Option<u32>); 9] = [
    (1, Some(3)), // null
    (1, Some(5)), // zero
    (1, Some(7)), // full
    (1, Some(8)), // random
    (1, Some(9)), // urandom
    (5, Some(0)), // tty
    (5, Some(2)), // ptmx
    // net/tun: VPNs count on it; runc took it away in 1.2.0 and had to give it back in 1.2.4.
    (10, Some(200)),
    (136, None), // pts
];

/// Reads the rules of a configuration, with the ground they stand on first and the defaults last.
///
/// Rules before the last one that covers everything have no effect and are left out.
///
/// # Errors
/// A device number or an access that does not exist.
pub(crate) fn rules(configured: &[DeviceRule], pointer: &str) -> Result<Vec<Rule>, Refusal> {
    if configured.len() > MAX_RULES {
        let problem = format!("{} rules are too many", configured.len());
        return Err(Refusal::new(pointer, problem, format!("use at most {MAX_RULES}, with wildcards")));
    }
    let deny_all = Rule { allow: false, kind: None, major: None, minor: None, access: ALL, pointer: None };
    let mut rules = vec![deny_all];
    for (index, rule) in configured.iter().enumerate() {
        rules.push(Rule::read(rule, &format!("{pointer}/{index}"))?);
    }
    if let Some(ground) = rules.iter().rposition(Rule::is_catch_all) {
        rules.drain(..ground);
    }
    let missing = defaults().filter(|default| !grants(&rules, default)).collect::<Vec<_>>();
    rules.extend(missing);
    Ok(rules)
}

fn defaults() -> impl Iterator<Item = Rule> {
    let allow =
        |kind, major, minor, access| Rule { allow: true, kind: Some(kind), major, minor, access, pointer: None };
    let nodes = [Kind::Char, Kind::Block].map(|kind| allow(kind, None, None, MKNOD));
    let devices = DEFAULT_DEVICES.map(|(major, minor)| allow(Kind::Char, Some(major), minor, ALL));
    nodes.into_iter().chain(devices)
}

/// Whether the last rule that says anything about what `wanted` allows, allows all of it.
fn grants(rules: &[Rule], wanted: &Rule) -> bool {
    let last = rules.iter().rev().find(|rule| rule.overlaps(wanted));
    last.is_some_and(|rule| rule.allow && rule.covers(wanted))
}

impl Rule {
    fn read(rule: &DeviceRule, pointer: &str) -> Result<Rule, Refusal> {
        Ok(Rule {
            allow: rule.allow,
            kind: match rule.kind {
                None | Some(DeviceRuleType::All) => None,
                Some(DeviceRuleType::Char) => Some(Kind::Char),
                Some(DeviceRuleType::Block) => Some(Kind::Block),
            },
            major: device_number(rule.major, MAX_MAJOR, &format!("{pointer}/major"))?,
            minor: device_number(rule.minor, MAX_MINOR, &format!("{pointer}/minor"))?,
            access: access_bits(rule.access.as_deref(), &format!("{pointer}/access"))?,
            pointer: Some(pointer.to_owned()),
        })
    }

    fn is_catch_all(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == ALL
    }

    fn overlaps(&self, other: &Rule) -> bool {
        fn meet<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        meet(self.kind, other.kind)
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
            && self.access & other.access != 0
    }

    fn covers(&self, other: &Rule) -> bool {
        fn spans<T: PartialEq>(wide: Option<T>, narrow: Option<T>) -> bool {
            wide.is_none() || wide == narrow
        }
        spans(self.kind, other.kind)
            && spans(self.major, other.major)
            && spans(self.minor, other.minor)
            && self.access & other.access == other.access
    }

    /// The line for `devices.allow` and `devices.deny`.
    fn line(&self, kind: Kind) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        let letter = if kind == Kind::Char { 'c' } else { 'b' };
        format!("{letter} {}:{} {}", number(self.major), number(self.minor), self.letters())
    }

    /// The access, as `rwm`.
    pub(crate) fn letters(&self) -> String {
        let access = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
        access.iter().filter(|(bit, _)| self.access & bit != 0).map(|(_, letter)| letter).collect()
    }
}

fn device_number(number: Option<i64>, max: i64, pointer: &str) -> Result<Option<u32>, Refusal> {
    match number {
        None | Some(-1) => Ok(None),
        Some(number) if (0..=max).contains(&number) => Ok(Some(number as u32)),
        Some(number) => Err(Refusal::new(
            pointer,
            format!("{number} is no device number"),
            format!("use 0 to {max}, or -1 for any"),
        )),
    }
}

fn access_bits(access: Option<&str>, pointer: &str) -> Result<u8, Refusal> {
    let mut bits = 0;
    for letter in access.unwrap_or("rwm").chars() {
        bits |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => {
                let problem = format!("\"{}\" is no access", letter.escape_default());
                return Err(Refusal::new(pointer, problem, "use some of r, w and m"));
            }
        };
    }
    Ok(if bits == 0 { ALL } else { bits })
}

/// The rules for v1's devices controller.
pub(crate) fn v1_writes(rules: &[Rule], dir: usize) -> Vec<Write> {
    let mut writes = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let has_effect =
            index == 0 || rule.allow || rules[..index].iter().any(|prior| prior.allow && prior.overlaps(rule));
        if !has_effect {
            continue;
        }
        let file = if rule.allow { "devices.allow" } else { "devices.deny" };
        let mut push = |value: String, optional| {
            let pointer = rule.pointer.clone().unwrap_or_else(|| "/linux/resources/devices".to_owned());
            writes.push(Write { dir, file: file.to_owned(), value, or: None, pointer, optional });
        };
        if rule.is_catch_all() {
            // A new cgroup has its parent's rules, and the kernel refuses "all" below a parent that does not allow all.
            push("a".to_owned(), rule.allow);
            continue;
        }
        // The kernel reads a line of type `a` as "everything", whatever else it says.
        let kinds = rule.kind.map_or_else(|| vec![Kind::Char, Kind::Block], |kind| vec![kind]);
        for kind in kinds {
            push(rule.line(kind), rule.pointer.is_none());
        }
    }
    writes
}

/// What the program works with, from `struct bpf_cgroup_dev_ctx`.
const CONTEXT: Register = Register::R1;
const KIND: Register = Register::R2;
/// The bits asked for and not yet allowed.
const ASKED: Register = Register::R3;
const MAJOR: Register = Register::R4;
const MINOR: Register = Register::R5;
/// Both numbers, as a device's whole number has them: 12 and 20 bits.
const DEVICE: Register = Register::R6;
const MINOR_BITS: u32 = 20;

/// The rules as a program; `None` if they allow everything. The verifier takes longer to follow a jump than all else, and does so again for
/// each thing that it knows on the way there: so there are as few as can be.
///
/// # Errors
/// There are too many of them.
pub(crate) fn filter(rules: &[Rule]) -> Result<Option<Vec<Instruction>>, AssemblyError> {
    let Some((ground, rules)) = rules.split_first() else { return Ok(None) };
    if ground.allow && rules.iter().all(|rule| rule.allow) {
        return Ok(None);
    }
    let mut asm = Assembler::default();
    let (allow, deny) = (asm.label(), asm.label());
    for (register, field) in [(KIND, 0), (ASKED, 0), (MAJOR, 4), (MINOR, 8)] {
        asm.load(Width::Word, register, CONTEXT, field);
    }
    asm.and(KIND, 0xffff);
    asm.shift_right(ASKED, 16);
    asm.copy(DEVICE, MAJOR);
    asm.shift_left(DEVICE, MINOR_BITS as i32);
    asm.or_register(DEVICE, MINOR);
    for rules in rules.chunk_by(|one, other| one.kind == other.kind).rev() {
        check(rules, &mut asm, allow, deny);
    }
    // The ground decides on what is left.
    asm.jump(if ground.allow { allow } else { deny });
    for (label, verdict) in [(allow, 1), (deny, 0)] {
        asm.place(label);
        asm.answer(verdict);
    }
    asm.finish().map(Some)
}

/// Checks rules for one kind, the last first.
fn check(rules: &[Rule], asm: &mut Assembler, allow: Label, deny: Label) {
    let others = asm.label();
    if let Some(kind) = rules.first().and_then(|rule| rule.kind) {
        asm.jump_if(KIND, If::Differs, kind as u32, others);
    }
    for rule in rules.iter().rev() {
        let next = asm.label();
        let number = match (rule.major, rule.minor) {
            (Some(major), Some(minor)) => Some((DEVICE, major << MINOR_BITS | minor)),
            (Some(major), None) => Some((MAJOR, major)),
            (None, Some(minor)) => Some((MINOR, minor)),
            (None, None) => None,
        };
        match number {
            Some((register, number)) if rule.allow && rule.access == ALL => {
                asm.jump_if(register, If::Equal, number, allow);
                continue;
            }
            Some((register, number)) => asm.jump_if(register, If::Differs, number, next),
            None => {}
        }
        if rule.allow {
            asm.and(ASKED, !u32::from(rule.access));
            asm.jump_if(ASKED, If::Equal, 0, allow);
        } else {
            asm.jump_if(ASKED, If::AnyOf, rule.access.into(), deny);
        }
        asm.place(next);
    }
    asm.place(others);
}

/// Loads the program and attaches it to the container's directory.
pub(crate) fn attach(program: &[Instruction], cgroup: &OwnedFd, path: &Path) -> Result<(), Error> {
    let fail = |action| {
        move |error: std::io::Error| Error::DeviceFilter {
            action,
            path: path.to_owned(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        }
    };
    let loaded = bpf::load(bpf::Hook::Device, "lightship_dev", program).map_err(fail("load"))?;
    bpf::attach(bpf::Hook::Device, cgroup, loaded).map_err(fail("attach"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::bpf::opcode;

    /// What the kernel would answer. Panics where the verifier would not take the program.
    fn run(program: &[Instruction], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
        let context = [u32::from(access) << 16 | kind as u32, major, minor];
        let mut registers = [0; 16];
        let mut at = 0;
        loop {
            let Instruction { code, registers: both, offset, immediate } = program[at];
            let (register, number) = (&mut registers[usize::from(both & 0xf)], immediate as u32);
            at += 1;
            let jumps = match code {
                opcode::LOAD => {
                    *register = context[offset as usize / 4];
                    false
                }
                opcode::SHIFT_RIGHT => {
                    *register >>= number;
                    false
                }
                opcode::AND => {
                    *register &= number;
                    false
                }
                opcode::SET => {
                    *register = number;
                    false
                }
                opcode::SHIFT_LEFT => {
                    *register <<= number;
                    false
                }
                opcode::COPY => {
                    registers[usize::from(both & 0xf)] = registers[usize::from(both >> 4)];
                    false
                }
                code if code == opcode::OR | opcode::FROM_REGISTER => {
                    registers[usize::from(both & 0xf)] |= registers[usize::from(both >> 4)];
                    false
                }
                opcode::JUMP => true,
                opcode::EXIT => return registers[0] != 0,
                code if code == opcode::JUMP_IF | If::Equal as u8 => *register == number,
                code if code == opcode::JUMP_IF | If::Differs as u8 => *register != number,
                code if code == opcode::JUMP_IF | If::AnyOf as u8 => *register & number != 0,
                code => panic!("instruction {code:#x}"),
            };
            at += if jumps { usize::try_from(offset).expect("jumps go forward") } else { 0 };
        }
    }

    /// The same by definition: each bit is decided by the last rule that speaks of it.
    fn decide(rules: &[Rule], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
        [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            let asked = Rule {
                allow: true,
                kind: Some(kind),
                major: Some(major),
                minor: Some(minor),
                access: bit,
                pointer: None,
            };
            rules.iter().rev().find(|rule| rule.overlaps(&asked)).is_some_and(|rule| rule.allow)
        })
    }

    fn read(json: serde_json::Value) -> Vec<Rule> {
        rules(&serde_json::from_value::<Vec<DeviceRule>>(json).unwrap(), "/devices").unwrap()
    }

    fn docker() -> serde_json::Value {
        serde_json::json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 9, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 8, "access": "rwm"},
            {"allow": true, "type": "c", "major": 5, "minor": 0, "access": "rwm"},
            {"allow": true, "type": "c", "major": 5, "minor": 1, "access": "rwm"},
            {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
        ])
    }

    #[test]
    fn v1_lines_follow_the_configuration() {
        let writes = v1_writes(&read(docker()), 4);
        let lines = writes.iter().map(|w| format!("{} {}", &w.file[8..], w.value)).collect::<Vec<_>>();
        let expected = [
            "deny a",
            "allow c 1:5 rwm",
            "allow c 1:3 rwm",
            "allow c 1:9 rwm",
            "allow c 1:8 rwm",
            "allow c 5:0 rwm",
            "allow c 5:1 rwm",
            "allow c *:* m",
            "allow b *:* m",
            "allow c 1:7 rwm",
            "allow c 5:2 rwm",
            "allow c 10:200 rwm",
            "allow c 136:* rwm",
        ];
        assert_eq!(lines, expected);
        assert_eq!((writes[1].dir, writes[1].pointer.as_str()), (4, "/devices/1"));
        assert!(!writes[1].optional && writes[7].optional);
    }

    #[test]
    fn v1_lines_name_both_kinds() {
        let rules = read(serde_json::json!([{"allow": true, "type": "a", "major": 7, "minor": 1, "access": "r"}]));
        let values = v1_writes(&rules, 0).into_iter().map(|write| write.value).collect::<Vec<_>>();
        assert_eq!(values[..3], ["a", "c 7:1 r", "b 7:1 r"]);
    }

    #[test]
    fn privileged_containers_need_no_program() {
        let rules = read(serde_json::json!([{"allow": false, "access": "rwm"}, {"allow": true, "access": "rwm"}]));
        assert_eq!(filter(&rules), Ok(None));
        let writes = v1_writes(&rules, 0);
        assert_eq!(writes.len(), 1);
        assert_eq!(
            (writes[0].file.as_str(), writes[0].value.as_str(), writes[0].optional),
            ("devices.allow", "a", true)
        );
    }

    #[test]
    fn the_last_rule_wins_for_each_bit() {
        let program = filter(&read(docker())).unwrap().unwrap();
        assert!(run(&program, Kind::Char, 1, 3, READ | WRITE));
        assert!(run(&program, Kind::Char, 136, 77, READ | WRITE));
        assert!(run(&program, Kind::Block, 8, 0, MKNOD));
        assert!(!run(&program, Kind::Block, 8, 0, READ));
        assert!(!run(&program, Kind::Char, 10, 229, READ));

        let split = read(serde_json::json!([
            {"allow": true, "type": "b", "major": 8, "access": "r"},
            {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "w"},
        ]));
        let program = filter(&split).unwrap().unwrap();
        assert!(run(&program, Kind::Block, 8, 0, READ | WRITE));
        assert!(!run(&program, Kind::Block, 8, 1, READ | WRITE));

        let hole = read(serde_json::json!([
            {"allow": true},
            {"allow": false, "type": "b", "major": 8, "minor": 0, "access": "w"},
        ]));
        let program = filter(&hole).unwrap().unwrap();
        assert!(run(&program, Kind::Block, 8, 0, READ | MKNOD));
        assert!(!run(&program, Kind::Block, 8, 0, READ | WRITE));
    }

    #[test]
    fn the_program_decides_as_defined() {
        // A linear congruential generator: any mixture of rules will do, the same one each time.
        let mut state = 7u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        for _ in 0..300 {
            let mut configured = Vec::new();
            for _ in 0..next(8) {
                let number = |n: u32| if n == 0 { None } else { Some(i64::from(n)) };
                configured.push(DeviceRule {
                    allow: next(2) == 0,
                    kind: [None, Some(DeviceRuleType::Char), Some(DeviceRuleType::Block)][next(3) as usize],
                    major: number(next(3)),
                    minor: number(next(3)),
                    access: [None, Some("r"), Some("w"), Some("rw"), Some("m")][next(5) as usize].map(str::to_owned),
                });
            }
            let rules = rules(&configured, "").unwrap();
            let program = filter(&rules).unwrap();
            for case in 0..2 * 4 * 4 * 8 {
                let kind = [Kind::Block, Kind::Char][case & 1];
                let (major, minor, access) = ((case >> 1 & 3) as u32, (case >> 3 & 3) as u32, (case >> 5) as u8);
                if access != 0 {
                    let got = program.as_ref().is_none_or(|program| run(program, kind, major, minor, access));
                    assert_eq!(
                        got,
                        decide(&rules, kind, major, minor, access),
                        "{rules:?} {kind:?} {major}:{minor} {access}"
                    );
                }
            }
        }
    }

    #[test]
    fn numbers_and_letters_are_checked() {
        let refused = |json| rules(&[serde_json::from_value(json).unwrap()], "/devices").unwrap_err().pointer;
        assert_eq!(refused(serde_json::json!({"allow": true, "major": 4096})), "/devices/0/major");
        assert_eq!(refused(serde_json::json!({"allow": true, "minor": -2})), "/devices/0/minor");
        assert_eq!(refused(serde_json::json!({"allow": true, "access": "rx"})), "/devices/0/access");
        assert_eq!(rules(&vec![DeviceRule::default(); 5000], "/devices").unwrap_err().pointer, "/devices");
    }
}
