//! `lightship spec`: write a config.json to begin with.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::Verb;
use crate::Error;
use crate::args::{Argument, Arguments, path_option, switch};
use crate::global::Global;

pub(super) const VERB: Verb =
    Verb { name: "spec", about: "write a config.json to begin with", arguments: &[&[BUNDLE, ROOTLESS]], run };

/// A shell with few capabilities, none of them inheritable, in its own namespaces.
const CONFIG: &str = include_str!("spec.json");

const BUNDLE: Argument = path_option("bundle", "the directory to write it in [default: .]").short('b');
const ROOTLESS: Argument = switch("rootless", "for a caller who is not root");

fn run(_: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let config = if arguments.flag(&ROOTLESS) {
        rootless(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())?
    } else {
        CONFIG.to_owned()
    };
    let file = arguments.path(&BUNDLE).unwrap_or_default().join("config.json");
    write_new(&file, &config).map_err(|error| Error::File { verb: "write", path: file, error: error.into() })?;
    Ok(0)
}

/// Writes a file that must not exist yet.
fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(file)?.write_all(text.as_bytes())
}

/// [`CONFIG`] for the user `uid`: root inside is the caller outside, the network is the host's, and nothing asks
/// for what only root may do.
fn rootless(uid: u32, gid: u32) -> Result<String, Error> {
    let mut config: Value = serde_json::from_str(CONFIG)?;
    let linux = &mut config["linux"];
    linux["uidMappings"] = json!([{ "containerID": 0, "hostID": uid, "size": 1 }]);
    linux["gidMappings"] = json!([{ "containerID": 0, "hostID": gid, "size": 1 }]);
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
    }
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({ "type": "user" }));
    }
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        // A new sysfs needs a network namespace of the same user namespace.
        if mount["destination"] == "/sys" {
            *mount = json!({
                "destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
            });
        }
        if let Some(options) = mount["options"].as_array_mut() {
            // The group tty has no id inside.
            options.retain(|option| option.as_str().is_none_or(|option| !option.starts_with("gid=")));
        }
    }
    Ok(serde_json::to_string_pretty(&config)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_has_no_inheritable_capabilities() {
        let config: Value = serde_json::from_str(CONFIG).unwrap();
        assert!(config["process"]["capabilities"]["bounding"].is_array());
        assert!(config["process"]["capabilities"].get("inheritable").is_none());
    }

    #[test]
    fn the_rootless_config_maps_the_caller() {
        let config: Value = serde_json::from_str(&rootless(1000, 1001).unwrap()).unwrap();
        assert_eq!(config.pointer("/linux/uidMappings/0/hostID"), Some(&json!(1000)));
        assert_eq!(config.pointer("/linux/gidMappings/0/hostID"), Some(&json!(1001)));
        let text = config.to_string();
        assert!(!text.contains("gid=") && !text.contains("\"sysfs\"") && !text.contains("\"network\""));
        assert!(text.contains("{\"type\":\"user\"}") && !text.contains("\"resources\""));
    }
}
