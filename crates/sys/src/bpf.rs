//! bpf(2) for programs attached to cgroups: put together, load, attach, list, try; and the maps they work with.

mod assembler;
mod btf;
mod map;
mod ring;

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

pub use assembler::{Assembler, AssemblyError, Field, Helper, If, Label, Register, Width, opcode};
pub use btf::KernelTypes;
pub use map::{Map, MapKind, page_size, possible_cpus};

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_TEST_RUN: libc::c_int = 10;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;

/// Other programs may be attached beside this one, and all of them must agree (Linux 4.15).
const ALLOW_MULTI: u32 = 1 << 1;

/// What the programs declare to be under: the MIT licence, which is compatible with the GPL. To others the kernel gives neither its
/// types nor its functions (linux/license.h, Linux 5.13).
const LICENSE: &CStr = c"Dual MIT/GPL";

/// Room for what the verifier says about a program that it refuses, in bytes; of more, it keeps the end (Linux 6.4).
const LOG_SIZE: usize = 64 * 1024;

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

/// Where in a cgroup a program is attached, which also says of which type it is (`enum bpf_attach_type`). The versions are those
/// of Linux that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Hook {
    /// A packet reaches a socket (4.10).
    Ingress = 0,
    /// A socket sends a packet (4.10).
    Egress = 1,
    /// socket(2) of IPv4 or IPv6 (4.10).
    SockCreate = 2,
    /// Access to a device (4.15).
    Device = 6,
    /// bind(2) of an IPv4 socket (4.17).
    Bind4 = 8,
    /// bind(2) of an IPv6 socket (4.17).
    Bind6 = 9,
    /// connect(2) of an IPv4 socket (4.17).
    Connect4 = 10,
    /// connect(2) of an IPv6 socket (4.17).
    Connect6 = 11,
    /// An IPv4 socket has been bound (4.17).
    PostBind4 = 12,
    /// An IPv6 socket has been bound (4.17).
    PostBind6 = 13,
    /// sendto(2) and the like with an IPv4 address, UDP (4.18).
    SendMsg4 = 14,
    /// sendto(2) and the like with an IPv6 address, UDP (4.18).
    SendMsg6 = 15,
    /// Access to a sysctl (5.2).
    Sysctl = 18,
    /// recvfrom(2) and the like, IPv4, UDP (5.2).
    RecvMsg4 = 19,
    /// recvfrom(2) and the like, IPv6, UDP (5.2).
    RecvMsg6 = 20,
    /// getpeername(2) and accept(2), IPv4 (5.8).
    GetPeerName4 = 29,
    /// getpeername(2) and accept(2), IPv6 (5.8).
    GetPeerName6 = 30,
    /// getsockname(2), IPv4 (5.8).
    GetSockName4 = 31,
    /// getsockname(2), IPv6 (5.8).
    GetSockName6 = 32,
    /// A socket is closed (5.9).
    SockRelease = 34,
}

impl Hook {
    /// `enum bpf_prog_type`
    fn program_type(self) -> u32 {
        match self {
            Hook::Ingress | Hook::Egress => 8,
            Hook::SockCreate | Hook::PostBind4 | Hook::PostBind6 | Hook::SockRelease => 9,
            Hook::Device => 15,
            Hook::Sysctl => 23,
            _ => 18,
        }
    }

