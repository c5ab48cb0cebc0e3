//! Where a container is recorded, noted at its cgroup: so a person need not know the state root that an engine has chosen.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use cgroups::{CgroupRecord, Layout, Version};
use rustix::fs::XattrFlags;
use state::{ContainerId, Entry, StateRoot};

use crate::container::Container;
use crate::{Error, Runtime};

/// The container's folder in the state root, as an extended attribute. One of the kind `trusted` takes CAP_SYS_ADMIN, so no container
/// with a cgroup of its own can change it.
const ATTRIBUTE: &str = "trusted.lightship.state";

/// Notes it at the container's own directory in the unified hierarchy. A caller without privileges cannot, and has its containers in one
/// state root.
pub(crate) fn note(cgroup: &CgroupRecord, entry: &Entry) {
    let Some(dir) = cgroup.dirs.iter().find(|dir| dir.version == Version::V2 && dir.made) else { return };
    let Ok(folder) = std::path::absolute(entry.path()) else { return };
    let noted = rustix::fs::setxattr(&dir.path, ATTRIBUTE, folder.as_os_str().as_bytes(), XattrFlags::empty());
    if let Err(error) = noted {
        log::debug!("where the container is recorded is not noted at its cgroup: {error}");
    }
}

impl Runtime {
    /// The container that a person means, by its id, and the runtime whose state root has it. This one's containers count first; then, in
    /// whatever state root, the one whose cgroup leads there and that has the id, Docker's name, or an id that begins so.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn locate(self, word: &str) -> Result<(Runtime, String), Error> {
        match StateRoot::open(&self.root)?.find(&ContainerId::parse(word)?) {
            Err(error) if error.is_not_found() => {}
            found => return Ok((self, found?.id().to_string())),
        }
        let unified = Layout::probe()?.unified.map(|unified| unified.mount);
        let candidates = unified.map(|mount| noted_below(&mount)).unwrap_or_default();
        let candidates: Vec<_> = candidates.into_iter().filter_map(Candidate::of).collect();
        match choose(&candidates, word)[..] {
            [] => Err(Error::Other(format!(
                "{word:?}: container does not exist in {}, and no cgroup leads to one with that id or name (name its state root \
                 with --root)",
                self.root.display()
            ))),
            [Candidate { root, id, .. }] => Ok((Runtime { root: root.clone(), ..self }, id.clone())),
            ref several => {
                let folders: Vec<_> =
                    several.iter().map(|found| found.root.join(&found.id).display().to_string()).collect();
                Err(Error::Other(format!(
                    "{word:?} means several containers: {} (give the whole id, and its state root with --root)",
                    folders.join(", ")
                )))
            }
        }
    }
}

/// A container that a cgroup leads to.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    root: PathBuf,
    id: String,
    /// What Docker calls it.
    name: Option<String>,
}

impl Candidate {
    /// `None` if there is no such container any more, or none that this host's files tell of (Docker in Docker).
    fn of(folder: PathBuf) -> Option<Candidate> {
        let (root, id) = (folder.parent()?, folder.file_name()?.to_str()?);
        let entry = StateRoot::open(root).ok()?.find(&ContainerId::parse(id).ok()?).ok()?;
        let container = Container::of(&entry).ok()?;
        // By the configuration, which the container cannot change, and not by what it has mounted since.
        let hostname = || {
            let mut mounts = container.spec(&entry).ok()?.mounts.into_iter();
            mounts.find(|mount| mount.destination == Path::new("/etc/hostname"))?.source
        };
        let hostnet::Container { id, name } = hostnet::Container::named(id.to_owned(), hostname);
        Some(Candidate { root: root.to_owned(), id, name })
    }
}

/// As Docker does it: an id counts more than a name, and that more than the beginning of an id.
fn choose<'a>(candidates: &'a [Candidate], word: &str) -> Vec<&'a Candidate> {
    let ways: [&dyn Fn(&Candidate) -> bool; 3] =
        [&|candidate| candidate.id == word, &|candidate| candidate.name.as_deref() == Some(word), &|candidate| {
            candidate.id.starts_with(word)
        }];
    let found = ways.map(|is_meant| candidates.iter().filter(|candidate| is_meant(candidate)).collect::<Vec<_>>());
    found.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
}

/// What is noted at the directories below this one. What a container has made in its own is of no account.
fn noted_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|dir| dir.path());
    directories.flat_map(|dir| noted(&dir).map_or_else(|| noted_below(&dir), |folder| vec![folder])).collect()
}

fn noted(directory: &Path) -> Option<PathBuf> {
    let size = rustix::fs::getxattr_query(directory, ATTRIBUTE).ok()?;
    let mut value = vec![0; size];
    let length = rustix::fs::getxattr(directory, ATTRIBUTE, &mut value[..]).ok()?;
    value.truncate(length);
    Some(OsString::from_vec(value).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_counts_more_than_a_name_and_that_more_than_a_beginning() {
        let candidate = |root: &str, id: &str, name: Option<&str>| Candidate {
            root: root.into(),
            id: id.into(),
            name: name.map(str::to_owned),
        };
        let candidates = [
            candidate("/a", "3d37", Some("web")),
            candidate("/a", "3d99", Some("3d3")),
            candidate("/a", "web2", None),
            candidate("/b", "web2", None),
        ];
        let chosen = |word| choose(&candidates, word).iter().map(|found| found.id.as_str()).collect::<Vec<_>>();
        assert_eq!(chosen("3d37"), ["3d37"]);
        assert_eq!(chosen("web"), ["3d37"]);
        assert_eq!(chosen("3d3"), ["3d99"]);
        assert_eq!(chosen("3d"), ["3d37", "3d99"]);
        assert_eq!(chosen("web2"), ["web2", "web2"]);
        assert_eq!(chosen("9"), [""; 0]);
    }
}
