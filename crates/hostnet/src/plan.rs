//! From the settings to what is put in force. Pure: no system call, no file, no clock.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::{Key, Refused, Setting, Source};
use crate::grammar;
use crate::rules::{Addresses, AllowedBind, AllowedConnect, PortRange, Publish, WantedPorts, merged};

/// Everything that is in force for a container in the host's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetPlan {
    /// Ports that the host sees elsewhere.
    pub publish: Publish,
    /// The addresses that the container is confined to.
    pub address: Option<Addresses>,
    /// All that it may bind; anything if absent.
    pub allow_bind: Option<Vec<AllowedBind>>,
    /// All that it may connect and send to; anything if absent.
    pub allow_connect: Option<Vec<AllowedConnect>>,
    /// The environment, which had no say in the list, moves ports or addresses: what may be connected to is looked at once more
    /// where they have been moved to.
    pub list_holds_where_moved: bool,
    /// Ports below 1024 need no capability.
    pub low_ports: bool,
    /// Ports that must be free when the container is created, as the host sees them.
    pub wanted: Vec<WantedPorts>,
    /// Failed attempts to bind a port are explained.
    pub diagnose: bool,
    /// What is received and sent is counted.
    pub counters: bool,
    /// The counters were asked for, and are not just there as ever.
    pub counters_asked: bool,
    /// The host's network settings cannot be changed.
    pub guard: bool,
    /// The host's abstract unix sockets cannot be connected to.
    pub no_abstract_sockets: bool,
}

/// What the plan must know of the host and of the container's place in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetFacts {
    /// The container shares the host's network namespace.
    pub host_network: bool,
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
    /// The caller may load programs.
    pub privileged: bool,
}

/// The most rules of one setting: so many fit into a program.
const MAX_RULES: usize = 1000;

/// The most addresses in rules of `publish`: each is looked at by itself, and the kernel's jumps have 16 bits.
const MAX_ADDRESSES: usize = 128;

/// The oldest kernel that tells a process the number of its network namespace, by which nested ones are left alone.
const OLDEST_KERNEL: (u32, u32) = (5, 14);
/// The oldest kernel where a program chooses the error that bind(2) fails with.
const OLDEST_WITH_ERRORS: (u32, u32) = (5, 18);
/// The oldest kernel whose Landlock scopes abstract unix sockets (ABI 6, landlock(7)).
const OLDEST_WITH_SCOPES: (u32, u32) = (6, 12);

/// Decides what is in force; `None` for a container that does not share the host's network.
///
/// # Errors
/// A value that is not understood or contradicts another one, a setting for another network, a kernel that is too old.
pub fn plan(settings: &[Setting], facts: &NetFacts) -> Result<Option<NetPlan>, Refused> {
    if !facts.host_network {
        return refuse_other_networks(settings).map(|()| None);
    }
    // What nobody asked for must not keep a container from being made.
    let able = facts.privileged && facts.kernel >= OLDEST_KERNEL;
    let mut plan = NetPlan { diagnose: able, counters: able, ..NetPlan::default() };
    for setting in settings {
        plan.set(setting)?;
    }
    for setting in settings {
        plan.check(setting, facts)?;
    }
    plan.keep_environment_to_lists(settings)?;
    plan.wanted = plan.wanted_on_host();
    Ok(Some(plan))
}

/// An argument of the runtime is for all containers, and so says nothing about this one.
fn refuse_other_networks(settings: &[Setting]) -> Result<(), Refused> {
    match settings.iter().find(|setting| setting.source != Source::Argument) {
        None => Ok(()),
        Some(setting) => Err(setting.refuse(
            "is for containers that share the host's network, and this one does not",
            "use --network host, or take the setting out",
        )),
    }
}

