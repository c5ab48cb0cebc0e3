//! Device nodes: the default ones (config-linux.md, "Default Devices") and those of `linux.devices`.

use std::path::{Path, PathBuf};

use rustix::fs::makedev;
use spec::{Device, DeviceType, Refusal, Spec};

use crate::path::inside;
use crate::plan::PlanInput;

const S_IFIFO: u32 = 0o010_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;

/// Name, major and minor number of the devices that every container has, mode 0666 (devices.txt of the kernel).
const DEFAULT: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// What is made in `/dev` and elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DevicePlan {
    /// `/dev` is the container's own, and gets the links of runtime-linux.md.
    pub(crate) own_dev: bool,
    pub(crate) nodes: Vec<Node>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) place: String,
    /// Below the root.
    pub(crate) target: PathBuf,
    /// Bind-mounted from the host instead of made.
    pub(crate) bind: bool,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) dev: u64,
}

/// The paths of all devices that a container may have: the default ones, and those of `linux.devices`.
pub fn device_paths(spec: &Spec) -> impl Iterator<Item = PathBuf> {
    let listed = spec.linux.iter().flat_map(|linux| &linux.devices);
    let default = DEFAULT.iter().map(|(name, ..)| Path::new("/dev").join(name));
    default.chain(listed.map(|device| device.path.clone()))
}

pub(crate) fn plan(spec: &Spec, input: &PlanInput<'_>) -> Result<DevicePlan, Refusal> {
    let dev = Path::new("dev");
    // What a bind mount shows there is somebody else's folder, very likely the host's /dev: nothing is made in it.
    let own_dev = !spec.mounts.iter().any(|mount| {
        let bind = mount.options.iter().any(|option| option == "bind" || option == "rbind");
        (bind || mount.kind.as_deref() == Some("bind")) && inside(&mount.destination) == dev
    });
    let bind = input.user_namespace || !input.can_mknod;
    let listed = spec.linux.iter().flat_map(|linux| &linux.devices).enumerate();
    let listed: Vec<Node> = listed
        .map(|(i, device)| node(i, device, bind))
        .collect::<Result<Vec<Node>, Refusal>>()?
        .into_iter()
        // The terminal multiplexer is always that of the container's own devpts.
        .filter(|node| node.target != Path::new("dev/ptmx"))
        .filter(|node| own_dev || !node.target.starts_with(dev))
        .collect();
    let mut nodes: Vec<Node> =
        if own_dev { DEFAULT.iter().map(|device| default_node(device, bind)).collect() } else { vec![] };
    nodes.retain(|node| listed.iter().all(|other| other.target != node.target));
    nodes.extend(listed);
    Ok(DevicePlan { own_dev, nodes })
}

fn default_node(&(name, major, minor): &(&str, u32, u32), bind: bool) -> Node {
    Node {
        place: format!("default device /dev/{name}"),
        target: Path::new("dev").join(name),
        bind,
        mode: S_IFCHR | 0o666,
        uid: 0,
        gid: 0,
        dev: makedev(major, minor),
    }
}

fn node(index: usize, device: &Device, bind: bool) -> Result<Node, Refusal> {
    let target = inside(&device.path);
    // Where a node cannot be made it is bind-mounted, and would cover what is there.
    if target.as_os_str().is_empty() || target == Path::new("dev") || target.starts_with("proc") {
        let problem = format!("`{}` is no place for a device", device.path.display());
        return Err(Refusal::new(
            format!("/linux/devices/{index}/path"),
            problem,
            "make it elsewhere, such as in /dev",
        ));
    }
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    let dev = makedev(number(device.major), number(device.minor));
    let (kind, dev) = match device.kind {
        DeviceType::Char | DeviceType::UnbufferedChar => (S_IFCHR, dev),
        DeviceType::Block => (S_IFBLK, dev),
        DeviceType::Fifo => (S_IFIFO, 0),
    };
    Ok(Node {
        place: format!("linux.devices[{index}] {}", device.path.display()),
        target,
        // Anybody may make a FIFO, and the host has none there.
        bind: bind && device.kind != DeviceType::Fifo,
        mode: kind | device.file_mode.unwrap_or(0o666) & 0o7777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
        dev,
    })
}
