//! A container in the host's network: what its settings ask for, put in force on its cgroup, and looked at again later.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use cgroups::{CgroupRecord, Version};
use hostnet::config::{self, Key, Setting};
use hostnet::programs::{Attempts, Counters, Maps};
use hostnet::{Holder, NetFacts, NetPlan, NetRecord};
use namespaces::Joined;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use serde_json::{Value, json};
use spec::{NamespaceType, NetworkMode, Refusal, Spec};
use sys::bpf::Map;

use crate::container::Container;
use crate::{ContainerPlan, Error, HostFacts, Port, Runtime, watcher};

/// CAP_NET_ADMIN and CAP_NET_RAW: with them the host's interfaces, routes and filters can be changed, and its packets read.
pub(crate) const GUARDED_CAPABILITIES: u64 = 1 << 12 | 1 << 13;

/// CAP_SYS_ADMIN: with it a process can leave its cgroup, or detach the programs there.
const UNDOING_CAPABILITY: u64 = 1 << 21;

/// Why there is nothing to attach programs to.
const NO_DIRECTORY: &str = "the container has no cgroup v2 directory of its own to put its settings in force on (beside cgroup v1, mount cgroup2 \
                            at /sys/fs/cgroup/unified, and give the container a path in cgroupsPath that is not there yet)";

/// What is decided for a container that shares the host's network.
pub(crate) struct HostNetwork {
    pub(crate) settings: Vec<Setting>,
    plan: NetPlan,
    /// The id of the Kubernetes pod, if the container is in one.
    pod: Option<String>,
}

/// What is in force for it.
pub(crate) struct Attached {
    pub(crate) record: NetRecord,
    /// Where the diagnosis is told of attempts to bind a port.
    attempts: Option<Attempts>,
}

/// Decides; `None` for a container with another network. What guards the host goes into the container's plan.
///
/// # Errors
/// What the settings ask for cannot be, or the configuration would change the host's own network.
pub(crate) fn plan(
    spec: &Spec,
    arguments: &[(Key, String)],
    host: &HostFacts,
    joined: &[Joined],
    container: &mut ContainerPlan,
) -> Result<Option<HostNetwork>, Error> {
    let settings = config::read(spec, arguments)?;
    let host_network = container.namespaces.host_network(joined);
    let facts = NetFacts { host_network, kernel: host.kernel, privileged: host.privileged };
    let Some(plan) = hostnet::plan(&settings, &facts)? else { return Ok(None) };
    refuse_host_sysctls(container)?;
    if plan.guard {
        container.process.confine.capabilities.remove(GUARDED_CAPABILITIES);
    }
    container.process.confine.no_abstract_sockets = plan.no_abstract_sockets;
    warn_of_undoing(&settings, joined, container);
    let pod = pod(&spec.annotations).map(str::to_owned);
    Ok(Some(HostNetwork { settings, plan, pod }))
}

/// Over the host's cgroups no user namespace has a say.
fn warn_of_undoing(settings: &[Setting], joined: &[Joined], container: &ContainerPlan) {
    let limits =
        settings.iter().filter(|setting| matches!(setting.key, Key::AllowBind | Key::AllowConnect | Key::Guard));
    let limits: Vec<&str> = limits.map(|setting| setting.key.name()).collect();
    let of_host = container.namespaces.id_maps.is_none() && joined.iter().all(|join| join.kind != NamespaceType::User);
    if of_host && !limits.is_empty() && container.process.confine.capabilities.bounding & UNDOING_CAPABILITY != 0 {
        log::warn!(
            "/process/capabilities: with CAP_SYS_ADMIN the container can undo {} (leave it out)",
            limits.join(" and ")
        );
    }
}

/// By what containerd and CRI-O say to the runtime of each container of a pod.
fn pod(annotations: &BTreeMap<String, String>) -> Option<&str> {
    let keys = ["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"];
    keys.iter().find_map(|&key| annotations.get(key)).map(String::as_str)
}

