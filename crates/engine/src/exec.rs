//! `exec`: a further process in a running container, confined as its first one.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use hostnet::NetRecord;
use program::{Op, ProgramBuilder, Resolve, Slot};
use rustix::fs::{Mode, OFlags};
use spec::{ConsoleSize, Linux, NamespaceType, Process, Spec, Status};
use trace::{Kind, Trace};

use crate::cgroup::emit_join;
use crate::container::Container;
use crate::launch::{self, Into, IntoPids, Launch, LaunchPlan};
use crate::network::GUARDED_CAPABILITIES;
use crate::plan::plan_process;
use crate::process::{self, ProcessPlan};
use crate::terminal::Foreground;
use crate::{Error, HostFacts, Runtime, bundle, console, create, listener};

/// The type of devpts (statfs(2)).
const DEVPTS_SUPER_MAGIC: u32 = 0x1cd1;

/// A user in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserSpec {
    /// User id.
    pub uid: u32,
    /// Group id; the user's own number is not taken for it, but 0.
    pub gid: Option<u32>,
}

/// The flags of `exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// A file with the whole process, as in config.json; the flags below up to `caps` do not count then.
    pub process: Option<PathBuf>,
    /// The program and its arguments.
    pub args: Vec<OsString>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// Further environment, `NAME=value`.
    pub env: Vec<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// Its user.
    pub user: Option<UserSpec>,
    /// Further groups.
    pub additional_gids: Vec<u32>,
    /// Where the terminal's master is sent to.
    pub console_socket: Option<PathBuf>,
    /// Where the process's pidfd is sent to.
    pub pidfd_socket: Option<PathBuf>,
    /// The file for the process id.
    pub pid_file: Option<PathBuf>,
    /// Return once the program has been executed.
    pub detach: bool,
    /// SELinux label.
    pub process_label: Option<String>,
    /// AppArmor profile.
    pub apparmor: Option<String>,
    /// Set no_new_privs.
    pub no_new_privs: bool,
    /// Further capabilities.
    pub caps: Vec<String>,
    /// Further descriptors that the process keeps, from 3 on.
    pub preserve_fds: u32,
    /// A cgroup below the container's.
    pub cgroup: Vec<String>,
    /// Do it in a paused container as well; the process then waits for it to go on.
    pub ignore_paused: bool,
}

impl Runtime {
    /// Executes a program in a container. In the foreground the answer is its status, 128 and the number of the signal that
    /// ended it; detached it is 0.
    ///
    /// # Errors
    /// The container does not run; the program cannot be executed.
    pub fn exec(&self, id: &str, options: &ExecOptions) -> Result<u8, Error> {
        let (entry, container) = self.trace.step("record", || self.find(id))?;
        check_status(container.status(&entry)?, options)?;
        let spec = container.spec(&entry)?;
        let mut process = wanted_process(&spec, options)?;
        let preserve_fds = process::preserved_fds(options.preserve_fds, &mut process);
        process.validate("").map_err(|refusal| in_process(&refusal))?;
        spec.process_ids_are_mapped(&process, "").map_err(|refusal| in_process(&refusal))?;
        let mut host = self.trace.step("facts of the host", || HostFacts::probe(self.rootless))?;
        host.ask_for(&process);
        let linux = spec.linux.clone().unwrap_or_default();
        let mut plan = plan_process(&process, &linux, &host, container.record.keyring.clone(), self.filter(&linux)?)
            .map_err(|refusal| in_process(&refusal))?;
        if container.network.as_ref().is_some_and(NetRecord::guards) {
            plan.confine.capabilities.remove(GUARDED_CAPABILITIES);
        }
        plan.confine.no_abstract_sockets = container.network.as_ref().is_some_and(NetRecord::denies_abstract_sockets);
        plan.confine.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        Exec {
            container: &container,
            spec: &spec,
            linux: &linux,
            host: &host,
            plan,
            preserve_fds,
            options,
            trace: &self.trace,
        }
        .run()
    }
}

struct Exec<'a> {
    container: &'a Container,
    spec: &'a Spec,
    linux: &'a Linux,
    host: &'a HostFacts,
    plan: ProcessPlan,
    preserve_fds: u32,
    options: &'a ExecOptions,
    trace: &'a Trace,
}

