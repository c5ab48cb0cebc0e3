//! The making of a process, and the files in memory that it is made of.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may fail anywhere")]

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::SealFlags;
use rustix::net::{AddressFamily, RecvFlags, Shutdown, SocketFlags, SocketType};
use rustix::process::{WaitId, WaitIdOptions};
use sys::memfd::{Raw, sealed};
use sys::spawn::{Spawn, Spawned};

const NEW_USER: u64 = 0x1000_0000;
const NEW_NET_AND_PID: u64 = 0x6000_0000;
const ENOEXEC: i32 = 8;
const ECANCELED: i32 = 125;

struct Parts {
    init: OwnedFd,
    ours: OwnedFd,
    childs: OwnedFd,
}

impl Parts {
    fn new(executable: &[u8]) -> Parts {
        let (ours, childs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let init = sealed("init", &[Raw::of(executable), Raw::of(b"program")]).unwrap();
        Parts { init, ours, childs }
    }

    fn spawn(&self) -> Spawn<'_> {
        Spawn {
            namespaces: 0,
            cgroup: None,
            init: self.init.as_fd(),
            program: 0..7,
            report: self.childs.as_fd(),
            failed: [1, 2, 3, 4],
            inherited: &[],
            first_private_fd: 3,
            wait_for_ids: false,
            own_memory: false,
        }
    }

    /// What the child has said: the step and the error number behind the two bytes that were given for it.
    fn failure(&self) -> (u16, i32) {
        let mut message = [0u8; 8];
        let (_, len) = rustix::net::recv(&self.ours, &mut message[..], RecvFlags::empty()).unwrap();
        assert_eq!((len, &message[..2]), (8, &[1, 2][..]));
        let [.., a, b, c, d, e, f] = message;
        (u16::from_ne_bytes([a, b]), i32::from_ne_bytes([c, d, e, f]))
    }
}

/// The status of a child, or minus its signal.
fn end(child: &Spawned) -> i32 {
    let mut polled = [PollFd::new(&child.pidfd, PollFlags::IN)];
    let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
    assert!(rustix::event::poll(&mut polled, Some(&patience)).unwrap() > 0, "the child does not end");
    let status = rustix::process::waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    status.exit_status().unwrap_or_else(|| -status.terminating_signal().unwrap())
}

/// An ELF file that ends with status 42: `mov edi, 42; mov eax, 231; syscall`.
#[cfg(target_arch = "x86_64")]
fn ends_with_42() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    let code = [0xbf, 42, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05];
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for word in [BASE + 120, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, 120 + code.len() as u64, 120 + code.len() as u64, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

#[test]
fn a_child_that_cannot_execute_says_so() {
    let parts = Parts::new(b"no executable");
    for own_memory in [false, true] {
        let child = Spawn { own_memory, ..parts.spawn() }.spawn().unwrap();
        assert_eq!(parts.failure(), (12, ENOEXEC));
        assert_eq!(end(&child), 1);
    }
}

#[test]
fn a_child_that_gets_no_id_maps_ends() {
    let parts = Parts::new(b"never executed");
    let child = Spawn { namespaces: NEW_USER, wait_for_ids: true, ..parts.spawn() }.spawn().unwrap();
    rustix::net::shutdown(&parts.ours, Shutdown::Write).unwrap();
    assert_eq!(parts.failure(), (10, ECANCELED));
    assert_eq!(end(&child), 1);
}

#[test]
fn what_clone3_refuses_is_the_callers_error_and_leaves_no_child() {
    let parts = Parts::new(b"never executed");
    // A thread's flag that this structure has no use for.
    let impossible = Spawn { namespaces: 0x0001_0000, ..parts.spawn() };
    assert_eq!(impossible.spawn().err().unwrap().raw_os_error(), Some(22));
    let no_cgroup = Spawn { cgroup: Some(parts.ours.as_fd()), ..parts.spawn() };
    assert_eq!(no_cgroup.spawn().err().unwrap().raw_os_error(), Some(9));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn many_threads_make_children_at_once() {
    let executable = ends_with_42();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let executable = &executable;
            scope.spawn(move || {
                let parts = Parts::new(executable);
                let inherited: [BorrowedFd<'_>; 1] = [parts.init.as_fd()];
                for round in 0..50 {
                    // Memory that changes all the time: the child must neither use nor disturb the heap.
                    let own: Vec<u8> = vec![thread; 1000 + round];
                    let namespaces = if round % 10 == 0 { NEW_NET_AND_PID } else { 0 };
                    let own_memory = round % 2 == 0;
                    let spawn = Spawn { namespaces, own_memory, inherited: &inherited, ..parts.spawn() };
                    assert_eq!(end(&spawn.spawn().unwrap()), 42);
                    assert!(own.iter().all(|&byte| byte == thread));
                }
            });
        }
    });
}

#[test]
fn a_file_in_memory_has_all_its_parts_and_cannot_be_changed() {
    let numbers = [1u32, 2];
    let mut file = File::from(sealed("parts", &[Raw::of(b"text"), Raw::of(&numbers), Raw::of::<u8>(&[])]).unwrap());
    let mut content = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(content, [&b"text"[..], &1u32.to_ne_bytes(), &2u32.to_ne_bytes()].concat());
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    assert!(rustix::fs::fcntl_get_seals(&file).unwrap().contains(seals));
    file.rewind().unwrap();
    assert!(file.write(b"x").is_err());
    assert!(file.set_len(0).is_err() && file.set_len(100).is_err());
    assert!(rustix::fs::fcntl_add_seals(&file, SealFlags::FUTURE_WRITE).is_err());
}
