//! bpf(2) for programs attached to cgroups: load, attach, list.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_QUERY: libc::c_int = 16;

/// Other programs may be attached beside this one, and all of them must agree (Linux 4.15).
const ALLOW_MULTI: u32 = 1 << 1;

/// One instruction, as the kernel reads it (linux/bpf.h, `struct bpf_insn`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Class, operation and source bits.
    pub code: u8,
    /// Destination register in the low four bits, source register in the high ones.
    pub registers: u8,
    /// Jump distance in instructions, or memory offset in bytes.
    pub offset: i16,
    /// Immediate operand, sign-extended.
    pub immediate: i32,
}

/// What a program is, and with that where it can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// Decides on access to devices (Linux 4.15).
    CgroupDevice,
}

impl ProgramKind {
    /// `BPF_PROG_TYPE_*`
    fn program_type(self) -> u32 {
        match self {
            ProgramKind::CgroupDevice => 15,
        }
    }

    /// `enum bpf_attach_type`
    fn attach_type(self) -> u32 {
        match self {
            ProgramKind::CgroupDevice => 6,
        }
    }
}

#[repr(C)]
#[derive(Default)]
struct LoadArgs {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachArgs {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryArgs {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
}

/// Loads a program. `name` (at most 15 ASCII letters, digits, `_`, `.`) is what `bpftool prog` shows.
///
/// # Errors
/// Those of bpf(2): `EINVAL` or `EACCES` when the verifier does not take it, `EPERM` without CAP_BPF.
pub fn load(kind: ProgramKind, name: &str, program: &[Instruction]) -> io::Result<OwnedFd> {
    let mut args = LoadArgs {
        program_type: kind.program_type(),
        instruction_count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..LoadArgs::default()
    };
    for (to, from) in args.name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the attributes are those of BPF_PROG_LOAD; the pointers in them are to `program`, of the length given, and to
    // a static string, and both outlive the call.
    let fd = unsafe { bpf(PROG_LOAD, &mut args) }?;
    // SAFETY: BPF_PROG_LOAD answers with a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program to a cgroup v2 directory, beside those that are there. It stays until the cgroup is removed.
///
/// # Errors
/// Those of bpf(2): `EPERM` when an ancestor's program forbids it, `EBADF` when the directory is not cgroup v2.
pub fn attach(kind: ProgramKind, cgroup: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut args = AttachArgs {
        target: cgroup.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        attach_type: kind.attach_type(),
        flags: ALLOW_MULTI,
        ..AttachArgs::default()
    };
    // SAFETY: the attributes are those of BPF_PROG_ATTACH and hold no pointers.
    unsafe { bpf(PROG_ATTACH, &mut args) }.map(drop)
}

/// The ids of the programs attached to a cgroup v2 directory itself, at most 64.
///
/// # Errors
/// Those of bpf(2).
pub fn attached(kind: ProgramKind, cgroup: impl AsFd) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; 64];
    let mut args = QueryArgs {
        target: cgroup.as_fd().as_raw_fd() as u32,
        attach_type: kind.attach_type(),
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        ..QueryArgs::default()
    };
    // SAFETY: the attributes are those of BPF_PROG_QUERY; `ids` has room for `count` numbers and outlives the call.
    unsafe { bpf(PROG_QUERY, &mut args) }?;
    ids.truncate(args.count as usize);
    Ok(ids)
}

/// # Safety
/// `args` must be the attributes that `command` takes, and every pointer in them valid for the call.
unsafe fn bpf<T>(command: libc::c_int, args: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes `size_of::<T>()` bytes at `args`, which is that large; what is in them is the
    // caller's promise.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(args), size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as i32) }
}
