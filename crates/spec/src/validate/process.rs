//! `process`, of config.json and of `exec`.

use std::collections::BTreeSet;

use super::{Checked, absolute, id_mappings, scheduling, strings};
use crate::{IdMapping, NamespaceType, Process, Refusal, Spec, User};

/// What `setuid(2)` and the kernel's id maps read as "no id".
pub(super) const INVALID_ID: u32 = u32::MAX;
/// The permission bits, which are all that umask(2) reads.
const UMASK_MAX: u32 = 0o777;
/// `NGROUPS_MAX` (setgroups(2)).
const GROUPS_MAX: usize = 65536;

impl Process {
    /// Checks a process; `pointer` is its own place, such as `/process`, or empty for a process.json.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self, pointer: &str) -> Checked {
        user(&self.user, pointer)?;
        self.check_args(pointer)?;
        for (i, variable) in self.env.iter().enumerate() {
            // execve(2) would take these; programs then disagree about what they mean.
            if matches!(variable.find('='), None | Some(0)) {
                let problem = format!("`{variable}` is not NAME=value");
                return Err(Refusal::new(format!("{pointer}/env/{i}"), problem, "give it a name and an `=`"));
            }
        }
        strings(&self.args, &self.env, pointer)?;
        absolute(&self.cwd, || format!("{pointer}/cwd"))?;
        self.check_rlimits(pointer)?;
        if let Some(score) = self.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
            let pointer = format!("{pointer}/oomScoreAdj");
            return Err(Refusal::new(pointer, format!("{score} is out of range"), "use -1000 to 1000"));
        }
        scheduling::check(self, pointer)
    }

    fn check_args(&self, pointer: &str) -> Checked {
        match self.args.first() {
            None => Err(Refusal::new(format!("{pointer}/args"), "missing or empty", "name the program to run")),
            Some(program) if program.is_empty() => {
                Err(Refusal::new(format!("{pointer}/args/0"), "empty", "name the program to run"))
            }
            Some(_) => Ok(()),
        }
    }

    fn check_rlimits(&self, pointer: &str) -> Checked {
        let mut seen = BTreeSet::new();
        for (i, rlimit) in self.rlimits.iter().enumerate() {
            let pointer = format!("{pointer}/rlimits/{i}");
            if !seen.insert(rlimit.kind) {
                let problem = format!("{} is set twice", rlimit.kind);
                return Err(Refusal::new(pointer, problem, "keep one entry for each type"));
            }
            if rlimit.soft > rlimit.hard {
                let problem = format!("the soft limit {} is above the hard limit {}", rlimit.soft, rlimit.hard);
                return Err(Refusal::new(pointer, problem, "lower soft or raise hard"));
            }
        }
        Ok(())
    }
}

fn user(user: &User, pointer: &str) -> Checked {
    for (place, id) in ids(user) {
        if id == INVALID_ID {
            let problem = format!("{id} is not an id: the kernel reads it as \"no change\"");
            return Err(Refusal::new(format!("{pointer}/user/{place}"), problem, "use another id"));
        }
    }
    if let Some(umask) = user.umask.filter(|umask| *umask > UMASK_MAX) {
        let problem = format!("{umask} (0{umask:o}) has more than permission bits");
        return Err(Refusal::new(format!("{pointer}/user/umask"), problem, format!("use at most {UMASK_MAX} (0777)")));
    }
    let groups = user.additional_gids.len();
    if groups > GROUPS_MAX {
        let problem = format!("{groups} groups are more than the kernel takes");
        let remedy = format!("use at most {GROUPS_MAX}");
        return Err(Refusal::new(format!("{pointer}/user/additionalGids"), problem, remedy));
    }
    Ok(())
}

/// Every id of a user with its place below `user`.
fn ids(user: &User) -> impl Iterator<Item = (String, u32)> {
    let groups = user.additional_gids.iter().enumerate().map(|(i, &gid)| (format!("additionalGids/{i}"), gid));
    [("uid".to_owned(), user.uid), ("gid".to_owned(), user.gid)].into_iter().chain(groups)
}

impl Spec {
    /// Refuses ids of a process that the container's new user namespace has no mapping for; `pointer` as in
    /// [`Process::validate`].
    ///
    /// # Errors
    /// The first id that is not mapped. A user namespace that is joined is the host's to know.
    pub fn process_ids_are_mapped(&self, process: &Process, pointer: &str) -> Checked {
        let Some(linux) = &self.linux else { return Ok(()) };
        if linux.namespace(NamespaceType::User).is_none_or(|namespace| namespace.path.is_some()) {
            return Ok(());
        }
        for (place, id) in ids(&process.user) {
            let (list, mappings): (_, &[IdMapping]) = match place.as_str() {
                "uid" => ("uidMappings", &linux.uid_mappings),
                _ => ("gidMappings", &linux.gid_mappings),
            };
            // Without any mapping there is a better refusal: of the user namespace itself.
            if !mappings.is_empty() && !id_mappings::cover(mappings, id) {
                let problem = format!("id {id} does not exist in the container's user namespace");
                let remedy = format!("map it in linux.{list}, or use a mapped id");
                return Err(Refusal::new(format!("{pointer}/user/{place}"), problem, remedy));
            }
        }
        Ok(())
    }
}
