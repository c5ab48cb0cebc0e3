//! `run` of a program that ends at once, in the host's network and in a new one, and each step of a container's life.

use std::fmt::Write;
use std::fs;

use bench::plot::{Bar, Panel, bars};
use bench::quantile::{median, quantile};
use bench::table::{Table, number};

use crate::measure::{self, Sample, keep};
use crate::runtime::{Contender, Runtime};
use crate::stage::{Bundle, Network, SLEEP, TRUE};
use crate::trace::Counts;
use crate::{Contest, Result, Section, trace};

const STEPS: [&str; 5] = ["create", "start", "state", "kill", "delete"];

/// The samples of one contender.
#[derive(Default)]
struct Samples {
    /// Per [`Network::ALL`].
    run: [Vec<Sample>; 2],
    /// Per [`STEPS`], with host networking.
    steps: [Vec<Sample>; 5],
}

/// What does not depend on the machine's speed, of one `run` in the host's network.
struct Costs {
    peak_rss: f64,
    counts: Option<Counts>,
    program_kib: f64,
}

struct Bundles {
    /// Per [`Network::ALL`].
    run: [Bundle; 2],
    steps: Bundle,
}

pub fn section(contest: &Contest<'_>) -> Result<Section> {
    let stage = &contest.stage;
    let bundles = Bundles {
        run: [stage.bundle("host", Network::Host, TRUE, None)?, stage.bundle("new", Network::New, TRUE, None)?],
        steps: stage.bundle("steps", Network::Host, SLEEP, None)?,
    };
    // The first warms the caches and is not kept.
    for contender in &contest.contenders {
        one_round(contender, &bundles, &mut Samples::default());
        stage.end_all();
    }
    let mut samples: Vec<Samples> = contest.contenders.iter().map(|_| Samples::default()).collect();
    contest.interleaved(|at, contender| {
        one_round(contender, &bundles, &mut samples[at]);
        // What one has left that does not work here is in the way of the next.
        stage.end_all();
    });
    let costs: Vec<Costs> = contest.contenders.iter().map(|one| costs(contest, one, &bundles.run[0])).collect();
    let mut text = format!("{}\n", overview(contest, &samples, &costs));
    for (contender, samples) in contest.contenders.iter().zip(&samples) {
        if let (true, Err(error)) = (samples.run[0].is_empty(), measure::run(contender, &bundles.run[0])) {
            let reason = error.to_string();
            let reason = reason.split_once(": exit ").map_or(&*reason, |(_, reason)| reason);
            let reason = reason.lines().next().unwrap_or_default();
            writeln!(text, "{} does not run here: exit {reason}\n", contender.name())?;
        }
    }
    writeln!(text, "`run`, milliseconds, and times the floor:\n\n{}", runs(contest, &samples))?;
    writeln!(text, "Each step in the host's network, milliseconds, p10 / median:\n\n{}", steps(contest, &samples))?;
    for (network, at) in Network::ALL.iter().zip(0..) {
        for (index, _) in contest.contenders.iter().enumerate().filter(|(_, contender)| contender.is_ours()) {
            let [wall, cpu] = times_floor(&samples, index, at);
            writeln!(text, "{}: lightship is {wall:.2} x floor in wall, {cpu:.2} x in CPU", network.name())?;
        }
    }
    Ok(Section { text, plot: plot(contest, &samples) })
}

fn one_round(contender: &Contender, bundles: &Bundles, samples: &mut Samples) {
    for (bundle, kept) in bundles.run.iter().zip(&mut samples.run) {
        keep(kept, measure::run(contender, bundle));
    }
    if let Some(runtime) = contender.steps()
        && let Err(error) = life(runtime, &bundles.steps, &mut samples.steps)
    {
        eprintln!("bench: {error}");
        let _ = measure::wall(&runtime.remove(&bundles.steps.id));
    }
}

fn life(runtime: &Runtime, bundle: &Bundle, kept: &mut [Vec<Sample>; 5]) -> Result<()> {
    let [create, start, state, kill, delete] = kept;
    create.push(measure::sample(&runtime.create(bundle))?);
    let pid = bundle.pid()?;
    start.push(measure::sample(&runtime.start(&bundle.id))?);
    state.push(measure::sample(&runtime.state(&bundle.id))?);
    kill.push(measure::sample(&runtime.kill(&bundle.id))?);
    wait_until_dead(pid);
    delete.push(measure::sample(&runtime.delete(&bundle.id))?);
    Ok(())
}

/// `delete` of a container whose process is still dying would be an error, or another measurement.
pub fn wait_until_dead(pid: i32) {
    while integration::host::is_alive(pid) {
        std::thread::yield_now();
    }
}