/// Parameters below `net` belong to a network namespace, and here that is the host's.
fn refuse_host_sysctls(container: &ContainerPlan) -> Result<(), Refusal> {
    match container.sysctls.iter().find(|(file, _)| file.starts_with("net/")) {
        None => Ok(()),
        Some((file, _)) => Err(Refusal::new(
            format!("/linux/sysctl/{}", file.replace('/', ".")),
            "would change the host's own network, which the container shares",
            "set it on the host, or give the container a network of its own",
        )),
    }
}

impl HostNetwork {
    /// Looks whether the ports are free that the container will want. Where the kernel does not tell, bind(2) will.
    ///
    /// # Errors
    /// One of them is not, and who holds it.
    pub(crate) fn check_ports(&self, runtime: &Runtime) -> Result<(), Error> {
        match hostnet::first_held(&self.plan.wanted, || runtime.holders(), |holder| self.is_of_pod(holder, runtime)) {
            Ok(None) => Ok(()),
            Ok(Some(held)) => Err(held.into()),
            Err(errno) => {
                log::warn!("cannot tell whether the container's ports are free: {errno}");
                Ok(())
            }
        }
    }

    /// Whether the holder is in the same pod. The pod's annotations are given to each of its containers, so they all want what
    /// one of them will listen on.
    fn is_of_pod(&self, holder: &Holder, runtime: &Runtime) -> bool {
        let Some(own) = &self.pod else { return false };
        let found = holder.container.as_ref().and_then(|container| runtime.find(&container.id).ok());
        found.is_some_and(|(_, container)| pod(&container.record.annotations) == Some(own))
    }

