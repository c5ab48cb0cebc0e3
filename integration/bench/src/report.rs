//! The tables, in markdown.

use std::fs;

use crate::bundle::Network;
use crate::measure::{self, Sample};
use crate::rounds::{Rounds, STEPS, percentile};
use crate::runtime::Runtime;
use crate::trace::Counts;

/// `counts`: for the floor and each runtime the peak resident set in KiB, and what strace counted.
pub fn print(runtimes: &[Runtime], rounds: &Rounds, counts: &[(u64, Counts)]) {
    println!("# Container runtimes compared\n");
    println!(
        "Linux {}, {} processors, load {} at the end; {} rounds, interleaved; the config that Docker writes.\n",
        read("/proc/sys/kernel/osrelease"),
        std::thread::available_parallelism().map_or(0, usize::from),
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
        rounds.count
    );
    for runtime in runtimes {
        let version = measure::output(&runtime.version()).unwrap_or_default();
        println!("- {}: {}", runtime.name, version.lines().next().unwrap_or_default());
    }
    println!("\n## `run true`: milliseconds, and times the floor\n");
    println!(
        "| runtime | network | wall p10 | wall median | CPU median | × wall | × CPU |\n|---|---|---|---|---|---|---|"
    );
    for (network, name, [p10, wall, cpu], [times_wall, times_cpu]) in runs(runtimes, rounds) {
        println!(
            "| {name} | {} | {p10:.1} | {wall:.1} | {cpu:.1} | {times_wall:.2} | {times_cpu:.2} |",
            network.name()
        );
    }
    print_steps(runtimes, rounds);
    println!("\n## One `run true`, host network: memory and system calls\n");
    println!("| runtime | peak RSS KiB | system calls | processes | threads |\n|---|---|---|---|---|");
    for (name, (rss, counts)) in names(runtimes).zip(counts) {
        println!("| {name} | {rss} | {} | {} | {} |", counts.system_calls, counts.processes, counts.threads);
    }
    println!();
    for (network, name, _, [wall, cpu]) in runs(runtimes, rounds).filter(|(_, name, ..)| *name != FLOOR) {
        println!("{}: {name} is {wall:.2} x floor in wall, {cpu:.2} x in CPU", network.name());
    }
}

const FLOOR: &str = "floor";

/// The floor first.
fn names(runtimes: &[Runtime]) -> impl Iterator<Item = &str> {
    std::iter::once(FLOOR).chain(runtimes.iter().map(|runtime| runtime.name.as_str()))
}

/// For each network and runtime: the tenth percentile and median of the wall time, the median of the CPU time, and how often
/// the floor's medians go into those of wall and CPU.
fn runs<'a>(
    runtimes: &'a [Runtime],
    rounds: &'a Rounds,
) -> impl Iterator<Item = (Network, &'a str, [f64; 3], [f64; 2])> {
    Network::ALL.into_iter().enumerate().flat_map(move |(position, network)| {
        let all = std::iter::once(&rounds.floor).chain(rounds.samples.iter().map(|samples| &samples.run));
        let floor = figures(&rounds.floor[position]);
        names(runtimes).zip(all).map(move |(name, run)| {
            let own = figures(&run[position]);
            (network, name, own, [own[1] / floor[1], own[2] / floor[2]])
        })
    })
}

fn figures(samples: &[Sample]) -> [f64; 3] {
    [percentile(samples, 10, |s| s.wall), percentile(samples, 50, |s| s.wall), percentile(samples, 50, |s| s.cpu)]
}

fn print_steps(runtimes: &[Runtime], rounds: &Rounds) {
    println!("\n## Each step, host network: wall p10 / median, milliseconds\n");
    println!("| runtime | {} |\n|---|{}", STEPS.join(" | "), "---|".repeat(STEPS.len()));
    for (runtime, samples) in runtimes.iter().zip(&rounds.samples) {
        let cells: Vec<String> = samples
            .steps
            .iter()
            .map(|step| format!("{:.1} / {:.1}", percentile(step, 10, |s| s.wall), percentile(step, 50, |s| s.wall)))
            .collect();
        println!("| {} | {} |", runtime.name, cells.join(" | "));
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
