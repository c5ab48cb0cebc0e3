//! Where settings come from: annotations, before arguments of the runtime, before the environment of the container's process.
//!
//! An image can set the environment, so that may move ports and take rights away, and never give any.

use serde::{Deserialize, Serialize};
use spec::{Refusal, Spec};

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// Ports that the host sees elsewhere.
    Publish,
    /// The addresses that the container is confined to.
    Address,
    /// All ports that it may bind.
    AllowBind,
    /// All that it may connect and send to.
    AllowConnect,
    /// Ports below 1024 need no capability.
    LowPorts,
    /// Ports that must be free when the container is created.
    Ports,
    /// Failed attempts to bind a port are explained.
    Diagnose,
    /// What is sent and received is counted.
    Counters,
    /// The host's network settings cannot be changed.
    Guard,
    /// The host's abstract unix sockets can be connected to.
    AbstractSockets,
}

impl Key {
    /// All of them, in the order of the help.
    pub const ALL: [Key; 10] = [
        Key::Publish,
        Key::Address,
        Key::AllowBind,
        Key::AllowConnect,
        Key::LowPorts,
        Key::Ports,
        Key::Diagnose,
        Key::Counters,
        Key::Guard,
        Key::AbstractSockets,
    ];

    /// The name of the runtime's argument, without its dashes.
    #[must_use]
    pub const fn argument(self) -> &'static str {
        match self {
            Key::Publish => "net-publish",
            Key::Address => "net-address",
            Key::AllowBind => "net-allow-bind",
            Key::AllowConnect => "net-allow-connect",
            Key::LowPorts => "net-low-ports",
            Key::Ports => "net-ports",
            Key::Diagnose => "net-diagnose",
            Key::Counters => "net-counters",
            Key::Guard => "net-guard",
            Key::AbstractSockets => "net-abstract-sockets",
        }
    }

    /// The name by itself, as in annotations.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.argument().trim_start_matches("net-")
    }

    /// What it does, in one line.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Key::Publish => "ports that the host sees elsewhere",
            Key::Address => "the addresses that containers are confined to",
            Key::AllowBind => "all ports that may be bound",
            Key::AllowConnect => "all that may be connected and sent to",
            Key::LowPorts => "whether ports below 1024 need no capability",
            Key::Ports => "ports that must be free at create",
            Key::Diagnose => "whether failed attempts to bind a port are explained [default: on]",
            Key::Counters => "whether traffic is counted [default: on]",
            Key::Guard => "whether the host's network settings are out of reach",
            Key::AbstractSockets => "whether the host's abstract unix sockets are in reach [default: on]",
        }
    }

    /// The name in the environment, behind the prefix.
    fn variable(self) -> String {
        self.name().replace('-', "_").to_uppercase()
    }

    /// What its values look like.
    #[must_use]
    pub fn grammar(self) -> &'static str {
        match self {
            Key::Publish => "[ADDRESS:]HOSTPORT[-LAST]:PORT[-LAST][/tcp|/udp], several with commas, or auto",
            Key::Address => "one IPv4 address, one IPv6 address, or both with a comma",
            Key::AllowBind => "PORT[-LAST][/tcp|/udp], several with commas, or none",
            Key::AllowConnect => {
                "ADDRESS[/BITS], PORT[-LAST] or ADDRESS[/BITS]:PORT[-LAST], with IPv6 addresses in brackets, each with \
                 [/tcp|/udp], several with commas, or none"
            }
            Key::Ports => "PORT[-LAST][/tcp|/udp], several with commas",
            Key::LowPorts | Key::Diagnose | Key::Counters | Key::Guard | Key::AbstractSockets => "on or off",
        }
    }

    /// The value that would give the container what it has not without it, and that the environment therefore must not have.
    fn grant(self) -> Option<&'static str> {
        match self {
            Key::LowPorts | Key::AbstractSockets => Some("on"),
            Key::Counters | Key::Guard => Some("off"),
            _ => None,
        }
    }
}

