//! Programs and maps, made by the kernel itself. Needs root; a test that cannot run here says why and passes.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)]

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use sys::bpf::{self, Assembler, Field, Helper, Hook, Instruction, KernelTypes, Map, MapKind, Register, Width};

const fn instruction(code: u8, registers: u8, immediate: i32) -> Instruction {
    Instruction { code, registers, offset: 0, immediate }
}

/// `r0 = 1; exit`
const ACCEPT: [Instruction; 2] = [instruction(0xb7, 0, 1), instruction(0x95, 0, 0)];

fn allowed() -> bool {
    let allowed = bpf::load(Hook::Ingress, "probe", &ACCEPT).is_ok();
    if !allowed {
        eprintln!("skipped: bpf(2) cannot be used here");
    }
    allowed
}

#[test]
fn a_program_answers_for_a_packet() {
    if allowed() {
        let program = bpf::load(Hook::Ingress, "accept", &ACCEPT).unwrap();
        assert_eq!(bpf::test_run(&program, &[0; 64]).unwrap(), 1);
    }
}

#[test]
fn the_verifier_says_why_it_refuses() {
    if allowed() {
        // r0 is not set.
        assert!(bpf::load(Hook::Ingress, "bad", &ACCEPT[1..]).is_err());
        let log = bpf::verifier_log(Hook::Ingress, &ACCEPT[1..]);
        assert!(log.contains("R0 !read_ok"), "{log}");
    }
}

#[test]
fn a_map_has_the_sizes_that_it_was_made_with() {
    if !allowed() {
        return;
    }
    let map = Map::create(MapKind::Array, "numbers", 4, 2, 1).unwrap();
    assert_eq!(map.name(), b"numbers");
    map.update(&[0; 4], &[7, 9]).unwrap();
    assert_eq!(map.lookup(&[0; 4]).unwrap(), Some(vec![7, 9]));
    assert_eq!(map.lookup(&[1, 0, 0, 0]).unwrap(), None);
    assert!(map.lookup(&[0; 2]).is_err() && map.update(&[0; 4], &[0; 8]).is_err());
    let all = Map::create(MapKind::PerCpuArray, "all", 4, 4, 1).unwrap();
    assert_eq!(all.lookup(&[0; 4]).unwrap().unwrap().len(), 8 * bpf::possible_cpus().unwrap());
}

#[test]
fn a_map_of_sockets_has_a_number_for_each() {
    if !allowed() {
        return;
    }
    let map = Map::of_sockets("sockets").unwrap();
    assert_eq!(map.name(), b"sockets");
    let [one, other] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    // To bpf(2) a socket is its descriptor.
    let [one, other] = [&one, &other].map(|socket| socket.as_raw_fd().to_ne_bytes());
    map.update(&one, &[1, 2, 3, 4]).unwrap();
    assert_eq!(map.lookup(&one).unwrap(), Some(vec![1, 2, 3, 4]));
    assert_eq!(map.lookup(&other).unwrap(), None);
}

#[test]
fn a_ring_buffer_is_read_in_order_and_round_and_round() {
    if !allowed() {
        return;
    }
    let ring = Map::create(MapKind::RingBuffer, "ring", 0, 0, bpf::page_size() as u32).unwrap();
    // A packet's record is its length.
    let mut asm = Assembler::default();
    asm.load_field(Register::R2, Register::R1, Field::word(0));
    asm.store(Width::Word, Register::R10, -4, Register::R2);
    asm.set_map(Register::R1, &ring);
    asm.copy(Register::R2, Register::R10);
    asm.add(Register::R2, -4);
    asm.set(Register::R3, 4);
    asm.set(Register::R4, 0);
    asm.call(Helper::RingOutput);
    asm.answer(1);
    let program = bpf::load(Hook::Ingress, "write", &asm.finish().unwrap()).unwrap();
    assert!(ring.take_records().unwrap().is_empty());
    for first in (60..1000).step_by(100) {
        let written: Vec<u32> = (first..first + 100).collect();
        for length in &written {
            bpf::test_run(&program, &vec![0; *length as usize + 14]).unwrap();
        }
        let read = ring.take_records().unwrap();
        let read: Vec<u32> = read.into_iter().map(|one| u32::from_ne_bytes(one.try_into().unwrap())).collect();
        assert_eq!(read, written);
    }
    let none = Map::create(MapKind::Array, "none", 4, 4, 1).unwrap();
    assert!(none.take_records().is_err());
}

#[test]
fn types_of_this_kernel_are_those_that_bpftool_shows() {
    let Some(types) = KernelTypes::read() else { return eprintln!("skipped: this kernel does not tell its types") };
    let dump = std::process::Command::new("bpftool").args(["btf", "dump", "file", KernelTypes::FILE]).output();
    let Ok(dump) = dump else { return eprintln!("skipped: bpftool is not installed") };
    let dump = String::from_utf8(dump.stdout).unwrap();
    let id = |head: &str| -> u32 {
        let line = dump.lines().find(|line| line.contains(head)).unwrap();
        line[1..line.find(']').unwrap()].parse().unwrap()
    };
    assert_eq!(types.cast, id("] FUNC 'bpf_rdonly_cast'"));
    assert_eq!(types.sock, id("] STRUCT 'sock' "));
    let bits = |head: &str, member: &str| -> i16 {
        let mut lines = dump.lines().skip_while(|line| !line.contains(head));
        let line = lines.find(|line| line.contains(&format!("'{member}'"))).unwrap();
        let bits = line.rsplit_once("bits_offset=").unwrap().1.split(' ').next().unwrap();
        (bits.parse::<u32>().unwrap() / 8) as i16
    };
    assert_eq!(types.net, bits("] STRUCT 'sock_common' ", "skc_net"));
    assert_eq!(types.socket, bits("] STRUCT 'sock' ", "sk_socket"));
    assert_eq!(types.cookie, bits("] STRUCT 'net' ", "net_cookie"));
}
