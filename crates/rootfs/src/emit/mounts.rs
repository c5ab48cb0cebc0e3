//! The entries of `mounts`, in their order: a mount is made detached, gets its flags, and is then attached at its target.

use std::path::Path;

use program::{Op, ProgramBuilder, Resolve, Slot};

use super::{
    CLONE, EMPTY_PATH, Emitter, FOLDER, O_DIRECTORY, O_PATH, RECURSIVE, change, configure, file_system, mount_new,
    open, open_tree, propagate, text,
};
use crate::options::{Attributes, Propagation, SLAVE};
use crate::plan::{CgroupHierarchy, MountKind, MountPlan, PROC_SUPER_MAGIC, Source};

impl Emitter<'_> {
    /// Mounts everything of `mounts`. `before_cgroups` emits what must have been done before the container's cgroups are mounted; it
    /// comes as late as it can, but before the end.
    pub fn mounts(&mut self, b: &mut ProgramBuilder, before_cgroups: impl FnOnce(&mut ProgramBuilder)) {
        let plan = self.plan;
        let mut before_cgroups = Some(before_cgroups);
        for mount in &plan.mounts {
            if let MountKind::Cgroups(_) = mount.kind
                && let Some(emit) = before_cgroups.take()
            {
                emit(b);
            }
            b.place(&mount.place);
            match &mount.kind {
                MountKind::Bind { source, recursive, from, procfs } => {
                    let tree = match self.held.get(&mount.index) {
                        None => open_tree(source, *recursive, b),
                        Some(&held) if *from == Source::Early && plan.clones_detached => again(held, *recursive, b),
                        Some(&held) => held,
                    };
                    if *procfs {
                        check_procfs(tree, b);
                    }
                    if matches!(from, Source::Inherited | Source::Host) {
                        // A clone of one of the host's own mounts, whose peer it still is: what is mounted below it in the
                        // container must not appear there, as it would not in a mount namespace whose mounts are the host's
                        // slaves (mount_namespaces(7)).
                        b.push(propagate(tree, SLAVE, true));
                    }
                    adjust(tree, mount, *recursive, b);
                    self.attach(mount, tree, false, b);
                }
                MountKind::FileSystem { name, config } => {
                    let fs = file_system(name, b);
                    configure_all(fs, config, b);
                    let tree = mount_new(fs, mount.attributes, b);
                    if let Some(&userns) = self.held.get(&mount.index) {
                        b.push(Op::SetAttr { mount: tree, userns, recursive: 0, set: 0, clear: 0, propagation: 0 });
                        b.push(Op::Close { fd: userns });
                    }
                    if let Some(label) = &mount.label {
                        let label = b.text(label);
                        b.push(Op::Label { mount: tree, label });
                    }
                    spread(tree, &mount.propagation, b);
                    // For what comes next in it; it is empty, so no link is there.
                    let dev = name == "tmpfs"
                        && plan.devices.own_dev
                        && mount.target == Path::new("dev")
                        && mount.copy_up.is_none();
                    self.attach(mount, tree, mount.read_only_late || dev, b);
                    if mount.read_only_late {
                        self.read_only_late.push((mount.index, tree));
                    } else if dev {
                        self.dev = Some(tree);
                    }
                }
                MountKind::Remount { config } => self.remount(mount, config, b),
                MountKind::Cgroups(hierarchies) => self.cgroups(mount, hierarchies, b),
            }
        }
        if let Some(emit) = before_cgroups {
            emit(b);
        }
    }

    /// Attaches a detached mount at its target; `keep` leaves it open.
    fn attach(&mut self, mount: &MountPlan, tree: Slot, keep: bool, b: &mut ProgramBuilder) {
        if Path::new("dev").starts_with(&mount.target)
            && let Some(covered) = self.dev.take()
        {
            b.push(Op::Close { fd: covered });
        }
        let is_file_system = matches!(mount.kind, MountKind::FileSystem { .. });
        if let (Some(folder), Some(name)) = (self.dev, in_dev(&mount.target))
            && is_file_system
            && !(keep || mount.keep_mode || mount.copy_up.is_some())
        {
            let name = text(name, b);
            b.push(Op::MountInFolder { from: tree, folder, mode: FOLDER, name });
            return;
        }
        let (out, path) = (b.slot(), text(&mount.target, b));
        let MountPlan { resolve, avoid, .. } = *mount;
        // The root of a new file system is a folder.
        let like = if matches!(mount.kind, MountKind::Bind { .. }) { tree } else { Slot::NONE };
        // What the kernel gives a tmpfs, for the case that there is no folder yet.
        let mode = if mount.keep_mode { 0o1777 } else { FOLDER };
        b.push(Op::MountPoint { root: self.root, resolve, like, out, mode, avoid, path });
        if mount.keep_mode {
            b.push(Op::CopyMode { from: out, to: tree });
        }
        if let Some(copy) = mount.copy_up {
            b.push(Op::CopyUp { from: out, to: tree, owner: u32::from(copy.owner) });
        }
        b.push(Op::MoveMount { from: tree, to: out, keep: u32::from(keep) });
    }

    /// Changes what the options name and leaves the rest as it is.
    fn remount(&mut self, mount: &MountPlan, config: &[(String, Option<String>)], b: &mut ProgramBuilder) {
        let there = open(self.root, mount.resolve, O_PATH, &mount.target, b);
        if !config.is_empty() {
            let fs = b.slot();
            b.push(Op::FsPick { mount: there, out: fs });
            configure_all(fs, config, b);
            b.push(Op::FsReconfigure { fs });
        }
        adjust(there, mount, true, b);
        match mount.read_only_late {
            true => self.read_only_late.push((mount.index, there)),
            false => b.push(Op::Close { fd: there }),
        }
    }

    /// A tmpfs with the container's cgroup of each hierarchy, and links for the controllers that share one.
    fn cgroups(&mut self, mount: &MountPlan, hierarchies: &[CgroupHierarchy], b: &mut ProgramBuilder) {
        let fs = file_system("tmpfs", b);
        configure(fs, "source", Some("cgroup"), b);
        configure(fs, "mode", Some("755"), b);
        self.configure_label(fs, b);
        let attributes = mount.attributes.without_read_only();
        let folder = mount_new(fs, Attributes { set: attributes.set | Attributes::INERT.set, ..attributes }, b);
        self.attach(mount, folder, true, b);
        for CgroupHierarchy { name, links, folder: source } in hierarchies {
            let (from, name_text) = (open_tree(source, false, b), b.text(name));
            b.push(Op::MountInFolder { from, folder, mode: FOLDER, name: name_text });
            for link in links {
                let (path, target) = (b.text(link), b.text(name));
                b.push(Op::Symlink { root: folder, path, target });
            }
        }
        // All at once, and not before everything inside is made.
        for attributes in [mount.attributes, mount.tree_attributes] {
            if !attributes.is_empty() {
                b.push(change(folder, attributes, true));
            }
        }
        for Propagation { kind, .. } in &mount.propagation {
            b.push(propagate(folder, *kind, true));
        }
        b.push(Op::Close { fd: folder });
    }
}

