//! The compiled filter against two oracles, on every call number, every architecture and every class of argument values: what
//! the profile says, evaluated rule by rule, and the filter that libseccomp makes of it. Both filters are run by an
//! interpreter.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way of failing")]

mod interpreter;
mod libseccomp_oracle;
mod meaning;
mod profiles;

use std::collections::BTreeSet;

use confine::seccomp::{MAX_INSTRUCTIONS, Unknown, compile, names};
use spec::seccomp::{Action, Arch, Operator, Rule, Seccomp};

use interpreter::{Call, run};
use libseccomp_oracle::{incomparable, libseccomp_filter, scmp_arch};
use meaning::{abi, archs, meaning, token};
use profiles::{OPERATORS, Random, numbers, profile, random_profile, resolvable, rule, values};

/// Every difference between the two filters that is found, described.
fn difference(profile: &Seccomp, native: Arch) -> Option<String> {
    let ours = compile(profile, native, Unknown::Default).unwrap();
    let theirs = libseccomp_filter(profile, native)?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let values: Vec<Vec<u64>> = (0..6).map(|index| values(profile, index)).collect();
    let spoken = archs(profile, native);
    for arch in Arch::ALL.iter().copied().filter(|arch| scmp_arch(*arch).is_some()) {
        let (token, big_endian) = token(arch);
        let numbers = if spoken.contains(&arch) { numbers(arch) } else { BTreeSet::from([0, 1, 102, u32::MAX]) };
        let conditional = profile.syscalls.iter().filter(|rule| !rule.args.is_empty());
        let compared: BTreeSet<u32> = conditional
            .flat_map(|rule| &rule.names)
            .map(String::as_str)
            .chain(["socketcall", "ipc"])
            .filter_map(|name| confine::seccomp::number(arch, name))
            .collect();
        for number in numbers {
            for _ in 0..if compared.contains(&number) { 100 } else { 1 } {
                let arguments = std::array::from_fn(|i| *random.pick(&values[i]));
                let call = Call { number, token, arguments };
                let words = call.words(big_endian);
                let (ours, meant) = (run(&ours, &words), meaning(profile, native, arch, &call));
                if ours != meant {
                    return Some(format!("{arch} {call:x?}: ours {ours:#x}, meant {meant:#x}"));
                }
                let theirs = run(&theirs, &words);
                // Of a filter for the other byte order libseccomp leaves some return values in the host's.
                let theirs = if big_endian && theirs == ours.swap_bytes() { ours } else { theirs };
                if ours != theirs && !incomparable(profile, abi(arch, number, &spoken), number) {
                    return Some(format!("{arch} {call:x?}: ours {ours:#x}, libseccomp's {theirs:#x}"));
                }
            }
        }
    }
    None
}

/// The smallest part of a profile that still makes a difference.
fn shrink(profile: &Seccomp, native: Arch) -> Seccomp {
    let mut profile = profile.clone();
    loop {
        let mut candidates = Vec::new();
        for i in 0..profile.syscalls.len() {
            let without = |change: &dyn Fn(&mut Vec<Rule>)| {
                let mut smaller = profile.clone();
                change(&mut smaller.syscalls);
                smaller
            };
            candidates.push(without(&|rules| drop(rules.remove(i))));
            for name in 0..profile.syscalls[i].names.len() {
                candidates.push(without(&|rules| drop(rules[i].names.remove(name))));
            }
            for argument in 0..profile.syscalls[i].args.len() {
                candidates.push(without(&|rules| {
                    rules[i].args.remove(argument);
                }));
            }
        }
        for arch in 0..profile.architectures.len() {
            let mut smaller = profile.clone();
            smaller.architectures.remove(arch);
            candidates.push(smaller);
        }
        match candidates.into_iter().find(|candidate| difference(candidate, native).is_some()) {
            Some(smaller) => profile = smaller,
            None => return profile,
        }
    }
}

fn assert_same(profile: &Seccomp, native: Arch) {
    if difference(profile, native).is_some() {
        let profile = &shrink(profile, native);
        let difference = difference(profile, native).unwrap();
        panic!("{difference}\nnative {native}\n{}", serde_json::to_string_pretty(profile).unwrap());
    }
}

/// The architectures that libseccomp 2.5 knows.
fn known_archs() -> impl Iterator<Item = Arch> {
    Arch::ALL.iter().copied().filter(|arch| scmp_arch(*arch).is_some())
}

#[test]
fn each_operator_on_each_architecture() {
    const VALUES: [u64; 7] = [0, 1, 9, 0xffff_ffff, 0x1_0000_0000, 0x8000_0000_0000_0001, u64::MAX];
    for native in known_archs() {
        for (i, operator) in OPERATORS.into_iter().enumerate() {
            let names = ["personality", "clone", "ioctl", "sendto", "shmget", "prctl", "mmap"];
            let rules = names.iter().zip(VALUES).enumerate().map(|(j, (name, value))| {
                let mask = value | u64::from(operator == Operator::MaskedEqual);
                rule(&[name], Action::Allow, &[((i + j) as u32 % 6, operator, mask, value & !1)])
            });
            assert_same(&profile(Action::Errno, &[], rules.collect()), native);
        }
    }
}

