//! Where this host has its cgroup hierarchies.
//!
//! The usual places under `/sys/fs/cgroup` are asked first, because the cost of that does not grow with the number of
//! mounts on the host (`/proc/self/mountinfo` has two or three lines for every container). The mount table is read only
//! when a hierarchy is not where it usually is.
//!
//! Every path lightship uses is below a hierarchy's *mount point*. A mount whose root is not the hierarchy's own root (a
//! bind mount as inside Docker-in-Docker, or `/..` when the cgroup namespace starts deeper) needs no translation then:
//! what the mount shows is all there is.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::kernfs;
use crate::systemd::Instance;

const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// statfs(2)
const CGROUP_SUPER_MAGIC: rustix::fs::FsWord = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: rustix::fs::FsWord = 0x6367_7270;

/// Which interfaces a host, or a container, uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// No hierarchy is mounted.
    None,
    /// v1 hierarchies only.
    V1,
    /// v1 hierarchies and the unified one beside them.
    Hybrid,
    /// The unified hierarchy only.
    V2,
}

/// A mounted v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// `["cpu", "cpuacct"]` when co-mounted, `["name=systemd"]` for a named one.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// The mounted unified hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unified {
    /// The controllers that its topmost visible cgroup offers (`cgroup.controllers`); none when v1 has them all.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// All hierarchies that can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The v1 hierarchies, in the order of `/proc/self/cgroup`.
    pub v1: Vec<Hierarchy>,
    /// The unified hierarchy.
    pub unified: Option<Unified>,
    /// Others are left out, as the caller may not make the container's cgroup there ([`Layout::delegated`]): what could be
    /// done about it. Without them no limit is refused but those that need them, and device rules need not be enforced.
    pub withheld: Option<&'static str>,
    /// The systemd that is to make cgroups; only looked for where one is.
    pub systemd: Option<Instance>,
}

impl Layout {
    /// Looks at the running host, but not for systemd.
    pub fn probe() -> Result<Layout, Error> {
        let root = Path::new(CGROUP_ROOT);
        if has_magic(root, CGROUP2_SUPER_MAGIC) {
            return Ok(Layout { unified: Some(Unified::at(root.into())?), ..Layout::default() });
        }
        let memberships = parse_memberships(&kernfs::read(Path::new("/proc/self/cgroup"))?);
        match usual_places(&memberships)? {
            Some(layout) => Ok(layout),
            None => Layout::from_mount_table(&memberships),
        }
    }

    /// The slow and complete way, for hierarchies in unusual places; those that are mounted nowhere are left out.
    fn from_mount_table(memberships: &[Vec<String>]) -> Result<Layout, Error> {
        let mounts = parse_mountinfo(&kernfs::read(Path::new("/proc/self/mountinfo"))?);
        let mut layout = Layout::default();
        for controllers in memberships {
            let Some(mount) = find_mount(&mounts, controllers) else { continue };
            if controllers.is_empty() {
                layout.unified = Some(Unified::at(mount)?);
            } else {
                layout.v1.push(Hierarchy { controllers: controllers.clone(), mount });
            }
        }
        Ok(layout)
    }

    /// Which interfaces the host uses.
    pub fn mode(&self) -> Mode {
        match (self.v1.is_empty(), self.unified.is_some()) {
            (true, false) => Mode::None,
            (false, false) => Mode::V1,
            (false, true) => Mode::Hybrid,
            (true, true) => Mode::V2,
        }
    }
}

impl Unified {
    fn at(mount: PathBuf) -> Result<Unified, Error> {
        let controllers = words(&kernfs::read_line(&mount.join("cgroup.controllers"))?);
        Ok(Unified { controllers, mount })
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn has_magic(path: &Path, magic: rustix::fs::FsWord) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type == magic)
}

/// `/proc/self/cgroup`: the controllers of each hierarchy; the unified one (`0::`) is an empty list.
fn parse_memberships(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .filter_map(|line| line.split(':').nth(1))
        .map(|names| names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
        .collect()
}

/// The layout if every v1 hierarchy is in its usual place, and there is one.
fn usual_places(memberships: &[Vec<String>]) -> Result<Option<Layout>, Error> {
    let root = Path::new(CGROUP_ROOT);
    let mut layout = Layout::default();
    for controllers in memberships {
        let Some(first) = controllers.first() else {
            let mount = root.join("unified");
            if has_magic(&mount, CGROUP2_SUPER_MAGIC) {
                layout.unified = Some(Unified::at(mount)?);
            }
            continue;
        };
        let names = controllers.join(",");
        let places = match first.strip_prefix("name=") {
            Some(name) => [name, name],
            None => [names.as_str(), first],
        };
        let Some(mount) = places.iter().map(|name| root.join(name)).find(|path| has_magic(path, CGROUP_SUPER_MAGIC))
        else {
            return Ok(None);
        };
        layout.v1.push(Hierarchy { controllers: controllers.clone(), mount });
    }
    // Beside v1 hierarchies the unified one is not searched for: it has few controllers to offer, and in a container that was
    // given the others it is mounted nowhere.
    Ok((!layout.v1.is_empty()).then_some(layout))
}

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Debug, PartialEq, Eq)]
struct MountLine {
    id: u64,
    parent: u64,
    point: PathBuf,
    /// `None` for mounts that are no cgroup hierarchy, and an empty list for the unified one.
    controllers: Option<Vec<String>>,
}

fn parse_mountinfo(text: &str) -> Vec<MountLine> {
    text.lines().filter_map(parse_mount_line).collect()
}

