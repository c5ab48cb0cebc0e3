//! Plots, as SVG.

use std::fmt::Write;

const WIDTH: usize = 860;
const COLUMNS: usize = 2;
const PANEL: usize = WIDTH / COLUMNS;
const OURS: &str = "#2b7a78";
const THEIRS: &str = "#c8782c";

/// A bar, and a line from `low` to `high` over its end.
pub struct Bar {
    /// Stands before it.
    pub name: String,
    /// The end of the bar.
    pub value: f64,
    /// Where the line begins.
    pub low: f64,
    /// Where the line ends.
    pub high: f64,
    /// Has the colour of what the plot is about.
    pub ours: bool,
}

/// Bars that are compared with each other.
pub struct Panel {
    /// Stands above them.
    pub title: String,
    /// Of the numbers, behind the point.
    pub digits: usize,
    /// From above to below.
    pub bars: Vec<Bar>,
}

/// A curve through points in both directions greater than zero.
pub struct Line {
    /// Stands at its end.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
    /// Has the colour of what the plot is about.
    pub ours: bool,
}

/// Lines that are compared with each other; both axes are logarithmic.
pub struct Chart {
    /// Stands above them.
    pub title: String,
    /// From the top of the legend.
    pub lines: Vec<Line>,
}

fn document(height: usize, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n{content}</svg>\n"
    )
}

/// A document with these panels in two columns, each row as high as it has to be.
pub fn bars(panels: &[Panel]) -> String {
    let (mut svg, mut height) = (String::new(), 0);
    for beside in panels.chunks(COLUMNS) {
        for (column, panel) in beside.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = bar::panel(&mut svg, panel, column * PANEL, height);
        }
        let most = beside.iter().map(|panel| panel.bars.len()).max().unwrap_or_default();
        height += bar::HEAD + bar::HEIGHT * most + bar::FOOT;
    }
    document(height, &svg)
}

/// A document with these charts in two columns.
pub fn charts(charts: &[Chart]) -> String {
    let mut svg = String::new();
    for (at, chart) in charts.iter().enumerate() {
        let _ = line::chart(&mut svg, chart, at % COLUMNS * PANEL, at / COLUMNS * line::HEIGHT);
    }
    document(line::HEIGHT * charts.len().div_ceil(COLUMNS), &svg)
}

mod bar {
    use super::{Bar, OURS, PANEL, Panel, THEIRS, Write};

    pub(super) const HEIGHT: usize = 18;
    pub(super) const HEAD: usize = 30;
    pub(super) const FOOT: usize = 14;
    const LABELS: usize = 195;
    /// Of a bar that reaches the end of its panel; the value stands behind it.
    const LONGEST: f64 = (PANEL - LABELS - 70) as f64;

    pub(super) fn panel(svg: &mut String, panel: &Panel, x: usize, y: usize) -> std::fmt::Result {
        writeln!(svg, "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>", x + 8, y + 20, panel.title)?;
        let most = panel.bars.iter().map(|bar| bar.high.max(bar.value)).fold(f64::MIN_POSITIVE, f64::max);
        for (row, bar) in panel.bars.iter().enumerate() {
            one(svg, bar, panel.digits, LONGEST / most, x + LABELS, y + HEAD + row * HEIGHT)?;
        }
        Ok(())
    }

