//! Paths inside a root file system that somebody else may have filled with traps: symbolic links to the host, missing
//! folders, links that dangle. Everything goes through openat2(2) from the descriptor of the root, and whatever is made is
//! made by its last name below an opened parent, so nothing is resolved twice.

use core::ffi::CStr;

use crate::linux::*;
use crate::op::Failure;

/// A failed call: its number within the operation, and the error.
pub type Failed = (u16, Errno);

const INSIDE: u64 = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
const NO_LINKS: u64 = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
const PATH_MAX: usize = 4096;
/// As many symbolic links as the kernel follows (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// Opens `path` inside `root` without following it out; `None` where nothing is there.
pub fn find(root: i32, path: &CStr) -> Result<Option<i32>, Errno> {
    match openat2(root, path, O_PATH, 0, INSIDE) {
        Ok(fd) => Ok(Some(fd)),
        Err(ENOENT | ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Where something is to be mounted: a path below `root`, which is made where it is missing.
pub struct MountPoint<'p> {
    pub root: i32,
    pub path: &'p CStr,
    /// An open file or folder, to make another one like it; without it a folder is made.
    pub like: Option<i32>,
    /// The folder's.
    pub mode: u32,
}

impl MountPoint<'_> {
    /// Follows links inside the root, but not onto a file system of the type `avoid`.
    pub fn open_in_root(&self, avoid: u32) -> Result<i32, Failed> {
        match self.open(NO_LINKS) {
            Err((1, ELOOP | EXDEV)) => {}
            // Through no link a path leads where it says.
            opened => return opened,
        }
        let place = self.open(INSIDE)?;
        if avoid != 0 && fs_magic(place).map_err(|errno| (13, errno))? == avoid {
            return Err((Failure::CHECK, ELOOP));
        }
        Ok(place)
    }

    pub fn open(&self, resolve: u64) -> Result<i32, Failed> {
        match openat2(self.root, self.path, O_PATH, 0, resolve) {
            Err(ENOENT) => make_path(self.root, self.path, self.wanted()?, resolve),
            answer => answer.map_err(|errno| (1, errno)),
        }
    }

    fn wanted(&self) -> Result<Wanted, Failed> {
        match self.like.map(stat_fd) {
            Some(Err(errno)) => Err((9, errno)),
            Some(Ok(file)) if file.mode & S_IFMT != S_IFDIR => Ok(Wanted::File),
            _ => Ok(Wanted::Folder(self.mode)),
        }
    }
}

/// What is made where the last name of a path is missing.
#[derive(Clone, Copy)]
enum Wanted {
    /// A folder with this mode.
    Folder(u32),
    /// An empty file.
    File,
}

const PARENT: Wanted = Wanted::Folder(0o755);

/// A path that is taken apart and, at a dangling link, put together anew.
struct Walk {
    path: [u8; PATH_MAX],
    len: usize,
}

impl Walk {
    fn new(path: &CStr) -> Result<Walk, Failed> {
        let bytes = path.to_bytes();
        if bytes.len() >= PATH_MAX {
            return Err((0, ENAMETOOLONG));
        }
        let mut walk = Walk { path: [0; PATH_MAX], len: bytes.len() };
        walk.path[..bytes.len()].copy_from_slice(bytes);
        Ok(walk)
    }

    /// The bounds of the first name at or after `from`.
    fn name(&self, from: usize) -> Option<(usize, usize)> {
        let start = (from..self.len).find(|&i| self.path[i] != b'/')?;
        let end = (start..self.len).find(|&i| self.path[i] == b'/').unwrap_or(self.len);
        Some((start, end))
    }

    /// Puts the target of the link at `start..end` in its place; an absolute one starts at the root again.
    fn splice(&mut self, start: usize, end: usize, target: &[u8]) -> Result<(), Failed> {
        let mut joined = [0u8; PATH_MAX];
        let kept = if target.first() == Some(&b'/') { 0 } else { start };
        let rest = self.len - end;
        let len = kept + target.len() + rest;
        if len >= PATH_MAX {
            return Err((5, ENAMETOOLONG));
        }
        joined[..kept].copy_from_slice(&self.path[..kept]);
        joined[kept..kept + target.len()].copy_from_slice(target);
        joined[kept + target.len()..len].copy_from_slice(&self.path[end..self.len]);
        self.path = joined;
        self.len = len;
        Ok(())
    }

    /// The path up to `end` as a string, for one call.
    fn with_prefix<T>(&mut self, start: usize, end: usize, call: impl FnOnce(&CStr) -> T) -> T {
        let saved = self.path[end];
        self.path[end] = 0;
        let text = CStr::from_bytes_until_nul(&self.path[start..=end]).unwrap_or(c"");
        let answer = call(text);
        self.path[end] = saved;
        answer
    }
}

/// The slow way of [`MountPoint::open`]: name by name, from a parent that is open.
fn make_path(root: i32, path: &CStr, wanted: Wanted, resolve: u64) -> Result<i32, Failed> {
    let mut walk = Walk::new(path)?;
    let mut links = 0;
    // That the whole path leads nowhere has just been seen; a path that was put together anew may lead somewhere.
    let mut nowhere = true;
    'again: loop {
        let mut parent = root;
        let mut at = 0;
        while let Some((start, end)) = walk.name(at) {
            let last = walk.name(end).is_none();
            // From the root each time, so that `..` and links count from there and not from the parent.
            let found = match last && nowhere {
                true => Err(ENOENT),
                false => walk.with_prefix(0, end, |prefix| openat2(root, prefix, O_PATH, 0, resolve)),
            };
            let next = match found {
                Ok(fd) => fd,
                Err(ENOENT) => {
                    let made =
                        walk.with_prefix(start, end, |name| make(parent, name, if last { wanted } else { PARENT }));
                    match made {
                        Ok(fd) => fd,
                        Err((_, EEXIST)) if links < MAX_LINKS => {
                            links += 1;
                            nowhere = false;
                            let mut target = [0u8; PATH_MAX];
                            let read = walk.with_prefix(start, end, |name| readlinkat(parent, name, &mut target));
                            close_unless(parent, root);
                            match read {
                                // It came after the path was looked at, where none may be.
                                Ok(_) if resolve & RESOLVE_NO_SYMLINKS != 0 => return Err((4, ELOOP)),
                                Ok(len) => walk.splice(start, end, &target[..len])?,
                                // Not a link: somebody made it in between, so look again.
                                Err(EINVAL) => {}
                                Err(errno) => return Err((4, errno)),
                            }
                            continue 'again;
                        }
                        Err((step, errno)) => return Err((step, if errno == EEXIST { ELOOP } else { errno })),
                    }
                }
                Err(errno) => return Err((1, errno)),
            };
            close_unless(parent, root);
            parent = next;
            at = end;
        }
        return Ok(parent);
    }
}

