//! `lightship ports`: who holds which port of the host.

use std::num::NonZero;
use std::time::Duration;

use engine::{Change, Port};
use serde::Serialize;

use super::Verb;
use crate::args::{Argument, Arguments, positional, switch};
use crate::global::Global;
use crate::{Error, output};

pub(super) const VERB: Verb =
    Verb { name: "ports", about: "tell who holds which port", arguments: &[&[JSON, WATCH, PORT]], run };

/// How often the ports are read again: as quick as an answer must be for somebody who looks on.
const INTERVAL: Duration = Duration::from_millis(250);

const JSON: Argument = switch("json", "print JSON: an array, and with --watch an object for each change");
const WATCH: Argument = switch("watch", "print each change as well, at most a quarter of a second later");
const PORT: Argument = positional("PORT", "this port alone [default: every port that somebody listens on]");

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let port = |text: &str| text.parse::<NonZero<u16>>().map_err(|_| "want a port from 1 to 65535");
    let port = arguments.parse(&PORT, port)?.map(NonZero::get);
    let json = arguments.flag(&JSON);
    if arguments.flag(&WATCH) {
        let mut printed = Ok(());
        global.runtime().watch_ports(port, INTERVAL, &mut |change, port| {
            printed = print_change(change, port, json);
            printed.is_ok()
        })?;
        return printed.map(|()| 0);
    }
    let ports = global.runtime().ports(port)?;
    match json {
        true => output::print_json(&ports)?,
        false => output::print(table(&ports).as_bytes())?,
    }
    Ok(0)
}

fn table(ports: &[Port]) -> String {
    let heading = ["PROTOCOL", "ADDRESS", "PORT", "CONTAINER", "PID", "PROCESS", "INSIDE"];
    output::table(heading, ports.iter().map(row))
}

fn row(port: &Port) -> [String; 7] {
    // Who may not look at a process is not told whether it is in a container.
    let stranger = if port.pid.is_some() { "not a container" } else { "unknown" };
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    [
        port.protocol.clone(),
        port.address.clone(),
        port.port.to_string(),
        port.container_name.clone().unwrap_or_else(|| stranger.to_owned()),
        or_dash(port.pid.map(|pid| pid.to_string())),
        // A process names itself as it likes.
        or_dash(port.process.as_ref().map(|name| name.escape_debug().to_string())),
        or_dash(port.inside_port.map(|port| port.to_string())),
    ]
}

/// One line for a change: `+` or `-` and the row of the table, or an object with one member more.
fn print_change(change: Change, port: &Port, json: bool) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Changed<'a> {
        change: Change,
        #[serde(flatten)]
        port: &'a Port,
    }
    if json {
        return output::print_json_line(&Changed { change, port });
    }
    let sign = match change {
        Change::Opened => '+',
        Change::Closed => '-',
    };
    output::print(format!("{sign} {}\n", row(port).join("  ")).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> Port {
        Port {
            protocol: "tcp".into(),
            address: "0.0.0.0".into(),
            port: 8080,
            container: Some("3d3718e30a4e5b6c".into()),
            pid: Some(13232),
            process: Some("ngi\u{1b}nx".into()),
            inside_port: Some(80),
            container_name: Some("3d3718e30a4e (web1)".into()),
        }
    }

    #[test]
    fn a_row_says_what_is_known() {
        let host = Port { container: None, container_name: None, inside_port: None, ..port() };
        let unseen = Port { pid: None, process: None, ..host.clone() };
        assert_eq!(
            table(&[port(), host, unseen]),
            "PROTOCOL    ADDRESS     PORT        CONTAINER             PID         PROCESS       INSIDE\n\
             tcp         0.0.0.0     8080        3d3718e30a4e (web1)   13232       ngi\\u{1b}nx   80\n\
             tcp         0.0.0.0     8080        not a container       13232       ngi\\u{1b}nx   -\n\
             tcp         0.0.0.0     8080        unknown               -           -             -\n"
        );
    }

    #[test]
    fn json_has_the_seven_members() {
        assert_eq!(
            serde_json::to_string(&port()).unwrap(),
            "{\"protocol\":\"tcp\",\"address\":\"0.0.0.0\",\"port\":8080,\"container\":\"3d3718e30a4e5b6c\",\
             \"pid\":13232,\"process\":\"ngi\\u001bnx\",\"inside_port\":80}"
        );
    }
}