    fn one(svg: &mut String, bar: &Bar, digits: usize, scale: f64, x: usize, top: usize) -> std::fmt::Result {
        let (begin, text, middle) = (x as f64, top + 12, top + 8);
        let (low, end, high) = (begin + bar.low * scale, begin + bar.value * scale, begin + bar.high * scale);
        let (name, label, thick) = (&bar.name, x - 6, HEIGHT - 4);
        let (color, length) = (if bar.ours { OURS } else { THEIRS }, bar.value * scale);
        writeln!(svg, "<text x=\"{label}\" y=\"{text}\" text-anchor=\"end\">{name}</text>")?;
        writeln!(
            svg,
            "<rect x=\"{begin:.1}\" y=\"{top}\" width=\"{length:.1}\" height=\"{thick}\" fill=\"{color}\"/>"
        )?;
        writeln!(svg, "<line x1=\"{low:.1}\" y1=\"{middle}\" x2=\"{high:.1}\" y2=\"{middle}\" stroke=\"#000\"/>")?;
        writeln!(svg, "<text x=\"{:.1}\" y=\"{text}\">{:.digits$}</text>", end.max(high) + 5.0, bar.value)
    }
}

mod line {
    use super::{Chart, OURS, PANEL, Write};

    pub(super) const HEIGHT: usize = 260;
    const LEFT: f64 = 46.0;
    const LEGEND: f64 = 90.0;
    const TOP: f64 = 34.0;
    const BOTTOM: f64 = 22.0;
    const COLORS: [&str; 6] = ["#c8782c", "#7a5195", "#bc5090", "#58508d", "#888888", "#003f5c"];

    /// One direction: the powers of ten around all values.
    struct Axis {
        low: f64,
        decades: f64,
        begin: f64,
        length: f64,
    }

    impl Axis {
        fn around(values: impl Iterator<Item = f64> + Clone, begin: f64, length: f64) -> Self {
            let low = values.clone().fold(f64::MAX, f64::min).log10().floor();
            let high = values.fold(f64::MIN_POSITIVE, f64::max).log10().ceil();
            Self { low, decades: (high - low).max(1.0), begin, length }
        }

        fn place(&self, value: f64) -> f64 {
            self.begin + (value.log10() - self.low) / self.decades * self.length
        }

        fn ticks(&self) -> impl Iterator<Item = f64> {
            let low = self.low as i32;
            (low..=low + self.decades as i32).map(|power| 10_f64.powi(power))
        }
    }

    pub(super) fn chart(svg: &mut String, chart: &Chart, x: usize, y: usize) -> std::fmt::Result {
        let (left, top) = (x as f64 + LEFT, y as f64 + TOP);
        let (right, bottom) = ((x + PANEL) as f64 - LEGEND, (y + HEIGHT) as f64 - BOTTOM);
        let points = chart.lines.iter().flat_map(|line| &line.points).filter(|(x, y)| *x > 0.0 && *y > 0.0);
        writeln!(svg, "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>", x + 8, y + 20, chart.title)?;
        if points.clone().next().is_none() {
            return Ok(());
        }
        let across = Axis::around(points.clone().map(|point| point.0), left, right - left);
        let up = Axis::around(points.map(|point| point.1), bottom, top - bottom);
        for tick in across.ticks() {
            let place = across.place(tick);
            writeln!(svg, "<line x1=\"{place:.1}\" y1=\"{top}\" x2=\"{place:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>")?;
            writeln!(svg, "<text x=\"{place:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>", bottom + 14.0)?;
        }
        for tick in up.ticks() {
            let place = up.place(tick);
            writeln!(svg, "<line x1=\"{left}\" y1=\"{place:.1}\" x2=\"{right}\" y2=\"{place:.1}\" stroke=\"#ddd\"/>")?;
            writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>", left - 5.0, place + 4.0)?;
        }
        for (row, line) in chart.lines.iter().enumerate() {
            let color = if line.ours { OURS } else { COLORS[row % COLORS.len()] };
            let points = line.points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0);
            let places: Vec<_> = points.map(|&(x, y)| format!("{:.1},{:.1}", across.place(x), up.place(y))).collect();
            let (legend, text) = (right + 8.0, top + 12.0 + 16.0 * row as f64);
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
                places.join(" ")
            )?;
            writeln!(svg, "<text x=\"{legend}\" y=\"{text}\" fill=\"{color}\">{}</text>", line.name)?;
        }
        Ok(())
    }
}
