//! The argument table: what the program and its commands take. It is constant data; reading a command line, the help, the manual
//! pages and the shell completions all go by it.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;

/// The program's name in usage lines and manual pages.
pub const NAME: &str = "lightship";

/// What the program is.
pub const ABOUT: &str = "An OCI container runtime";

/// Docker reads the text after the word `version` and the line of the commit.
pub const VERSION: &str =
    concat!("version ", env!("CARGO_PKG_VERSION"), "\ncommit: ", env!("LIGHTSHIP_COMMIT"), "\nspec: 1.3.0");

/// The arguments of the program or of a command, in groups that commands may share.
pub type Table = &'static [&'static [Argument]];

/// The arguments of a table, and the one that each has.
pub fn all(table: Table) -> impl Iterator<Item = &'static Argument> {
    table.iter().copied().flatten().chain([&HELP])
}

/// One argument.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// The name: of a flag without its dashes, of another argument as the help writes it.
    pub name: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// One line for the help.
    pub about: &'static str,
    /// The flag's one-letter form.
    pub short: Option<char>,
    /// What the help calls the value of a flag.
    pub value: &'static str,
    /// The values that are allowed; empty if the command decides.
    pub values: &'static [&'static str],
    /// The part of the help it stands in, if that is one of its own.
    pub heading: Option<&'static str>,
    /// Whether it is accepted and in no help.
    pub hidden: bool,
}

/// How an argument is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A flag without a value.
    Switch,
    /// A flag with text.
    Text,
    /// A flag with a path: any bytes, and the empty string means that the flag is not given.
    Path,
    /// A flag with text that may be repeated.
    List,
    /// A word in its place.
    Positional {
        /// Whether the command needs it.
        required: bool,
    },
    /// The rest of the line, which belongs to another program.
    Trailing {
        /// Whether it may begin with a flag.
        flag_may_begin: bool,
    },
}

/// The container the command is about.
pub(crate) const ID: Argument =
    Argument::new("CONTAINER", Kind::Positional { required: true }, "the name given to the container at create");

/// The same, of a command that people type: see [`engine::Runtime::locate`].
pub(crate) const ANY: Argument =
    Argument { about: "its id; without --root also the beginning of the id, or Docker's name for it", ..ID };

/// Asks for the help; every command has it.
pub const HELP: Argument = switch("help", "print this help").short('h');

/// A flag without a value.
pub(crate) const fn switch(name: &'static str, about: &'static str) -> Argument {
    Argument::new(name, Kind::Switch, about)
}

/// A flag whose value is text.
pub(crate) const fn option(name: &'static str, value: &'static str, about: &'static str) -> Argument {
    Argument { value, ..Argument::new(name, Kind::Text, about) }
}

/// A flag whose value is a path.
pub(crate) const fn path_option(name: &'static str, about: &'static str) -> Argument {
    Argument { value: "PATH", ..Argument::new(name, Kind::Path, about) }
}

/// A flag that may be repeated.
pub(crate) const fn list_option(name: &'static str, value: &'static str, about: &'static str) -> Argument {
    Argument { value, ..Argument::new(name, Kind::List, about) }
}

/// A word that may be given after those before it in the table.
pub(crate) const fn positional(name: &'static str, about: &'static str) -> Argument {
    Argument::new(name, Kind::Positional { required: false }, about)
}

/// The last argument of a table: the words of another program.
pub(crate) const fn trailing(name: &'static str, flag_may_begin: bool, about: &'static str) -> Argument {
    Argument::new(name, Kind::Trailing { flag_may_begin }, about)
}

impl Argument {
    const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, about, short: None, value: "", values: &[], heading: None, hidden: false }
    }

    pub(crate) const fn short(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    pub(crate) const fn values(self, values: &'static [&'static str]) -> Self {
        Self { values, ..self }
    }

    pub(crate) const fn heading(self, heading: &'static str) -> Self {
        Self { heading: Some(heading), ..self }
    }

    pub(crate) const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// Whether it is written with dashes.
    #[must_use]
    pub fn is_flag(&self) -> bool {
        !matches!(self.kind, Kind::Positional { .. } | Kind::Trailing { .. })
    }

    /// The refusal of a command line without it.
    pub(crate) fn missing(&self) -> Error {
        Error::Usage(format!("the following required argument was not provided: <{}>", self.name))
    }

    /// The refusal of its value.
    pub(crate) fn invalid(&self, value: &OsStr, reason: impl Display) -> Error {
        Error::Usage(format!("invalid value '{}' for '{self}': {reason}", value.display()))
    }
}

