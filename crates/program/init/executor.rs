//! Executes a program: one `match`, one arm for each operation, no state but the table of descriptors.

use core::ffi::CStr;

use crate::closing::Closing;
use crate::copyup;
use crate::linux::*;
use crate::op::{Failure, GO_TRACED, NO_VALUE, Op, Resolve, Slot, Str, StrList};
use crate::program::Program;
use crate::rootfs::{self, Failed, MountPoint, Node};

/// Longest HOME that is taken from /etc/passwd.
const HOME_MAX: usize = 1024;
/// How many moments wait to be told, as each telling may wake the runtime.
const MOMENTS_MAX: usize = 31;

pub struct Executor {
    program: Program,
    slots: [i32; Slot::COUNT],
    report: i32,
    /// Index of the program that [`Op::FindProgram`] found, and its list.
    found: Option<(StrList, u32)>,
    /// The first operation that `start` knows.
    first: usize,
    /// The working directory is the wanted one.
    arrived: bool,
    /// `HOME=…` with its NUL, once [`Op::FindHome`] ran.
    home: [u8; HOME_MAX],
    home_len: usize,
    /// The next operations are followed by moments.
    traced: bool,
    /// Those not yet told, and room for the report behind them.
    moments: [[u8; 8]; MOMENTS_MAX + 1],
    waiting: usize,
    closing: Closing,
}

/// Gives each failed call within an operation its number.
trait Step<T> {
    fn step(self, number: u16) -> Result<T, Failed>;
}

impl<T> Step<T> for Answer<T> {
    fn step(self, number: u16) -> Result<T, Failed> {
        self.map_err(|errno| (number, errno))
    }
}

impl Executor {
    pub fn new(program: Program) -> Executor {
        let report = program.header().report;
        let mut slots = [-1; Slot::COUNT];
        for inherited in program.inherited() {
            slots[inherited.slot as usize % Slot::COUNT] = inherited.fd;
        }
        Executor {
            traced: program.header().traced != 0,
            program,
            slots,
            report,
            found: None,
            first: 0,
            arrived: false,
            home: [0; HOME_MAX],
            home_len: 0,
            moments: [[0; 8]; MOMENTS_MAX + 1],
            waiting: 0,
            closing: Closing::new(),
        }
    }

    pub fn header(&self) -> &crate::op::Header {
        self.program.header()
    }

    /// Runs every operation. It comes back only with a failure: the last operation of a program is [`Op::Exec`].
    pub fn run(&mut self) -> Failure {
        self.moment();
        for index in 0..self.program.ops().len() {
            let op = self.program.ops()[index];
            if matches!(op, Op::Seccomp { .. } | Op::Exec { .. }) {
                // Not later: the filter need not allow it.
                self.tell_moments();
                self.traced = false;
            }
            let done = self.execute(op);
            self.moment();
            if let Err((step, errno)) = done {
                return Failure { op: (index - self.first) as u16, step, errno };
            }
            if matches!(op, Op::WaitStart { .. }) {
                self.first = index + 1;
            }
        }
        Failure { op: Failure::AT_LOAD, step: Failure::CHECK, errno: EINVAL }
    }

    /// Tells the runtime; the connection's end without these bytes means that all went well.
    pub fn report(&mut self, failure: Failure) {
        let _ = self.tell(failure);
    }

    /// Sends a report, behind the moments that wait.
    fn tell(&mut self, report: Failure) -> Answer<()> {
        self.moments[self.waiting] = failure_bytes(report);
        let words = core::mem::take(&mut self.waiting) + 1;
        write(self.report, self.moments[..words].as_flattened()).map(|_| ())
    }

    fn moment(&mut self) {
        if self.traced {
            if self.waiting == MOMENTS_MAX {
                self.tell_moments();
            }
            self.moments[self.waiting] = failure_bytes(Failure::moment(real_time()));
            self.waiting += 1;
        }
    }

    fn tell_moments(&mut self) {
        if self.waiting > 0 {
            let _ = write(self.report, self.moments[..self.waiting].as_flattened());
            self.waiting = 0;
        }
    }

