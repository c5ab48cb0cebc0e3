//! `lightship net`: a container's network, its settings in force and its traffic, on one page.

use std::fmt::Write;

use engine::{NetworkDocument, Port};

use super::Verb;
use crate::args::{ANY, Argument, Arguments, switch};
use crate::global::Global;
use crate::{Error, output};

pub(super) const VERB: Verb =
    Verb { name: "net", about: "print what a container's network is", arguments: &[&[JSON, ANY]], run };

const JSON: Argument = switch("json", "print it as JSON");

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let (runtime, id) = global.locate(arguments.container())?;
    let network = runtime.network(&id)?;
    if arguments.flag(&JSON) {
        output::print_json(&network)?;
    } else {
        output::print(page(&network).as_bytes())?;
    }
    Ok(0)
}

fn page(network: &NetworkDocument) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(page, "{name:<12}{value}");
    };
    line("mode", &format!("{} ({})", network.mode, network.found));
    if let Some(path) = &network.path {
        line("path", &path.display().to_string());
    }
    line("interfaces", &network.interfaces.join(" "));
    for port in &network.ports {
        line("port", &listening(port));
    }
    for setting in &network.settings {
        line("setting", &format!("{}={} ({})", setting.key.name(), setting.value, setting.source.name()));
    }
    if network.mode == "host" {
        line("diagnosis", if network.diagnose { "on" } else { "off" });
    }
    match &network.counters {
        Some(counters) => {
            for (name, traffic) in [("received", counters.received), ("sent", counters.sent)] {
                line(name, &format!("{} bytes, {} packets", traffic.bytes, traffic.packets));
            }
        }
        None if network.counted => line("counters", "cannot be read"),
        None if network.mode == "host" => line("counters", "off"),
        None => {}
    }
    page
}

/// `tcp 0.0.0.0:8080, 80 inside`
fn listening(port: &Port) -> String {
    let inside = port.inside_port.filter(|inside| *inside != port.port);
    let inside = inside.map_or_else(String::new, |inside| format!(", {inside} inside"));
    match port.address.contains(':') {
        true => format!("{} [{}]:{}{inside}", port.protocol, port.address, port.port),
        false => format!("{} {}:{}{inside}", port.protocol, port.address, port.port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostnet::config::{Key, Setting, Source};
    use hostnet::programs::{Counters, Traffic};

    #[test]
    fn the_page_has_a_line_for_each_fact() {
        let traffic = Traffic { bytes: 1234, packets: 5 };
        let network = NetworkDocument {
            id: "web".into(),
            mode: "host",
            found: "config.json has no network namespace",
            path: None,
            interfaces: vec!["lo".into(), "eth0".into()],
            ports: vec![Port {
                protocol: "tcp".into(),
                address: "::".into(),
                port: 8080,
                container: Some("web".into()),
                pid: Some(7),
                process: Some("nginx".into()),
                inside_port: Some(80),
                container_name: None,
            }],
            settings: vec![Setting { key: Key::Publish, value: "8080:80".into(), source: Source::Environment }],
            diagnose: true,
            counted: true,
            counters: Some(Counters { received: traffic, sent: Traffic::default() }),
        };
        let expected = "mode        host (config.json has no network namespace)\n\
                        interfaces  lo eth0\n\
                        port        tcp [::]:8080, 80 inside\n\
                        setting     publish=8080:80 (environment)\n\
                        diagnosis   on\n";
        let counters = "received    1234 bytes, 5 packets\n\
                        sent        0 bytes, 0 packets\n";
        assert_eq!(page(&network), [expected, counters].concat());
        let unreadable = NetworkDocument { counters: None, ..network };
        assert_eq!(page(&unreadable), [expected, "counters    cannot be read\n"].concat());
        let without = NetworkDocument { diagnose: false, counted: false, ..unreadable };
        assert!(page(&without).ends_with("diagnosis   off\ncounters    off\n"));
        let own = NetworkDocument { mode: "own", ..without };
        assert!(page(&own).ends_with("(environment)\n"));
    }
}
