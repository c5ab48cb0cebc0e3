//! What can go wrong at a cgroup, with the file, the value and the place in config.json.
//!
//! The texts never use the phrases of `strerror` for a missing file or a refused access: engines search a runtime's
//! error for them and would report a missing *program* (moby `daemon/errors.go`).

use std::path::PathBuf;

use rustix::io::Errno;

/// A failed operation on a container's cgroup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory or file of a hierarchy could not be made, opened, read or removed.
    #[error("cannot {action} {}: {}", path.display(), errno_text(*errno))]
    File {
        /// A verb: `create`, `open`, `read`, `write`, `remove`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel answered.
        errno: Errno,
    },

    /// The kernel did not take a value from config.json.
    #[error("{pointer}: cannot set {} to \"{value}\": {}{hint}", path.display(), errno_text(*errno))]
    Limit {
        /// JSON pointer of the value.
        pointer: String,
        /// The file of the cgroup.
        path: PathBuf,
        /// What was written.
        value: String,
        /// What the kernel answered.
        errno: Errno,
        /// ` (...)`: what to change, or nothing.
        hint: &'static str,
    },

    /// The cgroup of a new container has processes already: another container's, or a service's.
    #[error(
        "/linux/cgroupsPath: container's cgroup is not empty: {count} process(es) found in {} (choose another cgroupsPath)",
        path.display()
    )]
    NotEmpty {
        /// The directory with processes.
        path: PathBuf,
        /// How many were found in it and below.
        count: usize,
    },

    /// The cgroup of a new container is frozen: its init process would never run.
    #[error("/linux/cgroupsPath: container's cgroup is frozen: {} (thaw it, or choose another cgroupsPath)", path.display())]
    Frozen {
        /// The frozen directory.
        path: PathBuf,
    },

    /// A directory that did not exist when the record was made exists now.
    #[error("/linux/cgroupsPath: {} was created by someone else in the meantime (choose another cgroupsPath)", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },

    /// A v2 controller that a limit needs cannot be enabled.
    #[error(
        "{pointer}: cgroup controller \"{controller}\" cannot be enabled in {}: {}{hint}",
        path.display(),
        errno_text(*errno)
    )]
    Controller {
        /// JSON pointer of the limit that needs it.
        pointer: String,
        /// `memory`, `cpu`, ...
        controller: String,
        /// The ancestor whose `cgroup.subtree_control` refused.
        path: PathBuf,
        /// What the kernel answered.
        errno: Errno,
        /// ` (...)`: what to change, or nothing.
        hint: &'static str,
    },

    /// A new memory limit is below what the container uses now, and `checkBeforeUpdate` asks to refuse that.
    #[error("{pointer}: {wanted} bytes are below the {used} bytes in use (raise the limit, or drop checkBeforeUpdate)")]
    BelowUsage {
        /// JSON pointer of the limit.
        pointer: String,
        /// The limit asked for, bytes.
        wanted: i64,
        /// Bytes in use now.
        used: i64,
    },

    /// The processes did not reach the state in the time given.
    #[error("cgroup {}: not {state} after {millis} ms", path.display())]
    Timeout {
        /// The directory waited for.
        path: PathBuf,
        /// `frozen`, `thawed`, `empty`.
        state: &'static str,
        /// How long was waited.
        millis: u64,
    },

    /// A cgroup for `exec` that is not below the container's.
    #[error("--cgroup {value}: {problem} (give PATH or CONTROLLER:PATH, below the container's own)")]
    Below {
        /// The value as it was given.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// Something the container's cgroups have no place for.
    #[error("the container has no cgroup to {action} it with ({remedy})")]
    NoCgroup {
        /// A verb: `pause`, `update`.
        action: &'static str,
        /// What would help.
        remedy: &'static str,
    },

    /// The device filter could not be loaded or attached.
    #[error("/linux/resources/devices: cannot {action} the device filter of {}: {}", path.display(), errno_text(*errno))]
    DeviceFilter {
        /// `load` or `attach`.
        action: &'static str,
        /// The cgroup v2 directory.
        path: PathBuf,
        /// What the kernel answered.
        errno: Errno,
    },

    /// There is no systemd to make the container's cgroup. The text is the one that engines know from runc.
    #[error(
        "systemd not running on this host, cannot use systemd cgroups manager: {instance} instance: {problem} \
         (start it, or leave out --systemd-cgroup)"
    )]
    NoSystemd {
        /// `system` or `user`.
        instance: &'static str,
        /// Why it cannot be reached.
        problem: String,
    },

    /// systemd did not do what it was asked.
    #[error("systemd cannot {action} the unit {unit}: {problem}")]
    Systemd {
        /// A verb: `start`, `stop`, `change`.
        action: &'static str,
        /// The name of the unit.
        unit: String,
        /// systemd's own words.
        problem: String,
    },

    /// The cgroup of a new container is below one that has processes of its own: it could have no controllers, or no
    /// processes (cgroup-v2.rst, "No Internal Process Constraint").
    #[error(
        "/linux/cgroupsPath: the cgroup {} has processes of its own, so that none below it can have limits \
         (move them to a cgroup below it, or choose a cgroupsPath elsewhere)",
        path.display()
    )]
    Populated {
        /// The ancestor with processes.
        path: PathBuf,
    },

    /// A value that cannot be had, found while updating.
    #[error(transparent)]
    Refused(#[from] spec::Refusal),
}

impl Error {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        Error::File { action, path: path.into(), errno }
    }
}

/// Names an error number in words that no engine mistakes for a missing program (see the module's text).
pub(crate) fn errno_text(errno: Errno) -> String {
    match errno {
        Errno::NOENT => "missing (ENOENT)".into(),
        Errno::ACCESS => "refused (EACCES)".into(),
        Errno::PERM => "refused (EPERM)".into(),
        Errno::NOTDIR => "part of the path is a file (ENOTDIR)".into(),
        Errno::INVAL => "value not accepted (EINVAL)".into(),
        Errno::BUSY => "busy (EBUSY)".into(),
        Errno::NODEV => "unknown device or controller (ENODEV)".into(),
        Errno::ROFS => "read-only (EROFS)".into(),
        Errno::NOSPC => "no space left (ENOSPC)".into(),
        Errno::OPNOTSUPP => "not supported here (EOPNOTSUPP)".into(),
        Errno::EXIST => "exists (EEXIST)".into(),
        Errno::RANGE => "out of range (ERANGE)".into(),
        Errno::MFILE => "too many open files: raise RLIMIT_NOFILE".to_owned(),
        other => format!("errno {}", other.raw_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_not_mistaken_for_a_missing_program() {
        let phrases = ["no such file", "permission denied", "not a directory", "is a directory", "not found"];
        for number in 1..134 {
            let text =
                Error::file("open", "/sys/fs/cgroup/x", Errno::from_raw_os_error(number)).to_string().to_lowercase();
            assert!(phrases.iter().all(|phrase| !text.contains(phrase)), "{text}");
        }
    }
}