    fn fd(&self, slot: Slot) -> i32 {
        match slot {
            Slot::NONE => AT_FDCWD,
            Slot::REPORT => self.report,
            Slot(index) => self.slots[index as usize % Slot::COUNT],
        }
    }

    fn fill(&mut self, slot: Slot, fd: i32) {
        self.slots[slot.0 as usize % Slot::COUNT] = fd;
    }

    fn close(&mut self, slot: Slot) {
        self.closing.add(self.fd(slot));
        self.fill(slot, -1);
    }

    fn execute(&mut self, op: Op) -> Result<(), Failed> {
        match op {
            Op::Open { dir, resolve, out, flags, magic, path } => {
                let fd = self.open(dir, resolve, flags, magic, path)?;
                self.fill(out, fd);
            }
            Op::Close { fd: Slot::NONE } => self.closing.close_all(),
            Op::Close { fd } => self.close(fd),
            Op::Write { fd, data } => self.write_whole(self.fd(fd), data).step(2)?,
            Op::WriteFile { dir, magic, path, data } => {
                let fd = self.open(dir, Resolve::Host, O_WRONLY, magic, path)?;
                let written = self.write_whole(fd, data).step(2);
                self.closing.add(fd);
                written?;
            }
            Op::Dup { fd, to } if self.fd(fd) == to => keep_on_exec(to).step(0)?,
            Op::Dup { fd, to } => {
                // What waits to be closed may have that number.
                self.closing.close_all();
                dup3(self.fd(fd), to).step(1)?;
            }
            Op::SendFd { socket, fd, data } => {
                send_fd(self.fd(socket), self.fd(fd), self.program.bytes(data)).step(0)?;
            }

            Op::Setns { fd, kind } => setns(self.fd(fd), kind).step(0)?,
            Op::Unshare { flags } => unshare(flags).step(0)?,
            Op::Clone { flags } => self.clone_into(flags)?,
            Op::NewSession => setsid().step(0)?,
            Op::SetHostname { name } => sethostname(self.program.bytes(name)).step(0)?,
            Op::SetDomainname { name } => setdomainname(self.program.bytes(name)).step(0)?,
            Op::LoopbackUp => loopback_up()?,
            Op::Keyring { name } => join_session_keyring(self.program.text(name)).step(0)?,

            Op::MountPoint { root, resolve, like, out, mode, avoid, path } => {
                let like = (like != Slot::NONE).then(|| self.fd(like));
                let place = MountPoint { root: self.fd(root), path: self.program.text(path), like, mode };
                let fd = match resolve {
                    Resolve::InRoot => place.open_in_root(avoid)?,
                    resolve => place.open(resolve_flags(resolve))?,
                };
                self.fill(out, fd);
            }
            Op::MountInFolder { from, folder, mode, name } => {
                let (folder, name) = (self.fd(folder), self.program.text(name));
                match mkdirat(folder, name, mode) {
                    Err(EEXIST) => {}
                    made => made.step(0)?,
                }
                move_mount(self.fd(from), folder, name).step(1)?;
                self.close(from);
            }
            Op::CopyMode { from, to } => {
                let mode = stat_fd(self.fd(from)).step(0)?.mode & !S_IFMT;
                chmod(self.fd(to), c".", mode).step(1)?;
            }
            Op::CopyUp { from, to, owner } => copyup::copy_up(self.fd(from), self.fd(to), owner != 0)?,
            Op::Label { mount, label } => {
                // The descriptor of a mount is good for paths alone.
                let root = openat2(self.fd(mount), c".", O_DIRECTORY, 0, 0).step(0)?;
                set_attribute(root, c"security.selinux", self.program.bytes(label)).step(1)?;
                close(root);
            }
            Op::CheckDevice { fd, mode, dev } => {
                let file = stat_fd(self.fd(fd)).step(0)?;
                if file.mode & S_IFMT != mode & S_IFMT || file.rdev != dev {
                    return Err((Failure::CHECK, ENODEV));
                }
            }
            Op::MakeNode { root, path, mode, uid, gid, dev } => {
                let node = Node { mode, dev, uid, gid };
                rootfs::make_node(self.fd(root), self.program.text(path), &node)?;
            }
            Op::Symlink { root, path, target } => {
                rootfs::make_symlink(self.fd(root), self.program.text(path), self.program.text(target))?;
            }
            Op::OpenTree { dir, out, flags, path } => {
                let tree = open_tree(self.fd(dir), self.program.text(path), flags).step(0)?;
                self.fill(out, tree);
            }
            Op::FsOpen { out, kind } => {
                let fs = fsopen(self.program.text(kind)).step(0)?;
                self.fill(out, fs);
            }
            Op::FsConfig { fs, key, value } => {
                let value = (value != NO_VALUE).then(|| self.program.text(value));
                fsconfig(self.fd(fs), self.program.text(key), value).step(0)?;
            }
            Op::FsPick { mount, out } => {
                let fs = fspick(self.fd(mount)).step(0)?;
                self.fill(out, fs);
            }
            Op::FsReconfigure { fs } => {
                fsreconfigure(self.fd(fs)).step(0)?;
                self.close(fs);
            }
            Op::FsMount { fs, out, attrs } => {
                fscreate(self.fd(fs)).step(0)?;
                let mount = fsmount(self.fd(fs), attrs).step(1)?;
                self.close(fs);
                self.fill(out, mount);
            }
            Op::SetAttr { mount, userns, recursive, set, clear, propagation } => {
                let (set, userns) =
                    if userns == Slot::NONE { (set, 0) } else { (set | MOUNT_ATTR_IDMAP, self.fd(userns) as u64) };
                let flags = if recursive != 0 { AT_EMPTY_PATH | AT_RECURSIVE } else { AT_EMPTY_PATH };
                mount_setattr(self.fd(mount), c"", flags, &MountAttr { set, clear, propagation, userns }).step(0)?;
            }
            Op::MoveMount { from, to, keep } => {
                self.move_mount(self.fd(from), self.fd(to))?;
                self.close(to);
                if keep == 0 {
                    self.close(from);
                }
            }
            Op::PivotRoot { root } => pivot_root(self.fd(root))?,
            Op::MoveRoot { root } => move_root(self.fd(root))?,
            Op::EnterRoot { root } => enter_root(self.fd(root))?,
            Op::Mask { root, null, empty, path } => {
                let used = rootfs::mask(self.fd(root), self.program.text(path), self.fd(null), self.fd(empty))?;
                used.into_iter().flatten().for_each(|fd| self.closing.add(fd));
            }
            Op::ReadOnly { root, path } => {
                let used = rootfs::read_only(self.fd(root), self.program.text(path))?;
                used.into_iter().flatten().for_each(|fd| self.closing.add(fd));
            }

            Op::OpenPty { master, peer, rows, columns } => {
                let fd = open_pty_peer(self.fd(master), rows, columns)?;
                self.fill(peer, fd);
            }
            Op::ControllingTerminal { fd } => {
                const TIOCSCTTY: u32 = 0x540e;
                ioctl(self.fd(fd), TIOCSCTTY, 0).step(0)?;
            }
            Op::Chown { fd, uid, gid } => chown(self.fd(fd), c"", uid, gid, AT_EMPTY_PATH).step(0)?,

            Op::Umask { mask } => umask(mask),
            Op::SetRlimit { resource, soft, hard } => set_rlimit(resource, soft, hard).step(0)?,
            Op::Personality { persona } => personality(persona).step(0)?,
            Op::Scheduler { attributes } => set_scheduler(self.program.bytes(attributes)).step(0)?,
            Op::IoPriority { value } => set_io_priority(value).step(0)?,
            Op::Affinity { cpus: Str { len: 0, .. } } => allow_all_cpus(),
            Op::Affinity { cpus } => set_affinity(self.program.bytes(cpus)).step(0)?,
            Op::MemoryPolicy { mode, nodes } => set_memory_policy(mode, self.program.bytes(nodes)).step(0)?,
            Op::Prctl { option, value } => prctl(option, [value as usize, 0, 0, 0]).map(|_| ()).step(0)?,
            Op::LandlockScope { scoped } => landlock_scope(scoped)?,
            Op::DropBounding { keep, last } => drop_bounding(keep, last)?,
            Op::SetCaps { effective, permitted, inheritable } => {
                capset(effective, permitted, inheritable).step(0)?;
            }
            Op::SetAmbient { caps } => set_ambient(caps)?,
            Op::SetGroups { groups } => setgroups(self.program.bytes(groups)).step(0)?,
            Op::SetIds { uid, gid } => {
                setresgid(gid).step(0)?;
                setresuid(uid).step(1)?;
            }
            Op::Seccomp { filter, flags, out } => {
                let listener = seccomp_filter(self.program.bytes(filter), flags).step(0)?;
                if out != Slot::NONE {
                    self.fill(out, listener);
                }
            }
            Op::Chdir { path, attempt } => self.chdir(path, attempt)?,

            Op::FindProgram { candidates } => self.find_program(candidates)?,
            Op::FindHome { uid } => self.find_home(uid),
            Op::Hook { stdin, output, timeout, path, args, env } => {
                self.hook([self.fd(stdin), self.fd(output)], timeout, path, args, env)?;
            }
            Op::Gate { number } => self.gate(number),
            Op::WaitStart { listener } => self.wait_start(self.fd(listener))?,
            Op::Exec { args, env } => self.exec(args, env)?,
        }
        Ok(())
    }