impl NetPlan {
    fn set(&mut self, setting: &Setting) -> Result<(), Refused> {
        let value = setting.value.as_str();
        let known = match setting.key {
            Key::Publish => grammar::publish(value).map(|value| self.publish = value),
            Key::Address => grammar::addresses(value).map(|value| self.address = Some(value)),
            Key::AllowBind => grammar::allow_bind(value).map(|value| self.allow_bind = Some(value)),
            Key::AllowConnect => grammar::allow_connect(value).map(|value| self.allow_connect = Some(value)),
            Key::Ports => grammar::wanted(value).map(|value| self.wanted = value),
            Key::LowPorts => grammar::switch(value).map(|value| self.low_ports = value),
            Key::Diagnose => grammar::switch(value).map(|value| self.diagnose = value),
            Key::Counters => grammar::switch(value).map(|value| (self.counters, self.counters_asked) = (value, value)),
            Key::Guard => grammar::switch(value).map(|value| self.guard = value),
            Key::AbstractSockets => grammar::switch(value).map(|value| self.no_abstract_sockets = !value),
        };
        known.ok_or_else(|| setting.refuse(format!("is no value of {}", setting.key.name()), setting.key.grammar()))
    }

    /// What is understood and still cannot be.
    fn check(&self, setting: &Setting, facts: &NetFacts) -> Result<(), Refused> {
        let rules = match setting.key {
            Key::Publish => self.publish.rules.len(),
            Key::AllowBind => self.allow_bind.as_ref().map_or(0, Vec::len),
            Key::AllowConnect => self.allow_connect.as_ref().map_or(0, Vec::len),
            _ => 0,
        };
        if rules > MAX_RULES {
            let remedy = format!("use at most {MAX_RULES}, with ranges");
            return Err(setting.refuse(format!("has {rules} rules, which are too many"), remedy));
        }
        if setting.key == Key::Publish {
            self.check_publish(setting)?;
        }
        let oldest = self.oldest_kernel(setting.key);
        if facts.kernel < oldest {
            let ((major, minor), (has_major, has_minor)) = (oldest, facts.kernel);
            let what = if setting.key == Key::AbstractSockets { "Landlock's scopes of " } else { "" };
            let problem = format!("needs {what}Linux {major}.{minor}, and this host runs {has_major}.{has_minor}");
            return Err(setting.refuse(problem, "use a newer kernel, or take the setting out"));
        }
        Ok(())
    }

    fn check_publish(&self, setting: &Setting) -> Result<(), Refused> {
        let addresses: BTreeSet<IpAddr> = self.publish.rules.iter().filter_map(|rule| rule.address).collect();
        if addresses.len() > MAX_ADDRESSES {
            let problem = format!("has {} addresses, which are too many", addresses.len());
            return Err(setting.refuse(problem, format!("use at most {MAX_ADDRESSES} different ones")));
        }
        for (index, rule) in self.publish.rules.iter().enumerate() {
            let others = self.publish.rules[..index].iter().filter(|other| other.protocol == rule.protocol);
            for other in others.filter(|other| !other.is_twin_of(rule)) {
                let twice = match (rule.inside.overlaps(other.inside), rule.host.overlaps(other.host)) {
                    (true, _) => rule.inside,
                    (_, true) => rule.host,
                    _ => continue,
                };
                let remedy = "publish each port of the container once, at a port of its own; the same ports may be at an \
                              IPv4 and at an IPv6 address";
                return Err(setting.refuse(format!("has port {} twice", twice.first), remedy));
            }
            if self.address.is_some() && rule.address.is_some() {
                let problem = "has an address, and so has the setting address";
                return Err(setting.refuse(problem, "take one of the addresses out"));
            }
        }
        Ok(())
    }

    /// An image may move ports and addresses by its environment, but not to where a list of somebody else's does not lead.
    fn keep_environment_to_lists(&mut self, settings: &[Setting]) -> Result<(), Refused> {
        let is = |key, of_image| {
            let from_environment = |setting: &Setting| setting.source == Source::Environment;
            settings.iter().find(|setting| setting.key == key && from_environment(setting) == of_image)
        };
        let (publish, address) = (is(Key::Publish, true), is(Key::Address, true));
        self.list_holds_where_moved =
            is(Key::AllowConnect, false).is_some() && (publish.is_some() || address.is_some());
        let (Some(publish), Some(_), Some(list)) = (publish, is(Key::AllowBind, false), &self.allow_bind) else {
            return Ok(());
        };
        for rule in &self.publish.rules {
            let allowed = list.iter().filter(|allowed| allowed.protocol.is_none_or(|named| named == rule.protocol));
            if !merged(allowed.map(|allowed| allowed.ports)).iter().any(|range| range.contains(rule.host)) {
                let PortRange { first, last } = rule.host;
                let ports = if first == last { format!("port {first}") } else { format!("ports {first}-{last}") };
                let problem = format!("leads to {ports}/{}, which allow-bind does not list", rule.protocol);
                return Err(publish.refuse(problem, "publish at a listed port, or by an annotation or argument"));
            }
        }
        Ok(())
    }

