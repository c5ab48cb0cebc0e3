//! Compares container runtimes with each other and with the floor, a program that makes the same container and does nothing
//! else. `scripts/bench` builds it and calls it once for each scenario, which prints its section of the page.
//!
//! The runtimes take turns within each round, so that a change in the machine's load meets all of them. A command that fails
//! costs its sample and is told on standard error; what has no sample left is a dash.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use integration::ground::Ground;

mod calls;
mod docker;
mod floor;
mod live;
mod measure;
mod memory;
mod order;
mod parallel;
mod run;
mod runtime;
mod stage;
mod step;
mod timed;
mod trace;

use floor::Floor;
use runtime::{Contender, Runtime};
use stage::Stage;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: runtimes SCENARIO [--rounds N] [--plot FILE] --floor PATH NAME=PATH...
  SCENARIO     run, parallel, live, memory, docker or calls
  --rounds N   this many rounds
  --plot FILE  writes the plot there
  --floor PATH the program of floor.c; ratios are to it
  NAME=PATH    a runtime
or: runtimes order PATH
  prints which functions of this lightship a container's life executes, for scripts/order";

/// What is compared, and how thoroughly.
struct Contest<'a> {
    stage: Stage<'a>,
    /// The floor first.
    contenders: Vec<Contender>,
    rounds: usize,
}

/// A scenario's part of the page.
struct Section {
    text: String,
    plot: String,
}

struct Options {
    scenario: fn(&Contest<'_>) -> Result<Section>,
    rounds: usize,
    plot: Option<PathBuf>,
    floor: PathBuf,
    runtimes: Vec<(String, PathBuf)>,
}

fn main() -> ExitCode {
    Ground::guard_if_asked();
    if let Some(code) = timed::run_if_linked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, command)) if first == measure::RUSAGE_FLAG => measure::report_peak_rss(command),
        Some((first, command)) if first == step::TRACED_FLAG => step::be_traced(command),
        Some((first, [program])) if first == order::COMMAND => order::print(program.as_ref()),
        _ => options(&arguments).and_then(|options| play(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[String]) -> Result<Options> {
    let (scenario, arguments) = arguments.split_first().ok_or(USAGE)?;
    let (scenario, rounds): (fn(&Contest<'_>) -> Result<Section>, usize) = match scenario.as_str() {
        "run" => (run::section, 40),
        "parallel" => (parallel::section, 3),
        "live" => (live::section, 9),
        "memory" => (memory::section, 5),
        "docker" => (docker::section, 20),
        "calls" => (calls::section, 25),
        _ => return Err(USAGE.into()),
    };
    let mut options = Options { scenario, rounds, plot: None, floor: PathBuf::new(), runtimes: Vec::new() };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--rounds" => options.rounds = rest.next().ok_or(USAGE)?.parse()?,
            "--plot" => options.plot = Some(rest.next().ok_or(USAGE)?.into()),
            "--floor" => options.floor = PathBuf::from(rest.next().ok_or(USAGE)?).canonicalize()?,
            runtime => {
                let (name, path) = runtime.split_once('=').ok_or(USAGE)?;
                options.runtimes.push((name.to_owned(), PathBuf::from(path).canonicalize()?));
            }
        }
    }
    if options.runtimes.is_empty() || options.rounds == 0 || options.floor.as_os_str().is_empty() {
        return Err(USAGE.into());
    }
    Ok(options)
}

/// The ground's guard clears everything that was made, however this process ends.
fn play(options: &Options) -> Result<()> {
    let ground = Ground::take();
    let outcome = set(&ground, options).and_then(|contest| (options.scenario)(&contest));
    ground.leave();
    let section = outcome?;
    print!("{}", section.text);
    if let Some(file) = &options.plot {
        fs::write(file, section.plot)?;
    }
    Ok(())
}

fn set<'a>(ground: &'a Ground, options: &Options) -> Result<Contest<'a>> {
    let stage = Stage::set(ground)?;
    let mut contenders = vec![Contender::Floor(Floor::new(&options.floor, &stage)?)];
    let runtimes = options.runtimes.iter();
    contenders.extend(runtimes.map(|(name, path)| Contender::Runtime(Runtime::new(name, path, stage.folder()))));
    Ok(Contest { stage, contenders, rounds: options.rounds })
}

impl Contest<'_> {
    /// Those that have a command for each step.
    fn runtimes(&self) -> impl Iterator<Item = &Runtime> {
        self.contenders.iter().filter_map(Contender::steps)
    }

    /// Calls `action` with each contender so often as there are rounds; each round begins with another contender.
    fn interleaved(&self, mut action: impl FnMut(usize, &Contender)) {
        for round in 0..self.rounds {
            for turn in 0..self.contenders.len() {
                let at = (round + turn) % self.contenders.len();
                action(at, &self.contenders[at]);
            }
            eprint!("\rround {} of {} ", round + 1, self.rounds);
        }
        eprintln!();
    }
}