#[test]
fn several_conditions_in_one_rule() {
    for native in known_archs() {
        let rules = vec![
            rule(&["socket"], Action::Errno, &[(0, Operator::Equal, 16, 0), (2, Operator::Equal, 9, 0)]),
            rule(&["clone"], Action::Trap, &[(1, Operator::Greater, 7 << 32, 0), (3, Operator::MaskedEqual, !0, 5)]),
            rule(
                &["ioctl"],
                Action::Log,
                &[(0, Operator::Less, 3, 0), (1, Operator::NotEqual, 4, 0), (5, Operator::LessOrEqual, 1 << 40, 0)],
            ),
            // Two conditions on one argument are two rules.
            rule(&["prctl"], Action::KillProcess, &[(0, Operator::Equal, 3, 0), (0, Operator::Equal, 4, 0)]),
        ];
        assert_same(&profile(Action::Allow, &[], rules), native);
    }
}

#[test]
fn random_profiles() {
    let names = resolvable();
    for (seed, mixed) in [(2, false), (2, true), (4, true)] {
        let mut random = Random(seed * 7919);
        for _ in 0..80 {
            let native = *random.pick(&known_archs().collect::<Vec<_>>());
            let profile = random_profile(&mut random, &names, native, 8, mixed);
            assert_same(&profile, native);
        }
    }
}

/// The shape of Docker's profile: an allow-list of some 350 calls, with conditions on five.
fn allow_list() -> Vec<Rule> {
    const PRIVILEGED: [&str; 40] = [
        "acct",
        "add_key",
        "bpf",
        "clock_adjtime",
        "clock_settime",
        "clone",
        "clone3",
        "create_module",
        "delete_module",
        "finit_module",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "get_mempolicy",
        "init_module",
        "ioperm",
        "iopl",
        "kexec_file_load",
        "kexec_load",
        "keyctl",
        "lookup_dcookie",
        "mbind",
        "mount",
        "mount_setattr",
        "move_mount",
        "move_pages",
        "nfsservctl",
        "open_tree",
        "perf_event_open",
        "personality",
        "pivot_root",
        "quotactl",
        "reboot",
        "request_key",
        "setns",
        "socket",
        "swapoff",
        "umount2",
        "unshare",
    ];
    let allowed: Vec<&str> = resolvable().into_iter().filter(|name| !PRIVILEGED.contains(name)).collect();
    let mut rules = vec![
        rule(&allowed, Action::Allow, &[]),
        rule(&["socket"], Action::Allow, &[(0, Operator::NotEqual, 40, 0)]),
        rule(&["clone"], Action::Allow, &[(0, Operator::MaskedEqual, 0x7e02_0000, 0)]),
        rule(&["clone3"], Action::Errno, &[]),
    ];
    rules[3].errno_ret = Some(38);
    for persona in [0, 8, 0x20000, 0x20008, 0xffff_ffff] {
        rules.push(rule(&["personality"], Action::Allow, &[(0, Operator::Equal, persona, 0)]));
    }
    rules
}

#[test]
fn an_allow_list_like_dockers() {
    let docker = profile(Action::Errno, &[Arch::X86_64, Arch::X86, Arch::X32], allow_list());
    assert_same(&docker, Arch::X86_64);
    // libseccomp tests one number after the other. The kernel copies and checks every instruction of a filter.
    let (ours, theirs) =
        (compile(&docker, Arch::X86_64, Unknown::Enosys).unwrap(), libseccomp_filter(&docker, Arch::X86_64).unwrap());
    assert!(2 * ours.len() < theirs.len(), "{} instructions, libseccomp's {}", ours.len(), theirs.len());
    println!("{} instructions, libseccomp's {}", ours.len(), theirs.len());
    assert_same(&profile(Action::Errno, &[Arch::Arm], allow_list()), Arch::Aarch64);
}

/// Podman's default profile, from the package golang-github-containers-common or containers-common.
#[test]
fn podmans_profile() {
    let Ok(text) = std::fs::read("/usr/share/containers/seccomp.json") else {
        println!("skipped: the package with podman's seccomp.json is not installed");
        return;
    };
    let mut json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let rules = json["syscalls"].as_array_mut().unwrap();
    // What podman leaves of it on x86_64 for a container without further capabilities.
    rules.retain(|rule| {
        let arch = rule["includes"]["arches"].as_array().is_none_or(|archs| archs.contains(&"amd64".into()));
        arch && rule["includes"]["caps"].is_null()
    });
    let mut profile: Seccomp = serde_json::from_value(json).unwrap();
    profile.architectures = vec![Arch::X86_64, Arch::X86, Arch::X32];
    assert_same(&profile, Arch::X86_64);
}

