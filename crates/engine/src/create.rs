//! `create`: from a bundle to a process that waits for `start`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cgroups::CgroupRecord;
use hostnet::NetRecord;
use namespaces::Joined;
use program::{Op, ProgramBuilder, Resolve, Slot};
use resctrl::ResctrlRecord;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use spec::{Linux, NamespaceType, Refusal, Spec, State, Status, token};
use state::{CONFIG, ContainerId, InitProcess, Locked, Part, RECORD_VERSION, Record, StateRoot, Undo};
use trace::{Kind, Trace};

use crate::container::{Container, state_of};
use crate::hooks::{self, InitHooks};
use crate::launch::{Into, Launch, LaunchPlan};
use crate::network::{self, Attached, HostNetwork};
use crate::plan::PlanOptions;
use crate::{
    ContainerPlan, Error, HostFacts, Runtime, bundle, cgroup, console, delete, idmap, notify, process, socket,
    whereabouts,
};

/// Init waits here for the hooks that the runtime runs.
pub(crate) const GATE_HOOKS: u32 = 2;
/// Init is ready, and waits for the record of it to be written.
pub(crate) const GATE_READY: u32 = 3;
/// The type of procfs (statfs(2)).
const PROC_SUPER_MAGIC: u32 = 0x9fa0;

/// The flags of `create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// Another file than the bundle's config.json.
    pub config: Option<PathBuf>,
    /// Where the terminal's master is sent to.
    pub console_socket: Option<PathBuf>,
    /// Where the process's pidfd is sent to.
    pub pidfd_socket: Option<PathBuf>,
    /// The file for the process id.
    pub pid_file: Option<PathBuf>,
    /// Change the root without pivot_root(2).
    pub no_pivot: bool,
    /// Leave the container in the caller's session keyring.
    pub no_new_keyring: bool,
    /// Further descriptors that the container keeps, from 3 on.
    pub preserve_fds: u32,
}

/// What makes a container's process go on when it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    /// The command `start`, over the socket in the container's folder.
    AtStart,
    /// The process that created it, at the last gate.
    AtGate,
}

/// A container that waits to be started, still locked.
pub(crate) struct Created {
    pub(crate) entry: Locked,
    /// Without its init, which is `launch`'s.
    pub(crate) container: Container,
    pub(crate) launch: Launch,
    /// Whose watcher is still to be started.
    pub(crate) unwatched: Option<Attached>,
}

/// What is known before anything is made.
pub(crate) struct Request<'a> {
    pub(crate) id: ContainerId,
    pub(crate) config: Vec<u8>,
    pub(crate) spec: Spec,
    pub(crate) plan: ContainerPlan,
    pub(crate) network: Option<HostNetwork>,
    host: HostFacts,
    pub(crate) joined: Vec<Joined>,
    pub(crate) options: &'a CreateOptions,
    preserve_fds: u32,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
}

impl Runtime {
    /// Makes a container. It returns when its process waits for `start`, the hooks of create have run, and the pid file is
    /// there. On an error nothing is left.
    ///
    /// # Errors
    /// What the configuration asks for and cannot be had, or what the kernel refused.
    pub fn create(&self, id: &str, options: &CreateOptions) -> Result<(), Error> {
        let request = self.request(id, options)?;
        let console = console::connect(options.console_socket.as_deref())?;
        console::check(request.plan.terminal.is_some(), console.is_some(), true)?;
        self.create_requested(&request, console, Go::AtStart).map(drop)
    }

