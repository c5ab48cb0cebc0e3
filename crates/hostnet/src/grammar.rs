//! From the text of a setting to rules. What is not understood is `None`; the grammar of a key stands at
//! [`crate::config::Key::grammar`]. An IPv4 address as IPv6 writes it (`::ffff:192.0.2.2`) is taken for the IPv4 address: as such the
//! programs see it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::rules::{
    Addresses, AllowedBind, AllowedConnect, Network, PortRange, Protocol, Publish, Published, WantedPorts,
};

/// `on` or `off`.
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// `8080:80,127.0.0.1:5353:53/udp`, or `auto`.
pub(crate) fn publish(text: &str) -> Option<Publish> {
    let (mut rules, mut auto) = (Vec::new(), false);
    for item in text.split(',') {
        match item {
            "auto" => auto = true,
            item => rules.push(published(item)?),
        }
    }
    Some(Publish { rules, auto })
}

fn published(text: &str) -> Option<Published> {
    let (text, protocol) = protocol(text);
    let (text, inside) = text.rsplit_once(':')?;
    let (address, host) = match text.rsplit_once(':') {
        Some((address, host)) => (Some(address_in_brackets(address)?), host),
        None => (None, text),
    };
    let (host, inside) = (ports(host)?, ports(inside)?);
    let fits = host.first > 0 && inside.first > 0 && host.last - host.first == inside.last - inside.first;
    fits.then_some(Published { address, host, inside, protocol: protocol.unwrap_or(Protocol::Tcp) })
}

/// `10.0.0.5`, `fd00::5`, or both.
pub(crate) fn addresses(text: &str) -> Option<Addresses> {
    let mut addresses = Addresses::default();
    for item in text.split(',') {
        let taken = match item.parse::<IpAddr>().ok()?.to_canonical() {
            IpAddr::V4(address) => addresses.v4.replace(address).is_some() || address == Ipv4Addr::UNSPECIFIED,
            IpAddr::V6(address) => addresses.v6.replace(address).is_some() || address == Ipv6Addr::UNSPECIFIED,
        };
        if taken {
            return None;
        }
    }
    Some(addresses)
}

/// `80,443/tcp,5000-5010/udp`, or `none`.
pub(crate) fn allow_bind(text: &str) -> Option<Vec<AllowedBind>> {
    list(text, |item| {
        let (item, protocol) = protocol(item);
        Some(AllowedBind { ports: ports(item)?, protocol })
    })
}

/// `10.0.0.0/8:5432,[fd00::1]:80/tcp,53/udp`, or `none`.
pub(crate) fn allow_connect(text: &str) -> Option<Vec<AllowedConnect>> {
    list(text, |item| {
        let (item, protocol) = protocol(item);
        if let Some(ports) = ports(item) {
            return Some(AllowedConnect { network: None, ports, protocol });
        }
        if let Some(network) = network(item) {
            return Some(AllowedConnect { network: Some(network), ports: PortRange::ALL, protocol });
        }
        let (address, item) = item.rsplit_once(':')?;
        Some(AllowedConnect { network: Some(network(address)?), ports: ports(item)?, protocol })
    })
}

/// `80,443,53/udp`
pub(crate) fn wanted(text: &str) -> Option<Vec<WantedPorts>> {
    text.split(',')
        .map(|item| {
            let (item, protocol) = protocol(item);
            let ports = ports(item).filter(|ports| ports.first > 0)?;
            Some(WantedPorts { address: None, ports, protocol: protocol.unwrap_or(Protocol::Tcp) })
        })
        .collect()
}

fn list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    if text == "none" { Some(Vec::new()) } else { text.split(',').map(item).collect() }
}

/// Takes `/tcp` or `/udp` off the end.
fn protocol(text: &str) -> (&str, Option<Protocol>) {
    for (ending, protocol) in [("/tcp", Protocol::Tcp), ("/udp", Protocol::Udp)] {
        if let Some(rest) = text.strip_suffix(ending) {
            return (rest, Some(protocol));
        }
    }
    (text, None)
}

/// `80` or `80-90`
fn ports(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(PortRange { first, last })
}

