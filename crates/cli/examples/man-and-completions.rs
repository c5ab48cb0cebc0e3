//! Writes the manual pages and the shell completions into a directory, from the argument table of the program.
//! It is not part of the program, which needs neither at run time.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use cli::args::{NAME, command};

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
    // The built-in `help` would get a page for each command of its own.
    let mut program = command().disable_help_subcommand(true);
    program.build();
    for page in std::iter::once(&program).chain(program.get_subcommands().filter(|command| !command.is_hide_set())) {
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
    clap_complete::generate_to(shell, &mut command(), NAME, OsString::from(directory))?;
    Ok(())
}
