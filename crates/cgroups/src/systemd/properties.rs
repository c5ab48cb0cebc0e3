//! Limits as properties of a unit (systemd.resource-control(5); org.freedesktop.systemd1(5)).
//!
//! A property is made of what is written to a file of the cgroup, so that the two cannot differ, and so that
//! `linux.resources.unified` gets properties as well. What systemd has none for is in the files alone, which it then leaves
//! as they are.

use spec::NumberList;

use crate::devices::{Kind, Rule};
use crate::systemd::Value;
use crate::writes::Write;

/// Name and value.
pub type Property = (String, Value);

/// The kernel's default period of the CPU quota, in microseconds.
pub(crate) const DEFAULT_PERIOD: u64 = 100_000;
/// systemd writes the quota into the unit's file in whole percents of a CPU, the same in microseconds for each second.
const QUOTA_STEP: u64 = 10_000;

/// How the text in a file becomes the value of a property.
#[derive(Clone, Copy)]
enum Form {
    /// A number; `max` and -1 are none.
    Number,
    /// `cpu.idle`: 1 is the weight 0, and 0 says nothing.
    Idle,
    /// `cpu.max`: quota and period.
    Quota,
    /// v1's period, on which the quota that follows depends.
    Period,
    /// A number from 2 on, up to the kernel's most shares.
    Shares,
    /// A list of CPUs or nodes.
    List,
    /// `WEIGHT`, `default WEIGHT` or `MAJOR:MINOR WEIGHT`, the last for another property.
    Weight(&'static str),
    /// `MAJOR:MINOR NUMBER`
    Device,
    /// `MAJOR:MINOR KEY=NUMBER…`
    Rates,
}

/// File, property, the systemd that first has it, and the form.
#[rustfmt::skip]
const TABLE: &[(&str, &str, u32, Form)] = &[
    ("memory.max", "MemoryMax", 231, Form::Number),
    ("memory.high", "MemoryHigh", 231, Form::Number),
    ("memory.low", "MemoryLow", 231, Form::Number),
    ("memory.min", "MemoryMin", 240, Form::Number),
    ("memory.swap.max", "MemorySwapMax", 232, Form::Number),
    ("memory.zswap.max", "MemoryZSwapMax", 253, Form::Number),
    ("memory.limit_in_bytes", "MemoryLimit", 0, Form::Number),
    ("cpu.weight", "CPUWeight", 232, Form::Number),
    ("cpu.idle", "CPUWeight", 252, Form::Idle),
    ("cpu.max", "CPUQuotaPerSecUSec", 213, Form::Quota),
    ("cpu.shares", "CPUShares", 0, Form::Shares),
    ("cpu.cfs_period_us", "CPUQuotaPeriodUSec", 242, Form::Period),
    ("cpu.cfs_quota_us", "CPUQuotaPerSecUSec", 213, Form::Quota),
    ("cpuset.cpus", "AllowedCPUs", 244, Form::List),
    ("cpuset.mems", "AllowedMemoryNodes", 244, Form::List),
    ("pids.max", "TasksMax", 227, Form::Number),
    ("io.weight", "IOWeight", 230, Form::Weight("IODeviceWeight")),
    ("io.max", "", 230, Form::Rates),
    ("blkio.weight", "BlockIOWeight", 0, Form::Number),
    ("blkio.weight_device", "BlockIODeviceWeight", 0, Form::Device),
    ("blkio.throttle.read_bps_device", "BlockIOReadBandwidth", 0, Form::Device),
    ("blkio.throttle.write_bps_device", "BlockIOWriteBandwidth", 0, Form::Device),
];

/// The keys of `io.max`.
const RATES: [(&str, &str); 4] = [
    ("rbps", "IOReadBandwidthMax"),
    ("wbps", "IOWriteBandwidthMax"),
    ("riops", "IOReadIOPSMax"),
    ("wiops", "IOWriteIOPSMax"),
];

/// systemd is to enable the controllers and show what is used.
pub(crate) fn accounting(v2: bool) -> Vec<Property> {
    let io = if v2 { "IOAccounting" } else { "BlockIOAccounting" };
    ["CPUAccounting", "MemoryAccounting", "TasksAccounting", io].map(|name| (name.to_owned(), Value::Bool(true))).into()
}

/// The properties for these writes that a systemd of this version has. `period` is the period of the CPU quota where no write
/// sets one, in microseconds.
pub(crate) fn of(writes: &[Write], version: u32, mut period: u64) -> Vec<Property> {
    let mut properties = Vec::new();
    for write in writes {
        // Where there are two files for a limit, systemd's property is like the second: io.weight.
        let or = write.or.as_ref().map(|(file, value)| (file.as_str(), value.as_str()));
        let candidates = [Some((write.file.as_str(), write.value.as_str())), or];
        let row = candidates.into_iter().flatten().find_map(|(file, value)| {
            let row = TABLE.iter().find(|(name, ..)| *name == file);
            row.map(|(_, property, since, form)| (*property, *since, *form, value))
        });
        if let Some((property, since, form, value)) = row
            && since <= version
            // A value that only the kernel understands is in the file alone.
            && let Some(found) = convert(property, form, value.trim(), version, &mut period)
        {
            properties.extend(found);
        }
    }
    properties
}

fn convert(property: &str, form: Form, text: &str, version: u32, period: &mut u64) -> Option<Vec<Property>> {
    let one = |value| Some(vec![(property.to_owned(), value)]);
    match form {
        Form::Number => one(Value::Uint64(number(text)?)),
        Form::Idle => (text == "1").then(|| vec![(property.to_owned(), Value::Uint64(0))]),
        Form::Shares => one(Value::Uint64(number(text)?.clamp(2, 262_144))),
        Form::List => one(Value::Array("y".to_owned(), bits(text)?)),
        Form::Device => one(device(text)?),
        Form::Weight(of_device) if text.contains(':') => Some(vec![(of_device.to_owned(), device(text)?)]),
        Form::Weight(_) => one(Value::Uint64(number(text.strip_prefix("default ").unwrap_or(text))?)),
        Form::Rates => rates(text),
        Form::Period => {
            *period = number(text)?;
            one(Value::Uint64(*period))
        }
        Form::Quota => {
            let (quota, own_period) =
                text.split_once(' ').map_or((text, None), |(quota, period)| (quota, Some(period)));
            let mut found = Vec::new();
            if let Some(own) = own_period {
                *period = number(own)?;
                if version >= 242 {
                    found.push(("CPUQuotaPeriodUSec".to_owned(), Value::Uint64(*period)));
                }
            }
            found.push((property.to_owned(), Value::Uint64(per_second(number(quota)?, *period)?)));
            Some(found)
        }
    }
}

/// The share of each second, in whole steps: less than one step must not become nothing.
fn per_second(quota: u64, period: u64) -> Option<u64> {
    if quota == u64::MAX {
        return Some(u64::MAX);
    }
    quota.checked_mul(1_000_000)?.checked_div(period)?.checked_next_multiple_of(QUOTA_STEP)
}

/// systemd's "infinity" is the largest number. The kernel also takes letters for powers of 1024.
fn number(text: &str) -> Option<u64> {
    if ["max", "-1"].contains(&text) {
        return Some(u64::MAX);
    }
    let shift = match text.bytes().last()?.to_ascii_uppercase() {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => return text.parse().ok(),
    };
    text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Bit n%8 of byte n/8 for the number n.
fn bits(text: &str) -> Option<Vec<Value>> {
    let list = NumberList::try_from(text.to_owned()).ok()?;
    let bytes: Vec<u8> = list.mask().iter().flat_map(|word| word.to_le_bytes()).collect();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Some(bytes[..used].iter().map(|byte| Value::Byte(*byte)).collect())
}

fn device(text: &str) -> Option<Value> {
    let (device, value) = text.split_once(' ')?;
    Some(of_device(device, number(value)?))
}

fn of_device(device: &str, value: u64) -> Value {
    let pair = vec![Value::String(format!("/dev/block/{device}")), Value::Uint64(value)];
    Value::Array("(st)".to_owned(), vec![Value::Struct(pair)])
}

fn rates(text: &str) -> Option<Vec<Property>> {
    let mut words = text.split_ascii_whitespace();
    let device = words.next()?;
    words
        .map(|word| {
            let (key, rate) = word.split_once('=')?;
            let (_, property) = RATES.iter().find(|(name, _)| *name == key)?;
            Some(((*property).to_owned(), of_device(device, number(rate)?)))
        })
        .collect()
}

/// The device rules, for cgroup v1, where systemd writes the same files as we do, and without them would open every device
/// again. What they cannot say they allow: ours are written after them. On v2 each has a program of its own and the kernel
/// asks both, so there systemd needs none.
pub(crate) fn devices(rules: &[Rule]) -> Vec<Property> {
    // The first rule is for everything; what is then denied cannot be said here.
    if rules.first().is_none_or(|ground| ground.allow) {
        return vec![("DevicePolicy".to_owned(), "auto".into())];
    }
    let allowed = rules.iter().filter(|rule| rule.allow).flat_map(|rule| {
        let kinds = rule.kind.map_or_else(|| vec![Kind::Char, Kind::Block], |kind| vec![kind]);
        kinds
            .into_iter()
            .map(|kind| Value::Struct(vec![Value::String(node(rule, kind)), Value::String(rule.letters())]))
    });
    let allowed = Value::Array("(ss)".to_owned(), allowed.collect());
    vec![("DevicePolicy".to_owned(), "strict".into()), ("DeviceAllow".to_owned(), allowed)]
}

/// A device's node, or `char-*` and `char-136` for many devices.
fn node(rule: &Rule, kind: Kind) -> String {
    let name = if kind == Kind::Char { "char" } else { "block" };
    match (rule.major, rule.minor) {
        (Some(major), Some(minor)) => format!("/dev/{name}/{major}:{minor}"),
        (Some(major), None) => format!("{name}-{major}"),
        // Any major with one minor cannot be said.
        (None, _) => format!("{name}-*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices;

    fn write(file: &str, value: &str) -> Write {
        let (file, value, pointer) = (file.to_owned(), value.to_owned(), String::new());
        Write { dir: 0, file, value, or: None, pointer, optional: false }
    }

    /// The properties of one write, as `NAME VALUE`.
    fn shown(file: &str, value: &str, version: u32) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::Uint64(u64::MAX) => "infinity".to_owned(),
            Value::Uint64(number) => number.to_string(),
            Value::Array(_, items) => items
                .iter()
                .map(|item| match item {
                    Value::Byte(byte) => format!("{byte:02x}"),
                    Value::Struct(fields) => format!("{}={:?}", fields[0].as_text().unwrap(), fields[1]),
                    other => format!("{other:?}"),
                })
                .collect(),
            other => format!("{other:?}"),
        };
        of(&[write(file, value)], version, DEFAULT_PERIOD)
            .iter()
            .map(|(name, value)| format!("{name} {}", text(value)))
            .collect()
    }

    #[test]
    fn files_become_properties() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("memory.max", "4096", &["MemoryMax 4096"]),
            ("memory.max", "max", &["MemoryMax infinity"]),
            ("memory.high", "1G", &["MemoryHigh 1073741824"]),
            ("memory.limit_in_bytes", "-1", &["MemoryLimit infinity"]),
            ("cpu.weight", "59", &["CPUWeight 59"]),
            ("cpu.idle", "1", &["CPUWeight 0"]),
            ("cpu.idle", "0", &[]),
            ("cpu.shares", "1", &["CPUShares 2"]),
            ("cpu.max", "50000", &["CPUQuotaPerSecUSec 500000"]),
            ("cpu.max", "50500 100000", &["CPUQuotaPeriodUSec 100000", "CPUQuotaPerSecUSec 510000"]),
            ("cpu.max", "max 20000", &["CPUQuotaPeriodUSec 20000", "CPUQuotaPerSecUSec infinity"]),
            ("cpu.cfs_quota_us", "-1", &["CPUQuotaPerSecUSec infinity"]),
            ("cpuset.cpus", "0-1,9", &["AllowedCPUs 0302"]),
            ("cpuset.mems", "0", &["AllowedMemoryNodes 01"]),
            ("pids.max", "7", &["TasksMax 7"]),
            ("io.weight", "default 50", &["IOWeight 50"]),
            ("io.weight", "8:0 50", &["IODeviceWeight /dev/block/8:0=Uint64(50)"]),
            ("blkio.weight_device", "8:0 50", &["BlockIODeviceWeight /dev/block/8:0=Uint64(50)"]),
            (
                "io.max",
                "8:0 rbps=9 wiops=max",
                &[
                    "IOReadBandwidthMax /dev/block/8:0=Uint64(9)",
                    "IOWriteIOPSMax /dev/block/8:0=Uint64(18446744073709551615)",
                ],
            ),
            ("hugetlb.2MB.max", "0", &[]),
            ("memory.max", "nonsense", &[]),
            ("memory.max", "", &[]),
            ("memory.max", "99999999999T", &[]),
            ("cpu.max", "1 0", &[]),
            ("io.max", "8:0 nonsense", &[]),
        ];
        for (file, value, expected) in cases {
            assert_eq!(shown(file, value, 257), *expected, "{file} {value}");
        }
    }

