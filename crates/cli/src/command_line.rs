//! From the words of the command line to a command with its arguments.
//!
//! Engines written in Go use the forms of its flag package: `-no-subreaper`, `--detach=true`, a value in the next
//! word whatever it begins with.

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt;

use crate::args::{self, Argument, Arguments, HELP, Kind, NAME, Table, VERSION};
use crate::commands::{INTERNAL, VERBS, Verb};
use crate::global::{self, Global};
use crate::log::LogOptions;
use crate::{Error, help};

/// How Go writes that a switch is on (`strconv.ParseBool`).
const ON: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];
/// How it writes that a switch is off.
const OFF: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];

/// A command line that has been read.
pub struct CommandLine {
    global: Arguments,
    request: Result<Request, Error>,
}

/// What the command line asks for.
pub enum Request {
    /// Print this, which is the help or the version.
    Print(String),
    /// Run a command.
    Run(Global, &'static Verb, Arguments),
}

impl CommandLine {
    /// Reads `words`, the arguments without the program's name.
    pub fn new(words: impl Iterator<Item = OsString>) -> Self {
        let mut reader = Reader::new(global::ARGUMENTS, words.peekable());
        let read = reader.flags_before_command();
        let Reader { words, arguments: global, .. } = reader;
        let request = if global.flag(&HELP) {
            Ok(Request::Print(help::program()))
        } else if global.flag(&global::VERSION) {
            Ok(Request::Print(format!("{NAME} {VERSION}\n")))
        } else {
            read.and_then(|()| command(&global, words))
        };
        Self { global, request }
    }

    /// Where the log goes; readable also when the rest of the line makes no sense.
    #[must_use]
    pub fn log_options(&self) -> LogOptions {
        LogOptions::from(&self.global)
    }

    /// The command with its arguments.
    pub fn request(self) -> Result<Request, Error> {
        self.request
    }
}

/// The command with this name.
pub(crate) fn verb(name: &OsStr) -> Result<&'static Verb, Error> {
    VERBS.iter().chain([&INTERNAL]).find(|verb| name == verb.name).ok_or_else(|| {
        let hint = similar(name, VERBS.iter().map(|verb| verb.name)).map(|name| format!("; there is '{name}'"));
        Error::Usage(format!("unrecognized command '{}'{}", name.display(), hint.unwrap_or_default()))
    })
}

fn command(global: &Arguments, mut words: Peekable<impl Iterator<Item = OsString>>) -> Result<Request, Error> {
    let Some(name) = words.next() else {
        let names: Vec<&str> = VERBS.iter().map(|verb| verb.name).collect();
        return Err(Error::Usage(format!("no command is given; there is {}", names.join(", "))));
    };
    let verb = verb(&name)?;
    let mut reader = Reader::new(verb.arguments, words);
    let read = reader.words_behind_command();
    // Whoever asks for help need not have the whole line.
    if reader.arguments.flag(&HELP) {
        return Ok(Request::Print(help::command(verb)));
    }
    read.map(|()| Request::Run(Global::from(global), verb, reader.arguments))
}

/// Reads words by a table.
struct Reader<I: Iterator<Item = OsString>> {
    table: Table,
    words: Peekable<I>,
    arguments: Arguments,
}

impl<I: Iterator<Item = OsString>> Reader<I> {
    fn new(table: Table, words: Peekable<I>) -> Self {
        Self { table, words, arguments: Arguments::default() }
    }

    /// The flags up to the first other word. Those behind a wrong one count as well: they may say where the refusal is logged.
    fn flags_before_command(&mut self) -> Result<(), Error> {
        let mut read = Ok(());
        while let Some(word) = self.words.next_if(|word| is_flag(word)) {
            let flag = self.flag(&word);
            read = read.and(flag);
        }
        read
    }

    /// All words. Another program's begin with the trailing argument, and are left alone.
    fn words_behind_command(&mut self) -> Result<(), Error> {
        let mut places = args::all(self.table).filter(|argument| !argument.is_flag()).peekable();
        let mut may_be_flag = true;
        while let Some(word) = self.words.next() {
            let foreign = places.peek().is_some_and(|place| place.kind == Kind::Trailing { flag_may_begin: true });
            if may_be_flag && word == "--" {
                may_be_flag = false;
            } else if may_be_flag && !foreign && is_flag(&word) {
                self.flag(&word)?;
            } else {
                let place = places.next().ok_or_else(|| self.unexpected(&word))?;
                self.give(place, word)?;
                if matches!(place.kind, Kind::Trailing { .. }) {
                    self.words.by_ref().for_each(|word| self.arguments.give(place, word));
                }
            }
        }
        match places.next() {
            Some(place) if place.kind == Kind::Positional { required: true } => Err(place.missing()),
            _ => Ok(()),
        }
    }

