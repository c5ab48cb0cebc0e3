//! The mount options that are the runtime's own, and what each one does (config.md, "Linux mount options").

use rustix::mount::{MountAttrFlags, MountPropagationFlags};

const RDONLY: u64 = attr(MountAttrFlags::MOUNT_ATTR_RDONLY);
const NOSUID: u64 = attr(MountAttrFlags::MOUNT_ATTR_NOSUID);
const NODEV: u64 = attr(MountAttrFlags::MOUNT_ATTR_NODEV);
const NOEXEC: u64 = attr(MountAttrFlags::MOUNT_ATTR_NOEXEC);
const NODIRATIME: u64 = attr(MountAttrFlags::MOUNT_ATTR_NODIRATIME);
const NOSYMFOLLOW: u64 = attr(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW);
const NOATIME: u64 = attr(MountAttrFlags::MOUNT_ATTR_NOATIME);
const STRICTATIME: u64 = attr(MountAttrFlags::MOUNT_ATTR_STRICTATIME);
/// One of the values of [`ATIME`], and the kernel's default.
const RELATIME: u64 = attr(MountAttrFlags::MOUNT_ATTR_RELATIME);
/// The access time mode is a number in these bits, not a flag: setting it needs all of them cleared (mount_setattr(2)).
const ATIME: u64 = attr(MountAttrFlags::MOUNT_ATTR__ATIME);

pub(crate) const PRIVATE: u64 = MountPropagationFlags::PRIVATE.bits() as u64;
pub(crate) const SLAVE: u64 = MountPropagationFlags::DOWNSTREAM.bits() as u64;
pub(crate) const SHARED: u64 = MountPropagationFlags::SHARED.bits() as u64;
pub(crate) const UNBINDABLE: u64 = MountPropagationFlags::UNBINDABLE.bits() as u64;

const fn attr(flag: MountAttrFlags) -> u64 {
    flag.bits() as u64
}

/// A row of [`MOUNT_OPTIONS`].
#[derive(Clone, Copy, Debug)]
pub struct MountOption {
    /// The word in `mounts[].options`.
    pub name: &'static str,
    effect: Effect,
}

#[derive(Clone, Copy, Debug)]
enum Effect {
    /// Accepted and without effect.
    Nothing,
    Bind {
        recursive: bool,
    },
    Remount,
    /// Files have other owners in the mount than they have on the file system.
    IdMap {
        recursive: bool,
    },
    /// A tmpfs gets what is in the folder it covers.
    CopyUp,
    /// Attributes of the mount (mount_setattr(2)).
    Mount(Attributes),
    /// The same for every mount below it as well.
    Tree(Attributes),
    /// A flag of the superblock, by its name for fsconfig(2).
    Superblock(&'static str),
    Propagation(Propagation),
}

/// MOUNT_ATTR_* flags to set and to clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl Attributes {
    /// Does `self` first and `then` after it.
    pub(crate) fn then(self, then: Attributes) -> Attributes {
        Attributes { set: self.set & !then.clear | then.set, clear: self.clear & !then.set | then.clear }
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Attributes::default()
    }

    pub(crate) fn read_only(self) -> bool {
        self.set & RDONLY != 0
    }

    /// Takes "read-only" out.
    pub(crate) fn without_read_only(self) -> Attributes {
        Attributes { set: self.set & !RDONLY, ..self }
    }

    /// What may be changed of a copy of one of the host's mounts in a user namespace: there the kernel locks every flag that is
    /// set, and the access time mode (mount_namespaces(7), "Restrictions on mount namespaces").
    pub(crate) fn unlocked(self) -> Attributes {
        Attributes { set: self.set & !(ATIME | NODIRATIME), clear: self.clear & NOSYMFOLLOW }
    }

    pub(crate) const READ_ONLY: Attributes = Attributes { set: RDONLY, clear: 0 };
    /// For what shows the host to be seen, not touched.
    pub(crate) const SEALED: Attributes = Attributes { set: RDONLY | NOSUID | NODEV | NOEXEC, clear: 0 };
    /// For what the runtime mounts of its own accord.
    pub(crate) const INERT: Attributes = Attributes { set: NOSUID | NODEV | NOEXEC, clear: 0 };
}