    /// Makes what was requested, with the socket for the terminal already open.
    pub(crate) fn create_requested(
        &self,
        request: &Request<'_>,
        console: Option<OwnedFd>,
        go: Go,
    ) -> Result<Created, Error> {
        // Where there are no more descriptors to be had, undoing needs one all the same.
        let reserve = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
            .map_err(Error::call("a descriptor in reserve (raise RLIMIT_NOFILE)"))?;
        let mut entry = self.trace.step("claim of the id", || StateRoot::open(&self.root)?.begin(&request.id))?;
        match self.make(request, &mut entry, console, go) {
            Ok((container, launch, unwatched)) => Ok(Created { entry, container, launch, unwatched }),
            Err(error) => {
                drop(reserve);
                delete::undo_create(
                    &self.trace,
                    entry,
                    &request.spec.hooks,
                    &request.state_when_failed(),
                    matches!(error, Error::Hook { .. }),
                );
                Err(error)
            }
        }
    }

    /// Reads, decides and refuses: nothing is changed here.
    pub(crate) fn request<'a>(&self, id: &str, options: &'a CreateOptions) -> Result<Request<'a>, Error> {
        let id = ContainerId::parse(id)?;
        let bundle = bundle::folder(&options.bundle)?;
        let path = options.config.clone().unwrap_or_else(|| bundle.join(CONFIG));
        let (config, mut spec) = self.trace.step("configuration", || {
            let config = bundle::read_document("configuration", &path)?;
            let spec = Spec::from_bytes(&config).map_err(|error| Error::Unreadable { path, error })?;
            Ok::<_, Error>((config, spec))
        })?;
        let rootfs = bundle::rootfs(&bundle, &spec)?;
        notify::prepare(&mut spec, &self.root.join(id.as_str()));
        let preserve_fds = match &mut spec.process {
            Some(process) => process::preserved_fds(options.preserve_fds, process),
            None => options.preserve_fds,
        };
        let host = self.trace.step("facts of the host", || self.host(&spec))?;
        let filter =
            self.trace.step("seccomp filter", || spec.linux.as_ref().map_or(Ok(None), |linux| self.filter(linux)))?;
        let plan_options = PlanOptions {
            id: id.to_string(),
            bundle: bundle.clone(),
            rootfs: rootfs.clone(),
            cgroup_manager: self.cgroup_manager,
            no_pivot: options.no_pivot,
            no_new_keyring: options.no_new_keyring,
            filter,
        };
        let mut plan = self.trace.step("plan", || crate::plan(&spec, &host, &plan_options))?;
        plan.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let joined = namespaces::open_joins(&plan.namespaces)?;
        refuse_own_namespaces(&spec, &joined)?;
        let network = network::plan(&spec, &self.network, &host, &joined, &mut plan)?;
        self.trace.step("ports", || network.as_ref().map_or(Ok(()), |network| network.check_ports(self)))?;
        Ok(Request { id, config, spec, plan, network, host, joined, options, preserve_fds, bundle, rootfs })
    }

    /// The host, as far as this container needs to know it.
    fn host(&self, spec: &Spec) -> Result<HostFacts, Error> {
        let linux = spec.linux.as_ref();
        let mut host = HostFacts::probe(self.rootless)?;
        if let Some(process) = &spec.process {
            host.ask_for(process);
        }
        if linux.is_some_and(|linux| linux.intel_rdt.is_some()) {
            host.resctrl = resctrl::mount_point()?;
        }
        match self.cgroup_manager {
            cgroups::Manager::Cgroupfs if host.rootless => {
                host.cgroups = host.cgroups.delegated(linux.and_then(|linux| linux.cgroups_path.as_deref()));
            }
            cgroups::Manager::Systemd => {
                // Root inside a user namespace is an ordinary user to systemd.
                let user = host.rootless || !host.privileged;
                host.cgroups.systemd = Some(cgroups::Instance::find(user)?);
            }
            _ => {}
        }
        Ok(host)
    }

    /// Makes everything, in an order in which each thing is written down before it is made.
    fn make(
        &self,
        request: &Request<'_>,
        entry: &mut Locked,
        console: Option<OwnedFd>,
        go: Go,
    ) -> Result<(Container, Launch, Option<Attached>), Error> {
        let trace = &self.trace;
        journal_root(request, entry)?;
        let resctrl = trace.step("resctrl", || make_resctrl(request, entry))?;
        let cgroup = trace.step("cgroup", || cgroup::begin(trace, request, entry))?;
        let (mut launch, mut init_hooks) = self.launch_init(request, entry, &cgroup, console, go)?;
        // From here on init is at work as well.
        let init = InitProcess::of(launch.pid)?;
        if cgroup.dirs.is_empty() {
            // By its cgroup a process is found even if the record is damaged.
            entry.journal([Undo::Process(init)])?;
        }
        trace.step("rest of the cgroup", || cgroup::complete_beside(trace, request, entry, &cgroup, &launch))?;
        // The cgroup is there, also where systemd makes it, and nothing of the container's has run, its hooks included.
        whereabouts::note(&cgroup, entry);
        let attach = || request.network.as_ref().map(|network| network.attach(&cgroup, self)).transpose();
        let mut network = trace.step("programs of the host's network (BPF)", attach)?;
        if let Some(resctrl) = &resctrl {
            resctrl.join(launch.pid)?;
        }
        trace.step("network devices", || move_net_devices(request, launch.pid))?;
        trace.step("copy of the configuration", || entry.write(CONFIG, &request.config))?;
        let record =
            request.record(&cgroup, resctrl.as_ref(), network.as_ref().map(|network| &network.record), init)?;
        trace.step("draft of the record", || entry.draft(&record))?;
        run_hooks(trace, request, &record, &launch, &mut init_hooks)?;
        if let Err(error) = trace.span(Kind::Wait, "wait for init: ready", || launch.wait_gate(GATE_READY)) {
            return Err(match init_hooks {
                Some(hooks) => hooks.explain(error),
                None => error,
            });
        }
        if request.plan.terminal.is_some() && go == Go::AtStart {
            // Its terminal is there only now.
            network.iter_mut().for_each(|network| network.watch(launch.pidfd.as_fd(), true, self));
        }
        launch.confine(&request.plan.process.confine)?;
        // There before init is released: from here on a runtime that is killed leaves a container, and until here init
        // ends by itself when its runtime does.
        trace.step("record", || entry.commit())?;
        if go == Go::AtStart {
            launch.open_gate()?;
            // While init goes on.
            network.iter_mut().for_each(|network| network.watch(launch.pidfd.as_fd(), false, self));
        }
        let (pid_file, pidfd_socket) = (request.options.pid_file.as_deref(), request.options.pidfd_socket.as_deref());
        trace.step("pid file", || hand_out(pid_file, pidfd_socket, &launch))?;
        launch.keep();
        let net_record = network.as_ref().map(|network| network.record.clone());
        Ok((Container { record, cgroup, resctrl, network: net_record, init: None }, launch, network))
    }

    /// Writes init's program and makes the process that runs it.
    fn launch_init(
        &self,
        request: &Request<'_>,
        entry: &Locked,
        cgroup: &CgroupRecord,
        console: Option<OwnedFd>,
        go: Go,
    ) -> Result<(Launch, Option<InitHooks>), Error> {
        let trace = &self.trace;
        let listen = || (go == Go::AtStart).then(|| socket::listen(entry)).transpose();
        let listener = trace.step("socket for start", listen)?;
        notify::make_folder(&request.spec, entry)?;
        let (mut builder, mut init_hooks) = (ProgramBuilder::new(), None);
        let unified =
            trace.step("init's program", || emit(request, cgroup, listener, console, &mut builder, &mut init_hooks))?;
        let plan = LaunchPlan {
            ignored_signals: request.host.ignored_signals,
            preserve_fds: request.preserve_fds,
            cgroup: unified.as_ref().map(AsFd::as_fd),
            into: Into::Namespaces(&request.plan.namespaces, &request.joined),
            trace,
        };
        let launch = trace.step("launch of init", || Launch::new(builder, &plan))?;
        Ok((launch, init_hooks))
    }
}

