//! From `linux.cgroupsPath` and the annotations to a unit: pure.

use std::collections::BTreeMap;

use spec::Refusal;

use super::properties::Property;
use super::{Instance, Unit, gvariant};
use crate::plan::CGROUPS_PATH;
use crate::systemd::Value;

/// Annotations that are properties of the unit: `org.systemd.property.TimeoutStopUSec`.
const ANNOTATION: &str = "org.systemd.property.";
/// The longest name of a unit (systemd.unit(5)).
const LONGEST_NAME: usize = 255;

/// The unit that is to hold a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitPlan {
    /// Its name and its systemd.
    pub unit: Unit,
    /// Its cgroup, below the mount points.
    pub path: String,
    /// Which properties its systemd knows.
    pub version: u32,
    /// Its properties, in order; of two with the same name the later one counts.
    pub properties: Vec<Property>,
}

/// Plans the unit for the container `id`. `SLICE:PREFIX:NAME` is the scope `PREFIX-NAME.scope` in the slice; a NAME that ends in
/// `.slice` is that slice itself. Without a path it is `lightship-ID.scope` in the instance's default slice.
///
/// # Errors
/// A path that is not of that form, a name that systemd does not allow, an annotation that cannot be read.
pub(crate) fn plan(
    path: Option<&str>,
    id: &str,
    annotations: &BTreeMap<String, String>,
    instance: &Instance,
) -> Result<UnitPlan, Refusal> {
    let path = path.filter(|path| !path.is_empty());
    let parts: Vec<&str> = path.map_or_else(|| vec!["", "lightship", id], |path| path.split(':').collect());
    let [slice, prefix, name] = parts[..] else {
        let text = path.unwrap_or_default().escape_default();
        return Err(Refusal::new(
            CGROUPS_PATH,
            format!(
                "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"{text}\" instead"
            ),
            "write it as system.slice:lightship:web, or leave out --systemd-cgroup",
        ));
    };
    let slice = match slice {
        "" if instance.user => "user.slice",
        "" => "system.slice",
        slice => slice,
    };
    let slices = expand_slice(slice)?;
    let unit = unit_name(prefix, name)?;
    let mut properties = vec![("Description".to_owned(), Value::String(format!("container {id}")))];
    let below = match unit.ends_with(".slice") {
        true => expand_slice(&unit)?,
        false => {
            properties.extend(scope_properties(slice));
            format!("{slices}/{unit}")
        }
    };
    properties.push(("DefaultDependencies".to_owned(), Value::Bool(false)));
    properties.extend(annotated(annotations)?);
    let path = format!("{}{below}", instance.control_group);
    let unit = Unit { name: unit, user: instance.user };
    Ok(UnitPlan { unit, path, version: instance.version, properties })
}

/// What makes a scope the container's own: its cgroup is for us to fill, and a failed one leaves nothing behind.
fn scope_properties(slice: &str) -> [Property; 3] {
    [
        ("Slice".to_owned(), slice.into()),
        ("Delegate".to_owned(), Value::Bool(true)),
        ("CollectMode".to_owned(), "inactive-or-failed".into()),
    ]
}

