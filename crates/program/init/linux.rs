//! The system calls init makes, typed. Every wrapper is one call; none allocates, formats or touches a thread's errno.

use core::ffi::CStr;

use crate::arch::{STAT_MODE, STAT_RDEV, call, nr};

/// An error number.
pub type Errno = i32;
/// What a call answers.
pub type Answer<T> = Result<T, Errno>;

pub const AT_FDCWD: i32 = -100;
pub const AT_EMPTY_PATH: u32 = 0x1000;
pub const AT_RECURSIVE: u32 = 0x8000;
pub const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
pub const AT_EACCESS: u32 = 0x200;
pub const O_WRONLY: u32 = 1;
pub const O_RDWR: u32 = 2;
pub const O_CREAT: u32 = 0o100;
pub const O_EXCL: u32 = 0o200;
pub const O_NOCTTY: u32 = 0o400;
pub const O_NONBLOCK: u32 = 0o4000;
pub use crate::arch::{O_DIRECTORY, O_NOFOLLOW};
pub const O_CLOEXEC: u32 = 0o2000000;
pub const O_PATH: u32 = 0o10000000;
pub const RESOLVE_NO_XDEV: u64 = 1;
pub const RESOLVE_NO_MAGICLINKS: u64 = 2;
pub const RESOLVE_NO_SYMLINKS: u64 = 4;
pub const RESOLVE_BENEATH: u64 = 8;
pub const RESOLVE_IN_ROOT: u64 = 16;
pub const OPEN_TREE_CLONE: u32 = 1;
pub const OPEN_TREE_CLOEXEC: u32 = O_CLOEXEC;
pub const MOVE_MOUNT_BOTH_EMPTY: u32 = 0x4 | 0x40;
pub const MOUNT_ATTR_RDONLY: u64 = 1;
pub const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
pub const S_IFMT: u32 = 0o170000;
pub const S_IFDIR: u32 = 0o040000;
pub const S_IFREG: u32 = 0o100000;
pub const S_IFBLK: u32 = 0o060000;
pub const S_IFCHR: u32 = 0o020000;
pub const S_IFLNK: u32 = 0o120000;
pub const S_IFSOCK: u32 = 0o140000;
pub const EPERM: Errno = 1;
pub const ENOENT: Errno = 2;
pub const EAGAIN: Errno = 11;
pub const EACCES: Errno = 13;
pub const EEXIST: Errno = 17;
pub const EXDEV: Errno = 18;
pub const ENODEV: Errno = 19;
pub const ENOTDIR: Errno = 20;
pub const EINVAL: Errno = 22;
pub const ENAMETOOLONG: Errno = 36;
pub const ELOOP: Errno = 40;
pub const EOPNOTSUPP: Errno = 95;
pub const EINTR: Errno = 4;
pub const ETIMEDOUT: Errno = 110;

/// struct open_how (openat2(2)).
#[repr(C)]
pub struct OpenHow {
    pub flags: u64,
    pub mode: u64,
    pub resolve: u64,
}

/// struct mount_attr (mount_setattr(2)).
#[repr(C)]
pub struct MountAttr {
    pub set: u64,
    pub clear: u64,
    pub propagation: u64,
    pub userns: u64,
}

/// The fields of struct stat that init looks at.
pub struct Stat {
    pub mode: u32,
    pub rdev: u64,
}

fn fd_result(answer: Answer<usize>) -> Answer<i32> {
    answer.map(|fd| fd as i32)
}

fn no_result(answer: Answer<usize>) -> Answer<()> {
    answer.map(|_| ())
}

/// Calls that take numbers alone.
fn plain(number: usize, args: [usize; 6]) -> Answer<usize> {
    // SAFETY: the callers in this file use it only where every argument is a number, not an address.
    unsafe { call(number, args) }
}

pub fn exit(code: i32) -> ! {
    loop {
        let _ = plain(nr::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]);
    }
}