    /// Puts the plan in force, before anything runs in the cgroup. What nobody asked for, and cannot be had, is left out with a
    /// warning.
    ///
    /// # Errors
    /// What was asked for cannot be had.
    pub(crate) fn attach(&self, cgroup: &CgroupRecord, runtime: &Runtime) -> Result<Attached, Error> {
        let essential = self.plan.essential();
        let attached = |maps: Maps| Attached {
            record: NetRecord {
                settings: self.settings.clone(),
                diagnose: maps.attempts.is_some(),
                counters: maps.counters.is_some(),
            },
            attempts: maps.attempts,
        };
        let Some(directory) = directory(cgroup)? else {
            if essential.takes_programs() {
                return Err(Error::Other(format!("host networking: {NO_DIRECTORY}")));
            }
            if self.plan != essential {
                log::warn!("without counters and diagnosis: {NO_DIRECTORY}");
            }
            return Ok(attached(Maps::default()));
        };
        // `ports` shows less without it.
        if let Err(error) = hostnet::published::note(&directory, &self.settings) {
            log::warn!("cannot note published ports at the container's cgroup: {error}");
        }
        let types = self.plan.takes_programs().then(|| runtime.kernel_types()).flatten();
        match hostnet::attach::apply(&self.plan, types, &directory) {
            Ok(maps) => Ok(attached(maps)),
            Err(error) if self.plan != essential => {
                log::warn!("without counters and diagnosis: {error}");
                Ok(attached(hostnet::attach::apply(&essential, types, &directory)?))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Attached {
    /// Where the failed binds of the container are told, for a runtime that stays in front of it; it gets no watcher then.
    pub(crate) fn take_failed(&mut self) -> Option<Map> {
        self.attempts.take().map(|attempts| attempts.records)
    }

    /// Starts the watcher of a container whose standard error is there, if its attempts to bind a port are to be explained and it has none
    /// yet. Without one the container is as good as ever.
    pub(crate) fn watch(&mut self, init: BorrowedFd<'_>, terminal: bool, runtime: &Runtime) {
        let Some(attempts) = self.attempts.take() else { return };
        let start = || watcher::start(&attempts, init, terminal, runtime);
        if let Err(error) = runtime.trace.step("watcher", start) {
            log::warn!("without diagnosis of ports: {error}");
        }
    }
}

/// A container's network.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkDocument {
    /// The container's id.
    pub id: String,
    /// `host`, `own`, or `joined` for one that exists beside the container.
    pub mode: &'static str,
    /// How that was found.
    pub found: &'static str,
    /// The namespace's path in config.json, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The names of the interfaces, as long as the container runs.
    pub interfaces: Vec<String>,
    /// The host's ports that it listens on.
    pub ports: Vec<Port>,
    /// The settings in force.
    pub settings: Vec<Setting>,
    /// Whether failed binds are explained.
    pub diagnose: bool,
    /// Whether traffic is counted.
    pub counted: bool,
    /// What was received and sent, where that is counted and can be read.
    pub counters: Option<Counters>,
}

impl Runtime {
    /// What a container's network is and what is in force there.
    ///
    /// # Errors
    /// There is no such container, or its record is damaged.
    pub fn network(&self, id: &str) -> Result<NetworkDocument, Error> {
        let (entry, container) = self.find(id)?;
        let (mode, found, path) = match (container.spec(&entry)?.network_mode(), container.network.is_some()) {
            (NetworkMode::Host, _) => ("host", "config.json has no network namespace", None),
            (NetworkMode::Join(path), true) => {
                ("host", "the path in config.json is the host's own namespace", Some(path))
            }
            (NetworkMode::Join(path), false) => {
                ("joined", "config.json has the path of a network namespace", Some(path))
            }
            (NetworkMode::New, _) => ("own", "config.json asks for a new network namespace", None),
        };
        let pid = container.init.as_ref().and(container.record.init.as_ref()).map(|init| init.pid);
        let ports = if mode == "host" { self.ports_of(&container)? } else { Vec::new() };
        let counters = counters(&container)?;
        let record = container.network.unwrap_or_default();
        Ok(NetworkDocument {
            id: id.to_owned(),
            mode,
            found,
            path,
            interfaces: pid.map(interfaces).unwrap_or_default(),
            ports,
            settings: record.settings,
            diagnose: record.diagnose,
            counted: record.counters,
            counters,
        })
    }
}

/// The interfaces of a process's network namespace (proc_pid_net(5)).
fn interfaces(pid: i32) -> Vec<String> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// What the container has received and sent; `None` if it is not counted, cannot be read without privileges, or has gone with the
/// cgroup or with its programs: that of a stopped container may, and so does any while it is deleted.
fn counters(container: &Container) -> Result<Option<Counters>, Error> {
    let Some(directory) = container.cgroup.unified().filter(|_| container.network.is_some()) else { return Ok(None) };
    match File::open(directory).and_then(Counters::read) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => Ok(None),
        counters => counters.map_err(Error::call("reading the counters")),
    }
}

/// The interfaces of runc's statistics: one, which stands for all that the host has.
pub(crate) fn statistics(container: &Container) -> Result<Option<Value>, Error> {
    let host = |counters: Counters| {
        let Counters { received, sent } = counters;
        json!([{
            "Name": "host",
            "RxBytes": received.bytes, "RxPackets": received.packets, "RxErrors": 0, "RxDropped": 0,
            "TxBytes": sent.bytes, "TxPackets": sent.packets, "TxErrors": 0, "TxDropped": 0,
        }])
    };
    Ok(counters(container)?.map(host))
}

/// The container's directory in the unified hierarchy. One that was there before may have others' processes in it, and keeps
/// its programs when the container is gone.
fn directory(cgroup: &CgroupRecord) -> Result<Option<OwnedFd>, Error> {
    let own = cgroup.dirs.iter().find(|dir| dir.version == Version::V2 && dir.made);
    own.map(|dir| open(&dir.path)).transpose()
}

fn open(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(Error::file("cgroup", path))
}
