//! From the words of the command line to a command with its arguments.
//!
//! Engines written in Go use the forms of its flag package: `-no-subreaper`, `--detach=true`, a value in the next
//! word whatever it begins with. [`CommandLine`] first rewrites every flag as `--name` or `--name=value`, the one
//! form that leaves nothing to guess, and clap checks the result against the argument table.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, ArgMatches, Command};

use crate::commands::{VERBS, Verb};
use crate::global::Global;
use crate::log::LogOptions;
use crate::{Error, args};

/// The words of a command line, rewritten.
#[derive(Debug)]
pub struct CommandLine {
    global: Vec<OsString>,
    rest: Vec<OsString>,
    /// The tables that the words were rewritten by: of the flags before the command, and of the command.
    globals: Command,
    verb: Option<Command>,
}

/// What the command line asks for.
pub enum Request {
    /// Print this, which is the help or the version.
    Print(String),
    /// Run a command.
    Run(Global, &'static Verb, ArgMatches),
}

impl CommandLine {
    /// Rewrites `words`, the arguments without the program's name.
    pub fn new(words: impl Iterator<Item = OsString>) -> Self {
        let mut words = words.peekable();
        let mut line = Self { global: Vec::new(), rest: Vec::new(), globals: args::globals(), verb: None };
        while let Some(word) = words.next_if(|word| is_flag(word)) {
            rewrite(&line.globals, word, &mut words, &mut line.global);
        }
        let Some(name) = words.next() else { return line };
        match VERBS.iter().find(|verb| name == verb.name) {
            Some(verb) => {
                line.rest.push(name);
                let command = line.verb.insert((verb.arguments)(Command::new(verb.name)));
                rewrite_verb(command, words, &mut line.rest);
            }
            None => line.rest = std::iter::once(name).chain(words).collect(),
        }
        line
    }

    /// Where the log goes; readable also when the rest of the line makes no sense.
    #[must_use]
    pub fn log_options(&self) -> LogOptions {
        LogOptions::of(&self.global)
    }

    /// The command with its arguments, checked.
    pub fn request(self) -> Result<Request, Error> {
        let words = self.global.iter().chain(&self.rest);
        let alone = |verb| args::with_verbs(self.globals, [verb]).try_get_matches_from(words.clone()).ok();
        // The tables of all commands are a millisecond's tenth: only for a page of help or a refusal, which may tell of any.
        let arguments = match self.verb.and_then(alone) {
            Some(arguments) => Ok(arguments),
            None => args::command().try_get_matches_from(words),
        };
        match arguments {
            Ok(mut arguments) => {
                let global = Global::from(&arguments);
                let chosen = arguments
                    .remove_subcommand()
                    .and_then(|(name, arguments)| Some((VERBS.iter().find(|verb| verb.name == name)?, arguments)));
                let (verb, arguments) = chosen.ok_or_else(|| Error::Usage("no command given".to_owned()))?;
                Ok(Request::Run(global, verb, arguments))
            }
            Err(answer) if !answer.use_stderr() => Ok(Request::Print(answer.to_string())),
            Err(refusal) => Err(Error::Usage(one_line(&refusal.to_string()))),
        }
    }
}

fn is_flag(word: &OsStr) -> bool {
    word.len() > 1 && word.as_bytes().starts_with(b"-")
}

/// Rewrites the words after the command's name. Where another program's command line begins, it puts `--`, and
/// what follows is left alone.
fn rewrite_verb(command: &Command, words: impl Iterator<Item = OsString>, out: &mut Vec<OsString>) {
    let mut foreign = ForeignWords::new(command);
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            out.push(word);
            break;
        } else if foreign.begin_at(&word) {
            out.extend([OsString::from("--"), word]);
            break;
        } else if is_flag(&word) {
            rewrite(command, word, &mut words, out);
        } else {
            out.push(word);
        }
    }
    out.extend(words);
}

/// Finds the first word that belongs to another program: the process of `exec`, the options of `ps`.
struct ForeignWords {
    /// The command's own positional words still to come; `None` when all words are its own.
    own: Option<usize>,
    /// Whether the other program's words may begin with a flag, as those of `ps` do.
    flag_may_begin: bool,
}

