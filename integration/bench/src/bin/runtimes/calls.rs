//! Where a `run` spends its time, system call by system call: the floor's beside lightship's, as the kernel's tracing tells.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bench::quantile::median;
use bench::table::{Table, number};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::measure::{self, keep};
use crate::runtime::Contender;
use crate::stage::{Network, TRUE};
use crate::{Contest, Result, Section};

const INSTANCE: &str = "lightship-bench";
/// A call is left out that takes less in both, in milliseconds.
const LEAST: f64 = 0.03;
/// The end of a process, until another one hears of it.
const END: &str = "exit_group, until the parent hears of it";
/// What a process does between its calls, or is made to do: computing, page faults, waiting for a processor.
const BETWEEN: &str = "between the calls";

/// Calls that do the same, by the title of their row; the others have a row of their own.
const KINDS: [(&str, &[&str]); 6] = [
    ("waiting for the other process", &["wait4", "waitid", "ppoll", "poll", "recvmsg", "recvfrom", "pause"]),
    ("mounting", &["mount", "open_tree", "fsopen", "fsconfig", "fsmount", "move_mount", "mount_setattr"]),
    ("opening", &["open", "openat", "openat2"]),
    ("making files", &["mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat"]),
    ("removing files", &["rmdir", "unlink", "unlinkat"]),
    ("asking about files", &["newfstatat", "fstat", "statx", "statfs", "fstatfs", "readlink", "readlinkat", "access"]),
];

/// How often a call was made in one `run`, and how long it took in all, in milliseconds.
type Calls = BTreeMap<String, (usize, f64)>;

pub fn section(contest: &Contest<'_>) -> Result<Section> {
    let tracing = Tracing::begin(contest.stage.folder())?;
    let mut text = String::new();
    for network in Network::ALL {
        let bundle = contest.stage.bundle(network.name(), network, TRUE, None)?;
        let compared = || contest.contenders.iter().filter(|one| matches!(one, Contender::Floor(_)) || one.is_ours());
        let mut traced: Vec<Vec<Calls>> = compared().map(|_| Vec::new()).collect();
        for round in 0..=contest.rounds {
            for (contender, kept) in compared().zip(&mut traced) {
                tracing.forget()?;
                let outcome = measure::wall(&contender.run(&bundle)).and_then(|_| tracing.calls());
                // The first warms the caches and is not kept.
                if round > 0 {
                    keep(kept, outcome);
                }
            }
        }
        text += &format!("{} network:\n\n{}\n", network.name(), table(compared().map(Contender::name), &traced));
    }
    Ok(Section { text, plot: String::new() })
}

/// The calls that take longest first.
fn table<'a>(names: impl Iterator<Item = &'a str>, traced: &[Vec<Calls>]) -> Table {
    let titles = names.flat_map(|name| [format!("{name}: calls"), "ms".to_owned()]);
    let mut table = Table::new([String::new()].into_iter().chain(titles));
    let mut rows: BTreeMap<&str, Vec<[f64; 2]>> = BTreeMap::new();
    for name in traced.iter().flatten().flat_map(BTreeMap::keys) {
        rows.entry(name).or_insert_with(|| traced.iter().map(|runs| medians(runs, name)).collect());
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    let longest = |row: &[[f64; 2]]| row.iter().map(|cell| cell[1]).fold(0.0, f64::max);
    rows.sort_by(|left, right| longest(&right.1).total_cmp(&longest(&left.1)));
    for (name, cells) in rows.iter().filter(|(_, cells)| longest(cells) >= LEAST) {
        let cells = cells.iter().flat_map(|[count, time]| [number(*count, 0), number(*time, 2)]);
        table.row([(*name).to_owned()].into_iter().chain(cells));
    }
    table
}

fn medians(runs: &[Calls], name: &str) -> [f64; 2] {
    let calls = || runs.iter().map(|calls| calls.get(name).copied().unwrap_or_default());
    [median(calls().map(|call| call.0 as f64)), median(calls().map(|call| call.1))]
}

/// A buffer of the kernel's that has the system calls of this process and of its children.
struct Tracing {
    mounted: PathBuf,
    instance: PathBuf,
}

impl Tracing {
    fn begin(folder: &Path) -> Result<Self> {
        let mounted = folder.join("tracing");
        fs::create_dir(&mounted)?;
        mount(Some("tracefs"), &mounted, Some("tracefs"), MsFlags::empty(), None::<&str>)
            .map_err(|errno| format!("this kernel has no tracefs: {errno}"))?;
        let tracing = Self { instance: mounted.join("instances").join(INSTANCE), mounted };
        // Of a run that was killed.
        let _ = fs::remove_dir(&tracing.instance);
        fs::create_dir(&tracing.instance)?;
        let own = std::process::id().to_string();
        let settings = [
            ("tracing_on", "0"),
            ("trace_clock", "mono"),
            ("buffer_size_kb", "4096"),
            ("options/event-fork", "1"),
            ("set_event_pid", &own),
            ("events/syscalls/enable", "1"),
        ];
        for (file, value) in settings {
            fs::write(tracing.instance.join(file), value).map_err(|error| format!("tracefs: {file}: {error}"))?;
        }
        Ok(tracing)
    }

    fn forget(&self) -> Result<()> {
        fs::write(self.instance.join("trace"), "")?;
        Ok(fs::write(self.instance.join("tracing_on"), "1")?)
    }

    /// The calls of all other processes since then.
    fn calls(&self) -> Result<Calls> {
        // Or reading would make what is read.
        fs::write(self.instance.join("tracing_on"), "0")?;
        let text = fs::read_to_string(self.instance.join("trace"))?;
        let own = std::process::id();
        Ok(add_up(text.lines().filter_map(Event::parse).filter(|event| event.process != own)))
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.instance);
        let _ = umount2(&self.mounted, MntFlags::MNT_DETACH);
    }
}

