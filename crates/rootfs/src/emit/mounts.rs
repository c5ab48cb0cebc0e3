//! The entries of `mounts`, in their order: a mount is made detached, gets its flags, and is then attached at its target.

use std::path::Path;

use program::{Op, ProgramBuilder, Resolve, Slot};

use super::{
    EMPTY_PATH, Emitter, O_PATH, change, clone_of, configure, file_system, mount_new, open, open_tree, propagate, same_mount,
    text,
};
use crate::options::{Attributes, Propagation, SLAVE};
use crate::plan::{CgroupHierarchy, MountKind, MountPlan, Source};

impl Emitter<'_> {
    /// Mounts everything of `mounts`.
    pub fn mounts(&mut self, b: &mut ProgramBuilder) {
        let plan = self.plan;
        for (i, mount) in plan.mounts.iter().enumerate() {
            b.place(&mount.place);
            match &mount.kind {
                MountKind::Bind { source, recursive, from, procfs } => {
                    let tree = self.source(mount, source, *recursive, *procfs, b);
                    let cut = (*from == Source::Inherited).then_some(Propagation { kind: SLAVE, recursive: true });
                    adjust(tree, mount, mount.attributes, cut, *recursive, b);
                    self.attach(mount, tree, b);
                }
                MountKind::FileSystem { name, config } => {
                    let fs = file_system(name, b);
                    for (key, value) in config {
                        configure(fs, key, value.as_deref(), b);
                    }
                    let tree = mount_new(fs, mount.attributes, b);
                    adjust(tree, mount, Attributes::default(), None, false, b);
                    if mount.read_only_late {
                        self.read_only_late.push((i, same_mount(tree, b)));
                    }
                    self.attach(mount, tree, b);
                }
                MountKind::Remount { config } => self.remount(mount, config, b),
                MountKind::Cgroups(hierarchies) => self.cgroups(mount, hierarchies, b),
            }
        }
    }

    fn source(&self, mount: &MountPlan, source: &Path, recursive: bool, procfs: bool, b: &mut ProgramBuilder) -> Slot {
        let held = mount.index.and_then(|index| self.sources.get(&index).copied());
        match held {
            Some(tree) => tree,
            None => open_tree(source, recursive, b),
        }
    }

    fn attach(&self, mount: &MountPlan, tree: Slot, b: &mut ProgramBuilder) {
        let (out, path) = (b.slot(), text(&mount.target, b));
        b.push(Op::MountPoint { root: self.root, resolve: mount.resolve, like: tree, out, avoid: mount.avoid, path });
        b.push(Op::MoveMount { from: tree, to: out });
    }

    fn remount(&self, mount: &MountPlan, config: &[(String, Option<String>)], b: &mut ProgramBuilder) {
        todo!()
    }

    fn cgroups(&self, mount: &MountPlan, hierarchies: &[CgroupHierarchy], b: &mut ProgramBuilder) {
        todo!()
    }
}

fn adjust(tree: Slot, mount: &MountPlan, attributes: Attributes, cut: Option<Propagation>, recursive: bool, b: &mut ProgramBuilder) {
    todo!()
}