    /// The ports that were asked for where the host sees them, and all that are published. What `auto` may move need not be
    /// free.
    fn wanted_on_host(&self) -> Vec<WantedPorts> {
        let own = self.address.and_then(|own| own.v4.map(IpAddr::V4).or_else(|| own.v6.map(IpAddr::V6)));
        let rules = &self.publish.rules;
        let published = rules.iter().map(|rule| WantedPorts {
            address: rule.address.or(own),
            ports: rule.host,
            protocol: rule.protocol,
        });
        let moved = |wanted: &&WantedPorts| {
            self.publish.auto
                || rules.iter().any(|rule| rule.protocol == wanted.protocol && rule.inside.overlaps(wanted.ports))
        };
        let others = self.wanted.iter().filter(|wanted| !moved(wanted));
        others.map(|wanted| WantedPorts { address: own, ..*wanted }).chain(published).collect()
    }

    /// The oldest kernel that can do what a key asks for.
    fn oldest_kernel(&self, key: Key) -> (u32, u32) {
        match key {
            Key::Address => OLDEST_WITH_ERRORS,
            Key::Publish if self.publish.rules.iter().any(|rule| rule.address.is_some()) => OLDEST_WITH_ERRORS,
            Key::AbstractSockets if self.no_abstract_sockets => OLDEST_WITH_SCOPES,
            Key::Publish | Key::AllowBind | Key::AllowConnect => OLDEST_KERNEL,
            Key::LowPorts if self.low_ports => OLDEST_KERNEL,
            Key::Counters if self.counters_asked => OLDEST_KERNEL,
            Key::Guard if self.guard => OLDEST_KERNEL,
            _ => (0, 0),
        }
    }

    /// The plan without what is in force only as long as the kernel can do it.
    #[must_use]
    pub fn essential(&self) -> NetPlan {
        NetPlan { diagnose: false, counters: self.counters_asked, ..self.clone() }
    }