/// Where a setting comes from, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `annotations` of config.json: whoever runs the container.
    Annotation,
    /// An argument of the runtime: whoever runs the host, for all containers.
    Argument,
    /// `process.env` of config.json: whoever runs the container, or made its image.
    Environment,
}

impl Source {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Source::Annotation => "annotation",
            Source::Argument => "argument",
            Source::Environment => "environment",
        }
    }
}

/// A key with its value, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// What is set.
    pub key: Key,
    /// To what.
    pub value: String,
    /// By whom.
    pub source: Source,
}

/// Why the settings are not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// One in config.json.
    #[error(transparent)]
    Spec(#[from] Refusal),
    /// One of the runtime's arguments.
    #[error("{}", .0.in_document("runtime arguments"))]
    Argument(Refusal),
}

const ANNOTATION: &str = "io.lightship.net.";
const VARIABLE: &str = "LIGHTSHIP_NET_";

impl Setting {
    /// Refuses the setting.
    #[must_use]
    pub fn refuse(&self, problem: impl Into<String>, remedy: impl Into<String>) -> Refused {
        let Setting { key, value, source } = self;
        let (name, problem, remedy) = (key.name(), problem.into(), remedy.into());
        match source {
            Source::Annotation => {
                let pointer = format!("/annotations/{ANNOTATION}{name}");
                Refusal::new(pointer, format!("{value:?} {problem}"), remedy).into()
            }
            Source::Argument => {
                let pointer = format!("--{}", key.argument());
                Refused::Argument(Refusal::new(pointer, format!("{value:?} {problem}"), remedy))
            }
            Source::Environment => {
                let variable = key.variable();
                Refusal::new("/process/env", format!("{VARIABLE}{variable}={value:?} {problem}"), remedy).into()
            }
        }
    }
}

/// The setting of each key that counts. `arguments` are those of the runtime.
///
/// # Errors
/// An unknown key, or a value that its source must not give.
pub fn read(spec: &Spec, arguments: &[(Key, String)]) -> Result<Vec<Setting>, Refused> {
    let mut settings = annotations(spec)?;
    let arguments = arguments.iter().map(|(key, value)| (*key, value.clone(), Source::Argument));
    let mut weaker: Vec<_> = arguments.collect();
    weaker.extend(environment(spec)?);
    for (key, value, source) in weaker {
        if settings.iter().all(|setting| setting.key != key) {
            settings.push(Setting { key, value, source });
        }
    }
    settings.sort_unstable_by_key(|setting| setting.key);
    for setting in settings.iter().filter(|setting| setting.source == Source::Environment) {
        if setting.key.grant() == Some(setting.value.as_str()) {
            return Err(setting.refuse(
                "cannot be set by the environment, which an image can set as well",
                "use an annotation or an argument of the runtime",
            ));
        }
    }
    Ok(settings)
}

fn annotations(spec: &Spec) -> Result<Vec<Setting>, Refused> {
    let ours = spec.annotations.iter().filter_map(|(name, value)| Some((name.strip_prefix(ANNOTATION)?, value)));
    ours.map(|(name, value)| match Key::ALL.into_iter().find(|key| key.name() == name) {
        Some(key) => Ok(Setting { key, value: value.clone(), source: Source::Annotation }),
        None => Err(unknown(&format!("/annotations/{ANNOTATION}{name}"))),
    })
    .collect()
}

/// The variables of the process; the last one of a name is the one that the process sees.
fn environment(spec: &Spec) -> Result<Vec<(Key, String, Source)>, Refused> {
    let variables = spec.process.iter().flat_map(|process| process.env.iter().rev());
    let ours = variables.filter_map(|variable| variable.strip_prefix(VARIABLE)?.split_once('='));
    ours.map(|(name, value)| match Key::ALL.into_iter().find(|key| key.variable() == name) {
        Some(key) => Ok((key, value.to_owned(), Source::Environment)),
        None => Err(unknown(&format!("/process/env: {VARIABLE}{name}"))),
    })
    .collect()
}

