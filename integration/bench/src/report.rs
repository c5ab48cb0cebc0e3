//! The tables, in markdown.

use std::fs;

use crate::bundle::Network;
use crate::measure;
use crate::rounds::{Rounds, STEPS, percentile};
use crate::runtime::Runtime;
use crate::trace::Counts;

/// `counts`: for each runtime the peak resident set in KiB, and what strace counted.
pub fn print(runtimes: &[Runtime], rounds: &Rounds, counts: &[(u64, Counts)]) {
    let first = runtimes.first().map_or("", |runtime| runtime.name.as_str());
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
    println!("\n## `run true`: milliseconds, and times {first}\n");
    println!(
        "| runtime | network | wall p10 | wall median | CPU median | × wall | × CPU |\n|---|---|---|---|---|---|---|"
    );
    for (position, network) in Network::ALL.into_iter().enumerate() {
        let figures = |index: usize| {
            let samples = &rounds.samples[index].run[position];
            (
                percentile(samples, 10, |s| s.wall),
                percentile(samples, 50, |s| s.wall),
                percentile(samples, 50, |s| s.cpu),
            )
        };
        let (_, base_wall, base_cpu) = figures(0);
        for (index, runtime) in runtimes.iter().enumerate() {
            let (p10, wall, cpu) = figures(index);
            println!(
                "| {} | {} | {p10:.1} | {wall:.1} | {cpu:.1} | {:.2} | {:.2} |",
                runtime.name,
                network.name(),
                wall / base_wall,
                cpu / base_cpu
            );
        }
    }
    print_steps(runtimes, rounds);
    println!("\n## One `run true`, host network: memory and system calls\n");
    println!("| runtime | peak RSS KiB | system calls | processes | threads |\n|---|---|---|---|---|");
    for (runtime, (rss, counts)) in runtimes.iter().zip(counts) {
        println!("| {} | {rss} | {} | {} | {} |", runtime.name, counts.system_calls, counts.processes, counts.threads);
    }
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