/// The argument as the help writes it.
impl Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Switch => write!(f, "--{}", self.name),
            Kind::Text | Kind::Path | Kind::List => write!(f, "--{} <{}>", self.name, self.value),
            Kind::Positional { required: true } => write!(f, "<{}>", self.name),
            Kind::Positional { required: false } => write!(f, "[{}]", self.name),
            Kind::Trailing { .. } => write!(f, "[{}]...", self.name),
        }
    }
}

/// The values that a command line gives to the arguments of a table.
#[derive(Debug, Default)]
pub struct Arguments(Vec<(&'static Argument, OsString)>);

impl Arguments {
    /// Gives `argument` one more value. What neither a list nor trailing words has one value, the last.
    pub(crate) fn give(&mut self, argument: &'static Argument, value: OsString) {
        if !matches!(argument.kind, Kind::List | Kind::Trailing { .. }) {
            self.remove(argument);
        }
        self.0.push((argument, value));
    }

    /// Forgets the values of `argument`.
    pub(crate) fn remove(&mut self, argument: &Argument) {
        self.0.retain(|(given, _)| given.name != argument.name);
    }

    /// The container that the command is about.
    pub(crate) fn container(&self) -> &str {
        self.text(&ID).unwrap_or_default()
    }

    /// Whether a [`switch`] is on.
    pub(crate) fn flag(&self, argument: &Argument) -> bool {
        self.values(argument).next().is_some()
    }

    /// The value of an [`option`] or a [`positional`].
    pub(crate) fn text(&self, argument: &Argument) -> Option<&str> {
        self.values(argument).next()?.to_str()
    }

    /// The value of a [`path_option`].
    pub(crate) fn path(&self, argument: &Argument) -> Option<PathBuf> {
        self.values(argument).next().filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The values of a [`list_option`], in the order given.
    pub(crate) fn list(&self, argument: &Argument) -> Vec<String> {
        self.values(argument).filter_map(OsStr::to_str).map(str::to_owned).collect()
    }

    /// The words of a [`trailing`] argument.
    pub(crate) fn words(&self, argument: &Argument) -> Vec<OsString> {
        self.values(argument).map(OsStr::to_owned).collect()
    }

    /// What `parse` makes of the value, or its reason why that is none.
    pub(crate) fn parse<T, E: Display>(
        &self,
        argument: &Argument,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Error> {
        Ok(self.parse_list(argument, parse)?.pop())
    }

    /// What `parse` makes of each value.
    pub(crate) fn parse_list<T, E: Display>(
        &self,
        argument: &Argument,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, Error> {
        let parsed = |text| parse(text).map_err(|reason| argument.invalid(OsStr::new(text), reason));
        self.values(argument).filter_map(OsStr::to_str).map(parsed).collect()
    }

    /// Every argument given with its value, in order.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static Argument, &OsStr)> {
        self.0.iter().map(|(argument, value)| (*argument, value.as_os_str()))
    }

    fn values(&self, argument: &Argument) -> impl Iterator<Item = &OsStr> {
        self.given().filter(|(given, _)| given.name == argument.name).map(|(_, value)| value)
    }
}

/// Parses a number that is not negative, for [`Arguments::parse`].
pub(crate) fn number<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "want a whole number, 0 or more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{INTERNAL, VERBS};
    use crate::global;

    #[test]
    fn the_version_names_the_specification_that_is_read() {
        assert!(VERSION.ends_with(&format!("\nspec: {}", spec::OCI_VERSION)));
    }

    #[test]
    fn the_tables_are_sound() {
        let verbs = VERBS.iter().chain([&INTERNAL]).map(|verb| verb.arguments);
        for table in verbs.chain([global::ARGUMENTS]) {
            let arguments: Vec<&Argument> = all(table).collect();
            for (place, argument) in arguments.iter().enumerate() {
                let same = |other: &&Argument| {
                    other.name == argument.name || (other.short.is_some() && other.short == argument.short)
                };
                assert!(!arguments[..place].iter().any(same), "{argument} is there twice");
            }
            let places: Vec<Kind> = arguments.iter().filter(|it| !it.is_flag()).map(|it| it.kind).collect();
            assert!(places.is_sorted_by_key(|kind| *kind != Kind::Positional { required: true }), "{places:?}");
            assert!(!places.iter().rev().skip(1).any(|kind| matches!(kind, Kind::Trailing { .. })), "{places:?}");
        }
    }
}
