//! The operations a container's init executes, and the layout of a program in memory.
//!
//! A program is a [`Header`], an arena of bytes and a table of [`Op`]s, in one memfd. There are no branches, loops or
//! arithmetic: whatever can be decided before the child exists is decided in the plan. What an untrusted rootfs makes
//! undecidable until the moment of use (the resolution of a path, the kind of file found there) is inside one operation.
//!
//! This file uses nothing but `core`: the builder (std) and init (no_std) compile the same definitions, so the layout of
//! a program is the same on both sides by construction.

/// A place in the child's table of descriptors.
///
/// Inherited descriptors have one from the start; operations with an `out` fill further ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Slot(pub u16);

impl Slot {
    /// No descriptor at all: the current directory where one is looked up from (`AT_FDCWD`).
    pub const NONE: Slot = Slot(u16::MAX);
    /// The connection that failures are reported on.
    pub const REPORT: Slot = Slot(u16::MAX - 1);
    /// How many slots a program may use.
    pub const COUNT: usize = 256;
}

/// Bytes in the arena, followed by a NUL that `len` does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Str {
    /// Offset from the start of the program.
    pub at: u32,
    /// Length in bytes, without the NUL.
    pub len: u32,
}

/// A list of strings: `count` + 1 eight-byte words in the arena, each the offset of a NUL-terminated string, the last 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct StrList {
    /// Offset of the first word from the start of the program; a multiple of eight.
    pub at: u32,
    /// How many strings.
    pub count: u32,
}

/// What a path may pass through while [`Op::Open`] resolves it (openat2(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Resolve {
    /// The host's own path, resolved as open(2) does.
    Host,
    /// Inside the directory, which is the root for `..` and absolute links; no magic links.
    InRoot,
    /// Inside the directory and on the same mount, through no link of any kind.
    Beneath,
    /// Inside the directory, through no link of any kind, onto whatever is mounted on the way; the path is relative.
    NoLinks,
}

/// One step of a container's init. `step` numbers of a [`Failure`] count the system calls within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, u16)]
#[allow(missing_docs, reason = "the fields are the call's arguments, which each operation's text names")]
pub enum Op {
    // ---- descriptors and files
    /// Opens `path` from `dir`. `magic`, where not 0, is the file system type (statfs(2)) that it must be on.
    Open { dir: Slot, resolve: Resolve, out: Slot, flags: u32, magic: u32, path: Str },
    /// Closes a slot, sooner or later; [`Slot::NONE`] stands for all that are yet to be closed.
    Close { fd: Slot },
    /// Writes `data` in one write(2) to an open descriptor.
    Write { fd: Slot, data: Str },
    /// Opens the existing file `path` below `dir` (as [`Resolve::Beneath`]) and writes `data` in one write(2); `magic` as in [`Op::Open`].
    WriteFile { dir: Slot, magic: u32, path: Str, data: Str },
    /// Makes `fd` the descriptor number `to`, which execve keeps.
    Dup { fd: Slot, to: i32 },
    /// Sends one message with `data` and the descriptor `fd` (SCM_RIGHTS) over the socket.
    SendFd { socket: Slot, fd: Slot, data: Str },

    // ---- namespaces, names, session
    /// setns(2); `kind` are CLONE_NEW* flags: one for a namespace's descriptor, any for a pidfd.
    Setns { fd: Slot, kind: u32 },
    /// unshare(2).
    Unshare { flags: u32 },
    /// Goes on as a new process in new namespaces (CLONE_NEW*), a child of the runtime like the one that ends here: the only
    /// way into a PID namespace that belongs to a user namespace which was joined. The runtime is told the new process's id,
    /// and the process waits until it knows it.
    Clone { flags: u32 },
    /// setsid(2).
    NewSession,
    /// sethostname(2).
    SetHostname { name: Str },
    /// setdomainname(2).
    SetDomainname { name: Str },
    /// Brings the interface `lo` up, as every new network namespace has it down.
    LoopbackUp,
    /// Joins a new session keyring of that name (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
    Keyring { name: Str },

