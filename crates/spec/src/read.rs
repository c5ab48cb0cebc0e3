//! From bytes to types, and from a parser's complaint to a line that a person can act on.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::json::{Object, object_or_default};
use crate::refusal::token;
use crate::seccomp::Seccomp;
use crate::{Hooks, Linux, Process, Refusal, Resources, Spec, version};

/// The largest document that is read, in bytes. Real configurations have some tens of KB.
pub const MAX_SIZE: usize = 16 << 20;

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ReadError {
    /// Which document: `config.json`, `process.json` or `resources`.
    pub document: &'static str,
    /// The place, as a JSON pointer (RFC 6901); empty for the document as a whole.
    pub pointer: String,
    /// What is wrong there: lower case, no full stop.
    pub problem: String,
    /// Line and column, from 1, where they say more than the pointer.
    pub position: Option<(usize, usize)>,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_document(self.document))
    }
}

impl ReadError {
    /// The text with another name for the document, such as its path.
    pub fn in_document(&self, document: &str) -> String {
        let pointer = if self.pointer.is_empty() { String::new() } else { format!("{}: ", self.pointer) };
        let position = self.position.map(|(line, column)| format!(" (line {line}, column {column})"));
        format!("{document}: {pointer}{}{}", self.problem, position.unwrap_or_default())
    }
}

/// For a part that is read at plan time only, the seccomp profile.
impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::new(error.pointer, error.problem, "")
    }
}

impl Spec {
    /// Reads a config.json and checks `ociVersion`.
    ///
    /// # Errors
    /// Anything that is not a JSON object of at most [`MAX_SIZE`] bytes with properties of the right types and an
    /// `ociVersion` of 1.x; a NUL character in a string outside `annotations`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        const DOCUMENT: &str = "config.json";
        let spec: Self = read(DOCUMENT, bytes)?;
        match version::problem(&spec.oci_version) {
            None => Ok(spec),
            Some(problem) => {
                Err(ReadError { document: DOCUMENT, pointer: "/ociVersion".to_owned(), problem, position: None })
            }
        }
    }
}

impl Hooks {
    /// Reads the hooks of a config.json alone, which takes half the time. It is for one that was read as a whole before.
    ///
    /// # Errors
    /// As [`Spec::from_bytes`], but that the rest need only be JSON.
    pub fn of_config(bytes: &[u8]) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Config {
            #[serde(default, deserialize_with = "object_or_default")]
            hooks: Hooks,
        }
        read("config.json", bytes).map(|config: Config| config.hooks)
    }
}

impl Process {
    /// Reads the process.json of `exec`.
    ///
    /// # Errors
    /// As [`Spec::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        read("process.json", bytes)
    }
}

impl Resources {
    /// Reads the resources document of `update`.
    ///
    /// # Errors
    /// As [`Spec::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        read("resources", bytes)
    }
}

impl Linux {
    /// The seccomp profile, parsed; `None` when the configuration has none.
    ///
    /// # Errors
    /// A profile that is not shaped as the specification says. The position counts from the profile's start.
    pub fn seccomp_profile(&self) -> Result<Option<Seccomp>, ReadError> {
        let Some(raw) = &self.seccomp else { return Ok(None) };
        parse("config.json", raw.get()).map(Some).map_err(|error| ReadError {
            pointer: format!("/linux/seccomp{}", error.pointer),
            position: None,
            ..error
        })
    }
}

fn read<'de, T>(document: &'static str, bytes: &'de [u8]) -> Result<T, ReadError>
where
    T: Deserialize<'de>,
{
    let whole = |problem: String, position| ReadError { document, pointer: String::new(), problem, position };
    if bytes.len() > MAX_SIZE {
        let problem = format!("the document has {} bytes, more than the {MAX_SIZE} that are read", bytes.len());
        return Err(whole(problem, None));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let position = position(&bytes[..error.valid_up_to()]);
        whole("not UTF-8 (JSON has to be; convert the file)".to_owned(), Some(position))
    })?;
    if text.trim_ascii().is_empty() {
        return Err(whole("the document is empty (a JSON object is expected)".to_owned(), None));
    }
    if text.starts_with('\u{feff}') {
        return Err(whole(
            "the document starts with a byte order mark (save it as UTF-8 without one)".to_owned(),
            None,
        ));
    }
    let value = parse(document, text)?;
    refuse_nul(document, text)?;
    Ok(value)
}

/// Line and column, from 1, of what follows `before`.
fn position(before: &[u8]) -> (usize, usize) {
    let line = before.iter().filter(|&&byte| byte == b'\n').count();
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count();
    (line + 1, column + 1)
}

fn parse<'de, T: Deserialize<'de>>(document: &'static str, text: &'de str) -> Result<T, ReadError> {
    let failed = |pointer, error: serde_json::Error| {
        let position = Some((error.line(), error.column().max(1)));
        ReadError { document, pointer, problem: explain(&error), position }
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Object(value) = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|located| failed(pointer(located.path()), located.into_inner()))?;
    // What follows the value is no part of it: the error has no place in it either.
    deserializer.end().map_err(|error| failed(String::new(), error))?;
    Ok(value)
}

fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", token(key)),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

/// serde_json's text in the words of JSON rather than of Rust, without the position at its end.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let text = match text.split_once('`') {
        Some(("missing field ", rest)) => format!("required property `{rest} is missing"),
        Some(("duplicate field ", rest)) => format!("duplicate key `{rest}"),
        Some(("unknown variant ", rest)) => format!("unknown value `{rest}"),
        _ => text.to_owned(),
    };
    match (error.classify(), text.as_str()) {
        (serde_json::error::Category::Eof, _) => format!("the document is cut off: {}", text.replace("EOF", "it ends")),
        (_, "trailing characters") => "something follows the JSON object".to_owned(),
        (_, "recursion limit exceeded") => "nested too deeply".to_owned(),
        (serde_json::error::Category::Syntax, _) => format!("not valid JSON: {text}"),
        _ => text,
    }
}

/// Refuses a NUL character in any string: every one may become an argument of a system call, which would see it cut
/// short there. Annotations never do.
fn refuse_nul(document: &'static str, text: &str) -> Result<(), ReadError> {
    // JSON has only this spelling of it, and no configuration in use contains it: the walk below costs nothing.
    if !text.contains("\\u0000") {
        return Ok(());
    }
    let mut value: Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(properties) = value.as_object_mut() {
        properties.remove("annotations");
    }
    find_nul(&value).map_or(Ok(()), |pointer| {
        Err(ReadError { document, pointer, problem: "contains a NUL character".to_owned(), position: None })
    })
}

/// The pointer to the first string or key with a NUL character.
fn find_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, item)| find_nul(item).map(|rest| format!("/{i}{rest}")))
        }
        Value::Object(properties) => properties.iter().find_map(|(key, item)| {
            let rest = if key.contains('\0') { Some(String::new()) } else { find_nul(item) };
            rest.map(|rest| format!("/{}{rest}", token(key).replace('\0', "\\u0000")))
        }),
        _ => None,
    }
}