    /// Whether it takes programs at all.
    #[must_use]
    pub fn takes_programs(&self) -> bool {
        let no_abstract_sockets = self.no_abstract_sockets;
        let nothing = NetPlan { wanted: self.wanted.clone(), no_abstract_sockets, ..NetPlan::default() };
        *self != nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    const HOST: NetFacts = NetFacts { host_network: true, kernel: (6, 1), privileged: true };

    fn setting(key: Key, value: &str, source: Source) -> Setting {
        Setting { key, value: value.to_owned(), source }
    }

    fn planned(settings: &[(Key, &str)], facts: &NetFacts) -> Result<NetPlan, String> {
        let settings: Vec<_> = settings.iter().map(|(key, value)| setting(*key, value, Source::Annotation)).collect();
        plan(&settings, facts).map(Option::unwrap_or_default).map_err(|refused| refused.to_string())
    }

    #[test]
    fn without_settings_there_are_counters_and_the_diagnosis_as_far_as_possible() {
        let plan = planned(&[], &HOST).unwrap();
        assert_eq!(plan, NetPlan { diagnose: true, counters: true, ..NetPlan::default() });
        assert!(!plan.essential().takes_programs());
        for facts in [NetFacts { privileged: false, ..HOST }, NetFacts { kernel: (5, 13), ..HOST }] {
            assert!(!planned(&[], &facts).unwrap().takes_programs());
        }
    }

    #[test]
    fn every_key_has_its_place_in_the_plan() {
        let plan = planned(
            &[
                (Key::Publish, "8080:80"),
                (Key::Address, "127.0.0.4"),
                (Key::AllowBind, "80"),
                (Key::AllowConnect, "none"),
                (Key::LowPorts, "on"),
                (Key::Ports, "443"),
                (Key::Diagnose, "off"),
                (Key::Counters, "on"),
                (Key::Guard, "on"),
                (Key::AbstractSockets, "off"),
            ],
            &NetFacts { kernel: OLDEST_WITH_SCOPES, ..HOST },
        )
        .unwrap();
        assert_eq!((plan.publish.rules.len(), plan.allow_bind.as_ref().map(Vec::len)), (1, Some(1)));
        assert!(plan.address.is_some() && plan.allow_connect == Some(Vec::new()));
        assert!(plan.low_ports && plan.guard && plan.no_abstract_sockets && !plan.diagnose && plan.counters_asked);
        let wanted: Vec<u16> = plan.wanted.iter().map(|wanted| wanted.ports.first).collect();
        assert_eq!(wanted, [443, 8080]);
        assert_eq!(plan.essential(), plan);
    }

    #[test]
    fn what_takes_no_program_takes_no_kernel() {
        let old = NetFacts { kernel: (5, 4), privileged: false, ..HOST };
        for key in [Key::LowPorts, Key::Diagnose, Key::Counters, Key::Guard] {
            assert!(!planned(&[(key, "off")], &old).unwrap().takes_programs(), "{key:?}");
        }
        for key in [Key::LowPorts, Key::Counters, Key::Guard] {
            assert!(planned(&[(key, "on")], &old).unwrap_err().contains("needs Linux 5.14"), "{key:?}");
        }
    }

    #[test]
    fn wanted_ports_are_those_of_the_host() {
        let wanted = |settings: &[(Key, &str)]| -> Vec<(Option<IpAddr>, u16)> {
            planned(settings, &HOST).unwrap().wanted.iter().map(|wanted| (wanted.address, wanted.ports.first)).collect()
        };
        let own = Some([127, 0, 0, 4].into());
        assert_eq!(wanted(&[(Key::Ports, "80,443"), (Key::Publish, "8080:80")]), [(None, 443), (None, 8080)]);
        assert_eq!(wanted(&[(Key::Ports, "80"), (Key::Address, "127.0.0.4")]), [(own, 80)]);
        assert_eq!(wanted(&[(Key::Ports, "80"), (Key::Publish, "auto,8443:443")]), [(None, 8443)]);
        let (v4, v6) = (Some([127, 0, 0, 1].into()), Some(Ipv6Addr::LOCALHOST.into()));
        let both = [(Key::Ports, "80"), (Key::Publish, "127.0.0.1:8080:80,[::1]:8081:80")];
        assert_eq!(wanted(&both), [(v4, 8080), (v6, 8081)]);
    }

    #[test]
    fn a_value_that_is_not_understood_is_refused_with_the_grammar() {
        for key in Key::ALL {
            let refused = planned(&[(key, "?")], &HOST).unwrap_err();
            assert!(refused.contains(&format!("\"?\" is no value of {}", key.name())), "{refused}");
            assert!(refused.contains(key.grammar()), "{refused}");
        }
    }

    #[test]
    fn ports_are_published_once() {
        let refused = |value: &str| planned(&[(Key::Publish, value)], &HOST).unwrap_err();
        assert!(refused("80:80,81:80").contains("has port 80 twice"));
        assert!(refused("80:80,80:81").contains("has port 80 twice"));
        assert!(refused("80-90:80-90,1085:85").contains("has port 85 twice"));
        assert!(planned(&[(Key::Publish, "80:80,80:80/udp")], &HOST).is_ok());
        for both in ["127.0.0.1:80:80,[::1]:80:80", "127.0.0.1:80:80,[::1]:81:80"] {
            assert!(planned(&[(Key::Publish, both)], &HOST).is_ok(), "{both}");
        }
        for once in ["[::1]:80:80,81:80", "[::1]:80:80,[::2]:81:80", "[::1]:80:80,127.0.0.1:80:81"] {
            assert!(refused(once).contains("has port 80 twice"), "{once}");
        }
        assert!(refused("[::1]:80-90:80-90,127.0.0.1:1085:85").contains("has port 85 twice"));
        let both = [(Key::Publish, "127.0.0.1:80:80"), (Key::Address, "127.0.0.4")];
        assert!(planned(&both, &HOST).unwrap_err().contains("take one of the addresses out"));
    }

    #[test]
    fn the_environment_moves_nothing_past_a_list_of_somebody_elses() {
        let planned = |publish: &str, from, list: &str, by| {
            let settings = [setting(Key::Publish, publish, from), setting(Key::AllowBind, list, by)];
            plan(&settings, &HOST).map(|_| ()).map_err(|refused| refused.to_string())
        };
        let (image, admin) = (Source::Environment, Source::Argument);
        let refused = planned("2222:8082", image, "8082", admin).unwrap_err();
        assert_eq!(
            refused,
            "config.json: /process/env: LIGHTSHIP_NET_PUBLISH=\"2222:8082\" leads to port 2222/tcp, which allow-bind \
             does not list (publish at a listed port, or by an annotation or argument)"
        );
        assert!(planned("90-99:80-89", image, "80-95", admin).unwrap_err().contains("ports 90-99/tcp"));
        assert!(planned("90:80", image, "90/udp,80", admin).is_err());
        for (publish, from, list, by) in [
            ("90-99:80-89", image, "80-94,95-99/tcp", admin),
            ("auto", image, "80", admin),
            ("2222:8082", image, "8082", image),
            ("2222:8082", admin, "8082", admin),
            ("2222:8082", Source::Annotation, "8082", admin),
        ] {
            assert_eq!(planned(publish, from, list, by), Ok(()), "{publish} {from:?} {list} {by:?}");
        }
        let twice = |key, value, from, by| {
            let settings = [setting(key, value, from), setting(Key::AllowConnect, "80", by)];
            plan(&settings, &HOST).unwrap().unwrap().list_holds_where_moved
        };
        for (key, value) in [(Key::Publish, "81:80"), (Key::Publish, "auto"), (Key::Address, "192.0.2.1")] {
            assert!(twice(key, value, image, admin) && twice(key, value, image, Source::Annotation));
            assert!(!twice(key, value, image, image) && !twice(key, value, admin, admin));
        }
    }

    #[test]
    fn too_many_rules_are_refused() {
        let list = |count: usize| (1..=count).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
        assert!(planned(&[(Key::AllowBind, &list(MAX_RULES))], &HOST).is_ok());
        assert!(planned(&[(Key::AllowBind, &list(MAX_RULES + 1))], &HOST).unwrap_err().contains("1001 rules"));
        let addresses = |count: usize| -> String {
            let rule = |n: usize| format!("10.0.{}.{}:{}:{}", n >> 8, n & 255, 1000 + n, 5000 + n);
            (0..count).map(rule).collect::<Vec<_>>().join(",")
        };
        let new = NetFacts { kernel: (5, 18), ..HOST };
        assert!(planned(&[(Key::Publish, &addresses(MAX_ADDRESSES))], &new).is_ok());
        let refused = planned(&[(Key::Publish, &addresses(MAX_ADDRESSES + 1))], &new).unwrap_err();
        assert!(
            refused.contains("has 129 addresses, which are too many (use at most 128 different ones)"),
            "{refused}"
        );
    }

    #[test]
    fn an_old_kernel_is_named() {
        let old = NetFacts { kernel: (5, 15), ..HOST };
        assert!(planned(&[(Key::Publish, "80:80")], &old).is_ok());
        for setting in [(Key::Address, "127.0.0.4"), (Key::Publish, "127.0.0.1:80:80")] {
            let refused = planned(&[setting], &old).unwrap_err();
            assert!(refused.contains("needs Linux 5.18, and this host runs 5.15"), "{refused}");
        }
    }

    #[test]
    fn abstract_sockets_are_in_reach_unless_landlock_says_otherwise() {
        let key = Key::AbstractSockets;
        assert!(!planned(&[(key, "on")], &HOST).unwrap().no_abstract_sockets);
        let refused = planned(&[(key, "off")], &NetFacts { kernel: (6, 11), ..HOST }).unwrap_err();
        assert!(refused.contains("needs Landlock's scopes of Linux 6.12, and this host runs 6.11"), "{refused}");
        let user = NetFacts { kernel: (6, 12), privileged: false, ..HOST };
        let plan = planned(&[(key, "off")], &user).unwrap();
        assert!(plan.no_abstract_sockets && !plan.takes_programs());
    }

    #[test]
    fn another_network_has_no_use_for_settings_of_its_own() {
        let bridged = NetFacts { host_network: false, ..HOST };
        for source in [Source::Annotation, Source::Environment] {
            let refused = plan(&[setting(Key::Publish, "80:80", source)], &bridged).unwrap_err().to_string();
            assert!(refused.contains("is for containers that share the host's network"), "{refused}");
        }
        assert_eq!(plan(&[setting(Key::Publish, "80:80", Source::Argument)], &bridged), Ok(None));
    }
}
