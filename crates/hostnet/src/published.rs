//! Which of its own ports a container takes one of the host's for. The cgroup tells, by an extended attribute with the setting
//! as it was written and by the programs attached to it: so it needs no record, whoever's state root that would be in.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;

use crate::config::{Key, Setting};
use crate::programs::moved_port;
use crate::rules::{Protocol, Publish};
use crate::{Socket, grammar, rules};

/// Extended attributes of the kind `trusted` take CAP_SYS_ADMIN, so no container with a cgroup of its own can change this one.
const ATTRIBUTE: &str = "trusted.lightship.publish";

/// Notes on a container's cgroup v2 directory what is published.
///
/// # Errors
/// Those of setxattr(2).
pub fn note(cgroup: impl AsFd, settings: &[Setting]) -> io::Result<()> {
    let Some(setting) = settings.iter().find(|setting| setting.key == Key::Publish) else { return Ok(()) };
    Ok(rustix::fs::fsetxattr(cgroup, ATTRIBUTE, setting.value.as_bytes(), XattrFlags::empty())?)
}

/// What a container publishes, and the cgroup v2 directory that tells it.
pub(crate) struct Published {
    directory: PathBuf,
    publish: Publish,
}

impl Published {
    /// Looks for it at a cgroup, which the container's own may be above.
    pub(crate) fn of(hierarchy: &Path, cgroup: &Path) -> Option<Published> {
        let mut above = cgroup.ancestors().take_while(|directory| *directory != hierarchy);
        above.find_map(|directory| Some(Published { publish: noted(directory)?, directory: directory.to_owned() }))
    }

    /// The port as the container knows it that has this socket.
    pub(crate) fn inside_port(&self, socket: &Socket) -> Option<u16> {
        let by_auto = || moved_port(File::open(&self.directory).ok()?, socket.protocol, socket.address.port()).ok()?;
        by_rule(&self.publish, socket.protocol, socket.address).or_else(|| self.publish.auto.then(by_auto)?)
    }
}

fn noted(directory: &Path) -> Option<Publish> {
    let size = rustix::fs::getxattr_query(directory, ATTRIBUTE).ok()?;
    let mut value = vec![0; size];
    let len = rustix::fs::getxattr(directory, ATTRIBUTE, &mut value[..]).ok()?;
    grammar::publish(str::from_utf8(value.get(..len)?).ok()?)
}

/// The port that a rule has moved to the host's.
fn by_rule(publish: &Publish, protocol: Protocol, host: SocketAddr) -> Option<u16> {
    // Whatever the rule's address: the container may have kept to loopback itself.
    let is_it = |rule: &rules::Published| {
        rule.protocol == protocol && (rule.host.first..=rule.host.last).contains(&host.port())
    };
    let rule = publish.of_family(host.ip().to_canonical().is_ipv6()).into_iter().find(is_it)?;
    Some(rule.inside.first + (host.port() - rule.host.first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_leads_back() {
        let both = "127.0.0.1:7000:70,[::1]:7001:70,127.0.0.1:7002:72,[::1]:7002:72";
        let publish = format!("8080:80,192.0.2.2:9000-9010:1000-1010,5353:53/udp,{both}");
        let publish = grammar::publish(&publish).unwrap();
        for (protocol, host, inside) in [
            (Protocol::Tcp, "0.0.0.0:8080", Some(80)),
            (Protocol::Tcp, "[::]:8080", Some(80)),
            (Protocol::Tcp, "[::ffff:192.0.2.2]:9003", Some(1003)),
            (Protocol::Tcp, "127.0.0.1:9003", Some(1003)),
            (Protocol::Tcp, "[::1]:9003", Some(1003)),
            (Protocol::Tcp, "127.0.0.1:7000", Some(70)),
            (Protocol::Tcp, "[::1]:7001", Some(70)),
            (Protocol::Tcp, "127.0.0.1:7001", None),
            (Protocol::Tcp, "127.0.0.1:7002", Some(72)),
            (Protocol::Tcp, "[::1]:7002", Some(72)),
            (Protocol::Udp, "0.0.0.0:5353", Some(53)),
            (Protocol::Udp, "0.0.0.0:8080", None),
            (Protocol::Tcp, "0.0.0.0:80", None),
        ] {
            assert_eq!(by_rule(&publish, protocol, host.parse().unwrap()), inside, "{protocol} {host}");
        }
    }
}
