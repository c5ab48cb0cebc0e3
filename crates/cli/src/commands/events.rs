//! `lightship events`: statistics and out-of-memory events of a container, one JSON object a line.

use std::time::Duration;

use super::Verb;
use crate::args::{ANY, Argument, Arguments, option, switch};
use crate::global::Global;
use crate::{Error, output};

pub(super) const VERB: Verb = Verb {
    name: "events",
    about: "print statistics and events of a container",
    arguments: &[&[INTERVAL, STATS, ANY]],
    run,
};

const INTERVAL: Argument = option("interval", "TIME", "time between statistics [default: 5s]");
const STATS: Argument = switch("stats", "print the statistics once and return");

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let (runtime, id) = global.locate(arguments.container())?;
    let interval = arguments.parse(&INTERVAL, duration)?.unwrap_or(Duration::from_secs(5));
    if arguments.flag(&STATS) {
        output::print_json_line(&runtime.stats(&id)?)?;
        return Ok(0);
    }
    let mut printed = Ok(());
    runtime.events(&id, interval, &mut |event| {
        printed = output::print_json_line(event);
        printed.is_ok()
    })?;
    printed.map(|()| 0)
}

/// A time as Go writes it: `5s`, `1m30s`, `500ms`; a bare number is seconds. Zero would never rest.
fn duration(text: &str) -> Result<Duration, &'static str> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    const WANTED: &str = "want a time like 5s, 1m30s or 500ms, and not zero";
    let mut milliseconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| WANTED)?;
        let tail = &rest[digits..];
        let unit = UNITS.iter().find_map(|(name, factor)| Some((tail.strip_prefix(name)?, *factor)));
        let (after, factor) = match unit {
            Some(found) => found,
            None if digits == text.len() => ("", 1_000),
            None => return Err(WANTED),
        };
        milliseconds = number.checked_mul(factor).and_then(|part| milliseconds.checked_add(part)).ok_or(WANTED)?;
        rest = after;
    }
    if milliseconds == 0 { Err(WANTED) } else { Ok(Duration::from_millis(milliseconds)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [
            ("5s", Some(5_000)),
            ("5", Some(5_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1h", Some(3_600_000)),
            ("1m30", None),
            ("0s", None),
            ("", None),
            ("s", None),
            ("-5s", None),
            ("5x", None),
            ("99999999999999999999s", None),
            ("9999999999999999999h", None),
        ] {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text:?}");
        }
    }
}
