//! `docker run --rm --network host` from end to end, and where its time goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bench::plot::{Bar, Panel, bars};
use bench::quantile::{median, quantile};
use bench::table::{Table, number};
use integration::daemon::Daemon;
use integration::{host, image, leftover};
use serde_json::{Map, Value, json};

use crate::measure::{keep, milliseconds};
use crate::runtime::Runtime;
use crate::stage::TRUE;
use crate::timed::{self, Call};
use crate::{Contest, Result, Section};

/// Those that are compared here.
const COMPARED: [&str; 2] = ["lightship", "runc"];
const SHIM: &str = "containerd-shim-runc-v2";

/// Docker's events in a container's life, each with what goes on before it.
const PHASES: [(&str, &str); 4] = [
    ("create", "the client asks, dockerd makes the container"),
    ("start", "containerd, its shim and the runtime make and start it"),
    ("die", "the program runs, and its end is heard of"),
    ("destroy", "what was made is removed"),
];
const LAST_PHASE: &str = "the client ends";

/// One `docker run`, taken apart; in milliseconds.
struct Course {
    /// Per [`PHASES`], and the last.
    phases: [f64; PHASES.len() + 1],
    /// The phase in which a call began, its name, and how long it took.
    calls: Vec<(usize, String, f64)>,
    /// The CPU time of dockerd and of containerd.
    daemons: [f64; 2],
}

/// All of one runtime's.
struct Runs<'a> {
    runtime: &'a Runtime,
    whole: Vec<f64>,
    courses: Vec<Course>,
}

/// A daemon as it is, and one whose shims and runtimes are timed, as that costs time itself.
struct Daemons {
    plain: Daemon,
    timed: Daemon,
}

pub fn section(contest: &Contest<'_>) -> Result<Section> {
    let compared = contest.runtimes().filter(|runtime| COMPARED.contains(&runtime.name.as_str()));
    let empty = |runtime| Runs { runtime, whole: Vec::new(), courses: Vec::new() };
    let mut all: Vec<Runs<'_>> = compared.map(empty).collect();
    let links = contest.stage.ground.folder.join("timed");
    let daemons = Daemons::start(contest, &all, &links)?;
    // The first warms the caches and is not kept.
    for round in 0..=contest.rounds {
        for runs in &mut all {
            let whole = whole(&daemons.plain, runs.runtime);
            let course = course(&daemons.timed, runs.runtime, &format!("{}-{round}", runs.runtime.name), &links);
            if round > 0 {
                keep(&mut runs.whole, whole);
                keep(&mut runs.courses, course);
            }
        }
    }
    let version = daemons.plain.docker().call(&["version", "--format", "{{.Server.Version}}"]).ok().text();
    let text = format!(
        "Docker {version}, {} runs of each; medians in milliseconds. The first row is as Docker does it; for the others each call of \
         the shim's and the runtime's program is timed, by a link that runs it and costs about a millisecond:\n\n{}",
        contest.rounds,
        table(&all)
    );
    let bars_ = all.iter().map(|runs| {
        let at = |part| quantile(runs.whole.iter().copied(), part);
        let name = runs.runtime.name.clone();
        Bar { name, value: at(0.5), low: at(0.1), high: at(0.75), ours: runs.runtime.is_ours() }
    });
    let title = "docker run --rm --network host, ms".to_owned();
    Ok(Section { text, plot: bars(&[Panel { title, digits: 0, bars: bars_.collect() }]) })
}

impl Daemons {
    fn start(contest: &Contest<'_>, all: &[Runs<'_>], links: &Path) -> Result<Self> {
        let ground = contest.stage.ground;
        fs::create_dir(links)?;
        let (mut plain, mut timed) = (Map::new(), Map::new());
        for Runs { runtime, .. } in all {
            let link = timed::link(links, &runtime.name, &runtime.path)?;
            plain.insert(registered(runtime), json!({ "path": runtime.path }));
            timed.insert(registered(runtime), json!({ "path": link }));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let shim = std::env::split_paths(&path).map(|folder| folder.join(SHIM)).find(|shim| shim.is_file());
        let shim = shim.ok_or_else(|| format!("no {SHIM}: install the package containerd"))?;
        let start = |runtimes: Map<String, Value>| {
            let first = all.first().ok_or("neither lightship nor runc")?.runtime;
            let settings = json!({ "runtimes": runtimes, "default-runtime": registered(first) });
            let first = integration::runtime::Runtime { path: first.path.clone() };
            let daemon = Daemon::start(ground, &first, settings);
            let tree = daemon.folder.join("image");
            image::busybox_tree(&tree);
            image::import(&daemon.docker(), &tree, image::BUSYBOX, &[]);
            Result::Ok(daemon)
        };
        let daemons = Self { plain: start(plain)?, timed: start(timed)? };
        timed::link(&programs(&daemons.timed), SHIM, &shim)?;
        Ok(daemons)
    }
}

/// Where containerd looks for a shim first.
fn programs(daemon: &Daemon) -> PathBuf {
    daemon.folder.join("bin")
}

/// Docker keeps the name of runc to itself.
fn registered(runtime: &Runtime) -> String {
    format!("{}-compared", runtime.name)
}

fn run(daemon: &Daemon, runtime: &Runtime, name: &str) -> Result<()> {
    let words = ["run", "--rm", "--network", "host", "--runtime", &registered(runtime), "--name", name];
    let words = [&words[..], &[image::BUSYBOX, TRUE[0]]].concat();
    let output = daemon.docker().call(&words);
    if output.code == 0 { Ok(()) } else { Err(output.to_string().into()) }
}