impl Exec<'_> {
    fn run(self) -> Result<u8, Error> {
        let terminal = self.plan.process.terminal;
        let console = console::connect(self.options.console_socket.as_deref())?;
        console::check(terminal, console.is_some(), self.options.detach)?;
        if self.options.detach {
            self.launch(console)?.keep();
            return Ok(0);
        }
        let (mut foreground, own_console) = Foreground::new(terminal && console.is_none())?;
        let mut launch = self.launch(console.or(own_console))?;
        foreground.attach()?;
        let exit = self.trace.span(Kind::Program, "the program", || foreground.wait(launch.pidfd.as_fd()))?;
        launch.keep();
        Ok(exit.code())
    }

    /// Makes the process and returns when it has executed its program.
    fn launch(&self, console: Option<OwnedFd>) -> Result<Launch, Error> {
        let init = self.container.init.as_ref().ok_or(Error::NotRunning)?;
        let (kinds, pids) = self.namespaces();
        let mut builder = ProgramBuilder::new();
        let cgroup = &self.container.cgroup;
        // From a cgroup that is not the user's own it takes systemd to lead into one that is (cgroup-v2.rst, "Delegation
        // Containment").
        let by_systemd = cgroup.unit.as_ref().is_some_and(|unit| unit.user);
        let unified = match by_systemd {
            true => None,
            false => emit_join(&cgroup.below(&self.options.cgroup)?, false, &mut builder)?,
        };
        confine::emit_cpus(&self.plan.confine.scheduling.cpus, &mut builder);
        let init_slot = builder.inherit(init.try_clone().map_err(Error::call("the pidfd of init"))?);
        let early = confine::emit_early(&self.plan.confine, &mut builder);
        namespaces::emit_join_process(init_slot, kinds, &mut builder);
        let root = builder.inherit(self.root_of_init(init)?);
        builder.place("the container's root");
        builder.push(Op::EnterRoot { root });
        builder.push(Op::NewSession);
        if let Some(console) = console {
            self.emit_terminal(console, &mut builder);
        }
        self.plan.emit_setup(&mut builder);
        let confine = &self.plan.confine;
        let resctrl = self.container.resctrl.as_ref();
        let waits = confine.needs_apply() || resctrl.is_some() || by_systemd;
        if waits {
            builder.place("ready");
            builder.push(Op::Gate { number: create::GATE_READY });
        }
        self.plan.emit_exec(early, &mut builder);
        console::give_stdio(create::host_uid(self.linux, self.plan.process.user.uid));
        let plan = LaunchPlan {
            ignored_signals: self.host.ignored_signals,
            preserve_fds: self.preserve_fds,
            cgroup: unified.as_ref().map(AsFd::as_fd),
            into: Into::Container(init.as_fd(), pids),
            trace: self.trace,
        };
        let initial = self.plan.process.exec_cpu_affinity.as_ref().and_then(|affinity| affinity.initial.as_ref());
        let launch = match initial {
            Some(cpus) => Launch::on_cpus(cpus, builder, &plan)?,
            None => self.trace.step("launch", || Launch::new(builder, &plan))?,
        };
        if waits {
            self.trace.span(Kind::Wait, "wait for init: ready", || launch.wait_gate(create::GATE_READY))?;
            launch.confine(confine)?;
            resctrl.map_or(Ok(()), |resctrl| resctrl.join(launch.pid))?;
            if by_systemd {
                cgroup.attach(&self.options.cgroup, launch.pid)?;
            }
            launch.open_gate()?;
        }
        let hand_over = |fd| listener::hand_over(self.linux, launch.pid, self.container.state(Status::Running), &fd);
        self.trace.span(Kind::Wait, "wait for init: execve", || launch.wait_exec(hand_over))?;
        create::hand_out(self.options.pid_file.as_deref(), self.options.pidfd_socket.as_deref(), &launch)?;
        Ok(launch)
    }

    /// The kinds of namespaces that the process joins itself, and its way into the PID namespace.
    fn namespaces(&self) -> (u64, IntoPids) {
        let (kinds, join_pid) = namespaces::plan_exec(self.spec);
        let kinds = namespaces::without_own_user(kinds, self.container.record.init.map_or(0, |init| init.pid));
        let by_user = kinds & namespaces::kind_flag(NamespaceType::User) != 0 && !self.host.privileged;
        match join_pid {
            false => (kinds, IntoPids::Shared),
            true if by_user => (kinds | namespaces::kind_flag(NamespaceType::Pid), IntoPids::Cloned),
            true => (kinds, IntoPids::Born),
        }
    }

    /// Where the container's processes have their root. To join the mount namespace leads to that namespace's own root, which
    /// is another one if the container shares the host's, or was created by a runtime in a chroot.
    fn root_of_init(&self, init: &OwnedFd) -> Result<OwnedFd, Error> {
        let pid = self.container.record.init.as_ref().ok_or(Error::NotRunning)?.pid;
        let path = format!("/proc/{pid}/root");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty()).map_err(Error::file("root", path))?;
        // While init lives its id is nobody else's, so what was opened is its root.
        match launch::wait_ended(init.as_fd(), Duration::ZERO) {
            true => Err(Error::NotRunning),
            false => Ok(root),
        }
    }

    /// A terminal in the container's devpts, which init's mount namespace shows by now.
    fn emit_terminal(&self, console: OwnedFd, b: &mut ProgramBuilder) {
        b.place("process.terminal");
        let ConsoleSize { height, width } = self.plan.process.console_size.unwrap_or_default();
        let (master, peer) = (b.slot(), b.slot());
        let path = b.text("/dev/pts/ptmx");
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        b.push(Op::Open {
            dir: Slot::NONE,
            resolve: Resolve::Host,
            out: master,
            flags: flags.bits(),
            magic: DEVPTS_SUPER_MAGIC,
            path,
        });
        b.push(Op::OpenPty { master, peer, rows: height, columns: width });
        let uid = self.plan.process.user.uid;
        if uid != 0 {
            // Or the process could not open /dev/tty and /dev/stdout anew.
            b.push(Op::Chown { fd: peer, uid, gid: u32::MAX });
        }
        console::emit(master, peer, console, b);
    }
}