/// A propagation type (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Propagation {
    /// MS_PRIVATE and its like.
    pub(crate) kind: u64,
    /// Also for every mount below.
    pub(crate) recursive: bool,
}

const fn set(name: &'static str, set: u64) -> MountOption {
    MountOption { name, effect: Effect::Mount(Attributes { set, clear: 0 }) }
}

const fn clear(name: &'static str, clear: u64) -> MountOption {
    MountOption { name, effect: Effect::Mount(Attributes { set: 0, clear }) }
}

const fn atime(name: &'static str, mode: u64) -> MountOption {
    MountOption { name, effect: Effect::Mount(Attributes { set: mode, clear: ATIME }) }
}

const fn set_tree(name: &'static str, set: u64) -> MountOption {
    MountOption { name, effect: Effect::Tree(Attributes { set, clear: 0 }) }
}

const fn clear_tree(name: &'static str, clear: u64) -> MountOption {
    MountOption { name, effect: Effect::Tree(Attributes { set: 0, clear }) }
}

const fn atime_tree(name: &'static str, mode: u64) -> MountOption {
    MountOption { name, effect: Effect::Tree(Attributes { set: mode, clear: ATIME }) }
}

const fn superblock(name: &'static str) -> MountOption {
    MountOption { name, effect: Effect::Superblock(name) }
}

const fn nothing(name: &'static str) -> MountOption {
    MountOption { name, effect: Effect::Nothing }
}

const fn bind(name: &'static str, recursive: bool) -> MountOption {
    MountOption { name, effect: Effect::Bind { recursive } }
}

const fn propagation(name: &'static str, kind: u64, recursive: bool) -> MountOption {
    MountOption { name, effect: Effect::Propagation(Propagation { kind, recursive }) }
}

/// Every option that the runtime knows. Any other word is data for the file system, and is ignored for a bind mount.
pub const MOUNT_OPTIONS: &[MountOption] = &[
    nothing("defaults"),
    bind("bind", false),
    bind("rbind", true),
    MountOption { name: "remount", effect: Effect::Remount },
    MountOption { name: "tmpcopyup", effect: Effect::CopyUp },
    MountOption { name: "idmap", effect: Effect::IdMap { recursive: false } },
    MountOption { name: "ridmap", effect: Effect::IdMap { recursive: true } },
    set("ro", RDONLY),
    clear("rw", RDONLY),
    set("nosuid", NOSUID),
    clear("suid", NOSUID),
    set("nodev", NODEV),
    clear("dev", NODEV),
    set("noexec", NOEXEC),
    clear("exec", NOEXEC),
    set("nodiratime", NODIRATIME),
    clear("diratime", NODIRATIME),
    // Linux 5.14.
    set("nosymfollow", NOSYMFOLLOW),
    clear("symfollow", NOSYMFOLLOW),
    atime("noatime", NOATIME),
    atime("atime", RELATIME),
    atime("relatime", RELATIME),
    // Without any mode the kernel takes relatime, so "not relatime" alone has never meant anything (mount(2)).
    nothing("norelatime"),
    atime("strictatime", STRICTATIME),
    atime("nostrictatime", RELATIME),
    set_tree("rro", RDONLY),
    clear_tree("rrw", RDONLY),
    set_tree("rnosuid", NOSUID),
    clear_tree("rsuid", NOSUID),
    set_tree("rnodev", NODEV),
    clear_tree("rdev", NODEV),
    set_tree("rnoexec", NOEXEC),
    clear_tree("rexec", NOEXEC),
    set_tree("rnodiratime", NODIRATIME),
    clear_tree("rdiratime", NODIRATIME),
    set_tree("rnosymfollow", NOSYMFOLLOW),
    clear_tree("rsymfollow", NOSYMFOLLOW),
    atime_tree("rnoatime", NOATIME),
    atime_tree("ratime", RELATIME),
    atime_tree("rrelatime", RELATIME),
    nothing("rnorelatime"),
    atime_tree("rstrictatime", STRICTATIME),
    atime_tree("rnostrictatime", RELATIME),
    superblock("sync"),
    superblock("async"),
    superblock("dirsync"),
    superblock("lazytime"),
    superblock("nolazytime"),
    // Linux 5.15 warns about mandatory locking and does without.
    superblock("mand"),
    superblock("nomand"),
    // The file systems that have inode versions keep them unasked; fsconfig(2) has no such flag, and no silence either.
    nothing("iversion"),
    nothing("noiversion"),
    nothing("silent"),
    nothing("loud"),
    propagation("private", PRIVATE, false),
    propagation("rprivate", PRIVATE, true),
    propagation("slave", SLAVE, false),
    propagation("rslave", SLAVE, true),
    propagation("shared", SHARED, false),
    propagation("rshared", SHARED, true),
    propagation("unbindable", UNBINDABLE, false),
    propagation("runbindable", UNBINDABLE, true),
];

