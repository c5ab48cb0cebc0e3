//! `hooks`: programs run at six points of the container's life (config.md, POSIX-platform Hooks).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::json;

/// The hooks of a container, each list run in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Deprecated but in use (Docker's bridge network): runtime namespace, as part of create, before `createRuntime`.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub prestart: Vec<Hook>,
    /// Runtime namespace, as part of create, namespaces made, before the root is changed.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub create_runtime: Vec<Hook>,
    /// Container namespace, as part of create, before the root is changed.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub create_container: Vec<Hook>,
    /// Container namespace, as part of start, before the process is executed.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub start_container: Vec<Hook>,
    /// Runtime namespace, after the process was executed, before `start` returns.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// Runtime namespace, after the container was deleted, before `delete` returns.
    #[serde(default, deserialize_with = "json::objects", skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// One hook program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hook {
    /// Absolute path of the program.
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub path: PathBuf,
    /// `argv`, the program's name included, as for execv(3).
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The environment, `NAME=value` each; nothing is inherited.
    #[serde(default, deserialize_with = "json::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Seconds until the hook is aborted; greater than zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

impl Hooks {
    /// The names of the hook points, in the order they run.
    pub const NAMES: [&'static str; 6] =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

    /// Every hook point with its name in config.json, in the order they run.
    pub fn points(&self) -> [(&'static str, &[Hook]); 6] {
        [
            ("prestart", &self.prestart),
            ("createRuntime", &self.create_runtime),
            ("createContainer", &self.create_container),
            ("startContainer", &self.start_container),
            ("poststart", &self.poststart),
            ("poststop", &self.poststop),
        ]
    }

    /// Whether there is no hook at all.
    pub fn is_empty(&self) -> bool {
        self.points().iter().all(|(_, hooks)| hooks.is_empty())
    }
}
