//! The rounds: in each, every runtime does everything once.

use std::fs;
use std::time::Duration;

use crate::Result;
use crate::bundle::{self, Bundle, Network};
use crate::floor::Floor;
use crate::measure::{Sample, sample};
use crate::runtime::Runtime;

pub const STEPS: [&str; 5] = ["create", "start", "state", "kill", "delete"];

/// The samples of one runtime.
#[derive(Default)]
pub struct Samples {
    /// `run` of a program that ends at once, per [`Network::ALL`].
    pub run: [Vec<Sample>; 2],
    /// Per [`STEPS`], with host networking.
    pub steps: [Vec<Sample>; 5],
}

pub struct Rounds {
    /// Per [`Network::ALL`].
    pub floor: [Vec<Sample>; 2],
    /// In the order of the runtimes.
    pub samples: Vec<Samples>,
    pub count: usize,
}

impl Rounds {
    pub fn measure(runtimes: &[Runtime], floor: &Floor, bundle: &Bundle, count: usize) -> Result<Self> {
        let mut floor_samples = [Vec::new(), Vec::new()];
        let mut samples: Vec<Samples> = runtimes.iter().map(|_| Samples::default()).collect();
        // Round 0 warms the caches and is not kept.
        for round in 0..=count {
            eprint!("\rround {round} of {count}");
            for (network, kept) in Network::ALL.into_iter().zip(&mut floor_samples) {
                let sample = sample(&floor.run(bundle, network))?;
                if round > 0 {
                    kept.push(sample);
                }
            }
            for offset in 0..runtimes.len() {
                // Each round begins with another runtime.
                let index = (round + offset) % runtimes.len();
                let mut scratch = Samples::default();
                let kept = if round == 0 { &mut scratch } else { &mut samples[index] };
                one_round(&runtimes[index], bundle, kept)?;
            }
        }
        eprintln!();
        Ok(Self { floor: floor_samples, samples, count })
    }
}

fn one_round(runtime: &Runtime, bundle: &Bundle, samples: &mut Samples) -> Result<()> {
    for (network, kept) in Network::ALL.into_iter().zip(&mut samples.run) {
        bundle.write_config(network, bundle::TRUE)?;
        kept.push(sample(&runtime.run(bundle, "run"))?);
    }
    bundle.write_config(Network::Host, bundle::SLEEP)?;
    let outcome = steps(runtime, bundle, &mut samples.steps);
    if outcome.is_err() {
        let _ = sample(&runtime.remove("steps"));
    }
    outcome
}

fn steps(runtime: &Runtime, bundle: &Bundle, kept: &mut [Vec<Sample>; 5]) -> Result<()> {
    let [create, start, state, kill, delete] = kept;
    create.push(sample(&runtime.create(bundle, "steps"))?);
    let pid =
        fs::read_to_string(bundle.pid_file()).map_err(|error| format!("{}: no pid file: {error}", runtime.name))?;
    start.push(sample(&runtime.start("steps"))?);
    state.push(sample(&runtime.state("steps"))?);
    kill.push(sample(&runtime.kill("steps"))?);
    wait_until_dead(pid.trim());
    delete.push(sample(&runtime.delete("steps"))?);
    Ok(())
}

/// `delete` of a container whose process is still dying would be an error, or another measurement.
fn wait_until_dead(pid: &str) {
    let stat = format!("/proc/{pid}/stat");
    while fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ") && !text.contains(") X ")) {
        std::thread::yield_now();
    }
}

/// The value below which a tenth or half of the samples lie, in milliseconds.
pub fn percentile(samples: &[Sample], percent: usize, value: fn(&Sample) -> Duration) -> f64 {
    let mut values: Vec<Duration> = samples.iter().map(value).collect();
    values.sort_unstable();
    let index = (values.len().saturating_sub(1) * percent + 50) / 100;
    values.get(index).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let samples: Vec<Sample> =
            (1..=11).rev().map(|ms| Sample { wall: Duration::from_millis(ms), cpu: Duration::ZERO }).collect();
        assert_eq!(percentile(&samples, 50, |s| s.wall), 6.0);
        assert_eq!(percentile(&samples, 10, |s| s.wall), 2.0);
        assert!(percentile(&[], 50, |s| s.wall).is_nan());
    }
}