    /// The kernel's answer to a file on a folder is a mere EINVAL.
    fn move_mount(&self, from: i32, to: i32) -> Result<(), Failed> {
        let folder = |fd| stat_fd(fd).map(|file| file.mode & S_IFMT == S_IFDIR);
        match move_mount(from, to, c"") {
            Err(EINVAL) if folder(from) != folder(to) => Err((Failure::CHECK, EINVAL)),
            answer => answer.step(0),
        }
    }

    fn open(&self, dir: Slot, resolve: Resolve, flags: u32, magic: u32, path: Str) -> Result<i32, Failed> {
        let fd = openat2(self.fd(dir), self.program.text(path), flags, 0, resolve_flags(resolve)).step(0)?;
        if magic != 0 && fs_magic(fd).step(1)? != magic {
            close(fd);
            return Err((Failure::CHECK, EINVAL));
        }
        Ok(fd)
    }

    fn write_whole(&self, fd: i32, data: Str) -> Answer<()> {
        let data = self.program.bytes(data);
        // The files of procfs and cgroupfs take a value in one write or not at all.
        if write(fd, data)? == data.len() { Ok(()) } else { Err(EINVAL) }
    }

    fn chdir(&mut self, path: Str, attempt: u16) -> Result<(), Failed> {
        if self.arrived {
            return Ok(());
        }
        // The path is the container's, which may lead to what is open here.
        self.closing.close_all();
        match change_dir(self.program.text(path)) {
            Ok(()) => self.arrived = true,
            Err((_, EACCES)) if attempt == 0 => {}
            Err(failed) => return Err(failed),
        }
        Ok(())
    }