    /// The name that libbpf and bpftool know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Hook::Ingress => "cgroup_skb/ingress",
            Hook::Egress => "cgroup_skb/egress",
            Hook::SockCreate => "cgroup/sock_create",
            Hook::Device => "cgroup/dev",
            Hook::Bind4 => "cgroup/bind4",
            Hook::Bind6 => "cgroup/bind6",
            Hook::Connect4 => "cgroup/connect4",
            Hook::Connect6 => "cgroup/connect6",
            Hook::PostBind4 => "cgroup/post_bind4",
            Hook::PostBind6 => "cgroup/post_bind6",
            Hook::SendMsg4 => "cgroup/sendmsg4",
            Hook::SendMsg6 => "cgroup/sendmsg6",
            Hook::Sysctl => "cgroup/sysctl",
            Hook::RecvMsg4 => "cgroup/recvmsg4",
            Hook::RecvMsg6 => "cgroup/recvmsg6",
            Hook::GetPeerName4 => "cgroup/getpeername4",
            Hook::GetPeerName6 => "cgroup/getpeername6",
            Hook::GetSockName4 => "cgroup/getsockname4",
            Hook::GetSockName6 => "cgroup/getsockname6",
            Hook::SockRelease => "cgroup/sock_release",
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
    interface: u32,
    expected_attach_type: u32,
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
    // No padding: what that holds is not defined, and an older kernel refuses all but zeros.
    _rest: u32,
}

#[repr(C)]
#[derive(Default)]
struct TestArgs {
    program: u32,
    answer: u32,
    data_in_size: u32,
    data_out_size: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoArgs {
    object: u32,
    info_size: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    program_type: u32,
    id: u32,
    tag: [u8; 8],
    jited_size: u32,
    translated_size: u32,
    jited: u64,
    translated: u64,
    load_time: u64,
    created_by: u32,
    map_count: u32,
    maps: u64,
}

/// Loads a program. `name` (at most 15 ASCII letters, digits, `_`, `.`) is what `bpftool prog` shows.
///
/// # Errors
/// Those of bpf(2): `EINVAL` or `EACCES` when the verifier does not take it, which [`verifier_log`] explains, `EPERM` without
/// CAP_BPF.
pub fn load(hook: Hook, name: &str, program: &[Instruction]) -> io::Result<OwnedFd> {
    load_with_log(hook, name, program, &mut [])
}

/// What the verifier has to say about a program that [`load`] failed on: its last lines.
#[must_use]
pub fn verifier_log(hook: Hook, program: &[Instruction]) -> String {
    let mut log = vec![0u8; LOG_SIZE];
    // Its answer is known already; what counts is what it writes.
    let _ = load_with_log(hook, "", program, &mut log);
    let text = log.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn load_with_log(hook: Hook, name: &str, program: &[Instruction], log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut args = LoadArgs {
        program_type: hook.program_type(),
        instruction_count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        name: object_name(name),
        expected_attach_type: hook as u32,
        ..LoadArgs::default()
    };
    // SAFETY: the attributes are those of BPF_PROG_LOAD; the pointers in them are to `program` and `log`, of the lengths given,
    // and to a static string, and all outlive the call.
    unsafe { bpf_fd(PROG_LOAD, &mut args) }
}

/// Attaches a program to a cgroup v2 directory, beside those that are there. It stays until the cgroup is removed.
///
/// # Errors
/// Those of bpf(2): `EPERM` when an ancestor's program forbids it, `EBADF` when the directory is not cgroup v2.
pub fn attach(hook: Hook, cgroup: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut args = AttachArgs {
        target: cgroup.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        attach_type: hook as u32,
        flags: ALLOW_MULTI,
        ..AttachArgs::default()
    };
    // SAFETY: the attributes are those of BPF_PROG_ATTACH and hold no pointers.
    unsafe { bpf(PROG_ATTACH, &mut args) }.map(drop)
}

/// Takes a program off a cgroup again.
///
/// # Errors
/// Those of bpf(2): `ENOENT` when it is not attached there.
pub fn detach(hook: Hook, cgroup: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut args = AttachArgs {
        target: cgroup.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        attach_type: hook as u32,
        ..AttachArgs::default()
    };
    // SAFETY: the attributes are those of BPF_PROG_DETACH and hold no pointers.
    unsafe { bpf(PROG_DETACH, &mut args) }.map(drop)
}

/// The ids of the programs attached to a cgroup v2 directory itself, at most 64.
///
/// # Errors
/// Those of bpf(2).
pub fn attached(hook: Hook, cgroup: impl AsFd) -> io::Result<Vec<u32>> {
    query(hook, cgroup, 0)
}

/// The ids of the programs that are called in a cgroup v2 directory, in this order: its own, and then those of the directories above
/// it; at most 64.
///
/// # Errors
/// Those of bpf(2).
pub fn effective(hook: Hook, cgroup: impl AsFd) -> io::Result<Vec<u32>> {
    const QUERY_EFFECTIVE: u32 = 1 << 0;
    query(hook, cgroup, QUERY_EFFECTIVE)
}

fn query(hook: Hook, cgroup: impl AsFd, query_flags: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; 64];
    let mut args = QueryArgs {
        target: cgroup.as_fd().as_raw_fd() as u32,
        attach_type: hook as u32,
        query_flags,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        ..QueryArgs::default()
    };
    // SAFETY: the attributes are those of BPF_PROG_QUERY; `ids` has room for `count` numbers and outlives the call.
    unsafe { bpf(PROG_QUERY, &mut args) }?;
    ids.truncate(args.count as usize);
    Ok(ids)
}

/// The program with an id.
///
/// # Errors
/// `ENOENT` when there is none any more, `EPERM` without CAP_SYS_ADMIN.
pub fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut args = [id, 0, 0];
    // SAFETY: the attributes are those of BPF_PROG_GET_FD_BY_ID and hold no pointers.
    unsafe { bpf_fd(PROG_GET_FD_BY_ID, &mut args) }
}

