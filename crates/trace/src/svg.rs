//! The picture: a row for each span, and a scale of time above. It has no background and no script, and its colours can be read
//! on white as on black.

use std::fmt::{self, Write};

use crate::{Kind, Process, Span, Timeline};

const WIDTH: u32 = 1000;
/// Where bars begin, and how wide the longest is.
const LEFT: f64 = 350.0;
const ROOM: f64 = 580.0;
const TOP: u32 = 72;
const ROW: u32 = 16;
/// How much of a name there is room for, in characters.
const NAME: usize = 52;
const TEXT: &str = "#777";
const FAILED: &str = "#d1242f";

impl Timeline {
    /// As an SVG picture. Of the time that the container's program ran, it shows a piece only.
    pub fn to_svg(&self) -> String {
        let mut svg = String::new();
        // Writing to a String does not fail.
        let _ = self.draw(&mut svg);
        svg
    }

    fn draw(&self, svg: &mut String) -> fmt::Result {
        let Some(whole) = self.whole() else { return Ok(()) };
        let scale = Scale::of(self, whole);
        let rows = self.rows(scale.total / 500);
        let heads = 1 + rows.windows(2).filter(|pair| pair[0].span.process != pair[1].span.process).count();
        let height = TOP + ROW * (rows.len() + heads) as u32;
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"{TEXT}\">",
            height + ROW
        )?;
        self.head(svg, whole)?;
        scale.draw(svg, height)?;
        let (mut y, mut last) = (TOP, None);
        for row in &rows {
            if last != Some(row.span.process) {
                last = Some(row.span.process);
                let name = match row.span.process {
                    Process::Runtime => format!("lightship (process {})", self.runtime),
                    Process::Init(id) => format!("init (process {id})"),
                };
                writeln!(svg, "<text x=\"8\" y=\"{}\" font-weight=\"bold\">{name}</text>", y + 12)?;
                y += ROW;
            }
            row.draw(svg, &scale, y)?;
            y += ROW;
        }
        svg.push_str("</svg>\n");
        Ok(())
    }

    /// What it is about, and what the colours mean.
    fn head(&self, svg: &mut String, whole: &Span) -> fmt::Result {
        let title = escaped(&format!("{} {}: {}", whole.name, shortened(&self.container, 24), time(whole.duration())));
        writeln!(svg, "<text x=\"8\" y=\"18\" font-size=\"14\" font-weight=\"bold\">{title}</text>")?;
        if let Some(error) = &self.error {
            writeln!(svg, "<text x=\"8\" y=\"36\" fill=\"{FAILED}\">{}</text>", escaped(&shortened(error, 150)))?;
        }
        let legend = [
            ("lightship", Process::Runtime, Kind::Step),
            ("init", Process::Init(0), Kind::Step),
            ("hook", Process::Runtime, Kind::Hook),
            ("waiting", Process::Runtime, Kind::Wait),
        ];
        for (index, (name, process, kind)) in legend.into_iter().enumerate() {
            let x = 8 + 80 * index;
            writeln!(svg, "<rect x=\"{x}\" y=\"46\" width=\"10\" height=\"10\" fill=\"{}\"/>", colour(process, kind))?;
            writeln!(svg, "<text x=\"{}\" y=\"55\">{name}</text>", x + 14)?;
        }
        Ok(())
    }

    /// A row for each span; but operations of one place in the configuration share a row, and so do inner neighbours that could
    /// hardly be seen.
    fn rows(&self, least: u64) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for span in &self.spans {
            match rows.last_mut() {
                Some(row) if span.process != Process::Runtime && span.depth > 0 => row.parts.push(span.clone()),
                _ => rows.push(Row { span: span.clone(), parts: Vec::new() }),
            }
        }
        let tiny = |row: &Row| {
            let inner = row.span.process != Process::Runtime || row.span.depth > 1;
            inner && row.span.duration() < least && !row.span.failed
        };
        let together = |one: &Row, next: &Row| tiny(one) && tiny(next) && one.span.process == next.span.process;
        rows.chunk_by(together).flat_map(folded).collect()
    }
}

#[derive(Clone)]
struct Row {
    span: Span,
    parts: Vec<Span>,
}

/// One row of several, where there are enough of them to gain something by it.
fn folded(rows: &[Row]) -> Vec<Row> {
    let [first, .., last] = rows else { return rows.to_vec() };
    if rows.len() < 3 {
        return rows.to_vec();
    }
    let name = format!("{} and {} more", shortened(&first.span.name, NAME - 16), rows.len() - 1);
    let span = Span { name, end: last.span.end, ..first.span.clone() };
    vec![Row { span, parts: rows.iter().map(|row| row.span.clone()).collect() }]
}

impl Row {
    fn draw(&self, svg: &mut String, scale: &Scale, y: u32) -> fmt::Result {
        let span = &self.span;
        let name = escaped(&shortened(&span.name, NAME.saturating_sub(2 * span.depth).max(1)));
        let fill = if span.failed { FAILED } else { TEXT };
        writeln!(svg, "<text x=\"{}\" y=\"{}\" fill=\"{fill}\">{name}</text>", 16 + 10 * span.depth, y + 12)?;
        let parts = if self.parts.is_empty() { std::slice::from_ref(span) } else { &self.parts };
        for (index, part) in parts.iter().enumerate() {
            let (x, end) = (scale.x(part.begin), scale.x(part.end));
            let fill = if part.failed { FAILED } else { colour(part.process, part.kind) };
            // Neighbours are told apart by their shade.
            let opacity = if index % 2 == 0 { "" } else { " fill-opacity=\"0.6\"" };
            let title = escaped(&format!("{}: {}", part.name, time(part.duration())));
            let width = (end - x).max(0.5);
            writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"12\" fill=\"{fill}\"{opacity}><title>{title}</title></rect>",
                y + 2
            )?;
        }
        let duration = time(span.duration());
        writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{duration}</text>", WIDTH - 8, y + 12)
    }
}