fn check_status(status: Status, options: &ExecOptions) -> Result<(), Error> {
    match status {
        Status::Running | Status::Created => Ok(()),
        Status::Paused if options.ignore_paused => Ok(()),
        Status::Paused => {
            Err(Error::Other("cannot exec in a paused container (use --ignore-paused to override)".to_owned()))
        }
        _ => Err(Error::Other("cannot exec in a stopped container: container not running".to_owned())),
    }
}

/// The process that the file or the flags ask for; what the flags leave open is as in the container's own.
fn wanted_process(spec: &Spec, options: &ExecOptions) -> Result<Process, Error> {
    if let Some(path) = &options.process {
        let bytes = bundle::read_document("process", path)?;
        let process = Process::from_bytes(&bytes).map_err(|error| Error::Unreadable { path: path.clone(), error })?;
        return Ok(completed(spec, process));
    }
    let mut process = spec.process.clone().unwrap_or_default();
    process.args = options.args.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    process.terminal = options.tty;
    process.env.extend(options.env.iter().cloned());
    if let Some(cwd) = &options.cwd {
        process.cwd.clone_from(cwd);
    }
    if let Some(user) = options.user {
        process.user.uid = user.uid;
        process.user.gid = user.gid.unwrap_or(process.user.gid);
    }
    process.user.additional_gids.extend(&options.additional_gids);
    process.no_new_privileges |= options.no_new_privs;
    if options.apparmor.is_some() {
        process.apparmor_profile.clone_from(&options.apparmor);
    }
    if options.process_label.is_some() {
        process.selinux_label.clone_from(&options.process_label);
    }
    if !options.caps.is_empty() {
        let capabilities = process.capabilities.get_or_insert_default();
        // Never inheritable or ambient: a program of another user would have them as well (CVE-2022-29162).
        for set in [&mut capabilities.bounding, &mut capabilities.effective, &mut capabilities.permitted] {
            set.extend(options.caps.iter().cloned());
        }
    }
    Ok(process)
}

/// A file that says nothing of capabilities, of the OOM score or of scheduling leaves them as the container has them.
fn completed(spec: &Spec, mut process: Process) -> Process {
    if let Some(first) = &spec.process {
        process.capabilities = process.capabilities.or_else(|| first.capabilities.clone());
        process.oom_score_adj = process.oom_score_adj.or(first.oom_score_adj);
        process.scheduler = process.scheduler.or_else(|| first.scheduler.clone());
        process.io_priority = process.io_priority.or(first.io_priority);
        process.exec_cpu_affinity = process.exec_cpu_affinity.or_else(|| first.exec_cpu_affinity.clone());
    }
    process
}

fn in_process(refusal: &spec::Refusal) -> Error {
    Error::Other(refusal.in_document("process"))
}
