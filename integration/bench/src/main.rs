//! Compares container runtimes: time, CPU, memory, system calls and processes of the same
//! containers, made from the config that Docker writes. `scripts/bench` builds and calls it.
//!
//! The runtimes take turns within each round, so that a change in the machine's load meets
//! all of them; medians and the tenth percentile are printed, and ratios to the first runtime.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

mod bundle;
mod floor;
mod isolation;
mod measure;
mod report;
mod rounds;
mod runtime;
mod trace;

use bundle::{Bundle, Network};
use floor::Floor;
use rounds::Rounds;
use runtime::Runtime;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: bench [--quick] [--rounds N] --floor PATH NAME=PATH...
  --quick      7 rounds instead of 25
  --rounds N   this many rounds
  --floor PATH the program of floor.c; ratios are to it
  NAME=PATH    a runtime";

struct Options {
    rounds: usize,
    floor: PathBuf,
    runtimes: Vec<(String, PathBuf)>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, command)) if first == measure::RUSAGE_FLAG => measure::report_peak_rss(command),
        _ => options(&arguments).and_then(|options| compare(&options)),
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
    let mut options = Options { rounds: 25, floor: PathBuf::new(), runtimes: Vec::new() };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--quick" => options.rounds = 7,
            "--rounds" => options.rounds = rest.next().ok_or(USAGE)?.parse()?,
            "--floor" => options.floor = PathBuf::from(rest.next().ok_or(USAGE)?).canonicalize()?,
            "--help" => {
                println!("{USAGE}");
                return Err("nothing measured".into());
            }
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

fn compare(options: &Options) -> Result<()> {
    isolation::enter()?;
    let bundle = Bundle::new()?;
    isolation::tmpfs(&bundle.state())?;
    let runtimes: Vec<Runtime> =
        options.runtimes.iter().map(|(name, path)| Runtime::new(name, path, &bundle.state())).collect();
    bundle.write_config(Network::Host, bundle::TRUE)?;
    let floor = Floor::new(&options.floor, &bundle)?;
    let rounds = Rounds::measure(&runtimes, &floor, &bundle, options.rounds)?;
    let of_floor = floor.run(&bundle, Network::Host);
    let mut counts = vec![(measure::peak_rss(&of_floor)?, trace::count(&of_floor, bundle.scratch())?)];
    for runtime in &runtimes {
        bundle.write_config(Network::Host, bundle::TRUE)?;
        let rss = measure::peak_rss(&runtime.run(&bundle, "rss"))?;
        counts.push((rss, trace::count(&runtime.run(&bundle, "trace"), bundle.scratch())?));
    }
    report::print(&runtimes, &rounds, &counts);
    Ok(())
}
