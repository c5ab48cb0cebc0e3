//! `lightship update`: change the resource limits of a container.
//!
//! The limits are those of config.json, `/linux/resources`, from a file or from flags; either way the engine gets
//! the same document.

use std::io::Read as _;
use std::path::Path;

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::Verb;
use crate::Error;
use crate::args::{container_id, id, option, path, path_option, text};
use crate::global::Global;
use engine::IntelRdtUpdate;

pub(super) const VERB: Verb =
    Verb { name: "update", about: "change the resource limits of a container", arguments, run };

/// What the value of a limit's flag looks like.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Unsigned,
    Signed,
    /// Bytes with an optional k, m, g, t or p (powers of 1024); -1 is no limit.
    Bytes,
}

/// Flag, group and member in `/linux/resources`, and the kind of value.
const LIMITS: &[(&str, &str, &str, Kind, &str)] = &[
    ("blkio-weight", "blockIO", "weight", Kind::Unsigned, "share of block I/O, from 10 to 1000"),
    ("cpu-period", "cpu", "period", Kind::Unsigned, "CPU period in microseconds"),
    ("cpu-quota", "cpu", "quota", Kind::Signed, "CPU time in a period, in microseconds"),
    ("cpu-burst", "cpu", "burst", Kind::Unsigned, "unused CPU time that may be saved up, in microseconds"),
    ("cpu-share", "cpu", "shares", Kind::Unsigned, "share of CPU time against other containers"),
    ("cpu-rt-period", "cpu", "realtimePeriod", Kind::Unsigned, "realtime period in microseconds"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime", Kind::Signed, "realtime in a period, in microseconds"),
    ("cpu-idle", "cpu", "idle", Kind::Signed, "1 runs the container only when the CPU is idle"),
    ("cpuset-cpus", "cpu", "cpus", Kind::Text, "CPUs to use, such as 0-3,6"),
    ("cpuset-mems", "cpu", "mems", Kind::Text, "memory nodes to use"),
    ("memory", "memory", "limit", Kind::Bytes, "memory limit in bytes"),
    ("memory-reservation", "memory", "reservation", Kind::Bytes, "soft memory limit in bytes"),
    ("memory-swap", "memory", "swap", Kind::Bytes, "limit of memory and swap together, in bytes"),
    ("pids-limit", "pids", "limit", Kind::Signed, "most processes at a time; -1 is no limit"),
];

/// Limits the kernel no longer has; callers written for it may still set them.
const REMOVED: [&str; 2] = ["kernel-memory", "kernel-memory-tcp"];

fn arguments(command: Command) -> Command {
    let limits = LIMITS.iter().map(|&(flag, _, _, kind, help)| {
        let limit = option(flag, kind.value_name(), help);
        limit.value_parser(move |text: &str| kind.parse(text))
    });
    command
        .arg(
            path_option("resources", "read the limits, as in config.json, from this file; - is standard input")
                .short('r'),
        )
        .args(limits)
        .args(REMOVED.map(|flag| option(flag, "BYTES", "ignored").hide(true)))
        .arg(option("l3-cache-schema", "SCHEMA", "Intel RDT L3 cache schema"))
        .arg(option("mem-bw-schema", "SCHEMA", "Intel RDT memory bandwidth schema"))
        .arg(id())
}

fn run(global: &Global, arguments: &ArgMatches) -> Result<u8, Error> {
    for flag in REMOVED.iter().filter(|flag| text(arguments, flag).is_some()) {
        log::warn!("--{flag} is ignored: the kernel has no such limit any more");
    }
    let document = match path(arguments, "resources") {
        Some(file) => read(&file)?,
        None => from_flags(arguments).to_string().into_bytes(),
    };
    let resources = spec::Resources::from_bytes(&document)?;
    let intel_rdt = IntelRdtUpdate {
        l3_cache_schema: text(arguments, "l3-cache-schema").map(str::to_owned),
        mem_bw_schema: text(arguments, "mem-bw-schema").map(str::to_owned),
    };
    global.runtime().update(container_id(arguments), &resources, &intel_rdt)?;
    Ok(0)
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| Error::File { verb: "read", path: file.to_owned(), error: error.into() };
    let mut document = Vec::new();
    // One byte more than is parsed: the file may be a device without an end.
    let limit = spec::MAX_SIZE as u64 + 1;
    if file.as_os_str() == "-" {
        std::io::stdin().take(limit).read_to_end(&mut document).map_err(failed)?;
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut document)).map_err(failed)?;
    }
    Ok(document)
}

fn from_flags(arguments: &ArgMatches) -> Value {
    let mut resources = json!({});
    for (flag, group, member, ..) in LIMITS {
        if let Some(value) = arguments.get_one::<Value>(flag) {
            resources[group][member] = value.clone();
        }
    }
    resources
}

impl Kind {
    fn value_name(self) -> &'static str {
        match self {
            Self::Text => "LIST",
            Self::Unsigned | Self::Signed => "N",
            Self::Bytes => "BYTES",
        }
    }

    fn parse(self, text: &str) -> Result<Value, &'static str> {
        match self {
            Self::Text => Ok(text.into()),
            Self::Unsigned => text.parse::<u64>().map(Value::from).map_err(|_| "want a whole number"),
            Self::Signed => text.parse::<i64>().map(Value::from).map_err(|_| "want a whole number"),
            Self::Bytes => bytes(text).map(Value::from).ok_or("want bytes, such as 512m or 1073741824, or -1"),
        }
    }
}

fn bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches('b').trim_end_matches('i');
    let unit = number.chars().last().and_then(|letter| "kmgtp".find(letter));
    let (digits, shift) = unit.map_or((number, 0), |unit| (&number[..number.len() - 1], 10 * (unit + 1)));
    let count: i64 = digits.parse().ok().filter(|count| *count >= 0)?;
    count.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("1073741824", Some(1 << 30)),
            ("512m", Some(512 << 20)),
            ("1GiB", Some(1 << 30)),
            ("2kb", Some(2048)),
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("-2", None),
            ("", None),
            ("m", None),
            ("1x", None),
            ("9223372036854775807k", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn flags_make_the_document_of_config_json() {
        let command = arguments(Command::new("update").no_binary_name(true));
        let words = ["--memory=1g", "--memory-swap=-1", "--cpu-quota=-1", "--cpuset-cpus=0-1", "--pids-limit=0", "c"];
        assert_eq!(
            from_flags(&command.get_matches_from(words)),
            json!({
                "memory": { "limit": 1 << 30, "swap": -1 },
                "cpu": { "quota": -1, "cpus": "0-1" },
                "pids": { "limit": 0 },
            })
        );
    }
}
