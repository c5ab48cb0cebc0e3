//! The checks that need no host: what the specification forbids, and what the kernel would refuse later with less to
//! say about it.
//!
//! [`Spec::validate`] stops at the first thing that is wrong, in the order of the document.
//!
//! Facts of the host (kernel version, cgroup version, whether a path is what it should be) are checked by the planners
//! that know them, and so are the numbers in `linux.resources`.

mod id_mappings;
mod linux;
mod process;
mod resources;
mod scheduling;
mod seccomp;

use std::path::Path;

use crate::refusal::token;
use crate::{Hook, Mount, NamespaceType, Process, Refusal, Root, Spec, sysctl};

type Checked = Result<(), Refusal>;

/// The longest host or domain name, in bytes (`__NEW_UTS_LEN`, uname(2)).
const UTS_NAME_MAX: usize = 64;
/// The longest path, in bytes: `PATH_MAX` without its NUL (path_resolution(7)).
const PATH_LEN_MAX: usize = 4095;
/// The longest string of an execve: 32 pages (execve(2)), of the largest size that the processor has.
const STRING_MAX: usize = 32 * if cfg!(target_arch = "x86_64") { 4 << 10 } else { 64 << 10 };
/// All strings of an execve together: three quarters of the 8 MiB that a stack is by default (execve(2)).
const STRINGS_MAX: usize = 6 << 20;

impl Spec {
    /// Checks the configuration for `create`.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the specification's document.
    pub fn validate(&self) -> Checked {
        if let Some(process) = &self.process {
            process.validate("/process")?;
            self.process_ids_are_mapped(process, "/process")?;
        }
        root(self.root.as_ref())?;
        self.uts_name("/hostname", self.hostname.as_deref())?;
        self.uts_name("/domainname", self.domainname.as_deref())?;
        self.names_agree()?;
        for (i, entry) in self.mounts.iter().enumerate() {
            mount(entry, &format!("/mounts/{i}"))?;
        }
        for (point, hooks) in self.hooks.points() {
            for (i, entry) in hooks.iter().enumerate() {
                hook(entry, &format!("/hooks/{point}/{i}"))?;
            }
        }
        if self.annotations.contains_key("") {
            return Err(Refusal::new("/annotations", "a key is empty", "name the annotation or remove it"));
        }
        self.linux.as_ref().map_or(Ok(()), linux::check)
    }

    /// The process, which `create` can do without and `start` cannot (runtime.md, Start).
    ///
    /// # Errors
    /// A refusal when there is none.
    pub fn process_to_start(&self) -> Result<&Process, Refusal> {
        self.process
            .as_ref()
            .ok_or_else(|| Refusal::new("/process", "missing", "say what to run: args and cwd at the least"))
    }

    fn uts_name(&self, pointer: &str, name: Option<&str>) -> Checked {
        let Some(name) = name else { return Ok(()) };
        if name.len() > UTS_NAME_MAX {
            let problem = format!("{} bytes are more than the kernel keeps", name.len());
            return Err(Refusal::new(pointer, problem, format!("use at most {UTS_NAME_MAX}")));
        }
        if self.namespace(NamespaceType::Uts).is_none() {
            return Err(Refusal::new(
                pointer,
                "the container shares the host's UTS namespace: setting this would rename the host",
                "remove it, or add {\"type\": \"uts\"} to linux.namespaces",
            ));
        }
        Ok(())
    }

    /// A host or domain name that `linux.sysctl` sets as well, and differently.
    fn names_agree(&self) -> Checked {
        let sysctl = self.linux.iter().flat_map(|linux| &linux.sysctl);
        for (key, value) in sysctl {
            let (property, name) = match sysctl::file(key).as_deref() {
                Some("kernel/hostname") => ("hostname", &self.hostname),
                Some("kernel/domainname") => ("domainname", &self.domainname),
                _ => continue,
            };
            if name.as_ref().is_some_and(|name| name != value) {
                let pointer = format!("/linux/sysctl/{}", token(key));
                return Err(Refusal::new(
                    pointer,
                    format!("`{value}` is not what {property} says"),
                    "keep one of them",
                ));
            }
        }
        Ok(())
    }
}