/// From moments to places on the picture.
struct Scale {
    began: u64,
    /// When the container's program began and ended to run undisturbed.
    program: (u64, u64),
    /// How long a time that is shown as.
    shown: u64,
    /// All that is shown.
    total: u64,
}

impl Scale {
    fn of(timeline: &Timeline, whole: &Span) -> Scale {
        let program = timeline.spans.iter().find(|span| span.kind == Kind::Program);
        let program = program.map_or((whole.end, whole.end), |span| (span.begin, span.end.max(span.begin)));
        let ran = program.1 - program.0;
        let rest = whole.duration().saturating_sub(ran);
        let shown = ran.min(rest / 8);
        Scale { began: whole.begin, program, shown, total: (rest + shown).max(1) }
    }

    fn x(&self, moment: u64) -> f64 {
        let (begin, end) = self.program;
        let ran = end - begin;
        let inside = moment.clamp(begin, end) - begin;
        let piece = if ran == 0 { 0.0 } else { inside as f64 * (self.shown as f64 / ran as f64) };
        let outside = moment.saturating_sub(self.began).saturating_sub(inside);
        LEFT + ROOM * ((outside as f64 + piece) / self.total as f64).min(1.0)
    }

    /// Lines at round times, up to where the container's program runs.
    fn draw(&self, svg: &mut String, height: u32) -> fmt::Result {
        let step = round_step(self.total / 8);
        let last = self.program.0.saturating_sub(self.began);
        for at in (0..=last.min(self.total)).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let x = self.x(self.began + at);
            writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{height}\" stroke=\"{TEXT}\" stroke-opacity=\"0.3\"/>",
                TOP - 4
            )?;
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>", TOP - 8, time(at))?;
        }
        Ok(())
    }
}

/// 1, 2 or 5 times a power of ten, and no less than `least`.
fn round_step(least: u64) -> u64 {
    let powers = std::iter::successors(Some(1u64), |power| power.checked_mul(10));
    powers
        .flat_map(|power| [1, 2, 5].map(|digit| power.saturating_mul(digit)))
        .find(|step| *step >= least)
        .unwrap_or(u64::MAX)
}

fn colour(process: Process, kind: Kind) -> &'static str {
    match (kind, process) {
        (Kind::Step, Process::Runtime) => "#4c78a8",
        (Kind::Step, Process::Init(_)) => "#2b9a8f",
        (Kind::Hook, _) => "#d9822b",
        (Kind::Wait | Kind::Program, _) => "#a8a8a8",
    }
}

/// A time in the unit that fits it.
fn time(nanoseconds: u64) -> String {
    match nanoseconds as f64 {
        0.0 => "0".to_owned(),
        time if time < 1e6 => format!("{} µs", rounded(time / 1e3)),
        time if time < 1e9 => format!("{} ms", rounded(time / 1e6)),
        time => format!("{} s", rounded(time / 1e9)),
    }
}

/// Three digits, as far as they say anything.
fn rounded(value: f64) -> String {
    let text = format!("{value:.*}", if value < 10.0 { 2 } else { usize::from(value < 100.0) });
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Text in XML, where the configuration's own words must not become elements, and control characters may not be at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::example;

    #[test]
    fn the_example_is_the_golden_picture() {
        assert_eq!(example().to_svg(), include_str!("example.svg"));
    }

    #[test]
    fn times_are_short_and_round() {
        let times = [0, 999, 12_345, 100_000, 1_250_000, 40_000_000, 3_210_000_000].map(time);
        assert_eq!(times, ["0", "1 µs", "12.3 µs", "100 µs", "1.25 ms", "40 ms", "3.21 s"]);
        assert_eq!([1, 3, 11, 600].map(round_step), [1, 5, 20, 1000]);
    }

    #[test]
    fn the_containers_own_time_is_shortened() {
        let mut timeline = example();
        let began = timeline.spans[0].begin;
        timeline.spans[0].end = began + 3_600_000_000_000;
        let run = Span::new(Process::Runtime, Kind::Program, "run", began + 1_000_000, began + 3_599_000_000_000);
        timeline.spans.push(run);
        let scale = Scale::of(&timeline, &timeline.spans[0]);
        let ends = [0, 1_000_000, 3_599_000_000_000, 3_600_000_000_000].map(|at| scale.x(began + at).round());
        assert_eq!(ends, [LEFT, LEFT + 1.0, LEFT + 65.0, LEFT + ROOM]);
    }

    #[test]
    fn operations_too_short_to_be_seen_share_a_row() {
        let rows = |least| example().rows(least).iter().map(|row| row.span.name.clone()).collect::<Vec<_>>();
        assert_eq!(rows(2_000_000)[5..], ["mounts[0] /proc", "hooks: gate", "linux.sysctl net.core.x: write"]);
        let mut timeline = example();
        timeline.spans.pop();
        let begin = timeline.spans[0].begin + 4_000_000;
        timeline.spans.push(Span::new(Process::Init(101), Kind::Step, "pivot_root", begin, begin + 10));
        let rows = timeline.rows(2_000_000);
        assert_eq!((rows.len(), rows[5].span.name.as_str()), (6, "mounts[0] /proc and 2 more"));
        assert_eq!(rows[5].span.end, begin + 10);
    }

    #[test]
    fn what_is_not_text_in_xml_is_escaped() {
        assert_eq!(escaped("<a b=\"&\">\u{1b}\0"), "&lt;a b=&quot;&amp;&quot;&gt;\u{fffd}\u{fffd}");
        assert_eq!(shortened("gruß", 3), "gr…");
    }
}
