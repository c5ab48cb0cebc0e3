//! From the limits of a configuration to writes in the directories of a host.

use spec::{Refusal, Resources};

use crate::limits::{Limit, Place, Setting, TABLE, below};
use crate::record::{Dir, Version};

/// A write, in the order in which it is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Index of the directory in the plan or the record.
    pub dir: usize,
    /// The file in it.
    pub file: String,
    /// The text, written with a single `write(2)`.
    pub value: String,
    /// File and value to use on a kernel that does not have the file.
    pub or: Option<(String, String)>,
    /// JSON pointer of the property.
    pub pointer: String,
    /// Whether a kernel that does not take it is no error.
    pub optional: bool,
}

/// What a configuration's limits come to on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lowered {
    /// The writes, in order.
    pub writes: Vec<Write>,
    /// v2 controllers that a write needs, each with the JSON pointer of the first that does.
    pub needs: Vec<(String, String)>,
    /// What is left out, and why.
    pub warnings: Vec<String>,
}

/// The remedy for a controller that there is no directory for.
pub(crate) const ENABLE: &str = "enable or mount it on the host, or drop the limit";
const NO_UNIFIED: &str = "unified is for cgroup v2; use the named properties on a cgroup v1 host";
const NO_FILE: &str = "write CONTROLLER.NAME, as in memory.high";

/// Lowers limits to writes in the directories given. `base` is the JSON pointer of the resources object.
///
/// # Errors
/// A limit whose controller no directory has, that its version of cgroups cannot express, or that makes no sense.
pub fn lower(resources: &Resources, dirs: &[Dir], base: &str) -> Result<Lowered, Refusal> {
    let mut lowered = Lowered::default();
    for limit in TABLE {
        lower_limit(limit, resources, dirs, base, &mut lowered).map_err(|refusal| below(base, refusal))?;
    }
    lower_unified(resources, dirs, base, &mut lowered).map_err(|refusal| below(base, refusal))?;
    Ok(lowered)
}

fn lower_limit(
    limit: &Limit,
    resources: &Resources,
    dirs: &[Dir],
    base: &str,
    lowered: &mut Lowered,
) -> Result<(), Refusal> {
    let asked = match limit.v1 {
        Place::File(_, _, values) => values(resources).map_err(|refusal| below(limit.pointer, refusal))?,
        _ => Vec::new(),
    };
    if asked.is_empty() && !matches!(limit.v2, Place::File(..)) {
        return Ok(());
    }
    let at = |settings: &[Setting]| {
        format!("{}{}", limit.pointer, settings.first().map_or("", |setting| setting.sub.as_str()))
    };
    if let Place::File(controller, file, _) = limit.v1
        && let Some(dir) = position(dirs, Version::V1, controller)
    {
        push(lowered, dir, file, limit.pointer, base, asked);
        return Ok(());
    }
    match limit.v2 {
        Place::File(controller, file, values) => {
            let settings = values(resources).map_err(|refusal| below(limit.pointer, refusal))?;
            if settings.is_empty() {
                return Ok(());
            }
            let Some(dir) = position(dirs, Version::V2, controller) else {
                // In a cpuset 0 is a CPU.
                if controller != "cpuset" && settings.iter().all(asks_for_nothing) {
                    let why = format!("cgroup controller \"{controller}\" is not available");
                    lowered.warnings.push(format!("{base}{}: left out: {why}", at(&settings)));
                    return Ok(());
                }
                return Err(no_controller(at(&settings), controller));
            };
            need(lowered, controller, format!("{base}{}", at(&settings)));
            push(lowered, dir, file, limit.pointer, base, settings);
        }
        Place::Implied(_) => {}
        Place::Ignored(why) => lowered.warnings.push(format!("{base}{}: left out: {why}", at(&asked))),
        // A host with v1 hierarchies could have the controller there.
        Place::Refused(_) if dirs.iter().any(|dir| dir.version == Version::V1) => {
            let controller = if let Place::File(controller, _, _) = limit.v1 { controller } else { "" };
            return Err(no_controller(at(&asked), controller));
        }
        Place::Refused(remedy) => {
            return Err(Refusal::new(at(&asked), "not supported by the cgroup hierarchies of this host", remedy));
        }
    }
    Ok(())
}

/// `unified` names v2 files itself; they are written last and win.
fn lower_unified(resources: &Resources, dirs: &[Dir], base: &str, lowered: &mut Lowered) -> Result<(), Refusal> {
    for (file, value) in &resources.unified {
        let pointer = format!("/unified/{}", file.replace('~', "~0").replace('/', "~1"));
        let parts = file.split_once('.').filter(|(controller, rest)| !controller.is_empty() && !rest.is_empty());
        let Some((controller, rest)) = parts.filter(|_| !file.contains('/')) else {
            return Err(Refusal::new(pointer, "not the name of a cgroup file", NO_FILE));
        };
        let Some(unified) = dirs.iter().position(|dir| dir.version == Version::V2) else {
            return Err(Refusal::new(pointer, "there is no cgroup v2 hierarchy", NO_UNIFIED));
        };
        // cgroup.* and *.pressure files are there without a controller.
        if controller != "cgroup" && !rest.ends_with("pressure") {
            if !dirs[unified].has(controller) {
                return Err(no_controller(pointer, controller));
            }
            need(lowered, controller, format!("{base}{pointer}"));
        }
        let setting = Setting { value: value.clone(), ..Setting::default() };
        push(lowered, unified, file, &pointer, base, vec![setting]);
    }
    Ok(())
}

/// Engines send "no limit" and 0 for controllers that the host does not have: Podman for pids, the kubelet for each size of
/// huge pages.
fn asks_for_nothing(setting: &Setting) -> bool {
    ["0", "-1", "max"].contains(&setting.value.as_str())
}

fn push(lowered: &mut Lowered, dir: usize, file: &str, pointer: &str, base: &str, settings: Vec<Setting>) {
    lowered.writes.extend(settings.into_iter().map(|setting| Write {
        dir,
        file: setting.file.unwrap_or_else(|| file.to_owned()),
        value: setting.value,
        or: setting.or,
        pointer: format!("{base}{pointer}{}", setting.sub),
        optional: setting.optional,
    }));
}

fn need(lowered: &mut Lowered, controller: &str, pointer: String) {
    if !lowered.needs.iter().any(|(name, _)| name == controller) {
        lowered.needs.push((controller.to_owned(), pointer));
    }
}

fn position(dirs: &[Dir], version: Version, controller: &str) -> Option<usize> {
    dirs.iter().position(|dir| dir.version == version && dir.has(controller))
}

fn no_controller(pointer: String, controller: &str) -> Refusal {
    Refusal::new(pointer, format!("cgroup controller \"{controller}\" is not available"), ENABLE)
}