fn root(root: Option<&Root>) -> Checked {
    match root {
        None => Err(Refusal::new("/root", "missing", "set root.path to the root filesystem")),
        Some(root) if root.path.as_os_str().is_empty() => {
            Err(Refusal::new("/root/path", "missing or empty", "set it to the root filesystem, such as `rootfs`"))
        }
        Some(root) => short(&root.path, || "/root/path".to_owned()),
    }
}

fn mount(mount: &Mount, pointer: &str) -> Checked {
    if mount.destination.as_os_str().is_empty() {
        return Err(Refusal::new(
            format!("{pointer}/destination"),
            "missing or empty",
            "set it to an absolute path inside the container",
        ));
    }
    short(&mount.destination, || format!("{pointer}/destination"))?;
    if let Some(source) = &mount.source {
        short(source, || format!("{pointer}/source"))?;
    }
    for (list, mappings) in [("uidMappings", &mount.uid_mappings), ("gidMappings", &mount.gid_mappings)] {
        if mappings.is_empty() && mount.uid_mappings.len() + mount.gid_mappings.len() > 0 {
            let remedy = "an idmapped mount has both uidMappings and gidMappings, or neither";
            return Err(Refusal::new(format!("{pointer}/{list}"), "missing", remedy));
        }
        id_mappings::check(mappings, &format!("{pointer}/{list}"))?;
    }
    Ok(())
}

fn hook(hook: &Hook, pointer: &str) -> Checked {
    absolute(&hook.path, || format!("{pointer}/path"))?;
    strings(&hook.args, &hook.env, pointer)?;
    match hook.timeout {
        Some(timeout) if timeout <= 0 => Err(Refusal::new(
            format!("{pointer}/timeout"),
            format!("{timeout} seconds is no time at all"),
            "set it to more than zero, or remove it for no timeout",
        )),
        _ => Ok(()),
    }
}

/// Refuses arguments and variables that no execve takes (E2BIG).
fn strings(args: &[String], env: &[String], pointer: &str) -> Checked {
    for (list, strings) in [("args", args), ("env", env)] {
        if let Some((i, string)) = strings.iter().enumerate().find(|(_, string)| string.len() >= STRING_MAX) {
            let problem = format!("{} bytes are more than the kernel takes", string.len());
            return Err(Refusal::new(format!("{pointer}/{list}/{i}"), problem, "hand it over in a file"));
        }
    }
    let bytes: usize = args.iter().chain(env).map(|string| string.len() + 1).sum();
    if bytes > STRINGS_MAX {
        let problem = format!("args and env have {bytes} bytes, more than the kernel takes");
        return Err(Refusal::new(format!("{pointer}/args"), problem, format!("use at most {STRINGS_MAX}")));
    }
    Ok(())
}

/// Refuses a path that no system call takes (ENAMETOOLONG).
fn short(path: &Path, pointer: impl FnOnce() -> String) -> Checked {
    match path.as_os_str().len() {
        0..=PATH_LEN_MAX => Ok(()),
        bytes => {
            let problem = format!("a path of {bytes} bytes is longer than the kernel takes");
            Err(Refusal::new(pointer(), problem, format!("use at most {PATH_LEN_MAX}")))
        }
    }
}

/// Refuses an empty, a relative or an overlong path.
fn absolute(path: &Path, pointer: impl FnOnce() -> String) -> Checked {
    if path.is_absolute() {
        return short(path, pointer);
    }
    let problem = if path.as_os_str().is_empty() {
        "missing or empty".to_owned()
    } else {
        format!("`{}` is not an absolute path", path.display())
    };
    Err(Refusal::new(pointer(), problem, "use an absolute path"))
}