    // ---- root file system
    /// Opens the place below `root` where something like `like` can be mounted, making what is missing of the path:
    /// folders with mode 0755, and at the end a folder with `mode` or an empty file, whichever `like` is; a folder where it
    /// is none. `avoid`, where not 0, is a file system type (statfs(2)) that no link may lead to.
    MountPoint { root: Slot, resolve: Resolve, like: Slot, out: Slot, mode: u32, avoid: u32, path: Str },
    /// Makes the folder `name` in `folder`, where there is none yet, and moves the detached mount `from` there, through no link;
    /// `from` is closed.
    MountInFolder { from: Slot, folder: Slot, mode: u32, name: Str },
    /// Gives the root of the mount `to` the permissions of the folder `from`.
    CopyMode { from: Slot, to: Slot },
    /// Copies what is in the folder `from` to the root of the mount `to`, with owners, modes, times and extended attributes; where
    /// `owner` is not 0, the root gets the owner of the folder as well.
    CopyUp { from: Slot, to: Slot, owner: u32 },
    /// Gives the root of a mount that is not read-only an SELinux label (`security.selinux`, xattr(7)).
    Label { mount: Slot, label: Str },
    /// Refuses anything but the device of this kind (`mode`: S_IFCHR or S_IFBLK) and number.
    CheckDevice { fd: Slot, mode: u32, dev: u64 },
    /// Makes a device, FIFO or socket node, exactly with `mode` (type and permissions), or accepts an equal one.
    MakeNode { root: Slot, path: Str, mode: u32, uid: u32, gid: u32, dev: u64 },
    /// Makes a symbolic link, or accepts whatever stands there.
    Symlink { root: Slot, path: Str, target: Str },
    /// open_tree(2): without OPEN_TREE_CLONE a handle of a mount, with it a detached copy.
    OpenTree { dir: Slot, out: Slot, flags: u32, path: Str },
    /// fsopen(2) of a file system type.
    FsOpen { out: Slot, kind: Str },
    /// fsconfig(2): `key=value`, or the flag `key` where the value is [`NO_VALUE`].
    FsConfig { fs: Slot, key: Str, value: Str },
    /// fspick(2): a mount's superblock, to be configured anew.
    FsPick { mount: Slot, out: Slot },
    /// Gives a superblock of [`Op::FsPick`] what was configured; `fs` is closed.
    FsReconfigure { fs: Slot },
    /// Creates the superblock and mounts it, detached, with MOUNT_ATTR_* flags; `fs` is closed.
    FsMount { fs: Slot, out: Slot, attrs: u32 },
    /// mount_setattr(2); `userns` is the user namespace of an idmapped mount, or none.
    SetAttr { mount: Slot, userns: Slot, recursive: u32, set: u64, clear: u64, propagation: u64 },
    /// move_mount(2) of a detached mount onto an opened place; both slots are closed, but `from` where `keep` is not 0.
    MoveMount { from: Slot, to: Slot, keep: u32 },
    /// pivot_root(2) into `root`, which becomes `/` and the current directory; the old root, which must be the host's slave or
    /// private with all that is mounted below it, is detached.
    PivotRoot { root: Slot },
    /// Moves the mount `root` over `/` and enters it by chroot(2): for an initramfs, which cannot be pivoted (`--no-pivot`).
    MoveRoot { root: Slot },
    /// Makes the folder `root` the root (chroot(2)) and the current directory, in a mount namespace that stays as it is.
    EnterRoot { root: Slot },
    /// Hides a path, if it exists: a file behind `null`, a folder behind a copy of the mount `empty`.
    Mask { root: Slot, null: Slot, empty: Slot, path: Str },
    /// Makes a path, if it exists, read-only with all that is mounted below it.
    ReadOnly { root: Slot, path: Str },

    // ---- terminal
    /// Unlocks the pseudo-terminal whose multiplexer is open as `master` and opens its other end without a path
    /// (TIOCGPTPEER); sizes in characters, 0 for none.
    OpenPty { master: Slot, peer: Slot, rows: u16, columns: u16 },
    /// Makes the terminal `fd` the controlling one of this session.
    ControllingTerminal { fd: Slot },
    /// fchown(2).
    Chown { fd: Slot, uid: u32, gid: u32 },

    // ---- what the process is and may do
    /// umask(2).
    Umask { mask: u32 },
    /// prlimit(2).
    SetRlimit { resource: u32, soft: u64, hard: u64 },
    /// personality(2).
    Personality { persona: u32 },
    /// sched_setattr(2); `attributes` is a `struct sched_attr`.
    Scheduler { attributes: Str },
    /// ioprio_set(2) of this process: the class in the upper bits from 13 on, the priority in the lower ones.
    IoPriority { value: u32 },
    /// sched_setaffinity(2); `cpus` is a bit mask. An empty one stands for every CPU that the cgroup allows, and may fail.
    Affinity { cpus: Str },
    /// set_mempolicy(2); `nodes` is a bit mask of `u64`s, eight-byte aligned.
    MemoryPolicy { mode: u32, nodes: Str },
    /// prctl(2) with a plain number, such as PR_SET_NO_NEW_PRIVS, PR_SET_KEEPCAPS or PR_SET_DUMPABLE.
    Prctl { option: u32, value: u64 },
    /// Enters a Landlock domain that restricts nothing but these scopes (LANDLOCK_SCOPE_*; landlock_create_ruleset(2) and
    /// landlock_restrict_self(2), Linux 6.12), with CAP_SYS_ADMIN or no_new_privs.
    LandlockScope { scoped: u64 },
    /// Drops every capability from 0 to `last` that is not in `keep` from the bounding set.
    DropBounding { keep: u64, last: u32 },
    /// capset(2).
    SetCaps { effective: u64, permitted: u64, inheritable: u64 },
    /// Clears the ambient set and raises `caps` in it.
    SetAmbient { caps: u64 },
    /// setgroups(2); `groups` are `u32`s, four-byte aligned.
    SetGroups { groups: Str },
    /// setresgid(2) and setresuid(2).
    SetIds { uid: u32, gid: u32 },
    /// seccomp(2), SECCOMP_SET_MODE_FILTER; `filter` is an array of `struct sock_filter`, `out` the slot for the listener, or
    /// none where the flags do not ask for one.
    Seccomp { filter: Str, flags: u32, out: Slot },
    /// Changes the working directory, which must be reachable from the root (CVE-2024-21626).
    ///
    /// A first attempt comes before the user is changed and may be refused (EACCES); a second one, after that, does nothing
    /// if the first went well. Root reaches what the user may not, and on some network file systems it is the reverse.
    Chdir { path: Str, attempt: u16 },

