//! Maps: memory that programs and the runtime share.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::{bpf, bpf_fd, btf, object_info, object_name};

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_GET_FD_BY_ID: libc::c_int = 14;

/// What a map is (`enum bpf_map_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapKind {
    /// Values by keys of any kind.
    Hash = 1,
    /// Values by a number from 0 on.
    Array = 2,
    /// The same, with a value for every CPU.
    PerCpuArray = 6,
    /// Records for a reader, who can poll for them (Linux 5.8); its number of entries is its size in bytes.
    RingBuffer = 27,
}

/// Values by socket, each of which goes with its socket (BPF_MAP_TYPE_SK_STORAGE, Linux 5.2).
const SOCKET_STORAGE: u32 = 24;

/// A map, with the sizes that make its calls sound.
#[derive(Debug)]
pub struct Map {
    pub(super) fd: OwnedFd,
    pub(super) kind: u32,
    key_size: usize,
    value_size: usize,
    pub(super) entries: usize,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct CreateArgs {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
    interface: u32,
    types: u32,
    key_type: u32,
    value_type: u32,
}

#[repr(C)]
struct ElementArgs {
    map: u64,
    key: u64,
    value: u64,
    flags: u64,
}

/// The beginning of `struct bpf_map_info`.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    map_type: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    name: [u8; 16],
}

impl Map {
    /// Makes a map. `name` (at most 15 ASCII letters, digits, `_`, `.`) is what `bpftool map` shows. Sizes are in bytes.
    ///
    /// # Errors
    /// Those of bpf(2): `EPERM` without CAP_BPF, `EINVAL` for sizes that the kind cannot have.
    pub fn create(kind: MapKind, name: &str, key_size: u32, value_size: u32, entries: u32) -> io::Result<Map> {
        let (map_type, max_entries, name) = (kind as u32, entries, object_name(name));
        Map::create_with(CreateArgs { map_type, key_size, value_size, max_entries, name, ..CreateArgs::default() })
    }

    /// Makes a map in which programs can have a number of 4 bytes for each socket, 0 at first. It goes with its socket, so the map is
    /// never full. [`super::Helper::SocketStorage`] finds it.
    ///
    /// # Errors
    /// Those of bpf(2): `EPERM` without CAP_BPF.
    pub fn of_sockets(name: &str) -> io::Result<Map> {
        /// The kernel insists on it, on no number of entries, and on types for key and value (BPF_F_NO_PREALLOC).
        const AS_NEEDED: u32 = 1 << 0;
        let number = btf::load_number()?;
        Map::create_with(CreateArgs {
            map_type: SOCKET_STORAGE,
            key_size: 4,
            value_size: 4,
            flags: AS_NEEDED,
            name: object_name(name),
            types: number.as_raw_fd() as u32,
            key_type: 1,
            value_type: 1,
            ..CreateArgs::default()
        })
    }

    fn create_with(mut args: CreateArgs) -> io::Result<Map> {
        // SAFETY: the attributes are those of BPF_MAP_CREATE and hold no pointers.
        let fd = unsafe { bpf_fd(MAP_CREATE, &mut args) }?;
        let CreateArgs { map_type: kind, key_size, value_size, max_entries, name, .. } = args;
        let (key_size, value_size, entries) = (key_size as usize, value_size as usize, max_entries as usize);
        Ok(Map { fd, kind, key_size, value_size, entries, name })
    }

    /// The map with an id.
    ///
    /// # Errors
    /// `ENOENT` when there is none any more, `EPERM` without CAP_SYS_ADMIN.
    pub fn by_id(id: u32) -> io::Result<Map> {
        let mut args = [id, 0, 0];
        // SAFETY: the attributes are those of BPF_MAP_GET_FD_BY_ID and hold no pointers.
        let fd = unsafe { bpf_fd(MAP_GET_FD_BY_ID, &mut args) }?;
        Map::of(fd)
    }

    /// The map that a descriptor stands for.
    ///
    /// # Errors
    /// `EINVAL` when it is no map's.
    pub fn of(fd: OwnedFd) -> io::Result<Map> {
        let mut info = MapInfo::default();
        // SAFETY: `info` begins as the kernel's `struct bpf_map_info` and holds no pointers.
        unsafe { object_info(&fd, &mut info) }?;
        let (key_size, value_size) = (info.key_size as usize, info.value_size as usize);
        Ok(Map { fd, kind: info.map_type, key_size, value_size, entries: info.max_entries as usize, name: info.name })
    }

    /// The name that it was made with.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.name.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// The value of a key; of a per-CPU map the values of all possible CPUs, each on a multiple of 8 bytes. `None` if there is
    /// none.
    ///
    /// # Errors
    /// A key of another size, or what bpf(2) answers.
    pub fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.copied_size()?];
        let mut args = self.element(key, value.as_mut_ptr() as u64)?;
        // SAFETY: the attributes are those of BPF_MAP_LOOKUP_ELEM; `key` and `value` have the sizes that the map says.
        match unsafe { bpf(MAP_LOOKUP_ELEM, &mut args) } {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// A key or value of another size, or what bpf(2) answers.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if value.len() != self.copied_size()? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut args = self.element(key, value.as_ptr() as u64)?;
        // SAFETY: the attributes are those of BPF_MAP_UPDATE_ELEM; `key` and `value`, which are only read, have the sizes
        // that the map says.
        unsafe { bpf(MAP_UPDATE_ELEM, &mut args) }.map(drop)
    }

    /// What the kernel copies for one key: of a per-CPU map the values of all possible CPUs, each on 8 bytes.
    fn copied_size(&self) -> io::Result<usize> {
        match self.kind == MapKind::PerCpuArray as u32 {
            true => Ok(self.value_size.next_multiple_of(8) * possible_cpus()?),
            false => Ok(self.value_size),
        }
    }

    fn element(&self, key: &[u8], value: u64) -> io::Result<ElementArgs> {
        if key.len() != self.key_size {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(ElementArgs { map: self.fd.as_raw_fd() as u64, key: key.as_ptr() as u64, value, flags: 0 })
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The size of a page of memory in bytes: the least that a ring buffer can have.
pub fn page_size() -> usize {
    // SAFETY: it only asks for a number, which every system has.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// How many CPUs the kernel is prepared for, which is what per-CPU maps have values for.
///
/// # Errors
/// `/sys` is not mounted.
pub fn possible_cpus() -> io::Result<usize> {
    let ranges = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = ranges.trim().rsplit([',', '-']).next().and_then(|last| last.parse::<usize>().ok());
    last.map(|last| last + 1).ok_or_else(|| io::Error::other("/sys/devices/system/cpu/possible is no list of numbers"))
}
