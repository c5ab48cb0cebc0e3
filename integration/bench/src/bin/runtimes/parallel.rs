//! How many containers are run in a second, by so many at the same time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bench::plot::{Chart, Line, charts};
use bench::quantile::median;
use bench::table::{Table, number};

use crate::measure::{keep, milliseconds, wall};
use crate::runtime::Contender;
use crate::stage::{Bundle, Network, TRUE};
use crate::{Contest, Result, Section};

const WORKERS: [usize; 4] = [1, 2, 8, 32];
/// In one sample.
const CONTAINERS: usize = 64;

pub fn section(contest: &Contest<'_>) -> Result<Section> {
    let bundle = |at: usize| contest.stage.bundle(&format!("parallel-{at}"), Network::Host, TRUE, None);
    let bundles: Vec<Bundle> = (0..WORKERS[3]).map(bundle).collect::<Result<_>>()?;
    let mut rates: Vec<[Vec<f64>; WORKERS.len()]> = contest.contenders.iter().map(|_| Default::default()).collect();
    let mut hung = Vec::new();
    contest.interleaved(|at, contender| {
        for (workers, kept) in WORKERS.iter().zip(&mut rates[at]) {
            // Where containers hang, each of them takes a minute: once is enough to know.
            if hung.contains(&(at, *workers)) {
                continue;
            }
            let rate = rate(contender, &bundles[..*workers]);
            if rate.is_err() {
                hung.push((at, *workers));
            }
            keep(kept, rate);
        }
    });
    let rates: Vec<[f64; WORKERS.len()]> = rates.into_iter().map(|row| row.map(median)).collect();
    let mut table = Table::new([String::new()].into_iter().chain(WORKERS.map(|count| format!("{count} in parallel"))));
    for (contender, row) in contest.contenders.iter().zip(&rates) {
        let cells = row.iter().map(|rate| format!("{} ({} ms)", number(*rate, 0), number(1e3 / rate, 1)));
        table.row([contender.name().to_owned()].into_iter().chain(cells));
    }
    let lines = contest.contenders.iter().zip(&rates).map(|(contender, row)| Line {
        name: contender.name().to_owned(),
        points: WORKERS.iter().map(|&count| count as f64).zip(row.iter().copied()).collect(),
        ours: contender.is_ours(),
    });
    let chart = Chart { title: "containers per second, by how many in parallel".to_owned(), lines: lines.collect() };
    let text = format!("Containers per second, and milliseconds for each; {CONTAINERS} in a sample:\n\n{table}");
    Ok(Section { text, plot: charts(&[chart]) })
}

/// Each worker has a bundle, and takes the next container as soon as it has run one.
fn rate(contender: &Contender, bundles: &[Bundle]) -> Result<f64> {
    let (left, failed) = (AtomicUsize::new(CONTAINERS), Mutex::new(None));
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for bundle in bundles {
            scope.spawn(|| {
                while take() {
                    if let Err(error) = wall(&contender.run(bundle)) {
                        let remove = contender.remove(bundle);
                        let _ = remove.map(|remove| wall(&remove));
                        failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).replace(error.to_string());
                    }
                }
            });
        }
    });
    let seconds = milliseconds(begun.elapsed()) / 1e3;
    match failed.into_inner() {
        Ok(None) => Ok(CONTAINERS as f64 / seconds),
        Ok(Some(error)) => Err(error.into()),
        Err(_) => Err("a worker panicked".into()),
    }
}
