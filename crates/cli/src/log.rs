//! The log: the file a container engine reads the reason of a failure from, or standard error.
//!
//! A record is one line and one write, because several runtimes append to the same file. containerd takes the last
//! record of level `error`, so [`report`] writes exactly one for a command that fails.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::SystemTime;

use log::{Level, LevelFilter, Metadata, Record};

use crate::Error;
use crate::args::{Argument, Arguments, option, path_option, switch};

/// What the command line says about the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// The file to append to; standard error if absent.
    pub file: Option<PathBuf>,
    /// How a record is written.
    pub format: Format,
    /// The least severe level to write, when the command line says one.
    pub level: Option<LevelFilter>,
}

/// How a record is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `time="..." level=error msg="..."`
    #[default]
    Text,
    /// `{"level":"error","msg":"...","time":"..."}`
    Json,
}

pub(crate) const ARGUMENTS: &[Argument] = &[FILE, FORMAT, LEVEL, DEBUG];

const FILE: Argument = path_option("log", "append errors and warnings to this file");
const FORMAT: Argument = option("log-format", "FORMAT", "how the log is written").values(&["text", "json"]);
const LEVEL: Argument = option("log-level", "LEVEL", "the least severe level to log [default: warning]")
    .values(&["error", "warning", "warn", "info", "debug", "trace"]);
const DEBUG: Argument = switch("debug", "the same as --log-level debug");

impl From<&Arguments> for LogOptions {
    fn from(arguments: &Arguments) -> Self {
        Self {
            file: arguments.path(&FILE),
            format: match arguments.text(&FORMAT) {
                Some("json") => Format::Json,
                _ => Format::Text,
            },
            level: match arguments.text(&LEVEL) {
                Some("error") => Some(LevelFilter::Error),
                Some("warning" | "warn") => Some(LevelFilter::Warn),
                Some("info") => Some(LevelFilter::Info),
                Some("debug") => Some(LevelFilter::Debug),
                Some("trace") => Some(LevelFilter::Trace),
                _ => arguments.flag(&DEBUG).then_some(LevelFilter::Debug),
            },
        }
    }
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Opens the log, so that it exists from the first command on, and makes it the program's.
pub fn open(options: &LogOptions) -> Result<(), Error> {
    let file = match &options.file {
        None => None,
        Some(path) => {
            let opened = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
            Some(opened.map_err(|error| Error::File {
                verb: "open the log",
                path: path.clone(),
                error: error.into(),
            })?)
        }
    };
    // Engines read standard error as part of the answer: nothing but the failure goes there unasked.
    let unasked = if file.is_some() { LevelFilter::Warn } else { LevelFilter::Off };
    log::set_max_level(options.level.unwrap_or(unasked));
    let log = LOG.get_or_init(|| Log { file, format: options.format });
    // A second call keeps the first log; the program makes one.
    let _ = log::set_logger(log);
    Ok(())
}

/// Reports why the command failed: one line on standard error, one record in the log file.
pub fn report(error: &Error) {
    let message = printable(&error.to_string());
    if let Some(Log { file: Some(file), format }) = LOG.get() {
        append(file, &line(*format, Level::Error, &message, SystemTime::now()));
    }
    let _ = io::stderr().write_all(format!("{message}\n").as_bytes());
}

struct Log {
    file: Option<File>,
    format: Format,
}

impl log::Log for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = line(self.format, record.level(), &printable(&record.args().to_string()), SystemTime::now());
        match &self.file {
            Some(file) => append(file, &line),
            None => {
                let _ = io::stderr().write_all(line.as_bytes());
            }
        }
    }

    fn flush(&self) {}
}

/// A log that cannot be written leaves nowhere to say so, and is no reason to stop the command.
fn append(mut file: &File, line: &str) {
    let _ = file.write(line.as_bytes());
}

/// `text` with control characters escaped: a path or a hook's output made in a container must neither forge a
/// record nor reach the terminal as a command.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// One record with its newline.
fn line(format: Format, level: Level, message: &str, time: SystemTime) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let time = state::rfc3339(time);
    let mut line = String::with_capacity(message.len() + 80);
    // Writing to a String does not fail.
    let _ = match format {
        Format::Text => writeln!(line, "time=\"{time}\" level={level} msg={message:?}"),
        Format::Json => {
            let message = serde_json::Value::from(message);
            writeln!(line, "{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"}}")
        }
    };
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_record_is_one_line_with_three_keys() {
        let message = printable("exec: \"x\": not found\nlevel=error\u{1b}[2J caf\u{e9}");
        let line = line(Format::Json, Level::Error, &message, SystemTime::UNIX_EPOCH);
        assert_eq!(line.matches('\n').count(), 1);
        let record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        assert_eq!(record.len(), 3);
        assert_eq!(record["level"], "error");
        assert_eq!(record["msg"], "exec: \"x\": not found\\nlevel=error\\u{1b}[2J caf\u{e9}");
        assert_eq!(record["time"], "1970-01-01T00:00:00.000000000Z");
    }

    #[test]
    fn a_text_record_quotes_its_message() {
        assert_eq!(
            line(Format::Text, Level::Warn, "no \"x\" here", SystemTime::UNIX_EPOCH),
            "time=\"1970-01-01T00:00:00.000000000Z\" level=warning msg=\"no \\\"x\\\" here\"\n"
        );
    }

    #[test]
    fn trailing_newlines_are_not_part_of_the_message() {
        assert_eq!(printable("failed\n"), "failed");
    }
}