/// The ids of the maps that a program uses, at most 16.
///
/// # Errors
/// Those of bpf(2).
pub fn maps_of(program: impl AsFd) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; 16];
    let mut info = ProgramInfo { map_count: ids.len() as u32, maps: ids.as_mut_ptr() as u64, ..ProgramInfo::default() };
    // SAFETY: `info` begins as the kernel's `struct bpf_prog_info`; `maps` has room for `map_count` numbers, and every other
    // pointer in it is null with a size of 0.
    unsafe { object_info(program, &mut info) }?;
    ids.truncate(info.map_count as usize);
    Ok(ids)
}

/// Runs a program of [`Hook::Ingress`] or [`Hook::Egress`] on a packet, which begins with its Ethernet header, and returns its
/// answer.
///
/// # Errors
/// Those of bpf(2): `EINVAL` for a packet of less than 14 bytes, `ENOTSUPP` (524) for programs of other hooks.
pub fn test_run(program: impl AsFd, packet: &[u8]) -> io::Result<u32> {
    let mut args = TestArgs {
        program: program.as_fd().as_raw_fd() as u32,
        data_in: packet.as_ptr() as u64,
        data_in_size: packet.len() as u32,
        repeat: 1,
        ..TestArgs::default()
    };
    // SAFETY: the attributes are those of BPF_PROG_TEST_RUN; `packet` is only read and outlives the call.
    unsafe { bpf(PROG_TEST_RUN, &mut args) }?;
    Ok(args.answer)
}

fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    bytes
}

/// # Safety
/// `T` must be plain data that begins as the information that the kernel has about this kind of object, and every pointer that
/// is in it valid for the size that stands beside it.
unsafe fn object_info<T>(object: impl AsFd, info: &mut T) -> io::Result<()> {
    let mut args = InfoArgs {
        object: object.as_fd().as_raw_fd() as u32,
        info_size: size_of::<T>() as u32,
        info: std::ptr::from_mut(info) as u64,
    };
    // SAFETY: the attributes are those of BPF_OBJ_GET_INFO_BY_FD; the kernel writes at most `info_size` bytes at `info`, and
    // what that points to is the caller's promise.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut args) }.map(drop)
}

/// # Safety
/// As [`bpf`]; `command` must be one that answers with a new descriptor.
unsafe fn bpf_fd<T>(command: libc::c_int, args: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, args) }?;
    // SAFETY: the descriptor is new, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
/// `args` must be the attributes that `command` takes, and every pointer in them valid for the call.
unsafe fn bpf<T>(command: libc::c_int, args: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes `size_of::<T>()` bytes at `args`, which is that large; what is in them is the
    // caller's promise.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(args), size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as i32) }
}
