//! What the plan must know of the host and of the calling process; read once, at the start of a command.

use std::path::PathBuf;

use confine::HostFacts as ConfineFacts;
use rustix::fs::{Mode, OFlags};
use spec::Process;

use crate::{Error, Rootless};

/// CAP_SYS_ADMIN and CAP_MKNOD.
const MOUNT_AND_MKNOD: u64 = 1 << 21 | 1 << 27;

/// The host as the plan sees it.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
    /// Where the cgroup hierarchies are.
    pub cgroups: cgroups::Layout,
    /// Where resctrl is mounted, if a configuration asks for it.
    pub resctrl: Option<PathBuf>,
    /// What the caller may do and pass on.
    pub confine: ConfineFacts,
    /// Signals that the caller ignores, bit n-1 for signal n.
    pub ignored_signals: u64,
    /// Cgroups that the caller may not make are done without (`--rootless`).
    pub rootless: bool,
    /// The caller may mount and make devices on the host.
    pub privileged: bool,
}

impl HostFacts {
    /// Looks at the host and at this process.
    ///
    /// # Errors
    /// `/proc` is not mounted, or a cgroup hierarchy cannot be read.
    pub fn probe(rootless: Rootless) -> Result<HostFacts, Error> {
        let status = own_status()?;
        let nested = in_user_namespace();
        Ok(HostFacts {
            kernel: kernel_version(),
            cgroups: cgroups::Layout::probe()?,
            resctrl: None,
            confine: ConfineFacts::probe(&status, nested),
            privileged: hexadecimal(&status, "CapEff") & MOUNT_AND_MKNOD == MOUNT_AND_MKNOD && !nested,
            ignored_signals: hexadecimal(&status, "SigIgn"),
            rootless: match rootless {
                Rootless::Auto => nested || !rustix::process::geteuid().is_root(),
                Rootless::Yes => true,
                Rootless::No => false,
            },
        })
    }
}

impl HostFacts {
    /// Asks for what matters to such a process alone.
    pub(crate) fn ask_for(&mut self, process: &Process) {
        if process.apparmor_profile.is_some() {
            self.confine.apparmor_profiles = confine::apparmor_profiles();
        }
        if !process.rlimits.is_empty() && !self.confine.raises_limits {
            self.confine.hard_limits = confine::hard_limits();
        }
    }
}

/// `/proc/self/status` (proc_pid_status(5)), which fits in one page.
pub(crate) fn own_status() -> Result<String, Error> {
    let path = "/proc/self/status";
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::file("the runtime needs", path))?;
    let mut page = vec![0; 8192];
    let len = rustix::io::read(&file, &mut page[..]).map_err(Error::file("the runtime needs", path))?;
    page.truncate(len);
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// A field of `/proc/self/status` that is a hexadecimal mask; 0 where there is none.
pub(crate) fn hexadecimal(status: &str, field: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
        .unwrap_or_default()
}

/// Every user namespace but the first has been made, and only the first has this inode (linux/nsfs.h, USER_NS_INIT_INO).
fn in_user_namespace() -> bool {
    const USER_NS_INIT_INO: u64 = 0xEFFF_FFFD;
    rustix::fs::stat("/proc/self/ns/user").map_or(true, |namespace| namespace.st_ino != USER_NS_INIT_INO)
}

fn kernel_version() -> (u32, u32) {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_found_by_its_whole_name() {
        let status = "Name:\tx\nSigIgnored:\tff\nSigIgn:\t0000000000001000\nCapBnd:\t1\n";
        assert_eq!(hexadecimal(status, "SigIgn"), 0x1000);
        assert_eq!(hexadecimal(status, "SigBlk"), 0);
    }

    #[test]
    fn the_running_kernel_has_a_version() {
        assert!(kernel_version() >= (5, 0));
    }
}
