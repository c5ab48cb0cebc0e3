//! `restore`: has CRIU make a container's processes again from the images of `checkpoint`, in a cgroup and with a record as
//! `create` makes them.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use cgroups::CgroupRecord;
use criu::{Criu, Flag, Notice, Options, Task, Text};
use hostnet::config::{Key, Setting};
use resctrl::ResctrlRecord;
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountPropagationFlags;
use rustix::process::{Pid, Signal};
use spec::Status;
use state::{CONFIG, InitProcess, Locked, Record, StateRoot, Undo};
use trace::Trace;

use crate::container::{Container, state_of};
use crate::create::{self, Request};
use crate::host::hexadecimal;
use crate::images::Images;
use crate::network::GUARDED_CAPABILITIES;
use crate::terminal::Foreground;
use crate::{CreateOptions, CriuOptions, Error, Runtime, cgroup, checkpoint, console, delete, external, hooks, launch};
use crate::{notify, socket, whereabouts};

/// A mount namespace (clone(2), CLONE_NEWNS).
const NEW_MOUNTS: u64 = 0x2_0000;

/// The flags of `restore` beyond those of `create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Those of `checkpoint` as well.
    pub criu: CriuOptions,
    /// Return once the container runs.
    pub detach: bool,
    /// `TYPE:NAME` of the AppArmor profile or SELinux label that takes the place of the dumped one.
    pub lsm_profile: Option<String>,
    /// The SELinux context that takes the place of that of mounts.
    pub lsm_mount_context: Option<String>,
}

/// A container on its way back.
struct Revival<'a> {
    runtime: &'a Runtime,
    request: &'a Request<'a>,
    entry: &'a mut Locked,
    cgroup: CgroupRecord,
    resctrl: Option<ResctrlRecord>,
    console: Option<OwnedFd>,
    /// The process of CRIU, which is in the container's cgroup as well.
    criu: i32,
    /// Once its processes are there.
    container: Option<Container>,
}

impl Runtime {
    /// Makes a container from images and the bundle that it had. In the foreground the answer is the process's status as of
    /// [`Runtime::run`]; detached it is 0.
    ///
    /// # Errors
    /// Those of [`Runtime::create`]; CRIU is not there, or failed. Then nothing is left.
    pub fn restore(&self, id: &str, create: &CreateOptions, restore: &RestoreOptions) -> Result<u8, Error> {
        let request = self.request(id, create)?;
        checkpoint::check(&request.spec)?;
        checkpoint::check_settings(request.network.as_ref().map_or(&[], |network| &network.settings))?;
        let terminal = request.plan.terminal.is_some();
        let console = console::connect(create.console_socket.as_deref())?;
        console::check(terminal, console.is_some(), restore.detach)?;
        if restore.detach {
            return self.restore_requested(&request, restore, console).map(|_| 0);
        }
        let (mut foreground, own_console) = Foreground::new(terminal && console.is_none())?;
        let container = self.restore_requested(&request, restore, console.or(own_console))?;
        let ended = foreground
            .attach()
            .and_then(|()| foreground.wait(container.init.as_ref().ok_or(Error::NotRunning)?.as_fd()));
        let deleted = self.delete(id, true);
        ended.and_then(|exit| deleted.map(|()| exit.code()))
    }

    fn restore_requested(
        &self,
        request: &Request<'_>,
        options: &RestoreOptions,
        console: Option<OwnedFd>,
    ) -> Result<Container, Error> {
        let mut entry = StateRoot::open(&self.root)?.begin(&request.id)?;
        self.revive(request, options, &mut entry, console).inspect_err(|error| {
            let hook = matches!(error, Error::Hook { .. });
            delete::undo_create(&self.trace, entry, &request.spec.hooks, &request.state_when_failed(), hook);
        })
    }

