//! Whatever the configuration says: the plan is made or refused with a text, without a panic and without a system call.
//!
//! The whole search runs in a thread under a seccomp filter that kills the process for a call that touches anything
//! outside its memory.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test's way of failing")]

mod hosts;
mod mutation;

use std::panic;

use libseccomp::{ScmpAction, ScmpFilterContext, ScmpSyscall};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::Value;

use hosts::{hosts, plan_on};
use mutation::{mutated, mutation, words};

/// Configurations as engines write them.
const ENGINES: [&str; 4] = [
    include_str!("../../../spec/tests/data/docker-20.10-bridge.json"),
    include_str!("../../../spec/tests/data/docker-20.10-host.json"),
    include_str!("../../../spec/tests/data/docker-28-host.json"),
    include_str!("../../../spec/tests/data/podman.json"),
];
/// One with every property, which no host can have all limits of.
const FULL: &str = include_str!("../../../spec/tests/data/full.json");

fn seeds() -> Vec<Value> {
    let mut seeds: Vec<Value> =
        ENGINES.into_iter().chain([FULL, FULL]).map(|seed| serde_json::from_str(seed).unwrap()).collect();
    let plannable = seeds.last_mut().unwrap();
    plannable["linux"]["resources"].take();
    plannable["process"]["selinuxLabel"].take();
    seeds
}

/// Memory, the end of a thread, and a line for a test that fails.
const PURE: [&str; 14] = [
    "brk",
    "exit",
    "exit_group",
    "futex",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "rseq",
    "rt_sigprocmask",
    "sched_yield",
    "sigaltstack",
    "write",
];

/// Runs `work` in a thread that is killed, with the process, for any other call.
fn purely<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // A backtrace would read files.
    panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let thread = std::thread::spawn(|| {
        // glibc's allocator reads a setting of the kernel when it first gives memory of a thread back.
        drop((0..4096).map(|_| vec![0_u8; 1024]).collect::<Vec<_>>());
        let mut filter = ScmpFilterContext::new(ScmpAction::KillProcess).unwrap();
        for call in PURE {
            filter.add_rule(ScmpAction::Allow, ScmpSyscall::from_name(call).unwrap()).unwrap();
        }
        filter.load().unwrap();
        work()
    });
    thread.join().unwrap()
}

/// Searches for an input that fails, in the same order each time.
fn search<S: Strategy>(
    cases: u32,
    inputs: S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) -> Result<(), TestError<S::Value>> {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)).run(&inputs, test)
}

/// A plan, or a line that says where and what.
fn is_planned_or_refused(config: &[u8]) -> Result<(), TestCaseError> {
    if let Err(text) = plan_on(&hosts(), config) {
        prop_assert!(text.starts_with("config.json: ") && !text.ends_with('.'), "{text:?}");
    }
    Ok(())
}

#[test]
fn the_seeds_are_planned() {
    purely(|| {
        for seed in seeds().iter().filter(|seed| !seed["linux"]["resources"]["unified"].is_object()) {
            plan_on(&hosts(), seed.to_string().as_bytes()).unwrap();
        }
    });
}

#[test]
fn every_configuration_is_planned_or_refused() {
    let seeds = seeds();
    let words = seeds.iter().flat_map(words).collect();
    let inputs = (prop::sample::select(seeds), prop::collection::vec(mutation(words), 1..6));
    let found = purely(|| {
        search(3000, inputs, |(seed, mutations)| {
            is_planned_or_refused(mutated(&seed, &mutations).to_string().as_bytes())
        })
    });
    found.unwrap();
}

#[test]
fn every_sequence_of_bytes_is_planned_or_refused() {
    let inputs =
        (prop::sample::select(&ENGINES), any::<usize>(), prop::collection::vec(any::<u8>(), 0..6), any::<bool>());
    let found = purely(|| {
        search(1000, inputs, |(seed, at, bytes, cut)| {
            let mut text = seed.as_bytes().to_vec();
            let at = at % text.len();
            let end = if cut { text.len() } else { (at + bytes.len()).min(text.len()) };
            text.splice(at..end, bytes);
            is_planned_or_refused(&text)
        })
    });
    found.unwrap();
}