pub fn openat2(dir: i32, path: &CStr, flags: u32, mode: u32, resolve: u64) -> Answer<i32> {
    let how = OpenHow { flags: u64::from(flags | O_CLOEXEC), mode: u64::from(mode), resolve };
    let args = [dir as usize, path.as_ptr() as usize, &raw const how as usize, size_of::<OpenHow>(), 0, 0];
    loop {
        // SAFETY: the path is NUL-terminated and `how` is a struct open_how; the kernel only reads both.
        match fd_result(unsafe { call(nr::OPENAT2, args) }) {
            // A rename elsewhere on the system made the kernel unsure of a `..`: it says so rather than guess (openat2(2)).
            Err(EAGAIN) if resolve & (RESOLVE_IN_ROOT | RESOLVE_BENEATH) != 0 => continue,
            Err(EINTR) => continue,
            answer => return answer,
        }
    }
}

pub fn close(fd: i32) {
    let _ = plain(nr::CLOSE, [fd as usize, 0, 0, 0, 0, 0]);
}

/// Closes two descriptors: in one call where they are neighbours, as those opened one after the other mostly are.
pub fn close_both(one: i32, other: i32) {
    if one.abs_diff(other) == 1 {
        let _ = plain(nr::CLOSE_RANGE, [one.min(other) as usize, one.max(other) as usize, 0, 0, 0, 0]);
    } else {
        close(one);
        close(other);
    }
}

/// Marks every descriptor from `first` on to be closed by execve.
pub fn close_on_exec_from(first: u32) -> Answer<()> {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    no_result(plain(nr::CLOSE_RANGE, [first as usize, u32::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0, 0]))
}