    /// Makes what `create` makes outside the container, and lets CRIU do the rest.
    fn revive(
        &self,
        request: &Request<'_>,
        options: &RestoreOptions,
        entry: &mut Locked,
        console: Option<OwnedFd>,
    ) -> Result<Container, Error> {
        let trace = &self.trace;
        let resctrl = trace.step("resctrl", || create::make_resctrl(request, entry))?;
        let cgroup = trace.step("cgroup", || cgroup::make(trace, request, entry))?;
        entry.write(CONFIG, &request.config)?;
        notify::make_folder(&request.spec, entry)?;
        external::make_mount_points(&request.spec, &request.bundle, &request.rootfs)?;
        let (criu, images) = trace.step("start of criu", || start_aside(request, &options.criu))?;
        let mut message = message(request, options, &images, &cgroup)?;
        // It makes the container's processes in the cgroups that it is in itself.
        trace.step("cgroup of criu", || enter_cgroup(trace, request, &cgroup, resctrl.as_ref(), criu.pid))?;
        whereabouts::note(&cgroup, entry);
        name_cgroups(&mut message, &cgroup, criu.pid)?;
        let mut revival =
            Revival { runtime: self, request, entry, cgroup, resctrl, console, criu: criu.pid, container: None };
        trace.step("restore", || {
            criu.carry_out(Task::Restore, &message, images.work(), |notice| revival.step(notice))
        })?;
        revival.container.ok_or_else(|| Error::Other("criu has restored no process".to_owned()))
    }
}

impl Revival<'_> {
    /// What is to be done while CRIU waits.
    fn step(&mut self, notice: Notice) -> Result<(), Error> {
        match notice.step.as_str() {
            "setup-namespaces" => self.run_hooks(notice.pid),
            "orphan-pts-master" => self.send_console(notice.fd),
            "post-restore" => self.settle(notice.pid),
            "pre-resume" => self.check_guard(),
            _ => Ok(()),
        }
    }

    /// Namespaces are there, and nothing is in them. Docker and CNI configure the network here.
    fn run_hooks(&self, pid: i32) -> Result<(), Error> {
        let hooks = &self.request.plan.hooks;
        let state = state_of(&self.record(InitProcess::of(pid)?, None)?, Status::Created, Some(pid));
        hooks::run(&self.runtime.trace, "prestart", &hooks.prestart, &state)?;
        hooks::run(&self.runtime.trace, "createRuntime", &hooks.create_runtime, &state)
    }

    fn send_console(&mut self, master: Option<OwnedFd>) -> Result<(), Error> {
        match (self.console.take(), master) {
            (Some(console), Some(master)) => socket::send_over(console.as_fd(), console::NAME, master.as_fd())
                .map_err(Error::call("sending the terminal to --console-socket")),
            _ => Ok(()),
        }
    }

    /// The processes are there, and stand still: the last moment at which what they do can be seen to. Programs on
    /// the cgroup cannot be there earlier, as they would take the making of a socket for the container's own doing.
    fn settle(&mut self, pid: i32) -> Result<(), Error> {
        let init = InitProcess::of(pid)?;
        if self.cgroup.dirs.is_empty() {
            self.entry.journal([Undo::Process(init)])?;
        }
        let pidfd = launch::pidfd_of(pid.unsigned_abs()).map_err(Error::call("the container's init"))?;
        let mut network =
            self.request.network.as_ref().map(|network| network.attach(&self.cgroup, self.runtime)).transpose()?;
        let terminal = self.request.plan.terminal.is_some();
        network.iter_mut().for_each(|network| network.watch(pidfd.as_fd(), terminal, self.runtime));
        let network = network.map(|network| network.record);
        let record = self.record(init, network.as_ref())?;
        self.entry.draft(&record)?;
        self.entry.commit()?;
        create::write_pid(self.request.options.pid_file.as_deref(), pid)?;
        let (cgroup, resctrl) = (self.cgroup.clone(), self.resctrl.clone());
        self.container = Some(Container { record, cgroup, resctrl, network, init: Some(pidfd) });
        Ok(())
    }

    /// The processes have their capabilities again, which are those of the images, and still stand still. Nobody can take one from
    /// another process, so those that the guard would have taken are not to be there.
    fn check_guard(&self) -> Result<(), Error> {
        let guarded = self.container.as_ref().and_then(|container| Some((container, container.network.as_ref()?)));
        let Some((container, network)) = guarded.filter(|(_, network)| network.guards()) else { return Ok(()) };
        let is_restored = |pid: &Pid| pid.as_raw_nonzero().get() != self.criu;
        let reaches_out = |pid: Pid| has_capabilities(pid, GUARDED_CAPABILITIES).unwrap_or(true);
        if !container.processes()?.into_iter().filter(is_restored).any(reaches_out) {
            return Ok(());
        }
        // CRIU would let them go on whatever the answer is, and waits for ever if they end: it is in the cgroup, and ends with them.
        container.signal_all(Signal::KILL)?;
        let refuse = |setting: &Setting| {
            let problem = "comes too late: a process of the checkpoint has CAP_NET_ADMIN or CAP_NET_RAW";
            setting.refuse(problem, "checkpoint a container that was created with it")
        };
        network.setting(Key::Guard).map_or(Ok(()), |setting| Err(refuse(setting).into()))
    }

    fn record(&self, init: InitProcess, network: Option<&hostnet::NetRecord>) -> Result<Record, Error> {
        self.request.record(&self.cgroup, self.resctrl.as_ref(), network, init)
    }
}

