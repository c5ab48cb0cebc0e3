//! `checkpoint`: has CRIU write a container's processes to files, from which `restore` makes it again.

use std::os::fd::AsFd;
use std::path::PathBuf;

use criu::{Criu, Flag, Number, Options, Task, Text};
use hostnet::config::{Key, Refused, Setting};
use rustix::fs::{Mode, OFlags};
use spec::{NamespaceType, Refusal, Spec, Status};

use crate::container::Container;
use crate::images::Images;
use crate::{CriuOptions, Error, Runtime, delete, external, hooks};

/// The flags of `checkpoint`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// Those of `restore` as well.
    pub criu: CriuOptions,
    /// Images of memory that new ones need not repeat, relative to the new ones.
    pub parent_path: Option<PathBuf>,
    /// The container goes on.
    pub leave_running: bool,
    /// Write memory alone; the container goes on.
    pub pre_dump: bool,
    /// Keep files that were deleted by giving them a name.
    pub link_remap: bool,
    /// Where memory is sent to.
    pub page_server: Option<(String, u16)>,
    /// A descriptor that gets a zero byte when lazy pages can be asked for.
    pub status_fd: Option<i32>,
}

impl Runtime {
    /// Writes a container to images. It is deleted then, unless it was to be left running.
    ///
    /// # Errors
    /// The container is neither running nor paused; CRIU is not there, or failed: the container goes on as before.
    pub fn checkpoint(&self, id: &str, options: &CheckpointOptions) -> Result<(), Error> {
        let (entry, container) = self.find_locked(id)?;
        match container.status(&entry)? {
            Status::Running | Status::Paused => {}
            status => return Err(Error::Status { action: "checkpoint", id: id.to_owned(), status }),
        }
        let spec = container.spec(&entry)?;
        check(&spec)?;
        check_settings(container.network.as_ref().map_or(&[], |network| &network.settings))?;
        let images = Images::make(&options.criu)?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::call("/dev/null"))?;
        let trace = &self.trace;
        let criu = trace.step("start of criu", || Criu::start([null.as_fd(); 3], &[]))?;
        let task = if options.pre_dump { Task::PreDump } else { Task::Dump };
        let request = request(options, task, &images, &container, &spec)?;
        trace.step("dump", || criu.carry_out(task, &request, images.work(), |_| Ok::<(), Error>(())))?;
        if options.leave_running || options.pre_dump {
            return Ok(());
        }
        delete::destroy(trace, entry, &container)
    }
}

/// Refuses what could not be restored.
pub(crate) fn check(spec: &Spec) -> Result<(), Refusal> {
    if spec.namespace(NamespaceType::Mount).is_some() {
        return Ok(());
    }
    let problem = "a container among the host's mounts cannot be restored";
    Err(Refusal::new("/linux/namespaces", problem, "add {\"type\": \"mount\"}"))
}

/// Landlock's rules are in no image, and CRIU cannot look into a process that has them.
pub(crate) fn check_settings(settings: &[Setting]) -> Result<(), Refused> {
    match settings.iter().find(|setting| setting.key == Key::AbstractSockets && setting.value == "off") {
        None => Ok(()),
        Some(setting) => Err(setting.refuse(
            "rules out checkpoint and restore: CRIU does not know Landlock",
            "leave it out of containers that are to be checkpointed",
        )),
    }
}

/// What CRIU is told.
fn request(
    options: &CheckpointOptions,
    task: Task,
    images: &Images,
    container: &Container,
    spec: &Spec,
) -> Result<Options, Error> {
    let record = &container.record;
    let pid = record.init.map(|init| init.pid).ok_or(Error::NotRunning)?;
    let mut request = options.criu.for_task(task, images, spec, &record.rootfs);
    request
        .number(Number::Pid, pid.into())
        .flag(Flag::LeaveRunning, options.leave_running)
        .flag(Flag::LinkRemap, options.link_remap)
        .flag(Flag::TrackMem, options.pre_dump || options.parent_path.is_some());
    if let Some(freezer) = container.cgroup.freezer_path() {
        request.text(Text::FreezeCgroup, hooks::path_bytes(freezer));
    }
    if let Some(path) = &options.parent_path {
        check_parent(images, path)?;
        request.text(Text::ParentImg, hooks::path_bytes(path));
    }
    if let Some((address, port)) = &options.page_server {
        request.page_server(address, *port);
    }
    if let Some(fd) = options.status_fd {
        request.number(Number::StatusFd, fd.into());
    }
    external::name_namespaces(&mut request, spec, pid)?;
    if task == Task::Dump {
        let mounts = external::mounts(spec, &container.cgroup, &record.bundle, &record.rootfs);
        external::name_mounts(&mut request, &mounts, spec, pid)?;
        let streams = external::name_streams(&mut request, pid)?;
        let document = serde_json::to_vec(&streams).map_err(|error| Error::Other(format!("descriptors: {error}")))?;
        state::atomic_write(&images.path(external::DESCRIPTORS), &document, 0o600)?;
    }
    Ok(request)
}

/// CRIU takes the parent by a path from the images, so that all of them can be moved together.
fn check_parent(images: &Images, path: &std::path::Path) -> Result<(), Error> {
    if path.is_absolute() {
        let problem = format!("--parent-path {}: must be relative to the folder of the images", path.display());
        return Err(Error::Other(problem));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(images.folder(), path, flags, Mode::empty());
    opened.map(drop).map_err(Error::file("parent images (--parent-path)", path))
}
