//! What is stored with a container about its network, for later commands.

use serde::{Deserialize, Serialize};

use crate::config::{Key, Setting};

/// What is in force for a container in the host's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetRecord {
    /// The settings that counted.
    pub settings: Vec<Setting>,
    /// Whether failed binds are explained.
    #[serde(default)]
    pub diagnose: bool,
    /// Whether traffic is counted.
    #[serde(default)]
    pub counters: bool,
}

impl NetRecord {
    /// Whether the container may not change the host's network settings.
    #[must_use]
    pub fn guards(&self) -> bool {
        self.has(Key::Guard, "on")
    }

    /// Whether the container may not connect to the host's abstract unix sockets.
    #[must_use]
    pub fn denies_abstract_sockets(&self) -> bool {
        self.has(Key::AbstractSockets, "off")
    }

    /// The setting of a key, if there is one.
    #[must_use]
    pub fn setting(&self, key: Key) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    fn has(&self, key: Key, value: &str) -> bool {
        self.setting(key).is_some_and(|setting| setting.value == value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_an_older_version_is_read() {
        let record: NetRecord = serde_json::from_str(r#"{ "settings": [], "extras": true }"#).unwrap();
        assert_eq!(record, NetRecord::default());
    }
}
