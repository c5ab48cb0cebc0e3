//! aarch64: system calls by `svc 0`, numbers from asm-generic/unistd.h.

use core::arch::asm;

/// The raw system call; the result is the kernel's own, errors as negative numbers.
///
/// # Safety
/// See [`super::call`].
#[inline]
pub unsafe fn syscall6(number: usize, a: [usize; 6]) -> usize {
    let answer;
    // SAFETY: the caller vouches for the arguments; the kernel keeps every register but x0.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a[0] => answer,
             in("x1") a[1], in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5], options(nostack));
    }
    answer
}

/// `clone3`, whose child runs `entry(argument)` on the stack given in `args` and never returns here.
///
/// # Safety
/// `args` must point to a valid `struct clone_args` of `size` bytes with a stack that outlives the child's use of it;
/// `entry` must not return, and with CLONE_VM must touch nothing that the parent relies on.
#[inline(never)]
pub unsafe fn clone3(args: usize, size: usize, entry: unsafe extern "C" fn(usize) -> !, argument: usize) -> isize {
    let answer;
    // SAFETY: the child has an empty stack of its own: it takes entry and argument from registers, which clone3 keeps.
    unsafe {
        asm!("svc 0",
             "cbnz x0, 2f",
             "mov x29, xzr",
             "mov x30, xzr",
             "mov x0, x21",
             "blr x20",
             "brk 1",
             "2:",
             in("x8") nr::CLONE3, inlateout("x0") args => answer, in("x1") size,
             in("x20") entry as usize, in("x21") argument, clobber_abi("C"));
    }
    answer
}

/// The instructions a static program starts with: the stack pointer, where argc and argv are, becomes the argument.
#[macro_export]
macro_rules! start_with {
    ($entry:literal) => {
        core::arch::global_asm!(
            ".globl _start",
            "_start:",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, sp",
            concat!("bl ", $entry),
            "brk 1"
        );
    };
}

/// Copies `count` bytes forward.
///
/// # Safety
/// As memcpy(3).
#[inline]
pub unsafe fn copy_bytes(to: *mut u8, from: *const u8, count: usize) {
    for i in 0..count {
        // SAFETY: the caller vouches for both ranges; volatile keeps the loop from becoming a call of memcpy itself.
        unsafe { to.add(i).write_volatile(from.add(i).read()) }
    }
}

/// Sets `count` bytes to `value`.
///
/// # Safety
/// As memset(3).
#[inline]
pub unsafe fn fill_bytes(to: *mut u8, value: u8, count: usize) {
    for i in 0..count {
        // SAFETY: the caller vouches for the range; volatile keeps the loop from becoming a call of memset itself.
        unsafe { to.add(i).write_volatile(value) }
    }
}

/// `O_DIRECTORY` (asm/fcntl.h).
pub const O_DIRECTORY: u32 = 0o40000;
/// `O_NOFOLLOW` (asm/fcntl.h).
pub const O_NOFOLLOW: u32 = 0o100000;
/// Where `struct stat` has the mode, in eight-byte words.
pub const STAT_MODE: usize = 2;
/// Where it has the device number of a device.
pub const STAT_RDEV: usize = 4;
/// What seccomp calls this architecture: `AUDIT_ARCH_*` (linux/audit.h).
pub const AUDIT_ARCH: u32 = 0xc000_00b7;

/// System call numbers.
pub mod nr {
    #![allow(missing_docs)]
    pub const FSETXATTR: usize = 7;
    pub const FGETXATTR: usize = 10;
    pub const FLISTXATTR: usize = 13;
    pub const GETCWD: usize = 17;
    pub const DUP3: usize = 24;
    pub const FCNTL: usize = 25;
    pub const IOCTL: usize = 29;
    pub const IOPRIO_SET: usize = 30;
    pub const MKNODAT: usize = 33;
    pub const MKDIRAT: usize = 34;
    pub const SYMLINKAT: usize = 36;
    pub const UMOUNT2: usize = 39;
    pub const PIVOT_ROOT: usize = 41;
    pub const FSTATFS: usize = 44;
    pub const CHDIR: usize = 49;
    pub const FCHDIR: usize = 50;
    pub const CHROOT: usize = 51;
    pub const FCHMOD: usize = 52;
    pub const FCHMODAT: usize = 53;
    pub const FCHOWNAT: usize = 54;
    pub const CLOSE: usize = 57;
    pub const GETDENTS64: usize = 61;
    pub const LSEEK: usize = 62;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const SENDFILE: usize = 71;
    pub const PPOLL: usize = 73;
    pub const READLINKAT: usize = 78;
    pub const NEWFSTATAT: usize = 79;
    pub const UTIMENSAT: usize = 88;
    pub const CAPSET: usize = 91;
    pub const PERSONALITY: usize = 92;
    pub const EXIT_GROUP: usize = 94;
    pub const UNSHARE: usize = 97;
    pub const CLOCK_GETTIME: usize = 113;
    pub const SCHED_SETAFFINITY: usize = 122;
    pub const KILL: usize = 129;
    pub const RT_SIGACTION: usize = 134;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const SETRESUID: usize = 147;
    pub const SETRESGID: usize = 149;
    pub const SETSID: usize = 157;
    pub const SETGROUPS: usize = 159;
    pub const SETHOSTNAME: usize = 161;
    pub const SETDOMAINNAME: usize = 162;
    pub const UMASK: usize = 166;
    pub const PRCTL: usize = 167;
    pub const SOCKET: usize = 198;
    pub const SENDMSG: usize = 211;
    pub const KEYCTL: usize = 219;
    pub const EXECVE: usize = 221;
    pub const MMAP: usize = 222;
    pub const SET_MEMPOLICY: usize = 237;
    pub const ACCEPT4: usize = 242;
    pub const WAIT4: usize = 260;
    pub const PRLIMIT64: usize = 261;
    pub const SETNS: usize = 268;
    pub const SCHED_SETATTR: usize = 274;
    pub const SECCOMP: usize = 277;
    pub const BPF: usize = 280;
    pub const EXECVEAT: usize = 281;
    pub const STATX: usize = 291;
    pub const PIDFD_SEND_SIGNAL: usize = 424;
    pub const OPEN_TREE: usize = 428;
    pub const MOVE_MOUNT: usize = 429;
    pub const FSOPEN: usize = 430;
    pub const FSCONFIG: usize = 431;
    pub const FSMOUNT: usize = 432;
    pub const FSPICK: usize = 433;
    pub const CLONE3: usize = 435;
    pub const CLOSE_RANGE: usize = 436;
    pub const OPENAT2: usize = 437;
    pub const FACCESSAT2: usize = 439;
    pub const MOUNT_SETATTR: usize = 442;
    pub const OPEN_TREE_ATTR: usize = 467;
    pub const LANDLOCK_CREATE_RULESET: usize = 444;
    pub const LANDLOCK_RESTRICT_SELF: usize = 446;
}
