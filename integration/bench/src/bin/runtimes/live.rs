//! What one more container costs beside so many that run, and how long they take to be listed.

use std::fmt::Write;
use std::time::Instant;

use bench::plot::{Chart, Line, charts};
use bench::quantile::median;
use bench::table::{Table, number};

use crate::measure::wall;
use crate::run::wait_until_dead;
use crate::runtime::Runtime;
use crate::stage::{Network, SLEEP, Stage};
use crate::{Contest, Result, Section};

const LEVELS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
/// A level is left out that would take a runtime so many seconds to reach.
const BUDGET: f64 = 150.0;
/// The floor's whole `run` tells what of it is the kernel's.
const STEPS: [&str; 7] = ["create", "start", "state", "list", "kill", "delete", "the floor's `run`"];

/// One runtime beside so many containers.
struct Level {
    count: usize,
    /// The medians, per [`STEPS`], in milliseconds.
    steps: [f64; STEPS.len()],
}

pub fn section(contest: &Contest<'_>) -> Result<Section> {
    let mut text = String::from("Milliseconds for one more, medians:\n\n");
    let head = ["", "beside"].into_iter().chain(STEPS);
    let (mut table, mut notes, mut all) = (Table::new(head), String::new(), Vec::new());
    for runtime in contest.runtimes() {
        eprintln!("{}", runtime.name);
        let mut levels = Vec::new();
        if let Err(reason) = climb(contest, runtime, &mut levels) {
            writeln!(notes, "- {}: {reason}", runtime.name)?;
        }
        contest.stage.clear()?;
        runtime.forget();
        for level in &levels {
            let steps = level.steps.map(|step| number(step, 2));
            let first = [runtime.name.clone(), level.count.to_string()];
            table.row(first.into_iter().chain(steps));
        }
        all.push((runtime, levels));
    }
    write!(text, "{table}")?;
    if !notes.is_empty() {
        write!(text, "\nLeft out:\n\n{notes}")?;
    }
    Ok(Section { text, plot: plot(&all) })
}

fn plot(all: &[(&Runtime, Vec<Level>)]) -> String {
    let chart = |step: usize| Chart {
        title: format!("{}, ms, beside so many live containers", STEPS[step]),
        lines: all.iter().map(|(runtime, levels)| line(runtime, levels, step)).collect(),
    };
    charts(&[chart(0), chart(2), chart(3), chart(5)])
}

fn line(runtime: &Runtime, levels: &[Level], step: usize) -> Line {
    let points = levels.iter().map(|level| (level.count as f64, level.steps[step])).collect();
    Line { name: runtime.name.clone(), points, ours: runtime.is_ours() }
}

/// Reaches one level after another, as far as it can.
fn climb(contest: &Contest<'_>, runtime: &Runtime, levels: &mut Vec<Level>) -> Result<()> {
    let (mut live, mut pace) = (0, 0.0);
    for count in LEVELS {
        let expected = pace * (count - live) as f64;
        if expected > BUDGET {
            return Err(format!("{count} containers, which would take it about {expected:.0} s to make").into());
        }
        let begun = Instant::now();
        let fresh = count - live;
        while live < count {
            add(&contest.stage, runtime, live).map_err(|error| format!("the container after {live}: {error}"))?;
            live += 1;
        }
        pace = begun.elapsed().as_secs_f64() / fresh as f64;
        levels.push(Level { count, steps: one_more(contest, runtime)? });
        eprintln!("{count} containers");
    }
    Ok(())
}

fn add(stage: &Stage<'_>, runtime: &Runtime, number: usize) -> Result<()> {
    let bundle = stage.bundle(&format!("live-{number}"), Network::Host, SLEEP, None)?;
    wall(&runtime.create(&bundle))?;
    wall(&runtime.start(&bundle.id))?;
    Ok(())
}

fn one_more(contest: &Contest<'_>, runtime: &Runtime) -> Result<[f64; STEPS.len()]> {
    let bundle = contest.stage.bundle("one-more", Network::Host, SLEEP, None)?;
    let mut times: [Vec<f64>; STEPS.len()] = Default::default();
    for _ in 0..contest.rounds {
        let [create, start, state, list, kill, delete, floor] = &mut times;
        create.push(wall(&runtime.create(&bundle))?);
        start.push(wall(&runtime.start(&bundle.id))?);
        state.push(wall(&runtime.state(&bundle.id))?);
        list.push(wall(&runtime.list())?);
        kill.push(wall(&runtime.kill(&bundle.id))?);
        wait_until_dead(bundle.pid()?);
        delete.push(wall(&runtime.delete(&bundle.id))?);
        floor.push(wall(&contest.contenders[0].run(&bundle))?);
    }
    Ok(times.map(median))
}