fn unknown(pointer: &str) -> Refused {
    let names: Vec<&str> = Key::ALL.into_iter().map(Key::name).collect();
    Refusal::new(pointer, "is no setting of host networking", format!("there are {}", names.join(", "))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(annotations: &str, env: &str) -> Spec {
        let config = format!(
            r#"{{"ociVersion":"1.3.0","annotations":{{{annotations}}},"process":{{"cwd":"/","args":["a"],"env":[{env}]}}}}"#
        );
        Spec::from_bytes(config.as_bytes()).unwrap()
    }

    fn values(settings: &[Setting]) -> Vec<(Key, &str, Source)> {
        settings.iter().map(|setting| (setting.key, setting.value.as_str(), setting.source)).collect()
    }

    #[test]
    fn the_strongest_source_counts() {
        let spec = spec(
            r#""io.lightship.net.publish":"1:1","other":"x""#,
            r#""LIGHTSHIP_NET_PUBLISH=3:3","LIGHTSHIP_NET_ALLOW_BIND=80","LIGHTSHIP_NET_ADDRESS=a","PATH=/bin","LIGHTSHIP_NET_ALLOW_BIND=81""#,
        );
        let arguments = [(Key::Publish, "2:2".to_owned()), (Key::Address, "b".to_owned())];
        let expected = [
            (Key::Publish, "1:1", Source::Annotation),
            (Key::Address, "b", Source::Argument),
            (Key::AllowBind, "81", Source::Environment),
        ];
        assert_eq!(values(&read(&spec, &arguments).unwrap()), expected);
    }

    #[test]
    fn the_environment_gives_nothing() {
        for (variable, allowed) in [
            ("LOW_PORTS=on", false),
            ("LOW_PORTS=off", true),
            ("GUARD=off", false),
            ("GUARD=on", true),
            ("COUNTERS=off", false),
            ("DIAGNOSE=off", true),
            ("ABSTRACT_SOCKETS=on", false),
            ("ABSTRACT_SOCKETS=off", true),
        ] {
            let settings = read(&spec("", &format!("\"LIGHTSHIP_NET_{variable}\"")), &[]);
            assert_eq!(settings.is_ok(), allowed, "{variable}");
        }
        let guard = [(Key::Guard, "on".to_owned())];
        let settings = read(&spec("", r#""LIGHTSHIP_NET_GUARD=off""#), &guard).unwrap();
        assert_eq!(values(&settings), [(Key::Guard, "on", Source::Argument)]);
    }

    #[test]
    fn a_name_that_does_not_exist_is_refused() {
        let refused = read(&spec(r#""io.lightship.net.publsh":"80:80""#, ""), &[]).unwrap_err().to_string();
        assert!(refused.starts_with("config.json: /annotations/io.lightship.net.publsh: is no setting"), "{refused}");
        for name in ["NOPE", "publish", "ALLOW-BIND"] {
            assert!(read(&spec("", &format!("\"LIGHTSHIP_NET_{name}=1\"")), &[]).is_err(), "{name}");
        }
    }

    #[test]
    fn a_refusal_names_place_value_and_remedy() {
        let setting = |source| Setting { key: Key::LowPorts, value: "yes".to_owned(), source };
        let text = |source| setting(source).refuse("is wrong", "say on").to_string();
        assert_eq!(
            text(Source::Annotation),
            "config.json: /annotations/io.lightship.net.low-ports: \"yes\" is wrong (say on)"
        );
        assert_eq!(text(Source::Argument), "runtime arguments: --net-low-ports: \"yes\" is wrong (say on)");
        assert_eq!(
            text(Source::Environment),
            "config.json: /process/env: LIGHTSHIP_NET_LOW_PORTS=\"yes\" is wrong (say on)"
        );
    }
}
