//! The measures, and the rounds in which they are taken.

use std::net::SocketAddrV4;

use bench::quantile::quantile;

use crate::stage::Stage;
use crate::way::{ECHO, IPERF, NGINX, REDIS, WAYS};
use crate::{Result, client};

/// Something that is measured.
pub struct Measure {
    /// What the report calls it.
    pub title: &'static str,
    /// Of its values.
    pub unit: &'static str,
    /// Digits behind the point.
    pub digits: usize,
    /// Less is better.
    pub time: bool,
    sample: Sample,
}

enum Sample {
    /// By a client, at a port of the container.
    Client(u16, fn(SocketAddrV4) -> Result<f64>),
    /// In the container: the number at this place in what `net calls` prints. It is only for the host's network, as nothing
    /// is called elsewhere.
    Call(usize),
}

/// All of them, in the order of the report.
pub const MEASURES: [Measure; 8] = [
    Measure::time("round trip", "µs", 1, Sample::Client(ECHO, client::round_trip)),
    Measure::time("connection", "µs", 1, Sample::Client(ECHO, client::connection)),
    Measure::rate("iperf3", "Gbit/s", 1, Sample::Client(IPERF, client::throughput)),
    Measure::rate("nginx (wrk)", "k/s", 1, Sample::Client(NGINX, client::nginx)),
    Measure::rate("redis GET", "k/s", 1, Sample::Client(REDIS, client::redis)),
    Measure::time("bind(2)", "ns", 0, Sample::Call(0)),
    Measure::time("connect(2)", "ns", 0, Sample::Call(1)),
    Measure::time("close(2)", "ns", 0, Sample::Call(2)),
];

impl Measure {
    const fn time(title: &'static str, unit: &'static str, digits: usize, sample: Sample) -> Self {
        Self { title, unit, digits, time: true, sample }
    }

    const fn rate(title: &'static str, unit: &'static str, digits: usize, sample: Sample) -> Self {
        Self { title, unit, digits, time: false, sample }
    }
}

/// All samples.
#[derive(Default)]
pub struct Rounds {
    /// By round, measure and way; NaN where there is nothing to measure.
    samples: Vec<[[f64; WAYS.len()]; MEASURES.len()]>,
}

/// The middle of some values, and the quartiles around it.
#[derive(Clone, Copy)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

/// Takes a sample of everything in each of so many rounds.
pub fn measure(stage: &Stage<'_>, count: usize) -> Result<Rounds> {
    let mut rounds = Rounds::default();
    for round in 0..count {
        let mut samples = [[f64::NAN; WAYS.len()]; MEASURES.len()];
        for (measure, row) in MEASURES.iter().zip(&mut samples) {
            // Each begins once, as the first and the last of a round are not alike.
            for turn in 0..WAYS.len() {
                let at = (turn + round) % WAYS.len();
                row[at] = measure.take(stage, at)?;
            }
        }
        rounds.samples.push(samples);
        eprintln!("round {} of {count}", round + 1);
    }
    Ok(rounds)
}

impl Measure {
    fn take(&self, stage: &Stage<'_>, at: usize) -> Result<f64> {
        let way = &WAYS[at];
        match self.sample {
            Sample::Client(port, sample) if way.serves(port) => sample(stage.enter(at)?.server(port)),
            Sample::Call(place) if way.has_calls() => {
                let printed = stage.execute(way, &["net", "calls"]);
                Ok(printed.split(' ').nth(place).ok_or("net calls printed too little")?.parse()?)
            }
            _ => Ok(f64::NAN),
        }
    }
}

impl Rounds {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.samples.len()
    }

    /// The values of a measure for a way, both by their places; `None` if there are none.
    pub fn values(&self, measure: usize, way: usize) -> Option<Spread> {
        Spread::of(self.samples.iter().map(|round| round[measure][way]))
    }

    /// As multiples of what the first way has in the same round.
    pub fn ratios(&self, measure: usize, way: usize) -> Option<Spread> {
        Spread::of(self.samples.iter().map(|round| round[measure][way] / round[measure][0]))
    }

    /// How much more it is than for the first way in the same round.
    pub fn added(&self, measure: usize, way: usize) -> Option<Spread> {
        Spread::of(self.samples.iter().map(|round| round[measure][way] - round[measure][0]))
    }
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        let at = |part| quantile(values.iter().copied(), part);
        at(0.5).is_finite().then(|| Self { low: at(0.25), median: at(0.5), high: at(0.75) })
    }
}