    #[test]
    fn a_quota_is_a_share_of_its_period() {
        let both = [write("cpu.cfs_period_us", "20000"), write("cpu.cfs_quota_us", "5000")];
        let number = |name: &str, number| (name.to_owned(), Value::Uint64(number));
        let expected = [number("CPUQuotaPeriodUSec", 20_000), number("CPUQuotaPerSecUSec", 250_000)];
        assert_eq!(of(&both, 257, DEFAULT_PERIOD), expected);
        assert_eq!(of(&both[1..], 257, 50_000), [number("CPUQuotaPerSecUSec", 100_000)]);
    }

    #[test]
    fn the_file_that_a_property_is_like_counts() {
        let bfq = Write { or: Some(("io.weight".to_owned(), "4950".to_owned())), ..write("io.bfq.weight", "500") };
        assert_eq!(of(&[bfq], 257, DEFAULT_PERIOD), [("IOWeight".to_owned(), Value::Uint64(4950))]);
    }

    #[test]
    fn an_older_systemd_is_not_asked_for_what_it_does_not_know() {
        assert_eq!(shown("cpuset.cpus", "0", 239), [""; 0]);
        assert_eq!(shown("cpu.max", "50000 100000", 239), ["CPUQuotaPerSecUSec 500000"]);
        assert_eq!(shown("cpu.idle", "1", 249), [""; 0]);
    }

    #[test]
    fn device_rules_are_a_policy_and_a_list() {
        let configured = serde_json::from_value::<Vec<spec::DeviceRule>>(serde_json::json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "r"},
            {"allow": true, "type": "c", "major": 136, "access": "rw"},
        ]));
        let rules = devices::rules(&configured.unwrap(), "").unwrap();
        let properties = super::devices(&rules);
        assert_eq!(properties[0], ("DevicePolicy".to_owned(), "strict".into()));
        let (name, Value::Array(_, list)) = &properties[1] else { panic!("{properties:?}") };
        assert_eq!(name, "DeviceAllow");
        let pair = |node: &str, access: &str| Value::Struct(vec![node.into(), access.into()]);
        for expected in
            [pair("/dev/block/8:0", "r"), pair("char-136", "rw"), pair("char-*", "m"), pair("/dev/char/1:3", "rwm")]
        {
            assert!(list.contains(&expected), "{list:?}");
        }
        let all = serde_json::from_value::<Vec<spec::DeviceRule>>(serde_json::json!([{"allow": true}])).unwrap();
        let properties = super::devices(&devices::rules(&all, "").unwrap());
        assert_eq!(properties, [("DevicePolicy".to_owned(), "auto".into())]);
    }
}
