//! Mounts: the calls of the mount API (Linux 5.2 to 5.12), and the change of the root.

use core::ffi::CStr;

use super::*;

pub fn open_tree(dir: i32, path: &CStr, flags: u32) -> Answer<i32> {
    let args = [dir as usize, path.as_ptr() as usize, (flags | OPEN_TREE_CLOEXEC) as usize, 0, 0, 0];
    // SAFETY: the path is NUL-terminated.
    fd_result(unsafe { call(nr::OPEN_TREE, args) })
}

/// A detached copy of a mount and of all below it, each with these attributes.
pub fn clone_with(dir: i32, attr: &MountAttr) -> Answer<i32> {
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE;
    let attr_at: *const MountAttr = attr;
    let args = [dir as usize, c"".as_ptr() as usize, flags as usize, attr_at as usize, size_of::<MountAttr>(), 0];
    // SAFETY: the path is static and empty, and `attr` a struct mount_attr that the kernel only reads.
    match fd_result(unsafe { call(nr::OPEN_TREE_ATTR, args) }) {
        // Before Linux 6.15.
        Err(ENOSYS) => {
            let copy = open_tree(dir, c"", flags)?;
            mount_setattr(copy, c"", AT_EMPTY_PATH | AT_RECURSIVE, attr).map(|()| copy)
        }
        answer => answer,
    }
}

/// Attaches the mount `from` at the place `to`.
/// Moves onto `to` itself or, where `name` is not empty, onto what has that name in it and is no link.
pub fn move_mount(from: i32, to: i32, name: &CStr) -> Answer<()> {
    let (empty, name) = (c"".as_ptr() as usize, name.as_ptr() as usize);
    // SAFETY: one path is static and empty, the other NUL-terminated.
    no_result(unsafe {
        call(nr::MOVE_MOUNT, [from as usize, empty, to as usize, name, MOVE_MOUNT_BOTH_EMPTY as usize, 0])
    })
}

pub fn fsopen(kind: &CStr) -> Answer<i32> {
    const FSOPEN_CLOEXEC: usize = 1;
    // SAFETY: the name is NUL-terminated.
    fd_result(unsafe { call(nr::FSOPEN, [kind.as_ptr() as usize, FSOPEN_CLOEXEC, 0, 0, 0, 0]) })
}

pub fn fsconfig(fs: i32, key: &CStr, value: Option<&CStr>) -> Answer<()> {
    const SET_FLAG: usize = 0;
    const SET_STRING: usize = 1;
    let (command, value) = value.map_or((SET_FLAG, 0), |value| (SET_STRING, value.as_ptr() as usize));
    // SAFETY: key and value are NUL-terminated, the value absent for a flag.
    no_result(unsafe { call(nr::FSCONFIG, [fs as usize, command, key.as_ptr() as usize, value, 0, 0]) })
}

pub fn fscreate(fs: i32) -> Answer<()> {
    const CMD_CREATE: usize = 6;
    no_result(plain(nr::FSCONFIG, [fs as usize, CMD_CREATE, 0, 0, 0, 0]))
}

/// The superblock of the mount that `mount` is the root of.
pub fn fspick(mount: i32) -> Answer<i32> {
    const FSPICK_CLOEXEC: usize = 1;
    const FSPICK_EMPTY_PATH: usize = 8;
    let flags = FSPICK_CLOEXEC | FSPICK_EMPTY_PATH;
    // SAFETY: the path is static and empty.
    fd_result(unsafe { call(nr::FSPICK, [mount as usize, c"".as_ptr() as usize, flags, 0, 0, 0]) })
}

pub fn fsreconfigure(fs: i32) -> Answer<()> {
    const CMD_RECONFIGURE: usize = 7;
    no_result(plain(nr::FSCONFIG, [fs as usize, CMD_RECONFIGURE, 0, 0, 0, 0]))
}

pub fn fsmount(fs: i32, attrs: u32) -> Answer<i32> {
    const FSMOUNT_CLOEXEC: usize = 1;
    fd_result(plain(nr::FSMOUNT, [fs as usize, FSMOUNT_CLOEXEC, attrs as usize, 0, 0, 0]))
}

pub fn mount_setattr(mount: i32, path: &CStr, flags: u32, attr: &MountAttr) -> Answer<()> {
    let attr_at: *const MountAttr = attr;
    let args = [mount as usize, path.as_ptr() as usize, flags as usize, attr_at as usize, size_of::<MountAttr>(), 0];
    // SAFETY: the path is NUL-terminated and `attr` a struct mount_attr that the kernel only reads.
    no_result(unsafe { call(nr::MOUNT_SETATTR, args) })
}

pub fn pivot_root_here() -> Answer<()> {
    let here = c".".as_ptr() as usize;
    // SAFETY: both paths are static.
    no_result(unsafe { call(nr::PIVOT_ROOT, [here, here, 0, 0, 0, 0]) })
}

pub fn detach(path: &CStr) -> Answer<()> {
    const MNT_DETACH: usize = 2;
    // SAFETY: the path is NUL-terminated.
    no_result(unsafe { call(nr::UMOUNT2, [path.as_ptr() as usize, MNT_DETACH, 0, 0, 0, 0]) })
}