    fn find_program(&mut self, candidates: StrList) -> Result<(), Failed> {
        let mut worst = ENOENT;
        for index in 0..candidates.count {
            let path = self.program.item(candidates, index);
            let answer = stat(AT_FDCWD, path, 0).and_then(|file| match file.mode & S_IFMT {
                S_IFREG => executable(path),
                _ => Err(EACCES),
            });
            match answer {
                Ok(()) => {
                    self.found = Some((candidates, index));
                    return Ok(());
                }
                Err(ENOENT | ENOTDIR) => {}
                Err(errno) => worst = errno,
            }
        }
        Err((0, worst))
    }

    /// An environment without HOME gets it from /etc/passwd, or `/`; a broken file is no reason to fail.
    fn find_home(&mut self, uid: u32) {
        const NAME: &[u8] = b"HOME=";
        self.home[..NAME.len()].copy_from_slice(NAME);
        let room = &mut self.home[NAME.len()..HOME_MAX - 1];
        let len = crate::passwd::home_of(uid, room).unwrap_or_else(|| {
            room[0] = b'/';
            1
        });
        self.home[NAME.len() + len] = 0;
        self.home_len = NAME.len() + len + 1;
    }

    fn hook(&self, stdio: [i32; 2], timeout: u32, path: Str, args: StrList, env: StrList) -> Result<(), Failed> {
        let [stdin, output] = stdio;
        rewind(stdin).step(0)?;
        let Some((pid, pidfd)) = fork().step(1)? else {
            for (fd, to) in [(stdin, 0), (output, 1), (output, 2)] {
                let _ = dup3(fd, to);
            }
            // SAFETY: the program's lists are ended by 0; each hook has lists of its own.
            let errno = unsafe { execve(self.program.text(path), self.program.vector(args), self.program.vector(env)) };
            let _ = write(2, b"the hook cannot be executed");
            exit(if errno == ENOENT { 127 } else { 126 });
        };
        let ended = wait_readable(pidfd, timeout);
        close(pidfd);
        if ended == Ok(false) {
            kill(pid, 9);
        }
        let status = wait_pid(pid).step(2)?;
        match (ended.step(3)?, status) {
            (false, _) => Err((Failure::CHECK, ETIMEDOUT)),
            (true, 0) => Ok(()),
            (true, status) => Err((Failure::CHECK + 1, status)),
        }
    }