/// The name of what is directly in `/dev`.
fn in_dev(target: &Path) -> Option<&Path> {
    target.strip_prefix("dev").ok().filter(|name| name.components().count() == 1)
}

/// Clones a mount anew, as a peer of the same mounts. Since Linux 6.8 /proc/self/mountinfo goes by a mount's age, and this
/// way it lists `mounts` in their order; older kernels go by the tree, whatever the age.
fn again(early: Slot, recursive: bool, b: &mut ProgramBuilder) -> Slot {
    let (out, path) = (b.slot(), b.text(""));
    let flags = CLONE | EMPTY_PATH | if recursive { RECURSIVE } else { 0 };
    b.push(Op::OpenTree { dir: early, out, flags, path });
    b.push(Op::Close { fd: early });
    out
}

/// What is bound to `/proc` must be a procfs (CVE-2019-16884).
fn check_procfs(tree: Slot, b: &mut ProgramBuilder) {
    let (out, path) = (b.slot(), b.text("."));
    let flags = O_PATH | O_DIRECTORY;
    b.push(Op::Open { dir: tree, resolve: Resolve::Host, out, flags, magic: PROC_SUPER_MAGIC, path });
    b.push(Op::Close { fd: out });
}

fn configure_all(fs: Slot, config: &[(String, Option<String>)], b: &mut ProgramBuilder) {
    for (key, value) in config {
        configure(fs, key, value.as_deref(), b);
    }
}

/// Gives an existing mount or a copy of one its flags and propagation; `tree` if there may be more mounts below it.
fn adjust(mount: Slot, plan: &MountPlan, tree: bool, b: &mut ProgramBuilder) {
    let propagation = plan.propagation.as_slice();
    // A single mount takes its flags and its propagation in one call.
    let (propagation, merged) = match propagation.split_first() {
        Some((first, rest)) if !tree && !plan.attributes.is_empty() => (rest, first.kind),
        _ => (propagation, 0),
    };
    if !plan.attributes.is_empty() {
        let Attributes { set, clear } = plan.attributes;
        b.push(Op::SetAttr { mount, userns: Slot::NONE, recursive: 0, set, clear, propagation: merged });
    }
    if !plan.tree_attributes.is_empty() {
        b.push(change(mount, plan.tree_attributes, true));
    }
    spread(mount, propagation, b);
}

fn spread(mount: Slot, propagation: &[Propagation], b: &mut ProgramBuilder) {
    for Propagation { kind, recursive } in propagation {
        b.push(propagate(mount, *kind, *recursive));
    }
}