    fn flag(&mut self, word: &OsStr) -> Result<(), Error> {
        let (name, value) = name_and_value(word);
        match self.flags().find(|flag| name == flag.name) {
            Some(flag) => self.value(flag, value),
            None => self.letters(word),
        }
    }

    /// One-letter flags written together, as in `-dt`, `-b/bundle` or `-b=/bundle`.
    fn letters(&mut self, word: &OsStr) -> Result<(), Error> {
        let mut letters = word.as_bytes().strip_prefix(b"-").unwrap_or_default();
        while let Some((letter, rest)) = letters.split_first() {
            let flag = self.flags().find(|flag| flag.short == Some(char::from(*letter)));
            let flag = flag.ok_or_else(|| self.unexpected(word))?;
            let takes_rest = flag.kind != Kind::Switch && !rest.is_empty();
            letters = if takes_rest { &[] } else { rest };
            self.value(flag, takes_rest.then(|| OsStr::from_bytes(rest.strip_prefix(b"=").unwrap_or(rest))))?;
        }
        Ok(())
    }

    /// A flag with the value written in the same word; without one it is the next word.
    fn value(&mut self, flag: &'static Argument, value: Option<&OsStr>) -> Result<(), Error> {
        if flag.kind == Kind::Switch {
            return self.switch(flag, value);
        }
        let value = value.map(OsStr::to_owned).or_else(|| self.words.next());
        let none = || Error::Usage(format!("a value is required for '{flag}' but none was supplied"));
        self.give(flag, value.ok_or_else(none)?)
    }

    fn switch(&mut self, switch: &'static Argument, value: Option<&OsStr>) -> Result<(), Error> {
        match value {
            Some(value) if OFF.iter().any(|off| value == *off) => self.arguments.remove(switch),
            Some(value) if !ON.iter().any(|on| value == *on) => {
                return Err(switch.invalid(value, "want true or false"));
            }
            _ => self.arguments.give(switch, OsString::new()),
        }
        Ok(())
    }

    fn give(&mut self, argument: &'static Argument, value: OsString) -> Result<(), Error> {
        let any_bytes = matches!(argument.kind, Kind::Path | Kind::Trailing { .. });
        if !any_bytes && value.to_str().is_none() {
            return Err(argument.invalid(&value, "want UTF-8"));
        }
        if !argument.values.is_empty() && !argument.values.iter().any(|allowed| value == *allowed) {
            return Err(argument.invalid(&value, format!("possible values: {}", argument.values.join(", "))));
        }
        self.arguments.give(argument, value);
        Ok(())
    }

    fn flags(&self) -> impl Iterator<Item = &'static Argument> + use<I> {
        args::all(self.table).filter(|argument| argument.is_flag())
    }

    fn unexpected(&self, flag: &OsStr) -> Error {
        let shown = self.flags().filter(|argument| !argument.hidden);
        let hint = similar(name_and_value(flag).0, shown.map(|argument| argument.name));
        let hint = hint.map(|name| format!("; there is '--{name}'"));
        Error::Usage(format!("unexpected argument '{}'{}", flag.display(), hint.unwrap_or_default()))
    }
}

fn is_flag(word: &OsStr) -> bool {
    word.len() > 1 && word.as_bytes().starts_with(b"-")
}

/// The parts of `--name=value`, or the same with one dash.
fn name_and_value(flag: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let flag = flag.as_bytes();
    let flag = flag.strip_prefix(b"--").or_else(|| flag.strip_prefix(b"-")).unwrap_or(flag);
    let mut parts = flag.splitn(2, |byte| *byte == b'=').map(OsStr::from_bytes);
    (parts.next().unwrap_or_default(), parts.next())
}

/// What a misspelt name is probably meant to be.
fn similar(name: &OsStr, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name = name.to_str()?;
    let likeness = |known| (strsim::jaro(name, known), known);
    let similar = known.map(likeness).filter(|(likeness, _)| *likeness > 0.8);
    similar.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, known)| known)
}

#[cfg(test)]
pub(crate) mod tests;