/// `10.0.0.0/8`, `10.0.0.1` or the same of IPv6 in brackets.
fn network(text: &str) -> Option<Network> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let (address, prefix) = match inner.unwrap_or(text).split_once('/') {
        Some((address, prefix)) => (address, Some(number(prefix)?)),
        None => (inner.unwrap_or(text), None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(bits);
    if address.is_ipv6() != inner.is_some() || prefix > bits {
        return None;
    }
    let canonical = address.to_canonical();
    let prefix = if canonical == address { prefix } else { prefix.checked_sub(96)? };
    Some(Network { address: canonical, prefix: prefix as u8 })
}

/// An IPv4 address, or an IPv6 one in brackets. "All addresses" is what there is without it.
fn address_in_brackets(text: &str) -> Option<IpAddr> {
    let network = network(text).filter(|_| !text.contains('/'))?;
    (!network.address.is_unspecified()).then_some(network.address)
}

/// A number without sign: `parse` alone would take `+80`.
fn number(text: &str) -> Option<u16> {
    if text.starts_with(|first: char| first.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u16, last: u16) -> PortRange {
        PortRange { first, last }
    }

    #[test]
    fn published_ports() {
        let rules = publish("8080:80,127.0.0.1:5353:53/udp,[::1]:7000-7002:1-3,auto").unwrap();
        let rule = |address: Option<&str>, host, inside, protocol| Published {
            address: address.map(|address| address.parse().unwrap()),
            host,
            inside,
            protocol,
        };
        let expected = [
            rule(None, range(8080, 8080), range(80, 80), Protocol::Tcp),
            rule(Some("127.0.0.1"), range(5353, 5353), range(53, 53), Protocol::Udp),
            rule(Some("::1"), range(7000, 7002), range(1, 3), Protocol::Tcp),
        ];
        assert_eq!((&rules.rules[..], rules.auto), (&expected[..], true));
        assert_eq!(publish("auto"), Some(Publish { rules: Vec::new(), auto: true }));
        assert_eq!(publish("[::ffff:127.0.0.1]:80:80"), publish("127.0.0.1:80:80"));
        for wrong in [
            "",
            "80",
            "80:",
            ":80",
            "80:80,",
            "a:80",
            "80:80/sctp",
            "70000:80",
            "+80:80",
            "80: 80",
            "1-3:1-2",
            "3-1:3-1",
            "0:80",
            "80:0",
            "::1:80:80",
            "[::1:80:80",
            "::ffff:127.0.0.1:80:80",
            "[::ffff:0.0.0.0]:80:80",
            "1.2.3:80:80",
            "0.0.0.0:80:80",
            "1.2.3.4/8:80:80",
            "AUTO",
        ] {
            assert_eq!(publish(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn one_address_of_each_family() {
        assert_eq!(addresses("127.0.0.4"), Some(Addresses { v4: Some(Ipv4Addr::new(127, 0, 0, 4)), v6: None }));
        assert!(addresses("fd00::5,10.0.0.5").is_some_and(|both| both.v4.is_some() && both.v6.is_some()));
        assert_eq!(addresses("::ffff:127.0.0.4"), addresses("127.0.0.4"));
        let twice = ["1.2.3.4,5.6.7.8", "1.2.3.4,::ffff:5.6.7.8"];
        for wrong in ["", "[::1]", "localhost", "0.0.0.0", "::", "::ffff:0.0.0.0", "1.2.3.4/8"].into_iter().chain(twice)
        {
            assert_eq!(addresses(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn lists_of_ports() {
        let rule = |ports, protocol| AllowedBind { ports, protocol };
        let expected = vec![rule(range(80, 80), None), rule(range(5000, 5010), Some(Protocol::Udp))];
        assert_eq!(allow_bind("80,5000-5010/udp"), Some(expected));
        assert_eq!(allow_bind("none"), Some(Vec::new()));
        assert!(allow_bind("").is_none() && allow_bind("any").is_none() && allow_bind("80,none").is_none());
        assert_eq!(wanted("80,53/udp").unwrap().len(), 2);
        assert!(wanted("none").is_none() && wanted("0").is_none());
    }

    #[test]
    fn lists_of_destinations() {
        let rules = allow_connect("10.0.0.0/8:5432/tcp,[fd00::/8]:80-90,192.0.2.1,53/udp,[::1]").unwrap();
        let networks: Vec<_> = rules.iter().map(|rule| rule.network.map(|network| network.prefix)).collect();
        assert_eq!(networks, [Some(8), Some(8), Some(32), None, Some(128)]);
        assert_eq!(rules[0].ports, range(5432, 5432));
        assert_eq!((rules[1].ports, rules[2].ports), (range(80, 90), PortRange::ALL));
        assert_eq!((rules[0].protocol, rules[3].protocol), (Some(Protocol::Tcp), Some(Protocol::Udp)));
        assert_eq!(
            allow_connect("[::ffff:10.0.0.0/104]:80,[::ffff:10.0.0.1]"),
            allow_connect("10.0.0.0/8:80,10.0.0.1")
        );
        for wrong in [
            "",
            "10.0.0.0/33",
            "[::ffff:10.0.0.0/95]",
            "fd00::1",
            "fd00::1:80",
            "[10.0.0.1]:80",
            "example.org:80",
            "10.0.0.1:",
        ] {
            assert_eq!(allow_connect(wrong), None, "{wrong:?}");
        }
    }
}