fn parse_mount_line(line: &str) -> Option<MountLine> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ');
    let id = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    let point = PathBuf::from(unescape(fields.nth(2)?));
    let mut fields = filesystem.split(' ');
    let controllers = match fields.next()? {
        "cgroup2" => Some(Vec::new()),
        // Of the super block options, `rw` and the like are never the name of a controller in /proc/self/cgroup, so
        // they do no harm when the lists are compared.
        "cgroup" => Some(fields.nth(1)?.split(',').map(str::to_owned).collect()),
        _ => None,
    };
    Some(MountLine { id, parent, point, controllers })
}

/// The mount table writes space, tab, newline and backslash as `\ooo`.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|octal| u8::from_str_radix(octal, 8).ok());
        let (character, used) = code.map_or(('\\', 1), |code| (char::from(code), 4));
        text.push(character);
        rest = &rest[at + used..];
    }
    text + rest
}

/// The mount point of a hierarchy: below `/sys/fs/cgroup` if it is there more than once.
fn find_mount(mounts: &[MountLine], controllers: &[String]) -> Option<PathBuf> {
    let is_it = |mount: &&MountLine| match &mount.controllers {
        None => false,
        Some(names) if controllers.is_empty() => names.is_empty(),
        Some(names) => controllers.iter().all(|name| names.contains(name)),
    };
    let mut found = mounts.iter().filter(is_it).filter(|mount| is_reachable(mounts, mount)).collect::<Vec<_>>();
    found.sort_by_key(|mount| !mount.point.starts_with(CGROUP_ROOT));
    found.first().map(|mount| mount.point.clone())
}

/// Whether a path walk to the mount point ends at this mount: no other mount lies on it or across its path.
fn is_reachable(mounts: &[MountLine], mount: &MountLine) -> bool {
    let has_cover =
        mounts.iter().any(|other| other.parent == mount.id && other.id != mount.id && other.point == mount.point);
    let mut step = mount;
    // The table is a tree; the bound is for a table that is not.
    for _ in 0..mounts.len() {
        let is_crossed = mounts.iter().any(|other| {
            other.parent == step.parent
                && other.id != step.id
                && other.id != other.parent
                && step.point.starts_with(&other.point)
        });
        if has_cover || is_crossed {
            return false;
        }
        match mounts.iter().find(|other| other.id == step.parent && other.id != step.id) {
            Some(parent) => step = parent,
            None => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    const HYBRID: &str = "\
22 1 253:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
23 22 0:20 / /sys rw - sysfs sysfs rw
";

    #[test]
    fn memberships_name_every_hierarchy() {
        let text = "9:name=systemd:/\n2:cpu,cpuacct:/a:b\n0::/\n";
        assert_eq!(parse_memberships(text), [names(&["name=systemd"]), names(&["cpu", "cpuacct"]), names(&[])]);
    }

    #[test]
    fn mounts_are_found_by_controllers() {
        let mounts = parse_mountinfo(HYBRID);
        let at = |list: &[&str]| find_mount(&mounts, &names(list));
        assert_eq!(at(&["cpu", "cpuacct"]), Some("/sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(at(&["name=systemd"]), Some("/sys/fs/cgroup/systemd".into()));
        assert_eq!(at(&[]), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(at(&["memory"]), None);
    }

    #[test]
    fn bind_mounted_hierarchy_is_used_where_it_shows() {
        let text = "50 1 0:30 / / rw - overlay overlay rw\n\
                    51 50 0:31 /docker/abc /cg\\040dir/memory rw - cgroup cgroup rw,memory\n\
                    52 50 0:31 /../.. /other rw - cgroup cgroup rw,memory\n";
        assert_eq!(find_mount(&parse_mountinfo(text), &names(&["memory"])), Some("/cg dir/memory".into()));
    }

    #[test]
    fn copies_elsewhere_do_not_win() {
        let text = "50 1 0:30 / / rw - ext4 /dev/vda rw\n\
                    51 50 0:31 / /srv/rootfs/memory rw - cgroup cgroup rw,memory\n\
                    52 50 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(find_mount(&parse_mountinfo(text), &names(&["memory"])), Some("/sys/fs/cgroup/memory".into()));
    }

    #[test]
    fn covered_mounts_are_not_used() {
        let covered = format!("{HYBRID}60 31 0:50 / /sys/fs/cgroup/unified rw - tmpfs tmpfs rw\n");
        assert_eq!(find_mount(&parse_mountinfo(&covered), &[]), None);
        let on_top = format!("{HYBRID}60 41 0:50 / /sys/fs/cgroup/unified rw - tmpfs tmpfs rw\n");
        assert_eq!(find_mount(&parse_mountinfo(&on_top), &[]), None);
        let above = format!("{HYBRID}60 23 0:50 / /sys/fs rw - tmpfs tmpfs rw\n");
        assert_eq!(find_mount(&parse_mountinfo(&above), &[]), None);
        let elsewhere = format!("{HYBRID}60 31 0:50 / /sys/fs/cgroup/uni rw - tmpfs tmpfs rw\n");
        assert!(find_mount(&parse_mountinfo(&elsewhere), &[]).is_some());
    }

    #[test]
    fn odd_lines_are_skipped() {
        assert_eq!(parse_mountinfo("garbage\n1 2 - \n\n7 x 0:1 / / rw - cgroup cgroup rw,cpu\n"), []);
        assert_eq!(unescape("a\\134b\\9"), "a\\b\\9");
    }

    #[test]
    fn both_ways_agree_on_this_host() {
        let probed = Layout::probe().unwrap();
        let memberships = parse_memberships(&std::fs::read_to_string("/proc/self/cgroup").unwrap());
        assert_eq!(probed, Layout::from_mount_table(&memberships).unwrap());
        assert_ne!(probed.mode(), Mode::None);
    }
}
