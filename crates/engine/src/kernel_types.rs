//! The kernel's types for the programs of host networking, kept in the state root: to find them takes milliseconds.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use sys::bpf::KernelTypes;

use crate::Runtime;

/// No container can have this id.
const FILE: &str = "@kernel-types";
/// Changes with each start of a kernel.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// More than a boot and six numbers.
const LONGEST: usize = 256;

impl Runtime {
    /// What the kernel tells of its types; `None` if that is not enough for programs, which then have to call it.
    pub(crate) fn kernel_types(&self) -> Option<KernelTypes> {
        let boot = open(Path::new(BOOT)).and_then(read)?;
        let path = self.root.join(FILE);
        if let Some(types) = open(&path).filter(is_ours).and_then(read).and_then(|kept| parse(&kept, boot.trim())) {
            return Some(types);
        }
        let types = KernelTypes::read()?;
        // The container does not need it kept: a full disk costs the next one some time.
        if let Err(error) = state::atomic_write(&path, write(&types, boot.trim()).as_bytes(), 0o600) {
            log::debug!("the kernel's types are not kept: {error}");
        }
        Some(types)
    }
}

fn open(path: &Path) -> Option<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Whether nobody but the caller can have written a file.
fn is_ours(file: &OwnedFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && stat.st_mode & 0o022 == 0
    })
}

/// A text that is short enough to come at once.
fn read(file: OwnedFd) -> Option<String> {
    let mut text = [0; LONGEST];
    let length = rustix::io::read(file, &mut text).ok()?;
    str::from_utf8(&text[..length]).ok().map(str::to_owned)
}

fn write(types: &KernelTypes, boot: &str) -> String {
    let KernelTypes { cast, sock, net, port, socket, cookie } = types;
    format!("{boot} {cast} {sock} {net} {port} {socket} {cookie}\n")
}

fn parse(text: &str, boot: &str) -> Option<KernelTypes> {
    let numbers: Vec<&str> = text.strip_suffix('\n')?.strip_prefix(boot)?.strip_prefix(' ')?.split(' ').collect();
    let [cast, sock, net, port, socket, cookie] = numbers[..] else { return None };
    Some(KernelTypes {
        cast: cast.parse().ok()?,
        sock: sock.parse().ok()?,
        net: net.parse().ok()?,
        port: port.parse().ok()?,
        socket: socket.parse().ok()?,
        cookie: cookie.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: KernelTypes = KernelTypes { cast: 65486, sock: 2953, net: 48, port: 14, socket: 288, cookie: 4160 };

    #[test]
    fn what_is_kept_is_of_this_boot_and_whole() {
        let kept = write(&TYPES, "a1b2");
        assert_eq!(parse(&kept, "a1b2"), Some(TYPES));
        assert_eq!(parse(&kept, "a1b3"), None);
        for length in 0..kept.len() {
            assert_eq!(parse(&kept[..length], "a1b2"), None);
        }
    }

    #[test]
    fn what_others_can_write_is_not_read() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("lightship-types-{}", std::process::id()));
        state::atomic_write(&path, b"", 0o600).unwrap();
        assert!(open(&path).filter(is_ours).is_some());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
        assert!(open(&path).filter(is_ours).is_none());
        std::fs::remove_file(&path).unwrap();
    }
}