    fn clone_into(&mut self, namespaces: u32) -> Result<(), Failed> {
        // Both processes would tell them.
        self.tell_moments();
        if let Some(pid) = clone_sibling(namespaces).step(0)? {
            self.report(Failure { op: Failure::AT_CLONE, step: 0, errno: pid });
            exit(0);
        }
        let mut go = [0u8; 1];
        if read(self.report, &mut go).step(1)? == 1 { Ok(()) } else { exit(1) }
    }

    /// Without the runtime at the other end nobody would ever start or delete this container, so it ends.
    fn gate(&mut self, number: u32) {
        self.closing.close_all();
        let reached = Failure { op: Failure::AT_GATE, step: 0, errno: number as i32 };
        let mut go = [0u8; 1];
        if (number != 0 && self.tell(reached).is_err()) || read(self.report, &mut go) != Ok(1) {
            exit(1);
        }
    }

    fn wait_start(&mut self, listener: i32) -> Result<(), Failed> {
        self.closing.close_all();
        close(self.report);
        loop {
            let connection = accept(listener).step(0)?;
            let mut go = [0u8; 1];
            if read(connection, &mut go) == Ok(1) {
                self.report = connection;
                // What was not told is of no use to `start`.
                (self.traced, self.waiting) = (go[0] == GO_TRACED, 0);
                // From here on a second `start` is refused by the kernel instead of waiting in the queue.
                close(listener);
                return Ok(());
            }
            close(connection);
        }
    }

    fn exec(&mut self, args: StrList, env: StrList) -> Result<(), Failed> {
        let Some((candidates, index)) = self.found else { return Err((Failure::CHECK, EINVAL)) };
        let path = self.program.item(candidates, index);
        let env_count = env.count as usize;
        let args = self.program.vector(args);
        let env = self.program.vector(env);
        if self.home_len > 0 {
            // SAFETY: the builder leaves a second word 0 behind every list, so one more entry fits.
            unsafe { *env.add(env_count) = self.home.as_ptr() as usize };
        }
        // SAFETY: both lists are ended by 0.
        Err((0, unsafe { execve(path, args, env) }))
    }
}

fn resolve_flags(resolve: Resolve) -> u64 {
    match resolve {
        Resolve::Host => 0,
        Resolve::InRoot => RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
        Resolve::Beneath => RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
        Resolve::NoLinks => RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    }
}

fn failure_bytes(failure: Failure) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..2].copy_from_slice(&failure.op.to_ne_bytes());
    bytes[2..4].copy_from_slice(&failure.step.to_ne_bytes());
    bytes[4..].copy_from_slice(&failure.errno.to_ne_bytes());
    bytes
}

