//! The copy of a folder's content into a new tmpfs (the mount option `tmpcopyup`).
//!
//! The folder is the image's, so anything may be in it: every name is looked up from the opened folder it is in, no link is
//! followed, no other file system is entered, and the depth is bounded, since each level takes two descriptors.

use core::ffi::CStr;

use crate::linux::*;
use crate::rootfs::Failed;

/// Levels of folders.
const DEPTH_MAX: u32 = 64;
const INSIDE: u64 = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
const PATH_MAX: usize = 4096;
/// The longest extended attribute that is copied; ACLs and file capabilities are far shorter.
const ATTRIBUTE_MAX: usize = 4096;

/// Copies what is in the folder `from` to the root of the file system `to`, and with `owner` whose folder it is.
///
/// Sockets are left out: nobody listens on a copy.
pub fn copy_up(from: i32, to: i32, owner: bool) -> Result<(), Failed> {
    let folder = openat2(from, c".", O_DIRECTORY, 0, INSIDE).map_err(|errno| (0, errno))?;
    let root = openat2(to, c".", O_DIRECTORY, 0, INSIDE).map_err(|errno| (0, errno))?;
    content(folder, root, 0)?;
    if owner {
        let file = statx(folder, c"", AT_EMPTY_PATH).map_err(|errno| (1, errno))?;
        chown(root, c"", file.uid, file.gid, AT_EMPTY_PATH).map_err(|errno| (5, errno))?;
    }
    close(folder);
    close(root);
    Ok(())
}

fn content(from: i32, to: i32, depth: u32) -> Result<(), Failed> {
    if depth == DEPTH_MAX {
        return Err((crate::op::Failure::CHECK, ENAMETOOLONG));
    }
    // Words, as struct linux_dirent64 starts with two of them.
    let mut entries = [0u64; 256];
    loop {
        let read = getdents(from, &mut entries).map_err(|errno| (2, errno))?;
        if read.is_empty() {
            return Ok(());
        }
        let mut rest = read;
        // d_ino and d_off, two bytes of d_reclen, one of d_type, then the name.
        while let Some(&[low, high]) = rest.get(16..18) {
            let len = usize::from(u16::from_ne_bytes([low, high])).clamp(19, rest.len());
            let name = CStr::from_bytes_until_nul(&rest[19..len]).map_err(|_| (2, EINVAL))?;
            if name != c"." && name != c".." {
                entry(from, to, name, depth)?;
            }
            rest = &rest[len..];
        }
    }
}

fn entry(from: i32, to: i32, name: &CStr, depth: u32) -> Result<(), Failed> {
    let file = statx(from, name, AT_SYMLINK_NOFOLLOW).map_err(|errno| (1, errno))?;
    match file.mode & S_IFMT {
        S_IFDIR => {
            mkdirat(to, name, 0o700).map_err(|errno| (3, errno))?;
            let Some(source) = open_inside(from, name, O_DIRECTORY)? else { return Ok(()) };
            let copy = openat2(to, name, O_DIRECTORY, 0, INSIDE).map_err(|errno| (0, errno))?;
            content(source, copy, depth + 1)?;
            attributes(source, copy, &file)?;
            close(source);
            close(copy);
            Ok(())
        }
        S_IFREG => {
            let Some(source) = open_inside(from, name, O_NONBLOCK)? else { return Ok(()) };
            let flags = O_WRONLY | O_CREAT | O_EXCL;
            let copy = openat2(to, name, flags, 0o600, INSIDE).map_err(|errno| (3, errno))?;
            while send_file(source, copy).map_err(|errno| (4, errno))? > 0 {}
            attributes(source, copy, &file)?;
            close(source);
            close(copy);
            Ok(())
        }
        S_IFLNK => {
            let mut target = [0u8; PATH_MAX];
            readlinkat(from, name, &mut target[..PATH_MAX - 1]).map_err(|errno| (1, errno))?;
            let target = CStr::from_bytes_until_nul(&target).unwrap_or(c"");
            symlinkat(target, to, name).map_err(|errno| (3, errno))?;
            chown(to, name, file.uid, file.gid, AT_SYMLINK_NOFOLLOW).map_err(|errno| (5, errno))
        }
        S_IFSOCK => Ok(()),
        _ => {
            mknodat(to, name, file.mode, file.dev).map_err(|errno| (3, errno))?;
            chown(to, name, file.uid, file.gid, AT_SYMLINK_NOFOLLOW).map_err(|errno| (5, errno))
        }
    }
}

/// Opens one name to be read; `None` where another file system is mounted on it.
fn open_inside(folder: i32, name: &CStr, flags: u32) -> Result<Option<i32>, Failed> {
    match openat2(folder, name, flags | O_NOFOLLOW | O_NOCTTY, 0, INSIDE) {
        Err(EXDEV) => Ok(None),
        answer => answer.map(Some).map_err(|errno| (0, errno)),
    }
}

/// Gives the copy the owner, mode, extended attributes and times of `file`, which was opened as `source`.
fn attributes(source: i32, copy: i32, file: &Statx) -> Result<(), Failed> {
    // The mode and the attributes come after the owner, since a new owner clears set-user-id and file capabilities.
    chown(copy, c"", file.uid, file.gid, AT_EMPTY_PATH).map_err(|errno| (5, errno))?;
    fchmod(copy, file.mode & !S_IFMT).map_err(|errno| (6, errno))?;
    extended_attributes(source, copy).map_err(|errno| (7, errno))?;
    set_times(copy, &file.times).map_err(|errno| (8, errno))
}

fn extended_attributes(source: i32, copy: i32) -> Answer<()> {
    let mut names = [0u8; 1024];
    let len = match list_attributes(source, &mut names) {
        Err(EOPNOTSUPP) => return Ok(()),
        answer => answer?,
    };
    let mut value = [0u8; ATTRIBUTE_MAX];
    for name in names[..len].split_inclusive(|&byte| byte == 0) {
        let name = CStr::from_bytes_until_nul(name).map_err(|_| EINVAL)?;
        let len = get_attribute(source, name, &mut value)?;
        match set_attribute(copy, name, &value[..len]) {
            // The tmpfs does not know such attributes, or only the host's root may set them.
            Err(EOPNOTSUPP | EPERM) => {}
            answer => answer?,
        }
    }
    Ok(())
}