impl ForeignWords {
    fn new(command: &Command) -> Self {
        let trailing = command.get_positionals().last().filter(|argument| argument.is_trailing_var_arg_set());
        Self {
            own: trailing.map(|_| command.get_positionals().count() - 1),
            flag_may_begin: trailing.is_some_and(Arg::is_allow_hyphen_values_set),
        }
    }

    fn begin_at(&mut self, word: &OsStr) -> bool {
        match &mut self.own {
            None => false,
            Some(0) => self.flag_may_begin || !is_flag(word),
            Some(own) => {
                *own -= usize::from(!is_flag(word));
                false
            }
        }
    }
}

/// Rewrites one word, taking a value from `words` when it is not in the same word. What the table does not know is
/// passed on as it is, for clap to refuse by name.
fn rewrite(command: &Command, word: OsString, words: &mut impl Iterator<Item = OsString>, out: &mut Vec<OsString>) {
    match long(command, &word).map(|flag| vec![flag]).or_else(|| shorts(command, &word)) {
        Some(flags) => out.extend(flags.into_iter().filter_map(|flag| flag.canonical(words))),
        None => out.push(word),
    }
}

/// A flag of the table, with the value written in the same word.
struct Flag<'a> {
    argument: &'a Arg,
    value: Option<OsString>,
}

/// `--name`, `--name=value`, and the same with one dash.
fn long<'a>(command: &'a Command, word: &OsStr) -> Option<Flag<'a>> {
    let flag = word.as_bytes();
    let flag = flag.strip_prefix(b"--").or_else(|| flag.strip_prefix(b"-"))?;
    let (name, value) = match flag.iter().position(|byte| *byte == b'=') {
        Some(at) => (&flag[..at], Some(OsString::from_vec(flag[at + 1..].to_vec()))),
        None => (flag, None),
    };
    let argument = command.get_arguments().find(|argument| argument.get_long().map(str::as_bytes) == Some(name))?;
    Some(Flag { argument, value })
}

/// One-letter flags written together, as in `-dt`, `-b/bundle` or `-b=/bundle`. All of them must be known.
fn shorts<'a>(command: &'a Command, word: &OsStr) -> Option<Vec<Flag<'a>>> {
    let mut flags = Vec::new();
    let mut letters = word.as_bytes().strip_prefix(b"-")?;
    while let Some((letter, rest)) = letters.split_first() {
        let argument = command.get_arguments().find(|argument| argument.get_short() == Some(char::from(*letter)))?;
        let takes_rest = argument.get_action().takes_values() && !rest.is_empty();
        let value = takes_rest.then(|| OsString::from_vec(rest.strip_prefix(b"=").unwrap_or(rest).to_vec()));
        letters = if takes_rest { &[] } else { rest };
        flags.push(Flag { argument, value });
    }
    Some(flags)
}

impl Flag<'_> {
    /// The flag as `--name` or `--name=value`; `None` for a switch that is turned off, as in `--detach=false`.
    fn canonical(self, words: &mut impl Iterator<Item = OsString>) -> Option<OsString> {
        let value = if self.argument.get_action().takes_values() {
            self.value.or_else(|| words.next())
        } else {
            match self.value.as_deref().and_then(OsStr::to_str) {
                Some("1" | "t" | "T" | "true" | "TRUE" | "True") => None,
                Some("0" | "f" | "F" | "false" | "FALSE" | "False") => return None,
                _ => self.value,
            }
        };
        let mut flag = OsString::from("--");
        flag.push(self.argument.get_long()?);
        if let Some(value) = value {
            flag.push("=");
            flag.push(value);
        }
        Some(flag)
    }
}

/// The reason out of clap's page: without its heading, the usage and the pointer to `--help`.
fn one_line(page: &str) -> String {
    let reason = page.strip_prefix("error: ").unwrap_or(page);
    let end = ["\n\nUsage:", "\n\nFor more information"].iter().filter_map(|tail| reason.find(tail)).min();
    let reason = &reason[..end.unwrap_or(reason.len())];
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
