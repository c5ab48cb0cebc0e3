//! The flags before the command, and the runtime they describe.

use std::path::{Path, PathBuf};

use cgroups::Manager;
use hostnet::config::Key;
use rustix::fs::Mode;

use crate::args::{Argument, Arguments, Table, option, path_option, switch};
use crate::{Error, log, trace};
use engine::{Rootless, Runtime};

/// What applies to every command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Where container records are kept, when the command line says so.
    pub root: Option<PathBuf>,
    /// Who makes the cgroups.
    pub cgroup_manager: Manager,
    /// Settings for containers in the host's network.
    pub network: Vec<(Key, String)>,
    /// Whether cgroups that the caller may not make are done without.
    pub rootless: Rootless,
    /// Where the timeline of a command goes.
    pub trace: Option<PathBuf>,
}

/// The flags before the command.
pub const ARGUMENTS: Table =
    &[&[VERSION, ROOT, SYSTEMD_CGROUP, CGROUP_MANAGER, ROOTLESS, trace::TRACE, CRIU], &NETWORK, log::ARGUMENTS];

/// Asks for the version.
pub const VERSION: Argument = switch("version", "print the version").short('v');

const ROOT: Argument =
    path_option("root", "where container records are kept [default: /run/lightship, or below XDG_RUNTIME_DIR]");
const SYSTEMD_CGROUP: Argument = switch("systemd-cgroup", "the same as --cgroup-manager systemd");
const CGROUP_MANAGER: Argument =
    option("cgroup-manager", "MANAGER", "who makes the cgroups").values(&["cgroupfs", "systemd", "disabled"]);
const ROOTLESS: Argument =
    option("rootless", "WHEN", "whether to do without cgroups that the caller may not make [default: auto]")
        .values(&["true", "false", "auto"]);
const CRIU: Argument = path_option("criu", "accepted and ignored: criu is found in PATH").hidden();

/// One flag for each [`Key`].
const NETWORK: [Argument; Key::ALL.len()] = {
    let mut flags = [network(Key::ALL[0]); Key::ALL.len()];
    let mut place = 1;
    while place < flags.len() {
        flags[place] = network(Key::ALL[place]);
        place += 1;
    }
    flags
};

const fn network(key: Key) -> Argument {
    option(key.argument(), "VALUE", key.about()).heading("Containers in the host's network")
}

impl From<&Arguments> for Global {
    fn from(arguments: &Arguments) -> Self {
        let systemd = arguments.flag(&SYSTEMD_CGROUP);
        let network = |(key, flag)| Some((key, arguments.text(flag)?.to_owned()));
        Self {
            root: arguments.path(&ROOT),
            trace: arguments.path(&trace::TRACE),
            network: Key::ALL.into_iter().zip(&NETWORK).filter_map(network).collect(),
            cgroup_manager: match arguments.text(&CGROUP_MANAGER) {
                Some("disabled") => Manager::Disabled,
                Some("systemd") => Manager::Systemd,
                None if systemd => Manager::Systemd,
                _ => Manager::Cgroupfs,
            },
            rootless: match arguments.text(&ROOTLESS) {
                Some("true") => Rootless::Yes,
                Some("false") => Rootless::No,
                _ => Rootless::Auto,
            },
        }
    }
}

impl Global {
    /// The runtime for a command on containers that exist.
    #[must_use]
    pub fn runtime(&self) -> Runtime {
        let root = self.root.clone().unwrap_or_else(default_root);
        let network = self.network.clone();
        Runtime { root, cgroup_manager: self.cgroup_manager, rootless: self.rootless, network, ..Runtime::default() }
    }

    /// The container that a person means, and the runtime for it: without --root an engine's as well, whose state root is its own.
    pub(crate) fn locate(&self, container: &str) -> Result<(Runtime, String), Error> {
        match self.root {
            Some(_) => Ok((self.runtime(), container.to_owned())),
            None => Ok(self.runtime().locate(container)?),
        }
    }

    /// The runtime for a command that makes a container. A default root below XDG_RUNTIME_DIR gets the sticky bit,
    /// which keeps the clean-up of old files in that directory from removing it (XDG Base Directory Specification).
    pub(crate) fn runtime_for_create(&self) -> Result<Runtime, Error> {
        let runtime = self.runtime();
        if self.root.is_none() && runtime.root != Path::new(state::DEFAULT_ROOT) {
            let failed = |error: std::io::Error| Error::DefaultRoot { path: runtime.root.clone(), error: error.into() };
            std::fs::create_dir_all(&runtime.root).map_err(failed)?;
            rustix::fs::chmod(&runtime.root, Mode::RWXU | Mode::SVTX).map_err(|errno| failed(errno.into()))?;
        }
        Ok(runtime)
    }
}

fn default_root() -> PathBuf {
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let uid = rustix::process::geteuid();
    // Root inside a user namespace is an ordinary user outside, where /run is not its own.
    let mapped_root = || std::env::var_os("USER").is_none_or(|user| user != "root") && in_user_namespace();
    match runtime_dir {
        Some(dir) if !uid.is_root() || mapped_root() => dir.join("lightship"),
        None if !uid.is_root() => PathBuf::from(format!("/run/user/{}/lightship", uid.as_raw())),
        _ => PathBuf::from(state::DEFAULT_ROOT),
    }
}

/// Only the initial user namespace maps all ids to themselves (user_namespaces(7)).
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().ne(["0", "0", "4294967295"])
}
