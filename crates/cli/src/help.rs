//! The pages of `--help`.

use std::fmt::Write;

use crate::args::{self, ABOUT, Argument, HELP, NAME, Table};
use crate::commands::{VERBS, Verb};
use crate::global;

/// The page of the program.
#[must_use]
pub fn program() -> String {
    let mut page = format!("{ABOUT}\n\nUsage: {NAME} [OPTIONS] <COMMAND>\n");
    section(&mut page, "Commands", VERBS.iter().map(|verb| (verb.name.to_owned(), verb.about.to_owned())));
    options(&mut page, global::ARGUMENTS);
    page
}

/// The page of one command.
#[must_use]
pub fn command(verb: &Verb) -> String {
    let mut page = format!("{}\n\nUsage: {NAME} {}", verb.about, verb.name);
    if shown(verb.arguments).any(|argument| argument.is_flag() && argument.name != HELP.name) {
        page.push_str(" [OPTIONS]");
    }
    let positionals = || shown(verb.arguments).filter(|argument| !argument.is_flag());
    page.extend(positionals().map(|argument| format!(" {argument}")));
    page.push('\n');
    section(&mut page, "Arguments", positionals().map(row));
    options(&mut page, verb.arguments);
    page
}

/// The flags, those without a heading first.
fn options(page: &mut String, table: Table) {
    let flags = |heading| shown(table).filter(move |argument| argument.is_flag() && argument.heading == heading);
    section(page, "Options", flags(None).map(row));
    let mut headings: Vec<&str> = shown(table).filter_map(|argument| argument.heading).collect();
    headings.dedup();
    for heading in headings {
        section(page, heading, flags(Some(heading)).map(row));
    }
}

fn shown(table: Table) -> impl Iterator<Item = &'static Argument> {
    args::all(table).filter(|argument| !argument.hidden)
}

fn row(argument: &'static Argument) -> (String, String) {
    let name = match argument.short {
        Some(letter) => format!("-{letter}, {argument}"),
        None if argument.is_flag() => format!("    {argument}"),
        None => argument.to_string(),
    };
    match argument.values {
        [] => (name, argument.about.to_owned()),
        values => (name, format!("{} [possible values: {}]", argument.about, values.join(", "))),
    }
}

/// A heading and two columns, the left one as wide as its widest cell.
fn section(page: &mut String, heading: &str, rows: impl Iterator<Item = (String, String)>) {
    let rows: Vec<(String, String)> = rows.collect();
    let Some(width) = rows.iter().map(|(name, _)| name.len()).max() else { return };
    // Writing to a string cannot fail.
    let _ = writeln!(page, "\n{heading}:");
    for (name, about) in rows {
        let _ = writeln!(page, "  {name:width$}  {about}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn page(name: &str) -> String {
        command(crate::command_line::verb(OsStr::new(name)).unwrap())
    }

    #[test]
    fn the_page_of_a_command() {
        assert_eq!(
            page("ps"),
            "list the processes of a container\n\
             \n\
             Usage: lightship ps [OPTIONS] <CONTAINER> [PS OPTION]...\n\
             \n\
             Arguments:\n  \
               <CONTAINER>     the name given to the container at create\n  \
               [PS OPTION]...  options of ps(1) for the table [default: -ef]\n\
             \n\
             Options:\n  \
               -f, --format <FORMAT>  table or json [possible values: table, json]\n  \
               -h, --help             print this help\n"
        );
        assert!(page("features").ends_with("Usage: lightship features\n\nOptions:\n  -h, --help  print this help\n"));
    }

    #[test]
    fn the_page_of_the_program() {
        let page = program();
        assert!(page.contains("\nUsage: lightship [OPTIONS] <COMMAND>\n\nCommands:\n  create      create a container"));
        assert!(page.contains(
            "\n  -h, --help                      print this help\n\nContainers in the host's network:\n      --net-publish"
        ));
        assert!(!page.contains("\n  diagnose") && !page.contains("--criu"));
    }
}