impl Request<'_> {
    pub(crate) fn record(
        &self,
        cgroup: &CgroupRecord,
        resctrl: Option<&ResctrlRecord>,
        network: Option<&NetRecord>,
        init: InitProcess,
    ) -> Result<Record, Error> {
        Ok(Record {
            version: RECORD_VERSION,
            oci_version: self.spec.oci_version.clone(),
            id: self.id.clone(),
            bundle: self.bundle.clone(),
            rootfs: self.rootfs.clone(),
            created: state::rfc3339(SystemTime::now()),
            owner: self.host.confine.ids.0,
            annotations: self.spec.annotations.clone(),
            init: Some(init),
            cgroup: part(cgroup)?,
            resctrl: resctrl.map(part).transpose()?,
            network: network.map(part).transpose()?,
            keyring: self.plan.process.confine.keyring.clone(),
        })
    }

    /// What poststop hooks are told when create has failed.
    pub(crate) fn state_when_failed(&self) -> State {
        State {
            oci_version: self.spec.oci_version.clone(),
            id: self.id.to_string(),
            status: Status::Stopped,
            pid: None,
            bundle: self.bundle.clone(),
            annotations: self.spec.annotations.clone(),
        }
    }
}

pub(crate) fn part(of: &impl Serialize) -> Result<Part, Error> {
    Part::of(of).map_err(|error| Error::Other(format!("the record of the container: {error}")))
}