    // ---- the program and its start
    /// Looks for the first of the paths that can be executed.
    FindProgram { candidates: StrList },
    /// Reads the home directory of `uid` from the container's /etc/passwd, for an environment without HOME.
    FindHome { uid: u32 },
    /// Runs a hook to its end: `stdin` is rewound before, stdout and stderr are `output`; `timeout` in seconds, 0 for none.
    Hook { stdin: Slot, output: Slot, timeout: u32, path: Str, args: StrList, env: StrList },
    /// Tells the parent that gate `number` is reached and waits until it opens it. 0 is not told: the parent opens it in any case.
    Gate { number: u32 },
    /// Waits for `start`: the connection that it makes to `listener` becomes the one that failures are reported on.
    WaitStart { listener: Slot },
    /// execve(2) of the program that was found.
    Exec { args: StrList, env: StrList },
}

/// The [`Op::FsConfig`] value that stands for "no value".
pub const NO_VALUE: Str = Str { at: 0, len: 0 };

/// The start of a program.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`]: guards against an init and a program of different builds.
    pub magic: u64,
    /// Length of the whole program in bytes.
    pub size: u32,
    /// Number of operations.
    pub ops: u32,
    /// Offset of the operations, a multiple of eight.
    pub ops_at: u32,
    /// Signals (bit n-1 for signal n) that the caller ignored and the container must not.
    pub ignored_signals: u64,
    /// The first descriptor number that the container must not inherit: 3 plus `--preserve-fds`.
    pub first_private_fd: u32,
    /// Descriptor of the socket that failures and gates are reported on.
    pub report: i32,
    /// How many descriptors are inherited: as many [`Inherited`] follow the operations.
    pub inherited: u32,
    /// Not 0: init tells of each operation when it was done ([`Failure::moment`]).
    pub traced: u32,
}

/// A descriptor that the child has from its parent.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Inherited {
    /// The slot that operations know it by.
    pub slot: u32,
    /// Its number.
    pub fd: i32,
}

/// "lshp" and the number of this layout.
pub const MAGIC: u64 = 0x6c73_6870_0000_0001;

/// All that init ever says on an error; 8 bytes, native endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Failure {
    /// Index of the operation, or one of the `AT_*` constants. What `start` is told counts from the operation behind
    /// [`Op::WaitStart`].
    pub op: u16,
    /// Which system call within it, from 0.
    pub step: u16,
    /// The error number, or the number of the gate.
    pub errno: i32,
}

impl Failure {
    /// Not a failure: the gate whose number is in `errno` is reached.
    pub const AT_GATE: u16 = u16::MAX;
    /// Not a failure: [`Op::Clone`] has made the process whose id is in `errno`.
    pub const AT_CLONE: u16 = u16::MAX - 2;
    /// The failure came before the first operation.
    pub const AT_LOAD: u16 = u16::MAX - 1;
    /// Not a failure: a moment, see [`Failure::moment`].
    pub const AT_MOMENT: u16 = u16::MAX - 4;
    /// Not a failure: the descriptor that comes along is the listener of the filter that is in force now.
    pub const AT_LISTENER: u16 = u16::MAX - 3;
    /// The message that a listener comes with.
    pub const LISTENER_MESSAGE: [u8; 8] = {
        let [a, b] = Failure::AT_LISTENER.to_ne_bytes();
        [a, b, 0, 0, 0, 0, 0, 0]
    };
    /// The step number that stands for "a check of ours refused it", not a system call.
    pub const CHECK: u16 = 100;

    /// Not a failure: a moment in nanoseconds of CLOCK_REALTIME, which time namespaces leave alone, modulo 2^48. Where init tells
    /// them, the first is the one before the first operation, and each operation is followed by its own. They end before
    /// [`Op::Seccomp`] or [`Op::Exec`], as the filter need not allow to read the clock.
    pub const fn moment(nanoseconds: u64) -> Failure {
        Failure { op: Failure::AT_MOMENT, step: (nanoseconds >> 32) as u16, errno: nanoseconds as i32 }
    }
}

/// What `start` sends to init: go on, and whether to tell of the operations from here on.
pub const GO: u8 = 1;
/// As [`GO`], with a moment for each operation.
pub const GO_TRACED: u8 = 2;
