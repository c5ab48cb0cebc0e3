//! The system calls init makes, typed. Every wrapper is one call; none allocates, formats or touches a thread's errno.

mod mounts;
mod process;

use core::ffi::CStr;

use crate::arch::{STAT_MODE, STAT_RDEV, call, nr};

pub use mounts::*;
pub use process::*;

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
pub const ENOSYS: Errno = 38;
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

/// Nanoseconds since the epoch, by CLOCK_REALTIME.
pub fn real_time() -> u64 {
    const CLOCK_REALTIME: usize = 0;
    let mut time = [0u64; 2];
    // SAFETY: struct timespec is two words.
    let _ = unsafe { call(nr::CLOCK_GETTIME, [CLOCK_REALTIME, time.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
}

pub fn close(fd: i32) {
    let _ = plain(nr::CLOSE, [fd as usize, 0, 0, 0, 0, 0]);
}

/// Closes the descriptors from `first` to `last`.
pub fn close_range(first: i32, last: i32) {
    let _ = plain(nr::CLOSE_RANGE, [first as usize, last as usize, 0, 0, 0, 0]);
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
    no_result(unsafe { call(nr::SYMLINKAT, [target.as_ptr() as usize, dir as usize, path.as_ptr() as usize, 0, 0, 0]) })
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
    let args = [dir as usize, path.as_ptr() as usize, flags as usize, STATX_BASIC_STATS, raw.as_mut_ptr() as usize, 0];
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