fn unit_name(prefix: &str, name: &str) -> Result<String, Refusal> {
    let unit = match (prefix, name) {
        (_, "") => return Err(refused(name, "is no name of a unit", "put a name after the second colon")),
        (_, slice) if slice.ends_with(".slice") => slice.to_owned(),
        ("", name) => format!("{name}.scope"),
        (prefix, name) => format!("{prefix}-{name}.scope"),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\".contains(&byte);
    if !unit.bytes().all(allowed) {
        let remedy = "use letters, digits and :-_.\\ in the container's id, or in cgroupsPath";
        return Err(refused(&unit, "is no name of a unit", remedy));
    }
    if unit.len() > LONGEST_NAME {
        return Err(refused(&unit, "is longer than 255 bytes", "use a shorter name"));
    }
    Ok(unit)
}

/// The path of a slice: `a-b.slice` is in `a.slice` (systemd.slice(5)), and `-.slice` is the root.
fn expand_slice(slice: &str) -> Result<String, Refusal> {
    let remedy = "write it as in system.slice or a-b.slice";
    let name = slice.strip_suffix(".slice").ok_or_else(|| refused(slice, "is no name of a slice", remedy))?;
    if name == "-" {
        return Ok(String::new());
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\".contains(&byte);
    if !name.bytes().all(allowed) || name.split('-').any(str::is_empty) || slice.len() > LONGEST_NAME {
        return Err(refused(slice, "is no name of a slice", remedy));
    }
    let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
    Ok(ends.map(|end| format!("/{}.slice", &name[..end])).collect())
}

fn refused(name: &str, problem: &str, remedy: &str) -> Refusal {
    Refusal::new(CGROUPS_PATH, format!("\"{}\" {problem}", name.escape_default()), remedy)
}

/// The properties that annotations ask for. A time may be given in seconds, as in unit files: `TimeoutStopSec` is
/// `TimeoutStopUSec`, a million times as much.
fn annotated(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, Refusal> {
    let ours = annotations.iter().filter_map(|(key, text)| Some((key, key.strip_prefix(ANNOTATION)?, text)));
    ours.map(|(key, name, text)| {
        let refused = |problem: &str, remedy| {
            let pointer = format!("/annotations/{}", key.replace('~', "~0").replace('/', "~1"));
            Refusal::new(pointer, format!("\"{}\" {problem}", text.escape_default()), remedy)
        };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(refused("is for no property", "name one of systemd's D-Bus properties, letters alone"));
        }
        if let Some(stem) = name.strip_suffix("Sec").filter(|stem| !stem.ends_with('U')) {
            let usec =
                microseconds(text).ok_or_else(|| refused("is no number of seconds", "write it as in 5 or 1.5"))?;
            return Ok((format!("{stem}USec"), Value::Uint64(usec)));
        }
        let remedy = "write it in GVariant's text format: 'text', 5, uint64 5, true, ['a', 'b']";
        Ok((name.to_owned(), gvariant::parse(text).map_err(|problem| refused(problem, remedy))?))
    })
    .collect()
}

/// Seconds, with or without the word for a type before them.
fn microseconds(text: &str) -> Option<u64> {
    let number: f64 = text.split_ascii_whitespace().last()?.parse().ok()?;
    let usec = number * 1e6;
    (0.0..u64::MAX as f64).contains(&usec).then_some(usec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(path: Option<&str>, user: bool) -> Result<UnitPlan, Refusal> {
        let control_group = if user { "/user.slice/user-5.slice/user@5.service" } else { "" };
        let instance = Instance { user, control_group: control_group.to_owned(), version: 257 };
        plan(path, "c1", &BTreeMap::new(), &instance)
    }

    #[test]
    fn paths_become_units() {
        for (path, unit, cgroup) in [
            (None, "lightship-c1.scope", "/system.slice/lightship-c1.scope"),
            (Some(""), "lightship-c1.scope", "/system.slice/lightship-c1.scope"),
            (Some(":docker:f00"), "docker-f00.scope", "/system.slice/docker-f00.scope"),
            (Some("a-b-c.slice:p:n"), "p-n.scope", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"),
            (Some("-.slice:p:n"), "p-n.scope", "/p-n.scope"),
            (Some("system.slice::n"), "n.scope", "/system.slice/n.scope"),
            (Some("a.slice:p:a-b.slice"), "a-b.slice", "/a.slice/a-b.slice"),
        ] {
            let plan = planned(path, false).unwrap();
            assert_eq!((plan.unit.name.as_str(), plan.path.as_str()), (unit, cgroup), "{path:?}");
        }
        let plan = planned(None, true).unwrap();
        assert_eq!(plan.path, "/user.slice/user-5.slice/user@5.service/user.slice/lightship-c1.scope");
    }

    #[test]
    fn other_paths_are_refused() {
        for path in [
            "/docker/c1",
            "a:b",
            "a.slice:b:c:d",
            "a:b:c",
            "a--b.slice:p:n",
            "-a.slice:p:n",
            "a-.slice:p:n",
            ".slice:p:n",
            "a/b.slice:p:n",
            "a.slice:p:",
            "a.slice:p:n/m",
            "a.slice:p:../n",
            "a.slice:p:n n",
            "a.slice:p:é",
        ] {
            assert_eq!(planned(Some(path), false).unwrap_err().pointer, CGROUPS_PATH, "{path}");
        }
        assert!(planned(Some(&format!("a.slice:p:{}", "n".repeat(255))), false).is_err());
    }

    #[test]
    fn a_slice_is_not_given_what_only_a_scope_has() {
        let names = |path| {
            let properties = planned(Some(path), false).unwrap().properties;
            properties.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names("a.slice:p:n"), ["Description", "Slice", "Delegate", "CollectMode", "DefaultDependencies"]);
        assert_eq!(names("a.slice:p:a-n.slice"), ["Description", "DefaultDependencies"]);
    }

    #[test]
    fn annotations_become_properties() {
        let all = |pairs: &[(&str, &str)]| {
            annotated(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        let one = |name: &str, text: &str| all(&[(&format!("{ANNOTATION}{name}"), text)]);
        assert_eq!(all(&[("other", "[")]), Ok(Vec::new()));
        for (name, text, expected, value) in [
            ("TimeoutStopUSec", "uint64 5", "TimeoutStopUSec", Value::Uint64(5)),
            ("TimeoutStopSec", "5", "TimeoutStopUSec", Value::Uint64(5_000_000)),
            ("TimeoutStopSec", "uint64 5", "TimeoutStopUSec", Value::Uint64(5_000_000)),
            ("TimeoutStopSec", "1.5", "TimeoutStopUSec", Value::Uint64(1_500_000)),
            ("SendSIGHUP", "true", "SendSIGHUP", Value::Bool(true)),
            ("After", "['a.service']", "After", Value::strings(&["a.service"])),
        ] {
            assert_eq!(one(name, text), Ok(vec![(expected.to_owned(), value)]), "{name}");
        }
        for (name, text) in [("", "5"), ("A-B", "5"), ("TimeoutStopSec", "-1"), ("TimeoutStopSec", "x"), ("After", "[")]
        {
            assert_eq!(one(name, text).unwrap_err().pointer, format!("/annotations/{ANNOTATION}{name}"), "{text}");
        }
    }
}
