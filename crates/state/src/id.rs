//! The container id: the only word from outside that becomes a directory's name.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest id, in bytes. File systems allow less in a directory's name, mostly 255: a longer id is a valid id of
/// a container that cannot exist here, which `begin` refuses with the limit and every other command does not find.
const LONGEST: usize = 1024;

/// A valid container id: `[A-Za-z0-9_+.-]{1,1024}`, neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// Checks `id`.
    pub fn parse(id: &str) -> Result<ContainerId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-".contains(&byte);
        if (1..=LONGEST).contains(&id.len()) && id.bytes().all(allowed) && id != "." && id != ".." {
            return Ok(ContainerId(id.to_owned()));
        }
        Err(Error::InvalidId { id: id.chars().take(64).collect() })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = Error;

    fn try_from(id: String) -> Result<ContainerId> {
        ContainerId::parse(&id)
    }
}

impl std::str::FromStr for ContainerId {
    type Err = Error;

    fn from_str(id: &str) -> Result<ContainerId> {
        ContainerId::parse(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_engines_use() {
        for id in ["a", "0123abc", "buildah-buildah1626364256", "a_b+c.d-e", "...", ".hidden", "-x", &"a".repeat(1024)]
        {
            assert_eq!(ContainerId::parse(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn refuses_paths_and_the_rest() {
        for id in ["", ".", "..", "/", "a/b", "../a", "a b", "a\n", "a\0", "é", "~x", "a:b", &"a".repeat(1025)] {
            assert!(ContainerId::parse(id).unwrap_err().to_string().starts_with("invalid container id"), "{id:?}");
            assert!(serde_json::from_value::<ContainerId>(id.into()).is_err(), "{id:?}");
        }
    }
}
