//! `lightship list`: the containers below the root.

use super::Verb;
use crate::args::{Argument, Arguments, option, switch};
use crate::global::Global;
use crate::{Error, output};
use engine::Listed;

pub(super) const VERB: Verb = Verb { name: "list", about: "list containers", arguments: &[&[FORMAT, QUIET]], run };

pub(super) const FORMAT: Argument = option("format", "FORMAT", "table or json").short('f').values(&["table", "json"]);
const QUIET: Argument = switch("quiet", "print only the names").short('q');

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let mut containers = global.runtime().list()?;
    containers.retain(|container| match &container.error {
        None => true,
        Some(error) => {
            log::warn!("container {}: {error}", container.id);
            false
        }
    });
    if arguments.flag(&QUIET) {
        output::print(containers.iter().map(|container| format!("{}\n", container.id)).collect::<String>().as_bytes())?;
    } else if arguments.text(&FORMAT) == Some("json") {
        output::print_json_line(&containers)?;
    } else {
        output::print(table(&containers).as_bytes())?;
    }
    Ok(0)
}

fn table(containers: &[Listed]) -> String {
    let row = |container: &Listed| {
        [
            container.id.clone(),
            container.pid.to_string(),
            container.status.clone(),
            container.bundle.display().to_string(),
            container.created.clone(),
            container.owner.clone(),
        ]
    };
    output::table(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], containers.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let container = Listed {
            id: "a-rather-long-name".into(),
            pid: 42,
            status: "running".into(),
            bundle: "/bundle".into(),
            rootfs: "/bundle/rootfs".into(),
            created: "2026-01-01T00:00:00Z".into(),
            owner: "root".into(),
            annotations: std::collections::BTreeMap::new(),
            error: None,
        };
        assert_eq!(
            table(&[container]),
            "ID                   PID         STATUS      BUNDLE      CREATED                OWNER\n\
             a-rather-long-name   42          running     /bundle     2026-01-01T00:00:00Z   root\n"
        );
        assert_eq!(table(&[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    }
}
