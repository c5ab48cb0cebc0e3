//! `--trace PATH`: a file with the timeline of a command.

use std::path::{Path, PathBuf};

use engine::Runtime;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use state::ContainerId;
use trace::{Timeline, Trace};

use crate::Error;
use crate::args::{Argument, Arguments, path_option};
use crate::global::Global;

/// What is written may tell of the host.
const MODE: u32 = 0o600;

/// The flag: before the command for an engine, which has no say behind it, and behind it for people.
pub(crate) const TRACE: Argument = path_option(
    "trace",
    "write where the time of create, start, run, exec or delete went: a picture if PATH ends in .svg, else JSON for \
     ui.perfetto.dev; %id and %command in PATH stand for the container and the command",
);

/// Does the engine's part of a command, and writes its timeline if that is wanted. A trace that cannot be written is an error
/// before anything is done; later on it is a warning, as the command itself has succeeded. A command that found nothing to do
/// writes none: containerd deletes twice.
pub(crate) fn traced<T>(
    global: &Global,
    command: &'static str,
    arguments: &Arguments,
    mut runtime: Runtime,
    call: impl FnOnce(&Runtime) -> Result<T, engine::Error>,
) -> Result<Result<T, engine::Error>, Error> {
    let pattern = arguments.path(&TRACE).or_else(|| global.trace.clone());
    // Another id is refused by the engine, and must not become part of a path.
    let id = ContainerId::parse(arguments.container());
    let (Some(pattern), Ok(id)) = (pattern, id) else { return Ok(call(&runtime)) };
    runtime.trace = Trace::start(sys::process::cpu_time());
    let file = named(pattern, id.as_str(), command);
    check(&file)?;
    let answer = call(&runtime);
    let error = answer.as_ref().err().map(engine::Error::to_string);
    if let Some(timeline) = runtime.trace.finish(command, id.as_str(), error)
        && let Err(error) = write(&file, &timeline)
    {
        log::warn!("without a trace: {error}");
    }
    Ok(answer)
}

fn named(pattern: PathBuf, id: &str, command: &str) -> PathBuf {
    match pattern.to_str() {
        Some(text) => text.replace("%command", command).replace("%id", id).into(),
        None => pattern,
    }
}

/// Whether the file can be made. What is no plain file, such as /dev/stdout, would be replaced by one.
fn check(file: &Path) -> Result<(), Error> {
    if std::fs::symlink_metadata(file).is_ok_and(|there| !there.is_file()) {
        return Err(Error::Usage(format!("--trace {}: there is something that is no regular file", file.display())));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(|errno| Error::File {
        verb: "write the trace in",
        path: folder.to_owned(),
        error: std::io::Error::from(errno).into(),
    })
}

fn write(file: &Path, timeline: &Timeline) -> state::Result<()> {
    match file.extension() {
        Some(extension) if extension == "svg" => state::atomic_write(file, timeline.to_svg().as_bytes(), MODE),
        _ => state::atomic_write(file, &timeline.to_chrome(), MODE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_container_and_command() {
        let name = |pattern: &str| named(pattern.into(), "web.%command", "start").display().to_string();
        assert_eq!(name("/t/%id-%command.json"), "/t/web.%command-start.json");
        assert_eq!(name("/t/100%.svg"), "/t/100%.svg");
    }
}
