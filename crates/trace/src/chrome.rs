//! The Trace Event Format ("JSON Object Format"), which ui.perfetto.dev and chrome://tracing open.

use std::io::Write;

use serde_json::{Value, json};

use crate::{Kind, Process, Span, Timeline};

impl Timeline {
    /// As JSON, one event a line: the processes' names, then a complete event (`"ph":"X"`) for each span, with `ts` and `dur` in
    /// microseconds from the command's beginning, which `otherData.began` has in nanoseconds since the epoch.
    pub fn to_chrome(&self) -> Vec<u8> {
        let (name, began) = self.whole().map_or(("", 0), |whole| (whole.name.as_str(), whole.begin));
        let about = json!({"container": self.container, "command": name, "began": began, "error": self.error});
        let mut events = vec![self.name_of(Process::Runtime, name)];
        let mut last = Process::Runtime;
        for span in &self.spans {
            if span.process != last {
                last = span.process;
                events.push(self.name_of(last, "init"));
            }
            events.push(self.event(span, began));
        }
        let events: Vec<String> = events.iter().map(Value::to_string).collect();
        let mut file = Vec::new();
        // Writing to a Vec does not fail.
        let _ = write!(
            file,
            "{{\"displayTimeUnit\":\"ms\",\"otherData\":{about},\"traceEvents\":[\n{}\n]}}\n",
            events.join(",\n")
        );
        file
    }

    fn name_of(&self, process: Process, name: &str) -> Value {
        let id = self.id(process);
        json!({"ph": "M", "name": "process_name", "pid": id, "tid": id, "args": {"name": name}})
    }

    fn event(&self, span: &Span, began: u64) -> Value {
        let id = self.id(span.process);
        let micros = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let mut event = json!({
            "ph": "X", "name": span.name, "cat": category(span.kind), "pid": id, "tid": id,
            "ts": micros(span.begin.saturating_sub(began)), "dur": micros(span.duration()),
        });
        if span.failed {
            event["args"] = json!({"failed": true});
        }
        event
    }

    fn id(&self, process: Process) -> i64 {
        match process {
            Process::Runtime => self.runtime.into(),
            Process::Init(id) => id.into(),
        }
    }
}

fn category(kind: Kind) -> &'static str {
    match kind {
        Kind::Step => "step",
        Kind::Hook => "hook",
        Kind::Wait => "wait",
        Kind::Program => "program",
    }
}

#[cfg(test)]
mod tests {
    use crate::timeline::example;

    #[test]
    fn the_example_is_the_golden_file() {
        let text = String::from_utf8(example().to_chrome()).unwrap();
        assert_eq!(text, include_str!("example.json"));
    }
}