pub fn read(fd: i32, buffer: &mut [u8]) -> Answer<usize> {
    loop {
        let args = [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
        // SAFETY: the kernel writes at most the buffer's length into it.
        match unsafe { call(nr::READ, args) } {
            Err(EINTR) => continue,
            answer => return answer,
        }
    }
}

pub fn write(fd: i32, data: &[u8]) -> Answer<usize> {
    // SAFETY: the kernel only reads the slice.
    unsafe { call(nr::WRITE, [fd as usize, data.as_ptr() as usize, data.len(), 0, 0, 0]) }
}

pub fn rewind(fd: i32) -> Answer<()> {
    no_result(plain(nr::LSEEK, [fd as usize, 0, 0, 0, 0, 0]))
}

pub fn dup3(fd: i32, to: i32) -> Answer<()> {
    no_result(plain(nr::DUP3, [fd as usize, to as usize, 0, 0, 0, 0]))
}

/// Clears the close-on-exec flag.
pub fn keep_on_exec(fd: i32) -> Answer<()> {
    const F_SETFD: usize = 2;
    no_result(plain(nr::FCNTL, [fd as usize, F_SETFD, 0, 0, 0, 0]))
}

pub fn stat(dir: i32, path: &CStr, flags: u32) -> Answer<Stat> {
    // struct stat is 144 bytes on x86_64 and 128 on aarch64; words keep it aligned.
    let mut raw = [0u64; 18];
    let args = [dir as usize, path.as_ptr() as usize, raw.as_mut_ptr() as usize, flags as usize, 0, 0];
    // SAFETY: the path is NUL-terminated and the buffer at least as large as struct stat.
    unsafe { call(nr::NEWFSTATAT, args) }?;
    Ok(Stat { mode: raw[STAT_MODE] as u32, rdev: raw[STAT_RDEV] })
}

pub fn stat_fd(fd: i32) -> Answer<Stat> {
    stat(fd, c"", AT_EMPTY_PATH)
}

/// The type of the file system that a descriptor is on (statfs(2), f_type).
pub fn fs_magic(fd: i32) -> Answer<u32> {
    let mut raw = [0u64; 16];
    // SAFETY: struct statfs is 120 bytes; the buffer has 128.
    unsafe { call(nr::FSTATFS, [fd as usize, raw.as_mut_ptr() as usize, 0, 0, 0, 0]) }?;
    Ok(raw[0] as u32)
}

pub fn mkdirat(dir: i32, path: &CStr, mode: u32) -> Answer<()> {
    // SAFETY: the path is NUL-terminated.
    no_result(unsafe { call(nr::MKDIRAT, [dir as usize, path.as_ptr() as usize, mode as usize, 0, 0, 0]) })
}

pub fn mknodat(dir: i32, path: &CStr, mode: u32, dev: u64) -> Answer<()> {
    // SAFETY: the path is NUL-terminated.
    no_result(unsafe { call(nr::MKNODAT, [dir as usize, path.as_ptr() as usize, mode as usize, dev as usize, 0, 0]) })
}

pub fn symlinkat(target: &CStr, dir: i32, path: &CStr) -> Answer<()> {
    // SAFETY: both strings are NUL-terminated.
    no_result(unsafe {
        call(nr::SYMLINKAT, [target.as_ptr() as usize, dir as usize, path.as_ptr() as usize, 0, 0, 0])
    })
}

pub fn readlinkat(dir: i32, path: &CStr, buffer: &mut [u8]) -> Answer<usize> {
    let args = [dir as usize, path.as_ptr() as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0];
    // SAFETY: the path is NUL-terminated; the kernel writes at most the buffer's length.
    unsafe { call(nr::READLINKAT, args) }
}

pub fn chown(dir: i32, path: &CStr, uid: u32, gid: u32, flags: u32) -> Answer<()> {
    let args = [dir as usize, path.as_ptr() as usize, uid as usize, gid as usize, flags as usize, 0];
    // SAFETY: the path is NUL-terminated.
    no_result(unsafe { call(nr::FCHOWNAT, args) })
}

pub fn chmod(dir: i32, path: &CStr, mode: u32) -> Answer<()> {
    // SAFETY: the path is NUL-terminated.
    no_result(unsafe { call(nr::FCHMODAT, [dir as usize, path.as_ptr() as usize, mode as usize, 0, 0, 0]) })
}

// ---- copies of files

/// What a copy needs to know of a file (statx(2)).
pub struct Statx {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub dev: u64,
    /// Seconds and nanoseconds of the last access and the last change of the content.
    pub times: [u64; 4],
}

pub fn statx(dir: i32, path: &CStr, flags: u32) -> Answer<Statx> {
    const STATX_BASIC_STATS: usize = 0x7ff;
    // struct statx is 256 bytes, the same everywhere.
    let mut raw = [0u64; 32];
    let args =
        [dir as usize, path.as_ptr() as usize, flags as usize, STATX_BASIC_STATS, raw.as_mut_ptr() as usize, 0];
    // SAFETY: the path is NUL-terminated and the buffer as large as struct statx.
    unsafe { call(nr::STATX, args) }?;
    let (low, high) = (|at: usize| raw[at] as u32, |at: usize| (raw[at] >> 32) as u32);
    let (major, minor) = (u64::from(low(16)), u64::from(high(16)));
    Ok(Statx {
        mode: high(3) & 0xffff,
        uid: high(2),
        gid: low(3),
        // As mknod(2) takes it (makedev(3)).
        dev: (minor & 0xff) | major << 8 | (minor & !0xff) << 12,
        times: [raw[8], u64::from(low(9)), raw[14], u64::from(low(15))],
    })
}

/// The next entries of a folder, as struct linux_dirent64; none at its end.
pub fn getdents(folder: i32, buffer: &mut [u64]) -> Answer<&[u8]> {
    let args = [folder as usize, buffer.as_mut_ptr() as usize, size_of_val(buffer), 0, 0, 0];
    // SAFETY: the kernel writes at most the buffer's length into it.
    let len = unsafe { call(nr::GETDENTS64, args) }?.min(size_of_val(buffer));
    // SAFETY: these bytes are the buffer's, which is borrowed for as long as the answer.
    Ok(unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast(), len) })
}

/// Copies some bytes from where `from` stands; 0 at its end.
pub fn send_file(from: i32, to: i32) -> Answer<usize> {
    const SOME: usize = 1 << 30;
    plain(nr::SENDFILE, [to as usize, from as usize, 0, SOME, 0, 0])
}

pub fn fchmod(fd: i32, mode: u32) -> Answer<()> {
    no_result(plain(nr::FCHMOD, [fd as usize, mode as usize, 0, 0, 0, 0]))
}

