//! x86_64: system calls by `syscall`, numbers from asm/unistd_64.h.

use core::arch::asm;

/// The raw system call; the result is the kernel's own, errors as negative numbers.
///
/// # Safety
/// See [`super::call`].
#[inline]
pub unsafe fn syscall6(number: usize, a: [usize; 6]) -> usize {
    let answer;
    // SAFETY: the caller vouches for the arguments; the kernel clobbers rcx and r11 alone.
    unsafe {
        asm!("syscall", inlateout("rax") number => answer,
             in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3], in("r8") a[4], in("r9") a[5],
             lateout("rcx") _, lateout("r11") _, options(nostack));
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
        asm!("syscall",
             "test rax, rax",
             "jnz 2f",
             "xor ebp, ebp",
             "and rsp, -16",
             "mov rdi, r13",
             "call r12",
             "ud2",
             "2:",
             inlateout("rax") nr::CLONE3 => answer,
             in("rdi") args, in("rsi") size, in("r12") entry as usize, in("r13") argument,
             lateout("rcx") _, lateout("r11") _, clobber_abi("C"));
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
            "xor ebp, ebp",
            "mov rdi, rsp",
            "and rsp, -16",
            concat!("call ", $entry),
            "ud2"
        );
    };
}

/// Copies `count` bytes forward.
///
/// # Safety
/// As memcpy(3).
#[inline]
pub unsafe fn copy_bytes(to: *mut u8, from: *const u8, count: usize) {
    // SAFETY: the caller vouches for both ranges; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
             options(nostack, preserves_flags));
    }
}

/// Sets `count` bytes to `value`.
///
/// # Safety
/// As memset(3).
#[inline]
pub unsafe fn fill_bytes(to: *mut u8, value: u8, count: usize) {
    // SAFETY: the caller vouches for the range; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") value,
             options(nostack, preserves_flags));
    }
}

/// `O_DIRECTORY` (asm/fcntl.h).
pub const O_DIRECTORY: u32 = 0o200000;
/// `O_NOFOLLOW` (asm/fcntl.h).
pub const O_NOFOLLOW: u32 = 0o400000;
/// Where `struct stat` has the mode, in eight-byte words.
pub const STAT_MODE: usize = 3;
/// Where it has the device number of a device.
pub const STAT_RDEV: usize = 5;
/// What seccomp calls this architecture: `AUDIT_ARCH_*` (linux/audit.h).
pub const AUDIT_ARCH: u32 = 0xc000_003e;

/// System call numbers.
pub mod nr {
    #![allow(missing_docs)]
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const LSEEK: usize = 8;
    pub const MMAP: usize = 9;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const IOCTL: usize = 16;
    pub const SENDFILE: usize = 40;
    pub const SOCKET: usize = 41;
    pub const SENDMSG: usize = 46;
    pub const EXECVE: usize = 59;
    pub const WAIT4: usize = 61;
    pub const FCNTL: usize = 72;
    pub const GETCWD: usize = 79;
    pub const CHDIR: usize = 80;
    pub const FCHDIR: usize = 81;
    pub const FCHMOD: usize = 91;
    pub const UMASK: usize = 95;
    pub const SETSID: usize = 112;
    pub const SETGROUPS: usize = 116;
    pub const SETRESUID: usize = 117;
    pub const SETRESGID: usize = 119;
    pub const CAPSET: usize = 126;
    pub const PERSONALITY: usize = 135;
    pub const FSTATFS: usize = 138;
    pub const PIVOT_ROOT: usize = 155;
    pub const PRCTL: usize = 157;
    pub const CHROOT: usize = 161;
    pub const UMOUNT2: usize = 166;
    pub const SETHOSTNAME: usize = 170;
    pub const SETDOMAINNAME: usize = 171;
    pub const FSETXATTR: usize = 190;
    pub const FGETXATTR: usize = 193;
    pub const FLISTXATTR: usize = 196;
    pub const SCHED_SETAFFINITY: usize = 203;
    pub const GETDENTS64: usize = 217;
    pub const SET_MEMPOLICY: usize = 238;
    pub const KEYCTL: usize = 250;
    pub const IOPRIO_SET: usize = 251;
    pub const CLOCK_GETTIME: usize = 228;
    pub const EXIT_GROUP: usize = 231;
    pub const MKDIRAT: usize = 258;
    pub const MKNODAT: usize = 259;
    pub const FCHOWNAT: usize = 260;
    pub const NEWFSTATAT: usize = 262;
    pub const SYMLINKAT: usize = 266;
    pub const READLINKAT: usize = 267;
    pub const FCHMODAT: usize = 268;
    pub const PPOLL: usize = 271;
    pub const UNSHARE: usize = 272;
    pub const UTIMENSAT: usize = 280;
    pub const ACCEPT4: usize = 288;
    pub const DUP3: usize = 292;
    pub const PRLIMIT64: usize = 302;
    pub const SETNS: usize = 308;
    pub const SCHED_SETATTR: usize = 314;
    pub const SECCOMP: usize = 317;
    pub const BPF: usize = 321;
    pub const EXECVEAT: usize = 322;
    pub const STATX: usize = 332;
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
    pub const KILL: usize = 62;
}
