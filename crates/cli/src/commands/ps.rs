//! `lightship ps`: the processes of a container, as numbers or as the host's ps(1) shows them.

use std::ffi::OsString;
use std::process::Command;

use super::Verb;
use super::list::FORMAT;
use crate::args::{Argument, Arguments, ID, trailing};
use crate::global::Global;
use crate::{Error, output};

pub(super) const VERB: Verb =
    Verb { name: "ps", about: "list the processes of a container", arguments: &[&[FORMAT, ID, OPTIONS]], run };

const OPTIONS: Argument = trailing("PS OPTION", true, "options of ps(1) for the table [default: -ef]");

fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let pids = global.runtime().ps(arguments.container())?;
    if arguments.text(&FORMAT) == Some("json") {
        output::print_json_line(&pids)?;
    } else {
        let mut options = arguments.words(&OPTIONS);
        if options.is_empty() {
            options.push(OsString::from("-ef"));
        }
        output::print(rows(&host_ps(&options)?, &pids)?.as_bytes())?;
    }
    Ok(0)
}

#[expect(clippy::disallowed_methods, reason = "the table is by definition what the user's ps prints")]
fn host_ps(options: &[OsString]) -> Result<String, Error> {
    let output = Command::new("ps").args(options).output().map_err(|error| Error::Ps(error.to_string()))?;
    if !output.status.success() {
        return Err(Error::Ps(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The heading of `table` and its rows about `pids`.
fn rows(table: &str, pids: &[i32]) -> Result<String, Error> {
    let heading = table.lines().next().unwrap_or_default();
    let column = heading.split_whitespace().position(|title| title == "PID");
    let column =
        column.ok_or_else(|| Error::Ps("no column PID to find the processes by (add it with -o)".to_owned()))?;
    let about_container = |row: &&str| {
        let pid = row.split_whitespace().nth(column).and_then(|cell| cell.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let rows = table.lines().skip(1).filter(about_container);
    Ok(std::iter::once(heading).chain(rows).flat_map(|row| [row, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_rows_are_kept() {
        let table = "UID   PID  PPID CMD\nroot    1     0 init\nroot   12     1 12 sleep\nroot  123     1 x\n";
        assert_eq!(rows(table, &[12]).unwrap(), "UID   PID  PPID CMD\nroot   12     1 12 sleep\n");
        assert!(rows("CMD\ninit\n", &[1]).is_err());
        assert!(rows("", &[1]).is_err());
    }
}
