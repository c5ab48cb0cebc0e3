//! The smallest memory limit under which a container starts, and what one holds in memory that waits for its start.

use bench::plot::{Bar, Panel, bars};
use bench::quantile::median;
use bench::table::{Table, number};
use integration::leftover;

use crate::measure::{self, keep};
use crate::runtime::{Contender, Runtime};
use crate::stage::{Network, SLEEP, Stage, TRUE};
use crate::{Contest, Result, Section};

/// The limits that are tried are multiples of this many KiB.
const STEP: u64 = 32;
/// The largest limit that is tried, in steps.
const MOST: u64 = 512;

pub fn section(contest: &Contest<'_>) -> Result<Section> {
    let mut private: Vec<Vec<f64>> = contest.contenders.iter().map(|_| Vec::new()).collect();
    contest.interleaved(|at, contender| {
        if let Some(runtime) = contender.steps() {
            keep(&mut private[at], created(&contest.stage, runtime));
        }
    });
    let private: Vec<f64> = private.into_iter().map(median).collect();
    let limits: Vec<f64> = contest.contenders.iter().map(|one| smallest_limit(contest, one)).collect();
    let mut table =
        Table::new(["", "smallest memory limit that starts, KiB", "private memory of a created container, KiB"]);
    for (index, contender) in contest.contenders.iter().enumerate() {
        table.row([contender.name().to_owned(), number(limits[index], 0), number(private[index], 0)]);
    }
    let panels = [("smallest memory limit, KiB", &limits), ("private memory when created, KiB", &private)];
    let panels = panels.map(|(title, values)| panel(contest, title, values));
    Ok(Section { text: table.to_string(), plot: bars(&panels) })
}

fn panel(contest: &Contest<'_>, title: &str, values: &[f64]) -> Panel {
    let known = contest.contenders.iter().zip(values).filter(|(_, value)| value.is_finite());
    let bar = |(one, &value): (&Contender, &f64)| Bar {
        name: one.name().to_owned(),
        value,
        low: value,
        high: value,
        ours: one.is_ours(),
    };
    Panel { title: title.to_owned(), digits: 0, bars: known.map(bar).collect() }
}

/// The private memory of all processes of a container that waits for its start, in KiB.
fn created(stage: &Stage<'_>, runtime: &Runtime) -> Result<f64> {
    let bundle = stage.bundle("created", Network::Host, SLEEP, None)?;
    let outcome = measure::wall(&runtime.create(&bundle)).map(|_| {
        let members = leftover::members(&bundle.cgroup);
        members.into_iter().map(private_kib).sum::<u64>() as f64
    });
    let _ = measure::wall(&runtime.remove(&bundle.id));
    outcome
}

fn private_kib(pid: i32) -> u64 {
    let memory = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let private = memory.lines().filter(|line| line.starts_with("Private_"));
    private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

/// In KiB; NaN if even the largest is not enough. More memory never hurts, so half of the limits are ruled out each time.
fn smallest_limit(contest: &Contest<'_>, contender: &Contender) -> f64 {
    let (mut fails, mut starts) = (0, MOST + 1);
    while starts - fails > 1 {
        let middle = fails.midpoint(starts);
        let always = (0..contest.rounds).all(|_| starts_under(contest, contender, middle * STEP * 1024));
        *(if always { &mut starts } else { &mut fails }) = middle;
    }
    if starts > MOST { f64::NAN } else { (starts * STEP) as f64 }
}

fn starts_under(contest: &Contest<'_>, contender: &Contender, limit: u64) -> bool {
    let bundle = contest.stage.bundle("limited", Network::Host, TRUE, Some(limit));
    let started = bundle.is_ok_and(|bundle| measure::run(contender, &bundle).is_ok());
    if !started {
        // The floor and a runtime that was killed clean up nothing.
        let _ = contest.stage.clear();
        contender.forget();
    }
    started
}