fn costs(contest: &Contest<'_>, contender: &Contender, bundle: &Bundle) -> Costs {
    let command = contender.run(bundle);
    let (mut peak_rss, mut counts) = (Vec::new(), Vec::new());
    keep(&mut peak_rss, measure::peak_rss(&command));
    keep(&mut counts, trace::count(&command, contest.stage.folder()));
    if let (true, Some(remove)) = (counts.is_empty(), contender.remove(bundle)) {
        let _ = measure::wall(&remove);
    }
    contest.stage.end_all();
    let size = command.first().and_then(|program| fs::metadata(program).ok()).map(|metadata| metadata.len());
    Costs {
        peak_rss: peak_rss.pop().map_or(f64::NAN, |kib| kib as f64),
        counts: counts.pop(),
        program_kib: size.map_or(f64::NAN, |bytes| bytes as f64 / 1024.0),
    }
}

fn wall(samples: &[Sample]) -> impl Iterator<Item = f64> {
    samples.iter().map(|sample| sample.wall)
}

fn cpu(samples: &[Sample]) -> impl Iterator<Item = f64> {
    samples.iter().map(|sample| sample.cpu)
}

/// How often the floor's medians of wall and CPU time go into those of a contender; `at` is that of a network.
fn times_floor(samples: &[Samples], index: usize, at: usize) -> [f64; 2] {
    let (own, floor) = (&samples[index].run[at], &samples[0].run[at]);
    [median(wall(own)) / median(wall(floor)), median(cpu(own)) / median(cpu(floor))]
}

fn overview(contest: &Contest<'_>, samples: &[Samples], costs: &[Costs]) -> Table {
    let mut table = Table::new([
        "",
        "`run`, ms",
        "× floor",
        "peak RSS, KiB",
        "system calls",
        "processes",
        "threads",
        "written, KiB",
        "program, KiB",
    ]);
    for (index, contender) in contest.contenders.iter().enumerate() {
        let costs = &costs[index];
        let count = |which: fn(&Counts) -> f64| costs.counts.as_ref().map_or(f64::NAN, which);
        table.row([
            contender.name().to_owned(),
            number(median(wall(&samples[index].run[0])), 1),
            number(times_floor(samples, index, 0)[0], 2),
            number(costs.peak_rss, 0),
            number(count(|counts| counts.system_calls as f64), 0),
            number(count(|counts| counts.processes as f64), 0),
            number(count(|counts| counts.threads as f64), 0),
            number(count(|counts| counts.written as f64 / 1024.0), 1),
            number(costs.program_kib, 0),
        ]);
    }
    table
}

fn runs(contest: &Contest<'_>, samples: &[Samples]) -> Table {
    let mut table = Table::new(["", "network", "wall p10", "wall median", "CPU median", "× wall", "× CPU"]);
    for (network, at) in Network::ALL.iter().zip(0..) {
        for (index, contender) in contest.contenders.iter().enumerate() {
            let run = &samples[index].run[at];
            let [times_wall, times_cpu] = times_floor(samples, index, at);
            table.row([
                contender.name().to_owned(),
                network.name().to_owned(),
                number(quantile(wall(run), 0.1), 2),
                number(median(wall(run)), 2),
                number(median(cpu(run)), 2),
                number(times_wall, 2),
                number(times_cpu, 2),
            ]);
        }
    }
    table
}

fn steps(contest: &Contest<'_>, samples: &[Samples]) -> Table {
    let mut table = Table::new([""].into_iter().chain(STEPS));
    for (contender, samples) in contest.contenders.iter().zip(samples).filter(|(one, _)| one.steps().is_some()) {
        let cell = |step: &Vec<Sample>| {
            format!("{} / {}", number(quantile(wall(step), 0.1), 2), number(median(wall(step)), 2))
        };
        table.row([contender.name().to_owned()].into_iter().chain(samples.steps.iter().map(cell)));
    }
    table
}

fn plot(contest: &Contest<'_>, samples: &[Samples]) -> String {
    let panel = |title: String, values: &dyn Fn(&Samples) -> Vec<f64>| {
        let all = contest.contenders.iter().zip(samples).map(|(contender, samples)| (contender, values(samples)));
        let bars = all.filter(|(_, values)| !values.is_empty()).map(|(contender, values)| {
            let at = |part| quantile(values.iter().copied(), part);
            let (name, ours) = (contender.name().to_owned(), contender.is_ours());
            Bar { name, value: at(0.5), low: at(0.1), high: at(0.75), ours }
        });
        Panel { title, digits: 1, bars: bars.collect() }
    };
    let of_network = Network::ALL.iter().zip(0..).map(|(network, at)| {
        panel(format!("run, {} network, ms", network.name()), &move |samples| wall(&samples.run[at]).collect())
    });
    let of_step = STEPS
        .iter()
        .zip(0..)
        .map(|(step, at)| panel(format!("{step}, ms"), &move |samples| wall(&samples.steps[at]).collect()));
    bars(&of_network.chain(of_step).collect::<Vec<_>>())
}