/// A process enters a system call or returns from it.
#[derive(Debug, PartialEq)]
struct Event<'a> {
    process: u32,
    /// Milliseconds since some time.
    time: f64,
    call: &'a str,
    enters: bool,
}

impl<'a> Event<'a> {
    /// Such as `init-12 [001] ..... 5.000123: sys_mkdir(pathname: …)` or `… 5.000125: sys_mkdir -> 0x0`.
    fn parse(line: &'a str) -> Option<Self> {
        let (task, rest) = line.split_once(" [")?;
        let process = task.trim_end().rsplit('-').next()?.parse().ok()?;
        let (before, event) = rest.split_once(": sys_")?;
        let time = before.rsplit(' ').next()?.parse::<f64>().ok()? * 1e3;
        let call = event.split(['(', ' ']).next()?;
        Some(Self { process, time, call, enters: event[call.len()..].starts_with('(') })
    }
}

fn kind(call: &str) -> &str {
    KINDS.iter().find(|(_, calls)| calls.contains(&call)).map_or(call, |(title, _)| *title)
}

fn add_up<'a>(events: impl Iterator<Item = Event<'a>>) -> Calls {
    let mut calls = Calls::new();
    let mut add = |name: &str, count: usize, time: f64| {
        let entry = calls.entry(name.to_owned()).or_default();
        *entry = (entry.0 + count, entry.1 + time);
    };
    // The last event of each process, and an end that nobody has heard of.
    let (mut last, mut ended): (BTreeMap<u32, (f64, bool)>, Option<f64>) = (BTreeMap::new(), None);
    for event in events {
        let before = last.insert(event.process, (event.time, event.enters));
        match before {
            Some((since, true)) if !event.enters => add(kind(event.call), 1, event.time - since),
            Some((since, false)) if event.enters => add(BETWEEN, 1, event.time - since),
            _ => {}
        }
        if event.enters && event.call == "exit_group" {
            last.remove(&event.process);
            ended = Some(event.time);
        } else if let Some(since) = ended.filter(|_| !event.enters) {
            add(END, 1, event.time - since);
            ended = None;
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_the_calls_of_two_processes() {
        let log = "\
# tracer: nop
           floor-10      [000] .....     5.000000: sys_mkdir(pathname: 7ffd, mode: 1ed)
           floor-10      [000] .....     5.001000: sys_mkdir -> 0x0
           floor-10      [000] .....     5.001500: sys_wait4(upid: b)
         my true-11      [001] .....     5.002000: sys_exit_group(error_code: 0)
           floor-10      [000] .....     5.004500: sys_wait4 -> 0xb
";
        let calls = add_up(log.lines().filter_map(Event::parse));
        let told: Vec<_> = calls.iter().map(|(name, (count, time))| (name.as_str(), *count, time.round())).collect();
        assert_eq!(told, [(BETWEEN, 1, 1.0), (END, 1, 3.0), (KINDS[3].0, 1, 1.0), (KINDS[0].0, 1, 3.0)]);
    }
}