#[test]
fn jumps_over_hundreds_of_conditions() {
    let rules: Vec<Rule> = resolvable()
        .iter()
        .enumerate()
        .map(|(i, name)| rule(&[name], Action::Allow, &[(0, Operator::Equal, i as u64, 0)]))
        .collect();
    let profile = profile(Action::Errno, &[], rules);
    assert!(compile(&profile, Arch::X86_64, Unknown::Enosys).unwrap().len() > 1500);
    assert_same(&profile, Arch::X86_64);
}

#[test]
fn a_program_that_the_kernel_would_not_take_is_refused() {
    let many = |count| (0..count).map(|i| rule(&["ioctl"], Action::Allow, &[(1, Operator::Equal, i, 0)])).collect();
    let length = |count| compile(&profile(Action::Errno, &[], many(count)), Arch::X86_64, Unknown::Enosys);
    assert!(length(1000).unwrap().len() <= MAX_INSTRUCTIONS);
    let refusal = length(1100).unwrap_err();
    assert_eq!(refusal.pointer, "/linux/seccomp");
    assert!(refusal.problem.contains("4096"), "{refusal}");
}

/// What a call without arguments gets from a compiled filter.
fn outcome(profile: &Seccomp, native: Arch, caller: Arch, number: u32) -> u32 {
    let (token, big_endian) = token(caller);
    let program = compile(profile, native, Unknown::Enosys).unwrap();
    run(&program, &Call { number, token, arguments: [0; 6] }.words(big_endian))
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    const ENOSYS: u32 = 0x0005_0026;
    const EPERM: u32 = 0x0005_0001;
    const ALLOW: u32 = 0x7fff_0000;
    let rules = || vec![rule(&["read", "openat2"], Action::Allow, &[]), rule(&["faccessat2"], Action::Errno, &[])];
    let errno = profile(Action::Errno, &[Arch::X86, Arch::X32], rules());
    for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
        let base = if arch == Arch::X32 { 0x4000_0000 } else { 0 };
        assert_eq!(outcome(&errno, Arch::X86_64, arch, base + 437), ALLOW, "{arch}");
        assert_eq!(outcome(&errno, Arch::X86_64, arch, base + 438), EPERM, "{arch}: older than the newest one named");
        assert_eq!(outcome(&errno, Arch::X86_64, arch, base + 439), EPERM, "{arch}: named, whatever the action");
        assert_eq!(outcome(&errno, Arch::X86_64, arch, base + 440), ENOSYS, "{arch}");
    }
    assert_eq!(outcome(&errno, Arch::X86_64, Arch::Arm, 440), 0, "an architecture that is not listed");
    let kill = profile(Action::KillProcess, &[], rules());
    assert_eq!(outcome(&kill, Arch::X86_64, Arch::X86_64, 440), ENOSYS);
    assert_eq!(outcome(&kill, Arch::X86_64, Arch::X86_64, 0x4000_0000 + 440), 0, "x32 that is not listed");
    for permissive in [Action::Allow, Action::Log, Action::Trace] {
        let value = outcome(&profile(permissive, &[], rules()), Arch::X86_64, Arch::X86_64, 440);
        assert_ne!(value, ENOSYS, "{permissive}");
    }
    assert_eq!(outcome(&profile(Action::Errno, &[], Vec::new()), Arch::X86_64, Arch::X86_64, 440), EPERM, "no rules");
    // s390 hides the number of a call it does not know.
    assert_eq!(outcome(&errno, Arch::S390x, Arch::S390x, 0), ENOSYS);
}

#[test]
fn no_profile_makes_the_generator_panic() {
    let seeds = [
        serde_json::to_vec(&profile(Action::Errno, &[Arch::X86], allow_list())).unwrap(),
        br#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"architectures":["SCMP_ARCH_S390X"],"syscalls":[
            {"names":["ioctl"],"action":"SCMP_ACT_NOTIFY","args":[{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#.to_vec(),
    ];
    let mut random = Random(77);
    let mut compiled = 0;
    for round in 0..3000 {
        let mut text = seeds[usize::from(round % 10 != 0)].clone();
        for _ in 0..random.below(4) {
            let at = random.below(text.len());
            match random.below(3) {
                0 => text[at] = random.next() as u8,
                1 => text[at] = b'0' + random.below(10) as u8,
                _ => drop(text.remove(at)),
            }
        }
        if let Ok(profile) = serde_json::from_slice::<Seccomp>(&text) {
            compiled += usize::from(compile(&profile, Arch::X86_64, Unknown::Enosys).is_ok());
        }
    }
    assert!(compiled > 100, "the mutations leave too few profiles: {compiled}");
}

#[test]
fn every_name_is_known_to_some_architecture() {
    for name in names() {
        assert!(Arch::ALL.iter().any(|arch| confine::seccomp::number(*arch, name).is_some()), "{name}");
    }
}