/// Whether a thread of the process has one of these, or could get it (capabilities(7)).
fn has_capabilities(pid: Pid, capabilities: u64) -> std::io::Result<bool> {
    const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        if SETS.iter().any(|set| hexadecimal(&status, set) & capabilities != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What CRIU is told, but for what depends on its own process.
fn message(
    request: &Request<'_>,
    options: &RestoreOptions,
    images: &Images,
    cgroup: &CgroupRecord,
) -> Result<Options, Error> {
    let mut message = options.criu.for_task(Task::Restore, images, &request.spec, &request.rootfs);
    message.flag(Flag::RstSibling, true).flag(Flag::EvasiveDevices, true);
    for (text, value) in [(Text::LsmProfile, &options.lsm_profile), (Text::LsmMountContext, &options.lsm_mount_context)]
    {
        if let Some(value) = value {
            message.text(text, value.as_bytes());
        }
    }
    external::hand_mounts(&mut message, &external::mounts(&request.spec, cgroup, &request.bundle, &request.rootfs));
    external::hand_namespaces(&mut message, &request.joined)?;
    external::hand_streams(&mut message, &images.path(external::DESCRIPTORS))?;
    Ok(message)
}

/// Executes CRIU from a thread that ends at once: with mounts of its own, where the root is a mount point as CRIU needs it
/// and the host has nothing to be undone, and with the container's session keyring.
fn start_aside(request: &Request<'_>, options: &CriuOptions) -> Result<(Criu, Images), Error> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::call("/dev/null"))?;
    let inherited = external::inherited(null.as_fd(), &request.joined);
    let keyring = request.plan.process.confine.keyring.clone();
    let start = || {
        own_mounts(&request.rootfs).map_err(Error::call("mounts for criu"))?;
        if let Some(name) = keyring.and_then(|name| CString::new(name).ok()) {
            // As at create, a kernel without keys is none to keep them from.
            let _ = sys::process::join_session_keyring(&name);
        }
        // What its tools print is nothing for the container's log; but a terminal of the caller's it takes from here.
        let stdio = if options.shell_job { external::own_streams() } else { [null.as_fd(); 3] };
        // Opened among the new mounts: CRIU goes there, and can mount nothing where it is among others.
        Ok((Criu::start(stdio, &inherited)?, Images::open(options)?))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, start).map_err(Error::call("a thread"))?;
        thread.join().unwrap_or_else(|_| Err(Error::Other("the thread that executes criu panicked".to_owned())))
    })
}

fn own_mounts(rootfs: &Path) -> std::io::Result<()> {
    sys::process::unshare(NEW_MOUNTS)?;
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(rustix::mount::mount_bind_recursive(rootfs, rootfs)?)
}

fn enter_cgroup(
    trace: &Trace,
    request: &Request<'_>,
    cgroup: &CgroupRecord,
    resctrl: Option<&ResctrlRecord>,
    pid: i32,
) -> Result<(), Error> {
    if cgroup.unit.is_some() {
        request.plan.cgroup.start_unit(cgroup, pid, trace)?;
        cgroup::delegate(request, cgroup)?;
    } else {
        cgroup.enter(pid)?;
    }
    Ok(resctrl.map_or(Ok(()), |resctrl| resctrl.join(pid))?)
}

/// Puts the cgroups that CRIU is in now in the place of those that were dumped (cgroups(7), `/proc/[pid]/cgroup`).
fn name_cgroups(message: &mut Options, cgroup: &CgroupRecord, pid: i32) -> Result<(), Error> {
    if cgroup.dirs.is_empty() {
        return Ok(());
    }
    let path = format!("/proc/{pid}/cgroup");
    let table = std::fs::read_to_string(&path).map_err(Error::file("cgroups", path))?;
    for line in table.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        for controller in controllers.split(',') {
            message.cgroup_root(controller.as_bytes(), path.as_bytes());
        }
    }
    Ok(())
}