fn whole(daemon: &Daemon, runtime: &Runtime) -> Result<f64> {
    let begun = Instant::now();
    run(daemon, runtime, &runtime.name)?;
    Ok(milliseconds(begun.elapsed()))
}

fn course(daemon: &Daemon, runtime: &Runtime, name: &str, links: &Path) -> Result<Course> {
    let links = [links, &programs(daemon)];
    timed::take(links)?;
    let before = daemons_cpu(daemon);
    let begin = now();
    run(daemon, runtime, name)?;
    let end = now();
    let after = daemons_cpu(daemon);
    let mut borders = vec![begin];
    borders.extend(events(daemon, name, [begin, end])?);
    borders.push(end);
    let span = |at: usize| borders[at + 1].saturating_sub(borders[at]) as f64 / 1e6;
    let place = |call: Call| {
        let phase = borders[1..=PHASES.len()].iter().filter(|border| **border <= call.begin).count();
        (phase, call.name, (call.end - call.begin) as f64 / 1e6)
    };
    Ok(Course {
        phases: std::array::from_fn(span),
        calls: timed::take(links)?.into_iter().map(place).collect(),
        daemons: [after[0] - before[0], after[1] - before[1]],
    })
}

/// When each of the events of [`PHASES`] was, in nanoseconds since 1970.
fn events(daemon: &Daemon, container: &str, between: [u64; 2]) -> Result<Vec<u64>> {
    let [since, until] = between.map(|time| format!("{}.{:09}", time / 1_000_000_000, time % 1_000_000_000));
    let filter = format!("container={container}");
    let words = ["events", "--since", &since, "--until", &until, "--filter", &filter, "--format", "{{json .}}"];
    let told: Vec<Value> = daemon
        .docker()
        .call(&words)
        .lines()
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect::<std::result::Result<_, _>>()?;
    let time = |(action, _): &(&str, &str)| {
        let event = told.iter().find(|event| event["status"] == *action);
        let time = event.and_then(|event| event["timeNano"].as_u64());
        time.ok_or_else(|| format!("Docker told of no event {action} of {container}").into())
    };
    PHASES.iter().map(time).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// What all threads of dockerd and of containerd have been on a processor, in milliseconds.
fn daemons_cpu(daemon: &Daemon) -> [f64; 2] {
    let processes = leftover::processes(&daemon.folder);
    ["dockerd", "containerd"].map(|wanted| {
        let is_wanted = |pid: &&i32| host::status_field(**pid, "Name").as_deref() == Some(wanted);
        let threads = processes.iter().filter(is_wanted).flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")));
        let statistics = threads.flatten().flatten().map(|thread| fs::read_to_string(thread.path().join("schedstat")));
        let on_processor = statistics.flatten().filter_map(|text| text.split(' ').next()?.parse::<f64>().ok());
        on_processor.sum::<f64>() / 1e6
    })
}

fn table(all: &[Runs<'_>]) -> Table {
    let head = [String::new()].into_iter().chain(all.iter().map(|runs| runs.runtime.name.clone()));
    let mut table = Table::new(head);
    let mut row = |title: &str, value: &dyn Fn(&Runs<'_>) -> f64| {
        table.row([title.to_owned()].into_iter().chain(all.iter().map(|runs| number(value(runs), 1))));
    };
    row("**whole**", &|runs| median(runs.whole.iter().copied()));
    for (at, title) in PHASES.iter().map(|phase| phase.1).chain([LAST_PHASE]).enumerate() {
        row(title, &|runs| median(runs.courses.iter().map(|course| course.phases[at])));
        for name in names(all, at) {
            row(&format!("… of that `{name}`"), &|runs| {
                median(runs.courses.iter().map(|one| one.took(at, &name, runs)))
            });
        }
    }
    row("all calls of the runtime", &|runs| median(runs.courses.iter().map(|course| course.runtime(runs))));
    row("CPU time of dockerd", &|runs| median(runs.courses.iter().map(|course| course.daemons[0])));
    row("CPU time of containerd", &|runs| median(runs.courses.iter().map(|course| course.daemons[1])));
    table
}

/// The calls that are made in a phase, whatever the runtime.
fn names(all: &[Runs<'_>], phase: usize) -> Vec<String> {
    let mut names = Vec::new();
    for runs in all {
        for (_, name, _) in runs.courses.iter().flat_map(|course| &course.calls).filter(|call| call.0 == phase) {
            let name = common(name, runs);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The name of a call with "runtime" for the runtime's own name.
fn common(name: &str, runs: &Runs<'_>) -> String {
    match name.strip_prefix(&runs.runtime.name) {
        Some(command) => format!("runtime{command}"),
        None => name.to_owned(),
    }
}

impl Course {
    /// What a call took; NaN if it was not made.
    fn took(&self, phase: usize, wanted: &str, runs: &Runs<'_>) -> f64 {
        let is_wanted = |call: &&(usize, String, f64)| call.0 == phase && common(&call.1, runs) == wanted;
        self.calls.iter().filter(is_wanted).map(|call| call.2).reduce(|sum, more| sum + more).unwrap_or(f64::NAN)
    }

    fn runtime(&self, runs: &Runs<'_>) -> f64 {
        self.calls.iter().filter(|call| call.1.starts_with(&runs.runtime.name)).map(|call| call.2).sum()
    }
}