/// A namespace that is joined may turn out to be the runtime's own. What the configuration would change in it is the host's:
/// the root of a mount namespace, names, kernel parameters, network devices.
fn refuse_own_namespaces(spec: &Spec, joined: &[Joined]) -> Result<(), Refusal> {
    let own = |kind| joined.iter().any(|joined| joined.own && joined.kind == kind);
    let refuse = |pointer: String, kind: NamespaceType| {
        let problem = format!("the {kind} namespace to be joined is the runtime's own");
        let remedy = "leave the entry out to share it, or its `path` to get a new one";
        Err(Refusal::new(pointer, problem, remedy))
    };
    if own(NamespaceType::Mount) {
        return refuse("/linux/namespaces".to_owned(), NamespaceType::Mount);
    }
    for (pointer, name) in [("/hostname", &spec.hostname), ("/domainname", &spec.domainname)] {
        if name.is_some() && own(NamespaceType::Uts) {
            return refuse(pointer.to_owned(), NamespaceType::Uts);
        }
    }
    let linux = spec.linux.iter();
    for key in linux.clone().flat_map(|linux| linux.sysctl.keys()) {
        let kind = spec::sysctl::file(key).and_then(|file| spec::sysctl::namespace(&file));
        // Those of the network are refused with what host networking says of them.
        if let Some(kind) = kind.filter(|kind| own(*kind) && *kind != NamespaceType::Network) {
            return refuse(format!("/linux/sysctl/{}", token(key)), kind);
        }
    }
    if own(NamespaceType::Network) && linux.flat_map(|linux| &linux.net_devices).next().is_some() {
        return refuse("/linux/netDevices".to_owned(), NamespaceType::Network);
    }
    Ok(())
}

/// Writes down that init will mount the root where the host sees it. This stands before the cgroup, so it is undone after the
/// cgroup's processes have ended: until then init might still mount.
fn journal_root(request: &Request<'_>, entry: &mut Locked) -> Result<(), Error> {
    let Some(path) = request.plan.rootfs.attached_on_host() else { return Ok(()) };
    let over = delete::mount_id(path).map_err(Error::file("root", path))?;
    Ok(entry.journal([Undo::Mount { path: path.to_owned(), over }])?)
}