/// What the options of one mount come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `Some(recursive)` for a bind mount.
    pub(crate) bind: Option<bool>,
    pub(crate) remount: bool,
    pub(crate) copy_up: bool,
    /// `Some(recursive)` for an idmapped mount.
    pub(crate) idmap: Option<bool>,
    pub(crate) attributes: Attributes,
    pub(crate) tree_attributes: Attributes,
    pub(crate) superblock: Vec<&'static str>,
    /// In the order given, as each one builds on the one before.
    pub(crate) propagation: Vec<Propagation>,
    /// `key=value` or a flag, for the file system.
    pub(crate) data: Vec<(String, Option<String>)>,
}

impl Options {
    pub(crate) fn read(words: &[String]) -> Options {
        let mut options = Options::default();
        for word in words {
            match MOUNT_OPTIONS.iter().find(|option| option.name == word) {
                Some(option) => options.apply(option.effect),
                None => options.data.extend(split_data(word)),
            }
        }
        options
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::Bind { recursive } => self.bind = Some(recursive || self.bind == Some(true)),
            Effect::Remount => self.remount = true,
            Effect::CopyUp => self.copy_up = true,
            Effect::IdMap { recursive } => self.idmap = Some(recursive || self.idmap == Some(true)),
            Effect::Mount(attributes) => self.attributes = self.attributes.then(attributes),
            Effect::Tree(attributes) => self.tree_attributes = self.tree_attributes.then(attributes),
            Effect::Superblock(flag) => self.superblock.push(flag),
            Effect::Propagation(propagation) => self.propagation.push(propagation),
        }
    }

    /// For a mount that cannot have others below it, "this one" and "all" are the same.
    pub(crate) fn fold_tree(&mut self) {
        self.attributes = self.attributes.then(std::mem::take(&mut self.tree_attributes));
    }
}

