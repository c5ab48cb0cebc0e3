//! Lines of a `schemata` file, as `L3:0=7f0;1=1f` and `MB:0=20;1=70`: a resource, and for each of its domains a value.

use std::collections::BTreeMap;

/// Values by resource and domain.
type Settings = BTreeMap<(String, u32), u64>;

/// The first of the lines that `file`, the text of a `schemata` file, does not have in force; `granularity` is the step that the
/// kernel rounds bandwidths up to. A domain that the lines do not name may have any value.
pub(crate) fn missing<'a>(lines: impl Iterator<Item = &'a String>, file: &str, granularity: u64) -> Option<String> {
    let there: Settings = file.lines().filter_map(settings).flatten().collect();
    let mut wanted = Settings::new();
    for line in lines {
        // What cannot be read cannot be in force either.
        let Some(settings) = settings(line) else { return Some(line.clone()) };
        wanted.extend(settings);
    }
    let differs = |((resource, domain), value): (&(String, u32), &u64)| {
        let in_force = there.get(&(resource.clone(), *domain)).copied();
        let rounded = value.checked_next_multiple_of(granularity).filter(|_| is_bandwidth(resource));
        let same = in_force == Some(*value) || rounded.is_some() && in_force == rounded;
        let text = if is_bandwidth(resource) { value.to_string() } else { format!("{value:x}") };
        (!same).then(|| format!("{resource}:{domain}={text}"))
    };
    wanted.iter().find_map(differs)
}

/// Bandwidths are decimal and everything else is a hexadecimal bit mask.
fn is_bandwidth(resource: &str) -> bool {
    resource.contains("MB")
}

fn settings(line: &str) -> Option<Settings> {
    let (resource, domains) = line.trim().split_once(':')?;
    let radix = if is_bandwidth(resource) { 10 } else { 16 };
    let setting = |domain: &str| {
        let (number, value) = domain.split_once('=')?;
        let value = u64::from_str_radix(value.trim().trim_start_matches("0x"), radix).ok()?;
        Some(((resource.to_owned(), number.trim().parse().ok()?), value))
    };
    domains.split(';').map(setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "    L3:0=7f0;1=1f\n    MB:0= 20;1= 70\n";

    fn missing_in(lines: &[&str], file: &str) -> Option<String> {
        missing(lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>().iter(), file, 10)
    }

    #[test]
    fn equal_is_by_value_and_not_by_text() {
        for lines in [
            &["L3:0=7f0;1=1f", "MB:0=20;1=70"][..],
            &["L3:1=01f;0=0x7f0"],
            &["MB:1=70"],
            // Rounded up by the kernel.
            &["MB:0=11"],
            // The later line is the one that counts.
            &["L3:0=f", "L3:0=7f0"],
            &[],
        ] {
            assert_eq!(missing_in(lines, FILE), None, "{lines:?}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        for (line, text) in [
            ("L3:0=7f1", "L3:0=7f1"),
            ("L3:0=7f0;2=1", "L3:2=1"),
            ("MB:0=21", "MB:0=21"),
            ("L2:0=f", "L2:0=f"),
            ("L3:nonsense", "L3:nonsense"),
            ("L3:0=18446744073709551616f", "L3:0=18446744073709551616f"),
        ] {
            assert_eq!(missing_in(&[line], FILE).as_deref(), Some(text));
        }
        let huge = format!("MB:0={}", u64::MAX);
        assert_eq!(missing_in(&[&huge], FILE), Some(huge.clone()));
    }
}
