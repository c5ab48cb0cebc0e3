//! `lightship update`: change the resource limits of a container.
//!
//! The limits are those of config.json, `/linux/resources`, from a file or from flags; either way the engine gets
//! the same document.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::Verb;
use crate::Error;
use crate::args::{Argument, Arguments, ID, number, option, path_option};
use crate::global::Global;
use engine::IntelRdtUpdate;

pub(super) const VERB: Verb = Verb {
    name: "update",
    about: "change the resource limits of a container",
    arguments: &[&[RESOURCES], &LIMIT_FLAGS, REMOVED, &[L3_CACHE_SCHEMA, MEM_BW_SCHEMA, ID]],
    run,
};

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
const LIMITS: &[(Argument, &str, &str, Kind)] = &[
    (option("blkio-weight", "N", "share of block I/O, from 10 to 1000"), "blockIO", "weight", Kind::Unsigned),
    (option("cpu-period", "N", "CPU period in microseconds"), "cpu", "period", Kind::Unsigned),
    (option("cpu-quota", "N", "CPU time in a period, in microseconds"), "cpu", "quota", Kind::Signed),
    (option("cpu-burst", "N", "unused CPU time that may be saved up, in microseconds"), "cpu", "burst", Kind::Unsigned),
    (option("cpu-share", "N", "share of CPU time against other containers"), "cpu", "shares", Kind::Unsigned),
    (option("cpu-rt-period", "N", "realtime period in microseconds"), "cpu", "realtimePeriod", Kind::Unsigned),
    (option("cpu-rt-runtime", "N", "realtime in a period, in microseconds"), "cpu", "realtimeRuntime", Kind::Signed),
    (option("cpu-idle", "N", "1 runs the container only when the CPU is idle"), "cpu", "idle", Kind::Signed),
    (option("cpuset-cpus", "LIST", "CPUs to use, such as 0-3,6"), "cpu", "cpus", Kind::Text),
    (option("cpuset-mems", "LIST", "memory nodes to use"), "cpu", "mems", Kind::Text),
    (option("memory", "BYTES", "memory limit in bytes"), "memory", "limit", Kind::Bytes),
    (option("memory-reservation", "BYTES", "soft memory limit in bytes"), "memory", "reservation", Kind::Bytes),
    (option("memory-swap", "BYTES", "limit of memory and swap together, in bytes"), "memory", "swap", Kind::Bytes),
    (option("pids-limit", "N", "most processes at a time; -1 is no limit"), "pids", "limit", Kind::Signed),
];

/// Limits the kernel no longer has; callers written for it may still set them.
const REMOVED: &[Argument] =
    &[option("kernel-memory", "BYTES", "ignored").hidden(), option("kernel-memory-tcp", "BYTES", "ignored").hidden()];

const RESOURCES: Argument =
    path_option("resources", "read the limits, as in config.json, from this file; - is standard input").short('r');
const L3_CACHE_SCHEMA: Argument = option("l3-cache-schema", "SCHEMA", "Intel RDT L3 cache schema");
const MEM_BW_SCHEMA: Argument = option("mem-bw-schema", "SCHEMA", "Intel RDT memory bandwidth schema");

/// The flags of [`LIMITS`].
const LIMIT_FLAGS: [Argument; LIMITS.len()] = {
    let mut flags = [LIMITS[0].0; LIMITS.len()];
    let mut place = 1;
    while place < flags.len() {
        flags[place] = LIMITS[place].0;
        place += 1;
    }
    flags
};

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    for flag in REMOVED.iter().filter(|flag| arguments.flag(flag)) {
        log::warn!("--{} is ignored: the kernel has no such limit any more", flag.name);
    }
    let flags = from_flags(arguments)?;
    let document = match arguments.path(&RESOURCES) {
        Some(file) => read(&file)?,
        None => flags.to_string().into_bytes(),
    };
    let resources = spec::Resources::from_bytes(&document)?;
    let intel_rdt = IntelRdtUpdate {
        l3_cache_schema: arguments.text(&L3_CACHE_SCHEMA).map(str::to_owned),
        mem_bw_schema: arguments.text(&MEM_BW_SCHEMA).map(str::to_owned),
    };
    global.runtime().update(arguments.container(), &resources, &intel_rdt)?;
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

fn from_flags(arguments: &Arguments) -> Result<Value, Error> {
    let mut resources = json!({});
    for (flag, group, member, kind) in LIMITS {
        if let Some(value) = arguments.parse(flag, |text| kind.parse(text))? {
            resources[group][member] = value;
        }
    }
    Ok(resources)
}

impl Kind {
    fn parse(self, text: &str) -> Result<Value, &'static str> {
        match self {
            Self::Text => Ok(text.into()),
            Self::Unsigned => number::<u64>(text).map(Value::from),
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
    use crate::command_line::tests::accepted;

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
        let line = "update --memory=1g --memory-swap=-1 --cpu-quota=-1 --cpuset-cpus=0-1 --pids-limit=0 c";
        let (.., arguments) = accepted(line);
        assert_eq!(
            from_flags(&arguments).unwrap(),
            json!({
                "memory": { "limit": 1 << 30, "swap": -1 },
                "cpu": { "quota": -1, "cpus": "0-1" },
                "pids": { "limit": 0 },
            })
        );
    }
}
