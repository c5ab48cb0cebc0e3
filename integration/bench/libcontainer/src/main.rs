//! `in-process --root STATE run --bundle BUNDLE ID`: makes, starts and deletes a container with youki's library, without any
//! other program. What remains of the time is what a program has that links a runtime instead of starting one.

use std::error::Error;
use std::process::ExitCode;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["--root", root, "run", "--bundle", bundle, id] => run(root, bundle, id),
        _ => Err("usage: in-process --root STATE run --bundle BUNDLE ID".into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("in-process: {error}");
        ExitCode::FAILURE
    })
}

fn run(root: &str, bundle: &str, id: &str) -> Result<ExitCode, Box<dyn Error>> {
    std::fs::create_dir_all(root)?;
    let mut container = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(root)?
        .as_init(bundle)
        .with_systemd(false)
        .with_detach(false)
        .build()?;
    container.start()?;
    let pid: Option<Pid> = container.pid().map(|pid| Pid::from_raw(pid.as_raw()));
    let status = waitpid(pid, None)?;
    container.delete(true)?;
    Ok(match status {
        WaitStatus::Exited(_, code) => ExitCode::from(code as u8),
        _ => ExitCode::FAILURE,
    })
}