pub fn set_times(fd: i32, times: &[u64; 4]) -> Answer<()> {
    // SAFETY: two struct timespec are four words; a null path means the descriptor's own file.
    no_result(unsafe { call(nr::UTIMENSAT, [fd as usize, 0, times.as_ptr() as usize, 0, 0, 0]) })
}

/// The names of a file's extended attributes, each ended by a NUL.
pub fn list_attributes(fd: i32, names: &mut [u8]) -> Answer<usize> {
    // SAFETY: the kernel writes at most the buffer's length into it.
    unsafe { call(nr::FLISTXATTR, [fd as usize, names.as_mut_ptr() as usize, names.len(), 0, 0, 0]) }
}

pub fn get_attribute(fd: i32, name: &CStr, value: &mut [u8]) -> Answer<usize> {
    let args = [fd as usize, name.as_ptr() as usize, value.as_mut_ptr() as usize, value.len(), 0, 0];
    // SAFETY: the name is NUL-terminated; the kernel writes at most the buffer's length.
    unsafe { call(nr::FGETXATTR, args) }
}

pub fn set_attribute(fd: i32, name: &CStr, value: &[u8]) -> Answer<()> {
    let args = [fd as usize, name.as_ptr() as usize, value.as_ptr() as usize, value.len(), 0, 0];
    // SAFETY: the name is NUL-terminated, and the kernel only reads the value.
    no_result(unsafe { call(nr::FSETXATTR, args) })
}

/// Whether the effective user may execute the path.
pub fn executable(path: &CStr) -> Answer<()> {
    const X_OK: usize = 1;
    let args = [AT_FDCWD as usize, path.as_ptr() as usize, X_OK, AT_EACCESS as usize, 0, 0];
    // SAFETY: the path is NUL-terminated.
    no_result(unsafe { call(nr::FACCESSAT2, args) })
}

pub fn chdir(path: &CStr) -> Answer<()> {
    // SAFETY: the path is NUL-terminated.
    no_result(unsafe { call(nr::CHDIR, [path.as_ptr() as usize, 0, 0, 0, 0, 0]) })
}

pub fn fchdir(fd: i32) -> Answer<()> {
    no_result(plain(nr::FCHDIR, [fd as usize, 0, 0, 0, 0, 0]))
}

pub fn chroot(path: &CStr) -> Answer<()> {
    // SAFETY: the path is NUL-terminated.
    no_result(unsafe { call(nr::CHROOT, [path.as_ptr() as usize, 0, 0, 0, 0, 0]) })
}

/// The length of the current directory's path, and whether it starts with `/` (it does not when it is out of reach).
pub fn getcwd(buffer: &mut [u8]) -> Answer<usize> {
    // SAFETY: the kernel writes at most the buffer's length into it.
    unsafe { call(nr::GETCWD, [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0, 0]) }
}

pub fn umask(mask: u32) {
    let _ = plain(nr::UMASK, [mask as usize, 0, 0, 0, 0, 0]);
}

// ---- mounts

pub fn open_tree(dir: i32, path: &CStr, flags: u32) -> Answer<i32> {
    let args = [dir as usize, path.as_ptr() as usize, (flags | OPEN_TREE_CLOEXEC) as usize, 0, 0, 0];
    // SAFETY: the path is NUL-terminated.
    fd_result(unsafe { call(nr::OPEN_TREE, args) })
}

