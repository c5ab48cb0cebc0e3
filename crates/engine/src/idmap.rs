//! What the runtime has to prepare for a container's mounts: clones of the host's mounts that init cannot reach, and the id
//! maps of idmapped mounts.

use std::os::fd::{AsFd, OwnedFd};

use namespaces::IdMaps;
use program::{ProgramBuilder, Slot};
use rootfs::{IdMap, InheritedSource, RootfsPlan, UserNamespace};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{OpenTreeFlags, open_tree};
use sys::idmap::Holder;

use crate::Error;
use crate::user_namespace::write_maps;

/// Opens everything that init inherits for its mounts, in the order in which it expects it.
pub(crate) fn inherit(plan: &RootfsPlan, b: &mut ProgramBuilder) -> Result<Vec<Slot>, Error> {
    let mut slots = Vec::new();
    for source in plan.inherited_sources() {
        slots.push(b.inherit(clone(&source)?));
    }
    for (_, namespace) in plan.inherited_user_namespaces() {
        slots.push(b.inherit(user_namespace(namespace)?));
    }
    Ok(slots)
}

fn clone(source: &InheritedSource) -> Result<OwnedFd, Error> {
    let recursive = if source.recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | recursive;
    let tree = open_tree(CWD, &source.path, flags).map_err(Error::file("mount source", &source.path))?;
    if let Some(IdMap { recursive, user_namespace: namespace }) = &source.idmap {
        let namespace = user_namespace(namespace)?;
        // A file system without idmapped mounts answers EINVAL.
        let what = "idmapped mount (its file system may not have them) of";
        sys::idmap::idmap(tree.as_fd(), namespace.as_fd(), *recursive).map_err(Error::file(what, &source.path))?;
    }
    Ok(tree)
}

fn user_namespace(namespace: &UserNamespace) -> Result<OwnedFd, Error> {
    let open = |path: &std::path::Path| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        rustix::fs::open(path, flags, Mode::empty()).map_err(Error::file("user namespace", path))
    };
    match namespace {
        UserNamespace::Joined(path) => open(path),
        UserNamespace::Maps { uids, gids } => {
            let holder = Holder::new().map_err(Error::call("a user namespace for an idmapped mount"))?;
            write_maps(holder.pid, &IdMaps::new(uids, gids)?)?;
            open(format!("/proc/{}/ns/user", holder.pid).as_ref())
        }
    }
}
