//! The page with the figures, in markdown.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::programs::Costs;
use crate::rounds::{MEASURES, Rounds};
use crate::way::WAYS;

/// What is told beside the rounds.
pub struct Host {
    /// What the programs take.
    pub programs: Costs,
    /// What the host's own calls of [`crate::calls::measure`] take before a container has programs, and beside some that have.
    pub calls: [[u128; 3]; 2],
    /// The private memory of a watcher.
    pub watcher_kib: u64,
    /// The daemon's version.
    pub docker: String,
}

/// The whole page.
pub fn table(rounds: &Rounds, host: &Host, plot: &Path) -> Result<String> {
    let mut page = String::from(HEAD);
    writeln!(page, "{}\n", circumstances(rounds, host)?)?;
    let titles = MEASURES.map(|measure| format!("{}, {}", measure.title, measure.unit)).join(" | ");
    writeln!(page, "| | {titles} |\n|---|{}", "---|".repeat(MEASURES.len()))?;
    for (at, way) in WAYS.iter().enumerate() {
        let cells: Vec<String> = (0..MEASURES.len()).map(|measure| cell(rounds, measure, at)).collect();
        writeln!(page, "| {} | {} |", way.title, cells.join(" | "))?;
    }
    let plot = plot.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    writeln!(page, "\n![the same as a plot]({plot})\n")?;
    page.push_str(&costs(rounds, host));
    page.push_str(FOOT);
    Ok(page)
}

const HEAD: &str = "<!-- written by scripts/bench-net -->
# Network performance

How fast a client reaches a server in a container: in the host's network, with what lightship adds to that, and in the other
[network modes](network-modes.md). The ways take turns within each round. A cell has the median, and in brackets the median of its
ratios to plain host networking in the same round. `± n %` in the first row is half the distance between the quartiles: a ratio
within that is noise.

";

const FOOT: &str = "
- *round trip*: one byte there and back on an open connection. *connection*: connect(2), the same round trip, close(2).
- With publish alone nothing runs for the packets of an open connection: what its row differs by from the first one's round trip, iperf3, nginx and
  redis is the difference between any two containers.
- *iperf3*: one connection for a second. *nginx*, *redis*: eight connections; requests in thousands per second.
- *a call* of a program is what `kernel.bpf_stats_enabled` tells, less that of a program that does nothing. The table is of a
  container with a published port, counters, diagnosis and guard.
- *bind(2)* of a TCP socket and *connect(2)* of a UDP socket in the container, to a port that is published; *close(2)* of a UDP socket.
- *For every process*: as soon as one cgroup of the machine has a program for a call, the kernel looks for programs whoever makes it, and
  takes the socket's lock once more in bind(2) and connect(2). All containers are there at once, so that is in every row.
- In the rows from *host* to *bridge -p* the client is a process of the host, at 127.0.0.1. There the userland proxy copies every byte; what
  comes from outside goes by the packet filter's rule, as in the row without it. In the rows after them the client is another container with
  the same network.
- The *other host* is a second Docker daemon in a network namespace at the other end of a pair of virtual devices: a wire that takes no time.
  It is a node of the same swarm. For the overlay the client is a container there, else a process.
- Every row has the same rules of the packet filter around it, as the host of a Docker daemon has.
";

fn circumstances(rounds: &Rounds, host: &Host) -> Result<String> {
    let read = |file| fs::read_to_string(file);
    let load = read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let processor = read("/proc/cpuinfo")?;
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processors = std::thread::available_parallelism()?;
    Ok(format!(
        "{} rounds on {processors} processors ({}), Linux {}, Docker {}. Load of the machine at the end: {load}.",
        rounds.count(),
        model.map_or("model unknown", |(_, name)| name),
        read("/proc/sys/kernel/osrelease")?.trim(),
        host.docker,
    ))
}

fn cell(rounds: &Rounds, measure: usize, way: usize) -> String {
    let (Some(values), Some(ratios)) = (rounds.values(measure, way), rounds.ratios(measure, way)) else {
        return "–".to_owned();
    };
    let digits = MEASURES[measure].digits;
    match way {
        0 => format!("{:.digits$} ± {:.0} %", values.median, (values.high - values.low) / values.median * 50.0),
        _ => format!("{:.digits$} ({:.2})", values.median, ratios.median),
    }
}

fn costs(rounds: &Rounds, host: &Host) -> String {
    let mut lines = String::from("What it costs:\n\n");
    for (measure, title) in MEASURES.iter().enumerate().filter(|(_, measure)| measure.unit == "ns") {
        let added =
            |at: usize| rounds.added(measure, at).map(|added| format!("{} {:+.0} ns", WAYS[at].title, added.median));
        let added: Vec<String> = (1..WAYS.len()).filter_map(added).collect();
        lines += &format!("- added to {}: {}\n", title.title, added.join("; "));
    }
    let [before, after] = host.calls;
    lines += "- for every process of the machine, once a container has programs:";
    for (call, (before, after)) in ["bind(2)", "connect(2)", "close(2)"].iter().zip(before.into_iter().zip(after)) {
        lines += &format!(" {call} {before} ns, then {after} ns;");
    }
    lines += " that is in every row\n";
    let Costs { attachment, attachment_without_settings, programs } = &host.programs;
    let [all, few] = [attachment, attachment_without_settings].map(|time| time.as_secs_f64() * 1e3);
    lines += &format!(
        "- all programs of a container loaded and attached: {all:.2} ms of processor time; without settings {few:.2} ms\n"
    );
    lines += &format!("- private memory of the diagnosis's watcher: {} KiB\n", host.watcher_kib);
    lines += "\n| program | instructions | to load, µs | a call, ns |\n|---|---|---|---|\n";
    for program in programs {
        let (name, load) = (program.name, program.load.as_secs_f64() * 1e6);
        lines += &format!("| {name} | {} | {load:.0} | {:.0} |\n", program.instructions, program.call);
    }
    lines
}