/// Attaches the mount `from` at the place `to`.
pub fn move_mount(from: i32, to: i32) -> Answer<()> {
    let empty = c"".as_ptr() as usize;
    // SAFETY: the paths are static and empty.
    no_result(unsafe {
        call(nr::MOVE_MOUNT, [from as usize, empty, to as usize, empty, MOVE_MOUNT_BOTH_EMPTY as usize, 0])
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
    let args =
        [mount as usize, path.as_ptr() as usize, flags as usize, attr_at as usize, size_of::<MountAttr>(), 0];
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

// ---- namespaces, session, terminal

pub fn setns(fd: i32, kind: u32) -> Answer<()> {
    no_result(plain(nr::SETNS, [fd as usize, kind as usize, 0, 0, 0, 0]))
}

pub fn unshare(flags: u32) -> Answer<()> {
    no_result(plain(nr::UNSHARE, [flags as usize, 0, 0, 0, 0, 0]))
}

pub fn setsid() -> Answer<()> {
    no_result(plain(nr::SETSID, [0; 6]))
}

pub fn sethostname(name: &[u8]) -> Answer<()> {
    // SAFETY: the kernel only reads the slice.
    no_result(unsafe { call(nr::SETHOSTNAME, [name.as_ptr() as usize, name.len(), 0, 0, 0, 0]) })
}

pub fn setdomainname(name: &[u8]) -> Answer<()> {
    // SAFETY: the kernel only reads the slice.
    no_result(unsafe { call(nr::SETDOMAINNAME, [name.as_ptr() as usize, name.len(), 0, 0, 0, 0]) })
}

pub fn join_session_keyring(name: &CStr) -> Answer<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
    // SAFETY: the name is NUL-terminated.
    no_result(unsafe { call(nr::KEYCTL, [KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr() as usize, 0, 0, 0, 0]) })
}

pub fn ioctl(fd: i32, request: u32, argument: usize) -> Answer<usize> {
    // SAFETY: the callers pass a number, or the address of a structure that the request is defined for.
    unsafe { call(nr::IOCTL, [fd as usize, request as usize, argument, 0, 0, 0]) }
}

pub fn socket(domain: usize, kind: usize) -> Answer<i32> {
    fd_result(plain(nr::SOCKET, [domain, kind, 0, 0, 0, 0]))
}

pub fn accept(listener: i32) -> Answer<i32> {
    loop {
        match fd_result(plain(nr::ACCEPT4, [listener as usize, 0, 0, O_CLOEXEC as usize, 0, 0])) {
            Err(EINTR) => continue,
            answer => return answer,
        }
    }
}

/// Sends `data` and one descriptor in one message (unix(7), SCM_RIGHTS).
pub fn send_fd(socket: i32, fd: i32, data: &[u8]) -> Answer<()> {
    #[repr(C)]
    struct Control {
        len: usize,
        level: i32,
        kind: i32,
        fd: i32,
        padding: i32,
    }
    #[repr(C)]
    struct Message {
        name: usize,
        name_len: u64,
        iov: usize,
        iov_len: usize,
        control: usize,
        control_len: usize,
        flags: u64,
    }
    const SOL_SOCKET: i32 = 1;
    const SCM_RIGHTS: i32 = 1;
    const MSG_NOSIGNAL: usize = 0x4000;
    let control = Control { len: 20, level: SOL_SOCKET, kind: SCM_RIGHTS, fd, padding: 0 };
    let iov = [data.as_ptr() as usize, data.len()];
    let message = Message {
        name: 0,
        name_len: 0,
        iov: iov.as_ptr() as usize,
        iov_len: 1,
        control: &raw const control as usize,
        control_len: size_of::<Control>(),
        flags: 0,
    };
    // SAFETY: the message points to a vector of one element and a control block, all alive until the call returns.
    no_result(unsafe { call(nr::SENDMSG, [socket as usize, &raw const message as usize, MSG_NOSIGNAL, 0, 0, 0]) })
}

// ---- what the process is and may do

pub fn prctl(option: u32, args: [usize; 4]) -> Answer<usize> {
    // SAFETY: the callers pass numbers, or for PR_SET_NAME the address of a static string.
    unsafe { call(nr::PRCTL, [option as usize, args[0], args[1], args[2], args[3], 0]) }
}

pub fn setresuid(uid: u32) -> Answer<()> {
    no_result(plain(nr::SETRESUID, [uid as usize, uid as usize, uid as usize, 0, 0, 0]))
}

pub fn setresgid(gid: u32) -> Answer<()> {
    no_result(plain(nr::SETRESGID, [gid as usize, gid as usize, gid as usize, 0, 0, 0]))
}

/// `groups` holds `u32`s.
pub fn setgroups(groups: &[u8]) -> Answer<()> {
    // SAFETY: the kernel reads len/4 numbers from the slice.
    no_result(unsafe { call(nr::SETGROUPS, [groups.len() / 4, groups.as_ptr() as usize, 0, 0, 0, 0]) })
}

pub fn capset(effective: u64, permitted: u64, inheritable: u64) -> Answer<()> {
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header = [LINUX_CAPABILITY_VERSION_3, 0];
    let low = |set: u64| set as u32;
    let high = |set: u64| (set >> 32) as u32;
    let data =
        [low(effective), low(permitted), low(inheritable), high(effective), high(permitted), high(inheritable)];
    // SAFETY: version 3 has a header of two words and two data blocks of three.
    no_result(unsafe { call(nr::CAPSET, [header.as_ptr() as usize, data.as_ptr() as usize, 0, 0, 0, 0]) })
}

pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Answer<()> {
    let limit = [soft, hard];
    // SAFETY: struct rlimit64 is two words, which the kernel only reads.
    no_result(unsafe { call(nr::PRLIMIT64, [0, resource as usize, limit.as_ptr() as usize, 0, 0, 0]) })
}

pub fn personality(persona: u32) -> Answer<()> {
    no_result(plain(nr::PERSONALITY, [persona as usize, 0, 0, 0, 0, 0]))
}

/// `attributes` holds a struct sched_attr, whose first field is its size.
pub fn set_scheduler(attributes: &[u8]) -> Answer<()> {
    // SAFETY: the kernel reads as many bytes as the first field says, which the builder has set to the slice's length.
    no_result(unsafe { call(nr::SCHED_SETATTR, [0, attributes.as_ptr() as usize, 0, 0, 0, 0]) })
}

pub fn set_io_priority(value: u32) -> Answer<()> {
    const IOPRIO_WHO_PROCESS: usize = 1;
    no_result(plain(nr::IOPRIO_SET, [IOPRIO_WHO_PROCESS, 0, value as usize, 0, 0, 0]))
}

pub fn set_affinity(cpus: &[u8]) -> Answer<()> {
    // SAFETY: the kernel only reads the slice.
    no_result(unsafe { call(nr::SCHED_SETAFFINITY, [0, cpus.len(), cpus.as_ptr() as usize, 0, 0, 0]) })
}

/// The kernel takes from a mask what it has CPUs for and what the cgroup allows, and keeps the rest in mind for the day the
/// cgroup allows more. An outer container's filter may refuse the call, which then leaves the process where it is.
pub fn allow_all_cpus() {
    /// As many as the kernel can be built for (CONFIG_NR_CPUS).
    const CPUS: usize = 8192;
    let _ = set_affinity(&[u8::MAX; CPUS / 8]);
}

/// `nodes` holds `u64`s.
pub fn set_memory_policy(mode: u32, nodes: &[u8]) -> Answer<()> {
    // One more than there are bits: the kernel takes it for a count that includes one bit past the last (set_mempolicy(2), BUGS).
    let (mask, bits) = if nodes.is_empty() { (0, 0) } else { (nodes.as_ptr() as usize, nodes.len() * 8 + 1) };
    // SAFETY: the kernel reads as many bits as it is told, rounded up to eight bytes, of which the slice is a multiple.
    no_result(unsafe { call(nr::SET_MEMPOLICY, [mode as usize, mask, bits, 0, 0, 0]) })
}

/// `filter` holds struct sock_filter, eight bytes each.
pub fn seccomp_filter(filter: &[u8], flags: u32) -> Answer<()> {
    #[repr(C)]
    struct FilterProgram {
        len: u16,
        filter: usize,
    }
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    let program = FilterProgram { len: (filter.len() / 8) as u16, filter: filter.as_ptr() as usize };
    // SAFETY: the program names as many instructions as the slice holds.
    no_result(unsafe {
        call(nr::SECCOMP, [SECCOMP_SET_MODE_FILTER, flags as usize, &raw const program as usize, 0, 0, 0])
    })
}

/// Empties the signal mask.
pub fn unblock_signals() -> Answer<()> {
    const SIG_SETMASK: usize = 2;
    let none = 0u64;
    // SAFETY: the kernel's signal set is eight bytes, which it only reads.
    no_result(unsafe { call(nr::RT_SIGPROCMASK, [SIG_SETMASK, &raw const none as usize, 0, 8, 0, 0]) })
}

/// Gives a signal its default disposition.
pub fn default_signal(signal: u32) {
    let action = [0u64; 4];
    // SAFETY: struct sigaction of the kernel is four words at most; all zero is SIG_DFL.
    let _ = unsafe { call(nr::RT_SIGACTION, [signal as usize, action.as_ptr() as usize, 0, 8, 0, 0]) };
}

// ---- processes

/// fork(2) with a pidfd for the parent: `Ok(None)` in the child.
pub fn fork() -> Answer<Option<(i32, i32)>> {
    const CLONE_PIDFD: u64 = 0x1000;
    const SIGCHLD: u64 = 17;
    let mut pidfd = -1i32;
    // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls
    let args = [CLONE_PIDFD, &raw mut pidfd as u64, 0, 0, SIGCHLD, 0, 0, 0];
    // SAFETY: without CLONE_VM the child is a copy and goes on with its own stack; the kernel writes the pidfd.
    match unsafe { call(nr::CLONE3, [args.as_ptr() as usize, size_of_val(&args), 0, 0, 0, 0]) }? {
        0 => Ok(None),
        // The kernel has written the pidfd behind the compiler's back.
        // SAFETY: the variable is a valid i32 whatever was written.
        pid => Ok(Some((pid as i32, unsafe { (&raw const pidfd).read_volatile() }))),
    }
}

/// A sibling of this process in new namespaces: `None` in it, its id here.
pub fn clone_sibling(namespaces: u32) -> Answer<Option<i32>> {
    const CLONE_PARENT: u64 = 0x8000;
    // flags, pidfd, child_tid, parent_tid, exit_signal (that of this process), stack, stack_size, tls
    let args = [CLONE_PARENT | u64::from(namespaces), 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: without CLONE_VM the child is a copy and goes on with its own stack.
    match unsafe { call(nr::CLONE3, [args.as_ptr() as usize, size_of_val(&args), 0, 0, 0, 0]) }? {
        0 => Ok(None),
        pid => Ok(Some(pid as i32)),
    }
}

/// Waits until `fd` is readable; false when `seconds` (0 for no limit) went by first.
pub fn wait_readable(fd: i32, seconds: u32) -> Answer<bool> {
    const POLLIN: u32 = 1;
    let mut request = [fd as u32, POLLIN];
    let time = [u64::from(seconds), 0];
    let time_at = if seconds == 0 { 0 } else { time.as_ptr() as usize };
    // SAFETY: one struct pollfd is eight bytes, the time two words.
    unsafe { call(nr::PPOLL, [request.as_mut_ptr() as usize, 1, time_at, 0, 0, 0]) }.map(|ready| ready > 0)
}

pub fn wait_pid(pid: i32) -> Answer<i32> {
    let mut status = 0i32;
    loop {
        // SAFETY: the kernel writes one int.
        match unsafe { call(nr::WAIT4, [pid as usize, &raw mut status as usize, 0, 0, 0, 0]) } {
            Err(EINTR) => continue,
            Err(errno) => return Err(errno),
            // SAFETY: the variable is a valid i32 whatever was written.
            Ok(_) => return Ok(unsafe { (&raw const status).read_volatile() }),
        }
    }
}

pub fn kill(pid: i32, signal: i32) {
    let _ = plain(nr::KILL, [pid as usize, signal as usize, 0, 0, 0, 0]);
}

/// # Safety
/// `args` and `env` must be arrays of addresses of NUL-terminated strings, each ended by 0.
pub unsafe fn execve(path: &CStr, args: *const usize, env: *const usize) -> Errno {
    // SAFETY: the caller vouches for the arrays.
    match unsafe { call(nr::EXECVE, [path.as_ptr() as usize, args as usize, env as usize, 0, 0, 0]) } {
        Ok(_) => 0,
        Err(errno) => errno,
    }
}

/// Maps a whole file privately, writable.
pub fn map_file(fd: i32, size: usize) -> Answer<*mut u8> {
    const PROT_READ_WRITE: usize = 3;
    const MAP_PRIVATE: usize = 2;
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
    unsafe { call(nr::MMAP, [0, size, PROT_READ_WRITE, MAP_PRIVATE, fd as usize, 0]) }.map(|at| at as *mut u8)
}
