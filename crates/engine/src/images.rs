//! The images of a checkpoint: the folders that CRIU writes and reads, and what `checkpoint` and `restore` both tell it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use criu::{CgroupsMode, Flag, Number, Options, Task, Text, WorkFolder};
use rustix::fs::{Mode, OFlags};
use spec::{NetworkMode, Spec};

use crate::{Error, hooks};

/// The annotation that names a file of CRIU options, which count more than those of the command line (as with runc).
const CONFIGURATION: &str = "org.criu.config";
/// The file that is read without the annotation; it need not be there.
const DEFAULT_CONFIGURATION: &str = "/etc/criu/runc.conf";
/// CRIU's own measure, "debug": its log is what an error is explained by.
const LOG_LEVEL: i64 = 4;
/// A network namespace (clone(2), CLONE_NEWNET).
const NEW_NETWORK: i64 = 0x4000_0000;

/// The flags that `checkpoint` and `restore` share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CriuOptions {
    /// The folder of the images.
    pub image_path: PathBuf,
    /// The folder of CRIU's log, if it is another one.
    pub work_path: Option<PathBuf>,
    /// Keep TCP connections.
    pub tcp_established: bool,
    /// Leave out TCP connections that are not accepted yet.
    pub tcp_skip_in_flight: bool,
    /// Allow for Unix sockets whose other end is outside the container.
    pub ext_unix_sk: bool,
    /// Allow for a terminal that is not the container's own.
    pub shell_job: bool,
    /// Keep locks of files.
    pub file_locks: bool,
    /// Bring memory when it is asked for, from a page server.
    pub lazy_pages: bool,
    /// Punch out of the parent images what newer ones have.
    pub auto_dedup: bool,
    /// What becomes of cgroups.
    pub cgroups: CgroupsMode,
    /// Leave out what is in the network namespace: hooks configure the new one.
    pub empty_network: bool,
}

/// An open folder.
struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

/// The open folders.
pub(crate) struct Images {
    images: Folder,
    work: Option<Folder>,
}

impl Images {
    /// Opens the folders for a dump, and makes them if they are not there.
    pub(crate) fn make(options: &CriuOptions) -> Result<Images, Error> {
        let folders = [Some(&options.image_path), options.work_path.as_ref()];
        for path in folders.into_iter().flatten() {
            // What a process has in its memory is for nobody else.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(Error::file("images", path))?;
        }
        Images::open(options)
    }

    /// Opens the folders for a restore.
    pub(crate) fn open(options: &CriuOptions) -> Result<Images, Error> {
        let images = Folder::open("images (--image-path)", &options.image_path)?;
        let work = options.work_path.as_deref().map(|path| Folder::open("work folder (--work-path)", path));
        Ok(Images { images, work: work.transpose()? })
    }

    /// The folder of the images.
    pub(crate) fn folder(&self) -> &OwnedFd {
        &self.images.fd
    }

    /// The path of a file among the images.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.images.path.join(name)
    }

    /// Where the log goes.
    pub(crate) fn work(&self) -> WorkFolder<'_> {
        let Folder { path, fd } = self.work.as_ref().unwrap_or(&self.images);
        WorkFolder { fd: fd.as_fd(), path }
    }
}

impl Folder {
    fn open(what: &'static str, path: &Path) -> Result<Folder, Error> {
        let path = std::fs::canonicalize(path).map_err(Error::file(what, path))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(Error::file(what, &path))?;
        Ok(Folder { path, fd })
    }
}

impl CriuOptions {
    /// What CRIU is told whatever the task.
    pub(crate) fn for_task(&self, task: Task, images: &Images, spec: &Spec, rootfs: &Path) -> Options {
        let mut options = Options::default();
        options
            .number(Number::ImagesDirFd, images.images.fd.as_raw_fd().into())
            .number(Number::LogLevel, LOG_LEVEL)
            .text(Text::LogFile, task.log_name().as_bytes())
            .text(Text::Root, hooks::path_bytes(rootfs))
            .flag(Flag::NotifyScripts, true)
            .flag(Flag::OrphanPtsMaster, true)
            .flag(Flag::TcpEstablished, self.tcp_established)
            .flag(Flag::TcpSkipInFlight, self.tcp_skip_in_flight)
            .flag(Flag::ExtUnixSk, self.ext_unix_sk)
            .flag(Flag::ShellJob, self.shell_job)
            .flag(Flag::FileLocks, self.file_locks)
            .flag(Flag::LazyPages, self.lazy_pages)
            .flag(Flag::AutoDedup, self.auto_dedup)
            .number(Number::ManageCgroupsMode, self.cgroups as i64);
        if let Some(work) = &images.work {
            options.number(Number::WorkDirFd, work.fd.as_raw_fd().into());
        }
        if self.empty_network || hooks_make_network(spec) {
            options.number(Number::EmptyNs, NEW_NETWORK);
        }
        let configuration = spec.annotations.get(CONFIGURATION).map_or(DEFAULT_CONFIGURATION, String::as_str);
        // An empty annotation is for none at all.
        if !configuration.is_empty() {
            options.text(Text::ConfigFile, configuration.as_bytes());
        }
        options
    }
}

/// Whether a new network namespace is furnished by hooks, Docker's or CNI's, which do so again: CRIU is to leave it empty.
fn hooks_make_network(spec: &Spec) -> bool {
    spec.network_mode() == NetworkMode::New && !(spec.hooks.prestart.is_empty() && spec.hooks.create_runtime.is_empty())
}