/// Writes down which resctrl groups will be made, then makes them; nothing without `linux.intelRdt`.
pub(crate) fn make_resctrl(request: &Request<'_>, entry: &mut Locked) -> Result<Option<ResctrlRecord>, Error> {
    let Some(plan) = &request.plan.resctrl else { return Ok(None) };
    let record = plan.record()?;
    let folders: Vec<Undo> = record.folders().map(|path| Undo::Folder { path: path.to_owned() }).collect();
    if !folders.is_empty() {
        entry.journal(folders)?;
    }
    plan.make_group()?;
    plan.configure(&record)?;
    Ok(Some(record))
}

/// Everything init does, in its order. The answer is the cgroup v2 folder that it is to be born in.
fn emit(
    request: &Request<'_>,
    record: &CgroupRecord,
    listener: Option<OwnedFd>,
    console: Option<OwnedFd>,
    b: &mut ProgramBuilder,
    init_hooks: &mut Option<InitHooks>,
) -> Result<Option<OwnedFd>, Error> {
    let plan = &request.plan;
    let unified = cgroup::emit_early(request, record, b)?;
    // A container's first process has no affinity of its own (config.md, "execCPUAffinity"), nor the caller's.
    confine::emit_cpus(&confine::Cpus::All, b);
    let listener = listener.map(|listener| b.inherit(listener));
    let hook_io = hook_files(&plan.hooks, b, init_hooks)?;
    namespaces::emit_joins(&plan.namespaces, &request.joined, b).map_err(Error::call("a namespace's descriptor"))?;
    if record.unit.is_some() {
        // Not earlier: the joins may end with another process in init's place.
        b.place("cgroup");
        b.push(Op::Gate { number: cgroup::GATE_UNIT });
    }
    b.push(Op::NewSession);
    namespaces::emit_late(&plan.namespaces, b);
    namespaces::emit_names(&plan.namespaces, b);
    let sources = idmap::inherit(&plan.rootfs, b)?;
    let mut root = rootfs::Emitter::prepare(&plan.rootfs, &sources, b);
    root.mounts(b, |b| cgroup::emit_wait(request, record, b));
    root.devices(b);
    cgroup::emit_late(request, record, b);
    let terminal = plan.terminal.map(|size| {
        let uid = plan.process.process.user.uid;
        root.console(rootfs::ConsolePlan { rows: size.height, columns: size.width, uid }, b)
    });
    // While the host's /proc is still the one at /proc.
    let early = confine::emit_early(&plan.process.confine, b);
    if !plan.hooks.prestart.is_empty() || !plan.hooks.create_runtime.is_empty() || init_hooks.is_some() {
        b.place("hooks");
        b.push(Op::Gate { number: GATE_HOOKS });
    }
    hooks::emit("createContainer", &plan.hooks.create_container, hook_io, b);
    emit_sysctls(&plan.sysctls, b);
    emit_working_directory(&plan.process.process.cwd, root.root(), b);
    root.hide(b);
    root.pivot(b);
    if let (Some((master, peer)), Some(console)) = (terminal, console) {
        console::emit(master, peer, console, b);
    }
    plan.process.emit_setup(b);
    b.place("ready");
    b.push(Op::Gate { number: GATE_READY });
    if let Some(listener) = listener {
        b.push(Op::WaitStart { listener });
    }
    plan.process.emit_start(&plan.hooks.start_container, hook_io, early, b);
    console::give_stdio(host_uid(&request.spec.linux.clone().unwrap_or_default(), plan.process.process.user.uid));
    Ok(unified)
}

/// The files for hooks that init runs, if there are any.
fn hook_files(hooks: &spec::Hooks, b: &mut ProgramBuilder, files: &mut Option<InitHooks>) -> Result<[Slot; 2], Error> {
    if hooks.create_container.is_empty() && hooks.start_container.is_empty() {
        return Ok([Slot::NONE; 2]);
    }
    let (made, slots) = InitHooks::new(b)?;
    *files = Some(made);
    Ok(slots)
}

