//! Compares the ways from a client to a server in a container: the host's network as it is, with what lightship adds to it, and
//! Docker's other networks. `scripts/bench-net` builds and calls it.
//!
//! The ways take turns within each round, so that a change in the machine's load meets all of them, and each is compared with
//! the host's network of the same round.
//!
//! The same program is the server in the containers (`net serve`), and measures the calls that only happen in there (`net calls`, `net
//! exercise`).

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use integration::ground::Ground;

mod calls;
mod client;
mod plot;
mod programs;
mod report;
mod rounds;
mod server;
mod stage;
mod way;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: net [--quick] [--rounds N] RUNTIME TABLE.md PLOT.svg";

fn main() -> ExitCode {
    Ground::guard_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["serve"] => server::serve(),
        ["calls"] => calls::print(),
        ["exercise"] => programs::exercise(),
        _ => options(&words).and_then(|options| compare(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("net: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    rounds: usize,
    runtime: PathBuf,
    table: PathBuf,
    plot: PathBuf,
}

fn options(words: &[&str]) -> Result<Options> {
    let mut rounds = 9;
    let mut files = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match *word {
            "--quick" => rounds = 3,
            "--rounds" => rounds = rest.next().ok_or(USAGE)?.parse()?,
            file => files.push(PathBuf::from(file)),
        }
    }
    let [runtime, table, plot] = <[PathBuf; 3]>::try_from(files).map_err(|_| USAGE)?;
    if rounds == 0 { Err(USAGE.into()) } else { Ok(Options { rounds, runtime: runtime.canonicalize()?, table, plot }) }
}

fn compare(options: &Options) -> Result<()> {
    let without_programs = calls::measure()?;
    let programs = programs::measure()?;
    let ground = Ground::take();
    let outcome = stage::Stage::set(&ground, &options.runtime).and_then(|stage| {
        let rounds = rounds::measure(&stage, options.rounds)?;
        let (watcher_kib, docker) = (stage.watcher_memory()?, stage.docker_version());
        let host = report::Host { programs, calls: [without_programs, calls::measure()?], watcher_kib, docker };
        std::fs::write(&options.table, report::table(&rounds, &host, &options.plot)?)?;
        Ok(std::fs::write(&options.plot, plot::draw(&rounds))?)
    });
    ground.leave();
    outcome
}
