//! The plot: a panel for each measure, a bar for each way, a line from quartile to quartile.

use bench::plot::{Bar, Panel, bars};

use crate::rounds::{MEASURES, Rounds};
use crate::way::WAYS;

/// The whole file.
pub fn draw(rounds: &Rounds) -> String {
    let panels: Vec<Panel> = (0..MEASURES.len()).map(|measure| panel(rounds, measure)).collect();
    bars(&panels)
}

fn panel(rounds: &Rounds, at: usize) -> Panel {
    let measure = &MEASURES[at];
    let better = if measure.time { "less" } else { "more" };
    let bar = |(index, way): (usize, &crate::way::Way)| {
        let spread = rounds.values(at, index)?;
        let name = way.title.replace("host, publish, counters, diagnosis", "host, publish, counters, diag.");
        Some(Bar { name, value: spread.median, low: spread.low, high: spread.high, ours: way.is_host() })
    };
    Panel {
        title: format!("{}, {} ({better} is better)", measure.title, measure.unit),
        digits: measure.digits,
        bars: WAYS.iter().enumerate().filter_map(bar).collect(),
    }
}
