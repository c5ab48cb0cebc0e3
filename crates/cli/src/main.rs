//! The `lightship` program: a command line in; standard output, the log and an exit status out.
//!
//! Errors come up to here and are reported once, on standard error and in the log.

use std::process::ExitCode;

use cli::command_line::{CommandLine, Request};
use cli::{Error, log, output};
use sys::allocator::Allocator;

/// musl's own gives most blocks back to the kernel at once, and takes them again: twice the time of a short command.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    match run(CommandLine::new(std::env::args_os().skip(1))) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            log::report(&error);
            ExitCode::from(error.status())
        }
    }
}

fn run(line: CommandLine) -> Result<u8, Error> {
    // Before anything else can fail: a caller with a log takes the reason from its last line.
    log::open(&line.log_options())?;
    match line.request()? {
        Request::Print(text) => output::print(text.as_bytes()).map(|()| 0),
        Request::Run(global, verb, arguments) => (verb.run)(&global, &arguments),
    }
}
