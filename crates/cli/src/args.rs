//! The argument table: what every command is called and takes. Parsing, `--help`, the manual pages and the shell
//! completions all come from it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::commands::{INTERNAL, VERBS};
use crate::global;

/// The program's name in usage lines and manual pages.
pub const NAME: &str = "lightship";

/// `NAME version` and then this: Docker reads the text after the word `version` and the line of the commit.
const VERSION: &str =
    concat!("version ", env!("CARGO_PKG_VERSION"), "\ncommit: ", env!("LIGHTSHIP_COMMIT"), "\nspec: 1.3.0");

/// The whole program. The arguments of a command are built when it is chosen, not before.
#[must_use]
pub fn command() -> Command {
    with_verbs(
        globals(),
        VERBS
            .iter()
            .map(|verb| Command::new(verb.name).about(verb.about).hide(verb.name == INTERNAL).defer(verb.arguments)),
    )
}

/// The program with these commands.
pub(crate) fn with_verbs(globals: Command, verbs: impl IntoIterator<Item = Command>) -> Command {
    globals.subcommand_required(true).subcommand_value_name("COMMAND").subcommands(verbs)
}

/// The program with the flags that stand before the command, and no command.
pub(crate) fn globals() -> Command {
    Command::new(NAME)
        .bin_name(NAME)
        .about("An OCI container runtime")
        .version(VERSION)
        .no_binary_name(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(Arg::new("version").long("version").short('v').action(ArgAction::Version).help("print the version"))
        .args(global::arguments())
}

/// The container the command is about.
pub(crate) fn id() -> Arg {
    Arg::new("id").value_name("CONTAINER").required(true).help("the name given to the container at create")
}

/// A flag without a value.
pub(crate) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// A flag whose value is text.
pub(crate) fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// A flag whose value is a path: any bytes, and the empty string means that the flag is not given.
pub(crate) fn path_option(name: &'static str, help: &'static str) -> Arg {
    option(name, "PATH", help).value_parser(value_parser!(OsString))
}

/// A flag that may be repeated.
pub(crate) fn list_option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).action(ArgAction::Append)
}

/// The value of [`id`].
pub(crate) fn container_id(arguments: &ArgMatches) -> &str {
    text(arguments, "id").unwrap_or_default()
}

/// The value of an [`option`].
pub(crate) fn text<'a>(arguments: &'a ArgMatches, name: &str) -> Option<&'a str> {
    arguments.get_one::<String>(name).map(String::as_str)
}

/// The value of a [`path_option`].
pub(crate) fn path(arguments: &ArgMatches, name: &str) -> Option<PathBuf> {
    arguments.get_one::<OsString>(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The values of a [`list_option`], in the order given.
pub(crate) fn list<T: Clone + Send + Sync + 'static>(arguments: &ArgMatches, name: &str) -> Vec<T> {
    arguments.get_many::<T>(name).map(|values| values.cloned().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_names_the_specification_that_is_read() {
        assert!(VERSION.ends_with(&format!("\nspec: {}", spec::OCI_VERSION)));
    }

    #[test]
    fn the_table_is_sound() {
        command().debug_assert();
    }
}
