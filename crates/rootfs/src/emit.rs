//! From the plan to operations, in the order in which init executes them.

mod devices;
mod mounts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use program::{NO_VALUE, Op, ProgramBuilder, Resolve, Slot, Str};
use rustix::fs::makedev;

use crate::options::{Attributes, PRIVATE};
use crate::plan::{Entry, MountKind, RootfsPlan, Source};

// openat2(2) and open_tree(2)
const O_PATH: u32 = rustix::fs::OFlags::PATH.bits();
const O_RDWR: u32 = rustix::fs::OFlags::RDWR.bits();
const O_NOCTTY: u32 = rustix::fs::OFlags::NOCTTY.bits();
const O_DIRECTORY: u32 = rustix::fs::OFlags::DIRECTORY.bits();
const CLONE: u32 = rustix::mount::OpenTreeFlags::OPEN_TREE_CLONE.bits();
const RECURSIVE: u32 = rustix::mount::OpenTreeFlags::AT_RECURSIVE.bits();
const EMPTY_PATH: u32 = rustix::mount::OpenTreeFlags::AT_EMPTY_PATH.bits();

/// mknod(2)
const S_IFCHR: u32 = 0o020_000;
/// The mode of folders that are made to be mounted on.
const FOLDER: u32 = 0o755;

/// The container's terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsolePlan {
    /// Height in characters, 0 for unknown.
    pub rows: u16,
    /// Width in characters, 0 for unknown.
    pub columns: u16,
    /// Who owns the terminal: `process.user.uid`.
    pub uid: u32,
}

/// Emits the operations that assemble the root, method by method in the order of the text here: [`prepare`], [`mounts`],
/// [`devices`], [`console`] if there is a terminal, then after the createContainer hooks [`hide`] and [`pivot`].
///
/// [`prepare`]: Emitter::prepare
/// [`mounts`]: Emitter::mounts
/// [`devices`]: Emitter::devices
/// [`console`]: Emitter::console
/// [`hide`]: Emitter::hide
/// [`pivot`]: Emitter::pivot
pub struct Emitter<'p> {
    plan: &'p RootfsPlan,
    root: Slot,
    /// The container's own `/dev`, empty but for what is mounted in it.
    dev: Option<Slot>,
    /// Sources of bind mounts that are cloned already, and user namespaces of idmapped file systems, by the index of the mount.
    held: BTreeMap<usize, Slot>,
    /// Mounts that become read-only when everything inside is made, by their index in the plan.
    read_only_late: Vec<(usize, Slot)>,
}

