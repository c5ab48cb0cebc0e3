//! Traces that the runtime under test has written.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

/// A trace in Chrome's format.
#[derive(Debug)]
pub struct Trace(Value);

/// A complete event, times in nanoseconds from the command's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Event {
    pub process: i64,
    pub name: String,
    pub category: String,
    pub begin: u64,
    pub end: u64,
    pub failed: bool,
}

impl Trace {
    /// Reads a file that must be the caller's alone.
    #[track_caller]
    pub fn read(path: &Path) -> Trace {
        let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o7777, 0o600);
        Trace(
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text))),
        )
    }

    /// What it says of itself: `command`, `container`, `error`.
    pub fn about(&self, key: &str) -> &Value {
        &self.0["otherData"][key]
    }

    /// The complete events, in the file's order.
    pub fn events(&self) -> Vec<Event> {
        let events = self.0["traceEvents"].as_array().unwrap();
        events.iter().filter(|event| event["ph"] == "X").map(event).collect()
    }

    /// Those of the runtime, and those of init.
    pub fn by_process(&self) -> (Vec<Event>, Vec<Event>) {
        let events = self.events();
        let runtime = events[0].process;
        events.into_iter().partition(|event| event.process == runtime)
    }

    /// The event whose name begins so.
    #[track_caller]
    pub fn event(&self, name: &str) -> Event {
        let events = self.events();
        let names = || events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>().join("\n");
        events
            .iter()
            .find(|event| event.name.starts_with(name))
            .unwrap_or_else(|| panic!("no {name}:\n{}", names()))
            .clone()
    }
}

fn event(event: &Value) -> Event {
    let nanoseconds = |key: &str| (event[key].as_f64().unwrap() * 1000.0).round() as u64;
    let text = |key: &str| event[key].as_str().unwrap().to_owned();
    Event {
        process: event["pid"].as_i64().unwrap(),
        name: text("name"),
        category: text("cat"),
        begin: nanoseconds("ts"),
        end: nanoseconds("ts") + nanoseconds("dur"),
        failed: event["args"]["failed"] == true,
    }
}

/// Those that no other one contains, which must not overlap.
#[track_caller]
pub fn outermost(events: &[Event]) -> Vec<Event> {
    let mut outermost: Vec<Event> = Vec::new();
    for event in events {
        match outermost.last() {
            Some(last) if event.begin < last.end => assert!(event.end <= last.end, "{event:?} overlaps {last:?}"),
            _ => outermost.push(event.clone()),
        }
    }
    outermost
}
