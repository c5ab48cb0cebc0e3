//! Processes: namespaces, session, identity, what a process may do, and how it makes and becomes another.

use core::ffi::CStr;

use super::*;

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
    let data = [low(effective), low(permitted), low(inheritable), high(effective), high(permitted), high(inheritable)];
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

/// `filter` holds struct sock_filter, eight bytes each. The answer is the listener, where the flags ask for one.
pub fn seccomp_filter(filter: &[u8], flags: u32) -> Answer<i32> {
    #[repr(C)]
    struct FilterProgram {
        len: u16,
        filter: usize,
    }
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    let program = FilterProgram { len: (filter.len() / 8) as u16, filter: filter.as_ptr() as usize };
    // SAFETY: the program names as many instructions as the slice holds.
    fd_result(unsafe {
        call(nr::SECCOMP, [SECCOMP_SET_MODE_FILTER, flags as usize, &raw const program as usize, 0, 0, 0])
    })
}

/// A ruleset that restricts nothing but `scoped`; the kernel closes it at an execve.
pub fn landlock_create_ruleset(scoped: u64) -> Answer<i32> {
    // struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped.
    let attributes = [0, 0, scoped];
    let args = [attributes.as_ptr() as usize, size_of_val(&attributes), 0, 0, 0, 0];
    // SAFETY: the kernel only reads the three words.
    fd_result(unsafe { call(nr::LANDLOCK_CREATE_RULESET, args) })
}

pub fn landlock_restrict_self(ruleset: i32) -> Answer<()> {
    no_result(plain(nr::LANDLOCK_RESTRICT_SELF, [ruleset as usize, 0, 0, 0, 0, 0]))
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