/// netdevice(7): SIOCGIFFLAGS is not needed, as a new namespace's `lo` has no flag worth keeping but LOOPBACK, which the
/// kernel does not let go.
fn loopback_up() -> Result<(), Failed> {
    const AF_INET: usize = 2;
    const SOCK_DGRAM_CLOEXEC: usize = 2 | 0o2000000;
    const SIOCSIFFLAGS: u32 = 0x8914;
    const IFF_UP: u8 = 1;
    let socket = socket(AF_INET, SOCK_DGRAM_CLOEXEC).step(0)?;
    // struct ifreq: sixteen bytes of name, then the flags.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16] = IFF_UP;
    let answer = ioctl(socket, SIOCSIFFLAGS, request.as_ptr() as usize).step(1);
    close(socket);
    answer.map(|_| ())
}

fn pivot_root(root: i32) -> Result<(), Failed> {
    fchdir(root).step(0)?;
    // The old root is stacked upon the new one, and umount2, unlike other calls, takes `.` for the topmost mount there
    // (pivot_root(2), "pivot_root(".", ".")").
    pivot_root_here().step(1)?;
    // This does not travel to the host, as all of the old root is the host's slave since before the first mount.
    // The current directory is `/` then.
    detach(c".").step(2)
}

fn move_root(root: i32) -> Result<(), Failed> {
    fchdir(root).step(0)?;
    let slash = openat2(AT_FDCWD, c"/", O_PATH, 0, 0).step(1)?;
    move_mount(root, slash, c"").step(2)?;
    close(slash);
    chroot(c".").step(3)?;
    chdir(c"/").step(4)
}

fn enter_root(root: i32) -> Result<(), Failed> {
    fchdir(root).step(0)?;
    chroot(c".").step(1)?;
    chdir(c"/").step(2)
}

fn open_pty_peer(master: i32, rows: u16, columns: u16) -> Result<i32, Failed> {
    const TIOCSPTLCK: u32 = 0x4004_5431;
    const TIOCGPTPEER: u32 = 0x5441;
    const TIOCSWINSZ: u32 = 0x5414;
    let unlock = 0i32;
    ioctl(master, TIOCSPTLCK, &raw const unlock as usize).step(0)?;
    let peer = ioctl(master, TIOCGPTPEER, (O_RDWR | O_NOCTTY | O_CLOEXEC) as usize).step(1)? as i32;
    if rows != 0 || columns != 0 {
        let size = [rows, columns, 0, 0];
        ioctl(peer, TIOCSWINSZ, size.as_ptr() as usize).step(2)?;
    }
    Ok(peer)
}

fn drop_bounding(keep: u64, last: u32) -> Result<(), Failed> {
    const PR_CAPBSET_DROP: u32 = 24;
    for capability in (0..=last.min(63)).filter(|&capability| keep & (1 << capability) == 0) {
        prctl(PR_CAPBSET_DROP, [capability as usize, 0, 0, 0]).step(capability as u16)?;
    }
    Ok(())
}

fn landlock_scope(scoped: u64) -> Result<(), Failed> {
    let ruleset = match landlock_create_ruleset(scoped) {
        // Not built in, or left out of `lsm=` (landlock_create_ruleset(2)).
        Err(errno @ (ENOSYS | EOPNOTSUPP)) => return Err((Failure::CHECK, errno)),
        answer => answer.step(0)?,
    };
    landlock_restrict_self(ruleset).step(1)?;
    close(ruleset);
    Ok(())
}

fn set_ambient(caps: u64) -> Result<(), Failed> {
    const PR_CAP_AMBIENT: u32 = 47;
    const RAISE: usize = 2;
    const CLEAR_ALL: usize = 4;
    prctl(PR_CAP_AMBIENT, [CLEAR_ALL, 0, 0, 0]).step(0)?;
    for capability in (0..64).filter(|&capability| caps & (1 << capability) != 0) {
        prctl(PR_CAP_AMBIENT, [RAISE, capability as usize, 0, 0]).step(1)?;
    }
    Ok(())
}

/// Changes the directory and checks that it can be reached from the root: a path through a leaked descriptor of the host
/// cannot (CVE-2024-21626); getcwd(2) then answers "(unreachable)…".
fn change_dir(path: &CStr) -> Result<(), Failed> {
    chdir(path).step(0)?;
    let mut name = [0u8; 4096];
    getcwd(&mut name).step(1)?;
    if name[0] == b'/' { Ok(()) } else { Err((Failure::CHECK, ENOENT)) }
}