/// Takes one word apart at its commas, as mount(2) did for the file systems; commas in double quotes belong to an SELinux
/// context. fsconfig(2) takes the values bare.
fn split_data(word: &str) -> Vec<(String, Option<String>)> {
    let mut quoted = false;
    word.split(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
    .filter(|option| !option.is_empty())
    .map(|option| match option.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.trim_matches('"').to_owned())),
        None => (option.to_owned(), None),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Options {
        Options::read(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    /// The words that the specification says a runtime MUST know (config.md, "Linux mount options").
    const REQUIRED: &str = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev nodiratime noexec \
         noiversion nolazytime norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount rexec \
         rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave \
         rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync unbindable";

    #[test]
    fn every_required_option_is_known_once() {
        for word in REQUIRED.split_whitespace().chain(["mand", "nomand", "tmpcopyup", "idmap", "ridmap"]) {
            assert_eq!(MOUNT_OPTIONS.iter().filter(|option| option.name == word).count(), 1, "{word}");
            assert_eq!(read(&[word]).data, [], "{word}");
        }
        assert_eq!(MOUNT_OPTIONS.len(), REQUIRED.split_whitespace().count() + 5);
    }

    #[test]
    fn flags_are_set_and_cleared() {
        for (words, set, clear) in [
            (&["ro"][..], 1, 0),
            (&["rw"], 0, 1),
            (&["ro", "rw"], 0, 1),
            (&["rw", "ro"], 1, 0),
            (&["nosuid", "nodev", "noexec"], 2 | 4 | 8, 0),
            (&["suid", "dev", "exec"], 0, 2 | 4 | 8),
            (&["nodiratime"], 0x80, 0),
            (&["diratime"], 0, 0x80),
            (&["nosymfollow"], 0x20_0000, 0),
            (&["symfollow"], 0, 0x20_0000),
            (&["noatime"], 0x10, 0x70),
            (&["strictatime"], 0x20, 0x70),
            (&["relatime"], 0, 0x70),
            (&["atime"], 0, 0x70),
            (&["nostrictatime"], 0, 0x70),
            (&["noatime", "strictatime", "ro"], 0x21, 0x70),
            (&["noatime", "atime"], 0, 0x70),
            (&["norelatime", "defaults", "iversion", "noiversion", "silent", "loud"], 0, 0),
        ] {
            assert_eq!(
                read(words),
                Options { attributes: Attributes { set, clear }, ..Options::default() },
                "{words:?}"
            );
            if words.iter().all(|word| MOUNT_OPTIONS.iter().any(|option| option.name == format!("r{word}"))) {
                let words: Vec<String> = words.iter().map(|word| format!("r{word}")).collect();
                let expected = Options { tree_attributes: Attributes { set, clear }, ..Options::default() };
                assert_eq!(Options::read(&words), expected, "{words:?}");
            }
        }
    }

    #[test]
    fn what_is_locked_is_left_as_it_is() {
        let unlocked = |words: &[&str]| read(words).attributes.unlocked();
        assert_eq!(unlocked(&["ro", "nosuid", "noatime", "nodiratime"]), Attributes { set: 3, clear: 0 });
        assert!(unlocked(&["rw", "suid", "dev", "exec", "relatime"]).is_empty());
        assert_eq!(unlocked(&["symfollow"]), Attributes { set: 0, clear: 0x20_0000 });
    }

    #[test]
    fn binds_and_propagation() {
        assert_eq!(read(&["bind"]).bind, Some(false));
        assert_eq!(read(&["rbind", "bind"]).bind, Some(true));
        assert!(read(&["remount", "bind"]).remount);
        let kinds = [("private", 1 << 18), ("slave", 1 << 19), ("shared", 1 << 20), ("unbindable", 1 << 17)];
        for (word, kind) in kinds {
            assert_eq!(read(&[word]).propagation, [Propagation { kind, recursive: false }]);
            assert_eq!(read(&[&format!("r{word}")]).propagation, [Propagation { kind, recursive: true }]);
        }
        let both = read(&["slave", "shared"]).propagation;
        assert_eq!(both.iter().map(|propagation| propagation.kind).collect::<Vec<_>>(), [SLAVE, SHARED]);
    }

    #[test]
    fn superblock_flags_keep_their_names() {
        let words = ["sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand"];
        assert_eq!(read(&words).superblock, words);
    }

    #[test]
    fn other_words_are_data() {
        let data = |words: &[&str]| {
            let data = read(words).data;
            data.into_iter().map(|(key, value)| format!("{key}:{}", value.unwrap_or_default())).collect::<Vec<_>>()
        };
        assert_eq!(data(&["mode=755,size=1k", "newinstance", ""]), ["mode:755", "size:1k", "newinstance:"]);
        assert_eq!(data(&["lowerdir=/a:/b=c"]), ["lowerdir:/a:/b=c"]);
        assert_eq!(data(&["context=\"u:r:t:s0:c1,c2\",uid=0"]), ["context:u:r:t:s0:c1,c2", "uid:0"]);
        assert_eq!(data(&["RO", "r", "noatimes"]).len(), 3);
    }

    #[test]
    fn flags_for_all_are_flags_for_one_where_there_is_one() {
        let mut options = read(&["noatime", "rw", "rro", "rstrictatime"]);
        options.fold_tree();
        assert_eq!(options.attributes, Attributes { set: 0x21, clear: 0x70 });
        assert!(options.tree_attributes.is_empty());
    }
}
