//! `ports`: who holds which port of this network namespace, in a container of whatever runtime or in none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use hostnet::{Holder, Holders, Socket};
use rustix::process::Pid;
use serde::Serialize;
use state::StateRoot;

use crate::container::Container;
use crate::{Error, Runtime, launch};

/// A port that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The address that it is held at.
    pub address: String,
    /// The port as the host sees it.
    pub port: u16,
    /// The whole id of the container that holds it, if it is one.
    pub container: Option<String>,
    /// The process that holds it, if it can be seen.
    pub pid: Option<i32>,
    /// That process's name.
    pub process: Option<String>,
    /// The port as the container sees it.
    pub inside_port: Option<u16>,
    /// The container as people know it: `docker ps`'s short id, and Docker's name if there is one.
    #[serde(skip)]
    pub container_name: Option<String>,
}

/// What happened to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It has been opened, or was open at the beginning.
    Opened,
    /// It has been closed.
    Closed,
}

impl Runtime {
    /// The ports that are held, or who holds that one.
    ///
    /// # Errors
    /// The kernel lists no sockets.
    pub fn ports(&self, port: Option<u16>) -> Result<Vec<Port>, Error> {
        Ok(held(sockets(port)?, self.holders()).collect())
    }

    /// The ports that one container holds, without a look at other processes.
    pub(crate) fn ports_of(&self, container: &Container) -> Result<Vec<Port>, Error> {
        let pids = container.processes()?.into_iter().map(Pid::as_raw_nonzero).map(NonZero::get).collect();
        let ports = held(sockets(None)?, self.holders().within(pids));
        Ok(ports.filter(|port| port.container.as_deref() == Some(container.record.id.as_str())).collect())
    }

    /// Calls `change` for each port that is held, and for each change from then on, until it wants no more. The kernel announces
    /// no new listener, so its list is read again after each `interval`.
    ///
    /// # Errors
    /// As [`Runtime::ports`].
    pub fn watch_ports(
        &self,
        port: Option<u16>,
        interval: Duration,
        change: &mut dyn FnMut(Change, &Port) -> bool,
    ) -> Result<(), Error> {
        let mut known: BTreeMap<Socket, Port> = BTreeMap::new();
        loop {
            let now: BTreeSet<Socket> = sockets(port)?.into_iter().collect();
            for (_, port) in known.extract_if(.., |socket, _| !now.contains(socket)) {
                if !change(Change::Closed, &port) {
                    return Ok(());
                }
            }
            let mut holders = None;
            for socket in now {
                if known.contains_key(&socket) {
                    continue;
                }
                let holder = holders.get_or_insert_with(|| self.holders()).of(&socket);
                let port = Port::new(&socket, holder);
                if !change(Change::Opened, &port) {
                    return Ok(());
                }
                known.insert(socket, port);
            }
            // Cut short by a signal, it reads the list once more than it would have: no harm.
            let _ = rustix::event::poll(&mut [], Some(&launch::timespec(interval)));
        }
    }

    /// A search for holders that knows this runtime's containers by their cgroups, whatever those are called.
    pub(crate) fn holders(&self) -> Holders {
        let layout = cgroups::Layout::probe().unwrap_or_default();
        let unified = layout.unified.map(|unified| unified.mount);
        Holders::new(unified.as_deref(), self.containers_by_cgroup())
    }

    /// A container whose record cannot be read is left to be found in another way.
    fn containers_by_cgroup(&self) -> HashMap<PathBuf, String> {
        let Ok(root) = StateRoot::open(&self.root) else { return HashMap::new() };
        let container = |(_, entry): (_, state::Result<state::Entry>)| Container::of(&entry.ok()?).ok();
        let by_cgroup =
            |container: Container| Some((container.cgroup.unified()?.to_owned(), container.record.id.to_string()));
        root.list().into_iter().flatten().filter_map(container).filter_map(by_cgroup).collect()
    }
}

fn held(sockets: Vec<Socket>, mut holders: Holders) -> impl Iterator<Item = Port> {
    sockets.into_iter().map(move |socket| Port::new(&socket, holders.of(&socket)))
}

fn sockets(port: Option<u16>) -> Result<Vec<Socket>, Error> {
    hostnet::sockets(port).map_err(Error::call("the list of sockets (has the kernel CONFIG_INET_DIAG?)"))
}

impl Port {
    fn new(socket: &Socket, holder: Holder) -> Port {
        let named = |container: &hostnet::Container| match &container.name {
            Some(name) => format!("{container} ({name})"),
            None => container.to_string(),
        };
        Port {
            protocol: socket.protocol.to_string(),
            address: socket.address.ip().to_string(),
            port: socket.address.port(),
            pid: holder.pid,
            process: holder.process,
            inside_port: holder.inside_port,
            container_name: holder.container.as_ref().map(named),
            container: holder.container.map(|container| container.id),
        }
    }
}
