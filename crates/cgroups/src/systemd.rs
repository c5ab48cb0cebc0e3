//! systemd as the maker of the container's cgroup: a transient unit holds the container, and the limits that systemd has
//! properties for are set on the unit, so that systemd does not take them back when it next looks at its units.
//!
//! [`Instance::find`] looks for the systemd that is to do it. [`plan`](crate::plan()) decides on the unit; it is started around
//! the init process, which waits meanwhile ([`CgroupPlan::start_unit`](crate::CgroupPlan::start_unit)), because a scope takes in
//! processes that exist and is not there without any. Below the unit's directory the container's cgroup is its own
//! (`Delegate=yes`; systemd's CGROUP_DELEGATION): joining, freezing, killing and reading go by its files as without systemd.

pub(crate) mod plan;
pub(crate) mod properties;

mod apply;
mod bus;
mod gvariant;
mod wire;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use bus::{Connection, Failure};
pub use plan::UnitPlan;
pub use properties::Property;
pub use wire::Value;

/// A systemd that runs on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// The calling user's own, not the system's.
    pub user: bool,
    /// The cgroup below which its units are; empty for the root.
    pub control_group: String,
    /// Which properties it knows: `257`.
    pub version: u32,
}

/// What is stored of the unit that holds a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// `docker-0123.scope`
    pub name: String,
    /// Whether it is one of the user's instance.
    pub user: bool,
}

impl Unit {
    /// Whether it is a scope. The other kind is a slice, which systemd puts no process into.
    pub fn is_scope(&self) -> bool {
        self.name.ends_with(".scope")
    }

    fn failed(&self, action: &'static str) -> impl Fn(Failure) -> Error {
        move |failure| Error::Systemd { action, unit: self.name.clone(), problem: failure.to_string() }
    }
}

impl Instance {
    /// Asks the system's instance, or the calling user's, where it has its units.
    ///
    /// # Errors
    /// [`Error::NoSystemd`]: it does not run, or does not talk to this user.
    pub fn find(user: bool) -> Result<Instance, Error> {
        let none = |problem: String| Error::NoSystemd { instance: if user { "user" } else { "system" }, problem };
        // sd_booted(3)
        if !std::path::Path::new("/run/systemd/system").is_dir() {
            return Err(none("there is no /run/systemd/system".to_owned()));
        }
        let ask = || -> Result<Instance, Failure> {
            let mut connection = Connection::open(user)?;
            let control_group = connection.manager_text("ControlGroup")?.trim_end_matches('/').to_owned();
            Ok(Instance { user, control_group, version: version(&connection.manager_text("Version")?) })
        };
        ask().map_err(|failure| none(failure.to_string()))
    }
}

/// `257.9-1~deb13u1` is 257.
fn version(text: &str) -> u32 {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        for (text, expected) in
            [("257.9-1~deb13u1", 257), ("v245.4-4ubuntu3", 245), ("239 (239-78.el8)", 239), ("x", 0)]
        {
            assert_eq!(version(text), expected, "{text}");
        }
    }
}