impl<'p> Emitter<'p> {
    /// Cuts the host's mounts off and makes the container's root a mount of its own at its path, where hooks look for it.
    ///
    /// `inherited` are the descriptors for [`RootfsPlan::inherited_sources`] and then for
    /// [`RootfsPlan::inherited_user_namespaces`], in that order.
    pub fn prepare(plan: &'p RootfsPlan, inherited: &[Slot], b: &mut ProgramBuilder) -> Emitter<'p> {
        let sources = plan.inherited_sources().into_iter().map(|source| source.mount);
        let namespaces = plan.inherited_user_namespaces().into_iter().map(|(mount, _)| mount);
        let mut held: BTreeMap<usize, Slot> = sources.chain(namespaces).zip(inherited.iter().copied()).collect();
        // While `/` is what the host has, and not its slave yet.
        for mount in &plan.mounts {
            if let MountKind::Bind { source, recursive, from: Source::Early, .. } = &mount.kind {
                b.place(&mount.place);
                held.insert(mount.index, open_tree(source, *recursive, b));
            }
        }
        b.place(format!("rootfs {}", plan.rootfs.display()));
        if let Some(propagation) = plan.host_propagation {
            let slash = open(Slot::NONE, Resolve::Host, O_PATH | O_DIRECTORY, Path::new("/"), b);
            b.push(propagate(slash, propagation, true));
            b.push(Op::Close { fd: slash });
        }
        // What stays open comes first, and what is opened behind it is closed together.
        b.push(Op::Close { fd: Slot::NONE });
        let root = open_tree(&plan.rootfs, true, b);
        let folder = open(Slot::NONE, Resolve::Host, O_PATH | O_DIRECTORY, &plan.rootfs, b);
        b.push(Op::MoveMount { from: root, to: folder, keep: 1 });
        if plan.host_propagation.is_none() {
            // As a peer of the host's mount, and with one in every mount namespace that is a peer of this, it would share with
            // them what is mounted in it from here on.
            b.push(propagate(root, PRIVATE, true));
        }
        Emitter { plan, root, dev: None, held, read_only_late: Vec::new() }
    }

    /// The container's root, for whoever makes further files in it.
    pub fn root(&self) -> Slot {
        self.root
    }

    /// Hides `linux.maskedPaths`, makes `linux.readonlyPaths` and all that was left writable until now read-only.
    pub fn hide(&mut self, b: &mut ProgramBuilder) {
        for (place, path) in &self.plan.read_only_paths {
            b.place(place);
            let path = text(path, b);
            b.push(Op::ReadOnly { root: self.root, path });
        }
        self.mask(b);
        for (index, mount) in std::mem::take(&mut self.read_only_late) {
            b.place(&self.plan.mounts[index].place);
            b.push(change(mount, Attributes::READ_ONLY, false));
            b.push(Op::Close { fd: mount });
        }
        if self.plan.read_only {
            b.place("root.readonly");
            b.push(change(self.root, Attributes::READ_ONLY, false));
        }
    }

    fn mask(&self, b: &mut ProgramBuilder) {
        if self.plan.masked.is_empty() {
            return;
        }
        b.place("linux.maskedPaths");
        // The host's, since the container's own /dev may be full of surprises, and nothing but the true one, which all masks are
        // copies of (CVE-2025-31133).
        let null = open(Slot::NONE, Resolve::Host, O_PATH, Path::new("/dev/null"), b);
        b.place("linux.maskedPaths: /dev/null");
        b.push(Op::CheckDevice { fd: null, mode: S_IFCHR, dev: makedev(1, 3) });
        b.place("linux.maskedPaths");
        let fs = file_system("tmpfs", b);
        // All folders are covered by one and the same, which holds nothing but its root.
        configure(fs, "nr_blocks", Some("1"), b);
        configure(fs, "nr_inodes", Some("1"), b);
        self.configure_label(fs, b);
        let attributes = Attributes { set: Attributes::READ_ONLY.set | Attributes::INERT.set, clear: 0 };
        let empty = mount_new(fs, attributes, b);
        // Before Linux 6.15 only a mount that is in a mount namespace can be cloned, so it is attached where nobody sees it and
        // the host's mounts go: pivot_root detaches them all.
        let host_dev = open(Slot::NONE, Resolve::Host, O_PATH | O_DIRECTORY, Path::new("/dev"), b);
        b.push(Op::MoveMount { from: empty, to: host_dev, keep: 1 });
        for (place, path) in &self.plan.masked {
            b.place(place);
            let path = text(path, b);
            b.push(Op::Mask { root: self.root, null, empty, path });
        }
        b.push(Op::Close { fd: null });
        b.push(Op::Close { fd: empty });
    }

    /// Labels a file system that the runtime mounts of its own accord.
    fn configure_label(&self, fs: Slot, b: &mut ProgramBuilder) {
        if let Some(label) = &self.plan.label {
            configure(fs, "context", Some(label), b);
        }
    }

    /// Makes the root `/`.
    pub fn pivot(self, b: &mut ProgramBuilder) {
        b.place(format!("rootfs {}", self.plan.rootfs.display()));
        let root = self.root;
        b.push(match self.plan.entry {
            Entry::Pivot => Op::PivotRoot { root },
            Entry::Move => Op::MoveRoot { root },
            Entry::Chroot => Op::EnterRoot { root },
        });
        if let Some(kind) = self.plan.root_propagation {
            b.place("linux.rootfsPropagation");
            b.push(propagate(root, kind, false));
        }
        b.push(Op::Close { fd: root });
    }
}

fn text(path: &Path, b: &mut ProgramBuilder) -> Str {
    b.text(path.as_os_str().as_bytes())
}

fn open(dir: Slot, resolve: Resolve, flags: u32, path: &Path, b: &mut ProgramBuilder) -> Slot {
    let (out, path) = (b.slot(), text(path, b));
    b.push(Op::Open { dir, resolve, out, flags, magic: 0, path });
    out
}

/// A detached copy of a mount of the host's.
fn open_tree(path: &Path, recursive: bool, b: &mut ProgramBuilder) -> Slot {
    let (out, path) = (b.slot(), text(path, b));
    b.push(Op::OpenTree { dir: Slot::NONE, out, flags: CLONE | if recursive { RECURSIVE } else { 0 }, path });
    out
}

/// A detached copy of the mount that an open file is on, with nothing but the file.
fn clone_of(file: Slot, b: &mut ProgramBuilder) -> Slot {
    let (out, path) = (b.slot(), b.text(""));
    b.push(Op::OpenTree { dir: file, out, flags: EMPTY_PATH | CLONE, path });
    out
}

fn file_system(kind: &str, b: &mut ProgramBuilder) -> Slot {
    let (out, kind) = (b.slot(), b.text(kind));
    b.push(Op::FsOpen { out, kind });
    out
}

fn configure(fs: Slot, key: &str, value: Option<&str>, b: &mut ProgramBuilder) {
    let key = b.text(key);
    let value = value.map_or(NO_VALUE, |value| b.text(value));
    b.push(Op::FsConfig { fs, key, value });
}

fn mount_new(fs: Slot, attributes: Attributes, b: &mut ProgramBuilder) -> Slot {
    let out = b.slot();
    // MOUNT_ATTR_* flags that fsmount(2) knows are in the low half.
    b.push(Op::FsMount { fs, out, attrs: attributes.set as u32 });
    out
}

fn change(mount: Slot, attributes: Attributes, recursive: bool) -> Op {
    let Attributes { set, clear } = attributes;
    Op::SetAttr { mount, userns: Slot::NONE, recursive: u32::from(recursive), set, clear, propagation: 0 }
}

fn propagate(mount: Slot, propagation: u64, recursive: bool) -> Op {
    Op::SetAttr { mount, userns: Slot::NONE, recursive: u32::from(recursive), set: 0, clear: 0, propagation }
}
