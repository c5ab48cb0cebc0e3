//! The plot, as SVG: a panel for each measure, a bar for each way, a line from quartile to quartile.

use std::fmt::Write;

use crate::rounds::{MEASURES, Rounds};
use crate::way::WAYS;

const WIDTH: usize = 860;
const COLUMNS: usize = 2;
const PANEL: usize = WIDTH / COLUMNS;
const BAR: usize = 18;
const LABELS: usize = 195;
const HEAD: usize = 30;
const FOOT: usize = 14;
/// Of a bar that reaches the end of its panel; the value stands behind it.
const LONGEST: f64 = (PANEL - LABELS - 70) as f64;

/// The whole file.
pub fn draw(rounds: &Rounds) -> String {
    let mut panels = String::new();
    let mut height = 0;
    let measures: Vec<usize> = (0..MEASURES.len()).collect();
    for beside in measures.chunks(COLUMNS) {
        for (column, &measure) in beside.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = panel(&mut panels, rounds, measure, column * PANEL, height);
        }
        let bars = |&measure: &usize| (0..WAYS.len()).filter(|&way| rounds.values(measure, way).is_some()).count();
        height += HEAD + BAR * beside.iter().map(bars).max().unwrap_or(0) + FOOT;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         {panels}</svg>\n"
    )
}

fn panel(svg: &mut String, rounds: &Rounds, at: usize, x: usize, y: usize) -> std::fmt::Result {
    let measure = &MEASURES[at];
    let better = if measure.time { "less" } else { "more" };
    let (title, unit, digits) = (measure.title, measure.unit, measure.digits);
    let (left, top) = (x + 8, y + 20);
    writeln!(svg, "<text x=\"{left}\" y=\"{top}\" font-weight=\"bold\">{title}, {unit} ({better} is better)</text>")?;
    let spreads: Vec<_> = (0..WAYS.len()).map(|way| rounds.values(at, way)).collect();
    let most = spreads.iter().flatten().map(|spread| spread.high).fold(f64::MIN_POSITIVE, f64::max);
    let length = |value: f64| value / most * LONGEST;
    let bars = WAYS.iter().zip(&spreads).filter_map(|(way, spread)| Some((way, spread.as_ref()?)));
    for (row, (way, spread)) in bars.enumerate() {
        let (begin, top) = ((x + LABELS) as f64, y + HEAD + row * BAR);
        let (low, end, high) = (begin + length(spread.low), begin + length(spread.median), begin + length(spread.high));
        let (text, middle, label) = (top + 12, top + 8, x + LABELS - 6);
        let color = if way.is_host() { "#2b7a78" } else { "#c8782c" };
        let name = way.title.replace("host, publish, counters, diagnosis", "host, publish, counters, diag.");
        writeln!(svg, "<text x=\"{label}\" y=\"{text}\" text-anchor=\"end\">{name}</text>")?;
        let bar = BAR - 4;
        writeln!(
            svg,
            "<rect x=\"{begin:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{bar}\" fill=\"{color}\"/>",
            end - begin
        )?;
        writeln!(svg, "<line x1=\"{low:.1}\" y1=\"{middle}\" x2=\"{high:.1}\" y2=\"{middle}\" stroke=\"#000\"/>")?;
        let after = end.max(high) + 5.0;
        writeln!(svg, "<text x=\"{after:.1}\" y=\"{text}\">{:.digits$}</text>", spread.median)?;
    }
    Ok(())
}