/// Kernel parameters, through the host's /proc, which the container cannot have tampered with (CVE-2025-52881); which
/// namespace they act on is decided by who writes.
fn emit_sysctls(sysctls: &[(String, String)], b: &mut ProgramBuilder) {
    for (file, value) in sysctls {
        b.place(format!("linux.sysctl {}", file.replace('/', ".")));
        let path = b.text(format!("/proc/sys/{file}"));
        let data = b.text(value);
        b.push(Op::WriteFile { dir: Slot::NONE, magic: PROC_SUPER_MAGIC, path, data });
    }
}

/// Makes the working directory where the image has none, as runc and crun do: with Kubernetes nobody else does it.
fn emit_working_directory(cwd: &Path, root: Slot, b: &mut ProgramBuilder) {
    if cwd == Path::new("/") {
        return;
    }
    b.place(format!("process.cwd {}", cwd.display()));
    let (out, path) = (b.slot(), b.text(hooks::path_bytes(cwd)));
    b.push(Op::MountPoint { root, resolve: Resolve::InRoot, like: Slot::NONE, out, mode: 0o755, avoid: 0, path });
    b.push(Op::Close { fd: out });
}

/// Moves `linux.netDevices` into the container's network namespace, which is there since the clone or was joined.
fn move_net_devices(request: &Request<'_>, pid: i32) -> Result<(), Error> {
    let devices = &request.plan.namespaces.net_devices;
    if devices.is_empty() {
        return Ok(());
    }
    if let Some(joined) = request.joined.iter().find(|joined| joined.kind == NamespaceType::Network) {
        return Ok(namespaces::move_devices(devices, joined.fd.as_fd())?);
    }
    let path = format!("/proc/{pid}/ns/net");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::open(&path, flags, Mode::empty()).map_err(Error::file("network namespace", path))?;
    Ok(namespaces::move_devices(devices, namespace.as_fd())?)
}

/// Runs the hooks of the runtime's namespaces while init waits, and gives init the state for its own.
fn run_hooks(
    trace: &Trace,
    request: &Request<'_>,
    record: &Record,
    launch: &Launch,
    init_hooks: &mut Option<InitHooks>,
) -> Result<(), Error> {
    let hooks = &request.plan.hooks;
    if hooks.prestart.is_empty() && hooks.create_runtime.is_empty() && init_hooks.is_none() {
        return Ok(());
    }
    trace.span(Kind::Wait, "wait for init: hooks", || launch.wait_gate(GATE_HOOKS))?;
    let state = state_of(record, Status::Created, Some(launch.pid));
    hooks::run(trace, "prestart", &hooks.prestart, &state)?;
    hooks::run(trace, "createRuntime", &hooks.create_runtime, &state)?;
    if let Some(hooks) = init_hooks {
        hooks.set_state(&state)?;
    }
    launch.open_gate()
}

/// Gives the caller the process's id and pidfd.
pub(crate) fn hand_out(pid_file: Option<&Path>, pidfd_socket: Option<&Path>, launch: &Launch) -> Result<(), Error> {
    write_pid(pid_file, launch.pid)?;
    match pidfd_socket {
        Some(path) => socket::send("--pidfd-socket", path, b"pidfd", launch.pidfd.as_fd()),
        None => Ok(()),
    }
}

/// Writes the pid file: digits alone, as containerd reads a number and not a line.
pub(crate) fn write_pid(pid_file: Option<&Path>, pid: i32) -> Result<(), Error> {
    match pid_file {
        Some(path) => Ok(state::atomic_write(path, pid.to_string().as_bytes(), 0o644)?),
        None => Ok(()),
    }
}

/// The host's id of a user of the container.
pub(crate) fn host_uid(linux: &Linux, uid: u32) -> u32 {
    let inside = |map: &&spec::IdMapping| uid.checked_sub(map.container_id).is_some_and(|offset| offset < map.size);
    match linux.uid_mappings.iter().find(inside) {
        Some(map) => map.host_id + (uid - map.container_id),
        None => uid,
    }
}
