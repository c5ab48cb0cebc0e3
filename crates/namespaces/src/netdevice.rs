//! Network devices of the host that move into the container (config-linux.md, "Network Devices").
//!
//! They are not moved back: the namespace's end returns physical devices to the host and destroys virtual ones.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use spec::{Linux, NamespaceType, NetworkMode, Refusal, token};

use crate::apply::{Error, in_thread};
use crate::plan::kind_flag;
use crate::rtnetlink::Route;

/// IFNAMSIZ without the NUL (netdevice(7)).
const NAME_MAX: usize = 15;

/// A device and its name in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name on the host.
    pub host: String,
    /// Its name in the container; `%d` in it becomes a number of the kernel's choice.
    pub container: String,
}

/// Plans `linux.netDevices`.
///
/// # Errors
/// There is no network namespace to move to, or a name that no device can have, or one for two devices.
pub(crate) fn plan(linux: &Linux, network: &NetworkMode) -> Result<Vec<NetDevice>, Refusal> {
    let mut devices: Vec<NetDevice> = Vec::new();
    for (host, device) in &linux.net_devices {
        let pointer = format!("/linux/netDevices/{}", token(host));
        if *network == NetworkMode::Host {
            let remedy = "add {\"type\": \"network\"} to linux.namespaces";
            return Err(Refusal::new(
                pointer,
                "a container on the host's network has nowhere to move a device to",
                remedy,
            ));
        }
        let container = device.name.as_ref().unwrap_or(host);
        for name in [host, container] {
            if !is_name(name) {
                let remedy = format!("a name has at most {NAME_MAX} bytes, and no `/`, `:` or blank");
                return Err(Refusal::new(pointer, format!("{name:?} is no name of a network device"), remedy));
            }
        }
        if !container.contains("%d") && devices.iter().any(|other| other.container == *container) {
            let problem = format!("{container:?} is the name of another device already");
            return Err(Refusal::new(pointer, problem, "give each its own name, or one with %d"));
        }
        devices.push(NetDevice { host: host.clone(), container: container.clone() });
    }
    Ok(devices)
}

/// dev_valid_name in the kernel's net/core/dev.c; the only `%` there can be is that of one `%d` (__dev_alloc_name).
fn is_name(name: &str) -> bool {
    let forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace();
    let template = name.matches('%').count() <= usize::from(name.contains("%d"));
    !name.is_empty() && name.len() <= NAME_MAX && name != "." && name != ".." && !name.contains(forbidden) && template
}

/// Moves the devices into a network namespace, gives them back their addresses and brings them up.
///
/// # Errors
/// [`Error::NetDevice`]. Devices that were moved already stay where they are.
pub fn move_devices(devices: &[NetDevice], namespace: BorrowedFd<'_>) -> Result<(), Error> {
    let Some(first) = devices.first() else { return Ok(()) };
    let open = |error: Errno| failed(first, "netlink socket")(error);
    let here = Route::open().map_err(open)?;
    let there = in_thread(|| {
        sys::process::setns(namespace, kind_flag(NamespaceType::Network))?;
        Ok(Route::open()?)
    })
    .map_err(|error| open(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    devices.iter().try_for_each(|device| move_one(device, namespace, &here, &there))
}

fn move_one(device: &NetDevice, namespace: BorrowedFd<'_>, here: &Route, there: &Route) -> Result<(), Error> {
    let index = here.index(&device.host).map_err(failed(device, "look up"))?;
    // The kernel moves first and renames then: a name that is taken would leave the device in the container's namespace, and
    // a virtual one would go with it.
    if there.index(&device.container).is_ok() {
        return Err(failed(device, "move")(Errno::EXIST));
    }
    let addresses = here.addresses(index).map_err(failed(device, "read the addresses"))?;
    let before = there.links().map_err(failed(device, "list the container's devices"))?;
    here.move_link(index, namespace, &device.container).map_err(failed(device, "move"))?;
    // Neither its index nor, with a template, its name need be what was asked for.
    let after = there.links().map_err(failed(device, "list the container's devices"))?;
    let moved = after.into_iter().find(|index| !before.contains(index)).ok_or(Errno::NODEV);
    let moved = moved.map_err(failed(device, "find after the move"))?;
    for address in &addresses {
        there.add_address(moved, address).map_err(failed(device, "restore an address"))?;
    }
    there.set_up(moved).map_err(failed(device, "bring up"))
}

fn failed<'a>(device: &'a NetDevice, action: &'static str) -> impl Fn(Errno) -> Error + 'a {
    move |errno| Error::NetDevice { name: device.host.clone(), action, error: program::ErrnoText(errno.raw_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(devices: &str, network: &NetworkMode) -> Result<Vec<NetDevice>, Refusal> {
        let linux: Linux = serde_json::from_str(&format!(r#"{{"netDevices":{devices}}}"#)).unwrap();
        plan(&linux, network)
    }

    #[test]
    fn a_device_keeps_its_name_or_gets_a_new_one() {
        let devices = planned(r#"{"eth1":{},"eth2":{"name":"data%d"}}"#, &NetworkMode::New).unwrap();
        let names: Vec<_> = devices.iter().map(|device| device.container.as_str()).collect();
        assert_eq!(names, ["eth1", "data%d"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (devices, problem) in [
            (r#"{"eth1":{"name":"a/b"}}"#, "no name"),
            (r#"{"eth1":{"name":"sixteen_bytes_xx"}}"#, "no name"),
            (r#"{"..":{}}"#, "no name"),
            (r#"{"eth%":{}}"#, "no name"),
            (r#"{"eth1":{"name":"e%d%d"}}"#, "no name"),
            (r#"{"eth1":{"name":"x"},"eth2":{"name":"x"}}"#, "another device"),
        ] {
            let refusal = planned(devices, &NetworkMode::New).unwrap_err();
            assert!(refusal.problem.contains(problem), "{refusal}");
        }
        assert!(planned(r#"{"eth1":{}}"#, &NetworkMode::Host).unwrap_err().problem.contains("host's network"));
    }
}
