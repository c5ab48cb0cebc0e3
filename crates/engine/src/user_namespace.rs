//! The id maps of a new user namespace: written by the runtime itself, or for a user by newuidmap(1) and newgidmap(1).

use std::process::{Command, Stdio};

use namespaces::{IdMaps, MapWriter};
use spec::Refusal;

use crate::Error;

/// The two programs, what grants their ids, and the place of the map in the configuration.
const HELPERS: [Helper; 2] = [
    Helper { program: "newgidmap", grants: "/etc/subgid", pointer: "/linux/gidMappings" },
    Helper { program: "newuidmap", grants: "/etc/subuid", pointer: "/linux/uidMappings" },
];

/// Where ids begin that are nobody's own (16 bits were once all there were).
const FIRST_SUBORDINATE: u64 = 1 << 16;

struct Helper {
    program: &'static str,
    grants: &'static str,
    pointer: &'static str,
}

/// Gives the user namespace of a process its id maps.
///
/// # Errors
/// Those of writing the maps; for a user, that a helper is missing or that ids are not granted to that user.
pub(crate) fn write_maps(pid: i32, maps: &IdMaps) -> Result<(), Error> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let writer = maps.writer(uid, gid);
    if writer == MapWriter::Helpers {
        let [groups, users] = HELPERS;
        groups.run(pid, &maps.gids, uid, gid)?;
        return users.run(pid, &maps.uids, uid, uid);
    }
    namespaces::write_maps(pid, maps, writer == MapWriter::Owner)
        .map_err(Error::call("the id maps of the user namespace"))
}

impl Helper {
    #[allow(clippy::disallowed_methods, reason = "only a setuid program may map ids that are not the caller's own")]
    fn run(&self, pid: i32, map: &str, uid: u32, own: u32) -> Result<(), Error> {
        let mut command = Command::new(self.program);
        command.arg(pid.to_string()).args(map.split_whitespace()).stdin(Stdio::null());
        let output = match command.output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => output,
            Err(error) => {
                let problem = match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        format!("{} is not in PATH, and only it can map these ids", self.program)
                    }
                    _ => format!("{}: {}", self.program, program::ErrnoText::from(error)),
                };
                let remedy =
                    "install the package uidmap (Debian) or shadow-utils (Fedora), or map nothing but your own id";
                return Err(Refusal::new(self.pointer, problem, remedy).into());
            }
        };
        Err(self.explain(map, uid, own, &String::from_utf8_lossy(&output.stderr)).into())
    }

    /// Names the first range that is not granted; where all are, or the grants are kept elsewhere (subid in
    /// nsswitch.conf(5)), the helper's own words must do.
    fn explain(&self, map: &str, uid: u32, own: u32, words: &str) -> Refusal {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let user = user_name(&read("/etc/passwd"), uid).unwrap_or_else(|| uid.to_string());
        let grants = read(self.grants);
        let Some((index, first, last)) = not_granted(map, &grants, &[&user, &uid.to_string()], own) else {
            let problem =
                format!("{} failed: {}", self.program, words.split_whitespace().collect::<Vec<_>>().join(" "));
            return Refusal::new(self.pointer, problem, "a setuid program needs a caller without no_new_privs");
        };
        let problem = format!("{} does not grant the ids {first} to {last} to the user {user}", self.grants);
        // Lower ones are real users' ids, root's among them, which nobody should be told to give away.
        let remedy = match first >= FIRST_SUBORDINATE {
            true => format!("as root, add the line \"{user}:{first}:{}\" to it, or map other ids", last - first + 1),
            false => format!("map ids that it grants to {user}"),
        };
        Refusal::new(format!("{}/{index}", self.pointer), problem, remedy)
    }
}

/// The name of a user in passwd(5).
fn user_name(passwd: &str, uid: u32) -> Option<String> {
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    users.find_map(|user| (user.get(2)?.parse() == Ok(uid)).then(|| user.first().map(|&name| name.to_owned()))?)
}

/// The first line of a map whose ids no line of subuid(5) grants to a user of these names: its index, first and last id. A
/// user's own id alone needs no grant.
fn not_granted(map: &str, grants: &str, names: &[&str], own: u32) -> Option<(usize, u64, u64)> {
    let ranges: Vec<(u64, u64)> = grants
        .lines()
        .filter_map(|line| {
            let (name, range) = line.split_once(':').filter(|(name, _)| names.contains(name))?;
            let (first, count) = range.split_once(':').filter(|_| !name.is_empty())?;
            Some((first.trim().parse().ok()?, count.trim().parse().ok()?))
        })
        .collect();
    map.lines().enumerate().find_map(|(index, line)| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let &[_, first, size] = numbers.as_slice() else { return None };
        let granted =
            |&(start, count): &(u64, u64)| first >= start && first.saturating_add(size) <= start.saturating_add(count);
        let fine = (first == u64::from(own) && size == 1) || ranges.iter().any(granted);
        (!fine && size > 0).then(|| (index, first, first + (size - 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_that_nobody_granted_is_found() {
        let grants = "other:1000:9\nme:200000:65536\n# me\nme:x:1\n1000:300000:10\n";
        let missing = |map: &str| not_granted(map, grants, &["me", "1000"], 1000);
        assert_eq!(missing("0 1000 1\n1 200000 65536\n"), None);
        assert_eq!(missing("0 300000 10\n"), None);
        assert_eq!(missing("0 1000 1\n1 200000 65537\n"), Some((1, 200_000, 265_536)));
        assert_eq!(missing("0 1000 2\n"), Some((0, 1000, 1001)));
        assert_eq!(missing("0 199999 2\n"), Some((0, 199_999, 200_000)));
        assert_eq!(not_granted("0 1 4294967295\n", "", &["me"], 1000), Some((0, 1, 4_294_967_295)));
    }

    #[test]
    fn a_user_is_called_what_passwd_calls_it() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\nme:x:1000:100:::\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("me"));
        assert_eq!(user_name(passwd, 7), None);
    }
}