/// Makes one folder or empty file below an opened parent and opens it.
fn make(parent: i32, name: &CStr, wanted: Wanted) -> Result<i32, Failed> {
    if let Wanted::Folder(mode) = wanted {
        mkdirat(parent, name, mode).map_err(|errno| (2, errno))?;
        return openat2(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH).map_err(|e| (1, e));
    }
    openat2(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW, 0o644, RESOLVE_BENEATH).map_err(|errno| (3, errno))
}

fn close_unless(fd: i32, kept: i32) {
    if fd != kept {
        close(fd);
    }
}

/// The opened parent of a path and its last name; the parent is made where it is missing.
fn parent(root: i32, path: &CStr) -> Result<(i32, &CStr), Failed> {
    let bytes = path.to_bytes();
    let Some(slash) = bytes.iter().rposition(|&byte| byte == b'/') else { return Ok((root, path)) };
    let name = CStr::from_bytes_with_nul(&path.to_bytes_with_nul()[slash + 1..]).unwrap_or(path);
    if slash == 0 {
        return Ok((root, name));
    }
    let mut folder = [0u8; PATH_MAX];
    if slash >= PATH_MAX {
        return Err((0, ENAMETOOLONG));
    }
    folder[..slash].copy_from_slice(&bytes[..slash]);
    let folder = CStr::from_bytes_until_nul(&folder).unwrap_or(c"");
    let folder = MountPoint { root, path: folder, like: None, mode: 0o755 };
    Ok((folder.open(INSIDE)?, name))
}

/// A device, FIFO or socket node to be made.
pub struct Node {
    pub mode: u32,
    pub dev: u64,
    pub uid: u32,
    pub gid: u32,
}

/// Makes a node, or accepts one of the same kind and number (the spec wants an error for any other file there).
pub fn make_node(root: i32, path: &CStr, node: &Node) -> Result<(), Failed> {
    let (parent, name) = parent(root, path)?;
    let made = match mknodat(parent, name, node.mode, node.dev) {
        Ok(()) if node.uid == 0 && node.gid == 0 => Ok(()),
        Ok(()) => chown(parent, name, node.uid, node.gid, AT_SYMLINK_NOFOLLOW).map_err(|errno| (7, errno)),
        Err(EEXIST) => match stat(parent, name, AT_SYMLINK_NOFOLLOW) {
            Ok(there) if same_node(&there, node) => Ok(()),
            Ok(_) => Err((8, EEXIST)),
            Err(errno) => Err((8, errno)),
        },
        Err(errno) => Err((6, errno)),
    };
    close_unless(parent, root);
    made
}

fn same_node(there: &Stat, node: &Node) -> bool {
    let kind = node.mode & S_IFMT;
    let numbered = kind == S_IFCHR || kind == S_IFBLK;
    there.mode & S_IFMT == kind && (!numbered || there.rdev == node.dev)
}

/// Makes a symbolic link; whatever the image has at that name stays.
pub fn make_symlink(root: i32, path: &CStr, target: &CStr) -> Result<(), Failed> {
    let (parent, name) = parent(root, path)?;
    let made = match symlinkat(target, parent, name) {
        Ok(()) | Err(EEXIST) => Ok(()),
        Err(errno) => Err((6, errno)),
    };
    close_unless(parent, root);
    made
}

/// Hides a path behind a copy of `null` or, if it is a folder, of `empty`. Returns the descriptors to be closed.
pub fn mask(root: i32, path: &CStr, null: i32, empty: i32) -> Result<Option<[i32; 2]>, Failed> {
    let Some(place) = find(root, path).map_err(|errno| (1, errno))? else { return Ok(None) };
    let folder = stat_fd(place).map_err(|errno| (9, errno))?.mode & S_IFMT == S_IFDIR;
    let cover = open_tree(if folder { empty } else { null }, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH)
        .map_err(|errno| (10, errno))?;
    move_mount(cover, place, c"").map_err(|errno| (11, errno))?;
    Ok(Some([place, cover]))
}

/// Lays a read-only copy of a path, with all that is mounted below it, over the path. Returns the descriptors to be closed.
pub fn read_only(root: i32, path: &CStr) -> Result<Option<[i32; 2]>, Failed> {
    let Some(place) = find(root, path).map_err(|errno| (1, errno))? else { return Ok(None) };
    let attr = MountAttr { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, userns: 0 };
    let copy = clone_with(place, &attr).map_err(|errno| (10, errno))?;
    move_mount(copy, place, c"").map_err(|errno| (11, errno))?;
    Ok(Some([place, copy]))
}
