//! Writes the manual pages and the shell completions into a directory, from the argument table of the program.
//! It is not part of the program, which needs neither at run time.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use cli::args::{ABOUT, Argument, Kind, NAME, Table, VERSION, all};
use cli::commands::VERBS;
use cli::global;

fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.ok_or_else(|| io::Error::other("usage: man-and-completions DIRECTORY"))?;
    man(&directory.join("man8"))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        completion(shell, &directory.join(shell.to_string()))?;
    }
    Ok(())
}

/// One page for the program and one for each command, in the section of administration commands.
fn man(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut program = program();
    program.build();
    for page in std::iter::once(&program).chain(program.get_subcommands()) {
        Man::new(named_as_page(page))
            .section("8")
            .source(concat!("lightship ", env!("CARGO_PKG_VERSION")))
            .generate_to(directory)?;
    }
    Ok(())
}

/// `lightship-state` where the command line says `lightship state`: the file and the title of its page.
fn named_as_page(command: &Command) -> Command {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    command.clone().display_name(name)
}

fn completion(shell: Shell, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_complete::generate_to(shell, &mut program(), NAME, OsString::from(directory))?;
    Ok(())
}

/// The program as clap describes it.
fn program() -> Command {
    let program =
        Command::new(NAME).about(ABOUT).version(VERSION).disable_help_subcommand(true).subcommand_required(true);
    let commands = VERBS.iter().map(|verb| with_arguments(Command::new(verb.name).about(verb.about), verb.arguments));
    with_arguments(program, global::ARGUMENTS).subcommand_value_name("COMMAND").subcommands(commands)
}

fn with_arguments(command: Command, table: Table) -> Command {
    command.disable_help_flag(true).disable_version_flag(true).args(all(table).map(argument))
}

fn argument(argument: &Argument) -> Arg {
    let arg = Arg::new(argument.name).help(argument.about).hide(argument.hidden).help_heading(argument.heading);
    let arg = match argument.kind {
        Kind::Positional { required } => return arg.required(required),
        Kind::Trailing { .. } => return arg.num_args(0..).trailing_var_arg(true),
        Kind::Switch => arg.action(ArgAction::SetTrue),
        Kind::Text => arg.value_name(argument.value),
        Kind::Path => arg.value_name(argument.value).value_hint(ValueHint::AnyPath),
        Kind::List => arg.value_name(argument.value).action(ArgAction::Append),
    };
    let arg = arg.long(argument.name).short(argument.short);
    if argument.values.is_empty() { arg } else { arg.value_parser(argument.values.to_vec()) }
}
