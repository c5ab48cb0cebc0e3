//! Puts a plan in force: the programs are loaded and attached to the container's directory in the unified hierarchy. Nothing is
//! pinned; with the directory everything goes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use sys::bpf::{self, AssemblyError, Hook, KernelTypes};

use crate::plan::NetPlan;
use crate::programs::{Host, Maps, Program, generate};

/// Why a plan is not in force. Nothing of it is, then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel does not have the hook, or does not take the program.
    #[error("host networking: {hook} of Linux {release}: {action}: {error}{}", remedy(error))]
    Hook {
        /// The hook's name, as libbpf writes it.
        hook: &'static str,
        /// The kernel's release.
        release: String,
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
    /// Something else that is needed cannot be had.
    #[error("host networking: {what}: {error}{}", remedy(error))]
    Call {
        /// What.
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
    /// There are too many rules.
    #[error("host networking: {0}")]
    Rules(#[from] AssemblyError),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        // The verifier has followed all that it would.
        io::ErrorKind::OutOfMemory | io::ErrorKind::ArgumentListTooLong => " (use fewer rules)",
        io::ErrorKind::PermissionDenied => " (it takes CAP_BPF, CAP_NET_ADMIN and, for the diagnosis, CAP_PERFMON)",
        _ => " (it takes a kernel with CONFIG_CGROUP_BPF)",
    }
}

/// Loads and attaches what a plan asks for, before anything of the container runs in the directory. With the kernel's types the
/// programs are faster. The answer is what they share.
///
/// # Errors
/// [`Error`].
pub fn apply(plan: &NetPlan, types: Option<KernelTypes>, cgroup: impl AsFd) -> Result<Maps, Error> {
    if !plan.takes_programs() {
        return Ok(Maps::default());
    }
    let call = |what| move |error| Error::Call { what, error };
    let plan = &NetPlan { diagnose: plan.diagnose && sees_all(&cgroup)?, ..plan.clone() };
    let maps = Maps::create(plan).map_err(call("making a map"))?;
    let netns = sys::process::netns_cookie().map_err(call("asking for the network namespace's number"))?;
    let load_all =
        |types| generate(plan, &maps, Host { netns, types })?.iter().map(load).collect::<Result<Vec<_>, Error>>();
    let loaded = match types {
        // A kernel that does not take those that use its types takes those that call it.
        Some(_) => load_all(types).or_else(|_| load_all(None))?,
        None => load_all(None)?,
    };
    let mut attached = Vec::new();
    for (hook, program) in loaded.iter().flat_map(|(hooks, program)| hooks.iter().map(move |hook| (*hook, program))) {
        if let Err(error) = bpf::attach(hook, &cgroup, program) {
            for (hook, program) in attached {
                // The first error is the one to be told.
                let _ = bpf::detach(hook, &cgroup, program);
            }
            return Err(failed(hook, "attaching the program", error));
        }
        attached.push((hook, program));
    }
    Ok(maps)
}

/// Whether these programs have the last word on bind(2). Those of the cgroups above come after them, and what they bind elsewhere would
/// look as if it had failed.
fn sees_all(cgroup: &impl AsFd) -> Result<bool, Error> {
    for hook in [Hook::Bind4, Hook::Bind6] {
        let above = bpf::effective(hook, cgroup);
        if !above.map_err(|error| failed(hook, "asking for the programs above", error))?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn load(program: &Program) -> Result<(&'static [Hook], OwnedFd), Error> {
    let hook = program.hooks[0];
    let loaded = bpf::load(hook, program.name, &program.code);
    loaded.map(|loaded| (program.hooks, loaded)).map_err(|error| failed(hook, "loading the program", error))
}

fn failed(hook: Hook, action: &'static str, error: io::Error) -> Error {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Error::Hook { hook: hook.name(), release, action, error }
}
