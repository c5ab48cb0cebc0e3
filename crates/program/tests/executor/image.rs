//! Init's own file, and what a container costs that waits for `start`.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use program::{INIT, Op, ProgramBuilder, Report};
use rustix::fs::SealFlags;

use crate::init::{Folder, shell, start};

const KIB: usize = 1024;

/// The types of the program headers of an ELF file for 64 bits (elf(5)).
fn segments(elf: &[u8]) -> Vec<u32> {
    let word = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&elf[at..at + len]);
        usize::try_from(u64::from_ne_bytes(bytes)).unwrap()
    };
    let (table, size, count) = (word(32, 8), word(54, 2), word(56, 2));
    (0..count).map(|index| u32::try_from(word(table + index * size, 4)).unwrap()).collect()
}

#[test]
fn init_is_small_and_needs_no_loader() {
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    assert!(INIT.len() < 64 * KIB, "{} bytes", INIT.len());
    let segments = segments(INIT);
    assert!(segments.contains(&PT_LOAD));
    assert!(!segments.contains(&PT_DYNAMIC) && !segments.contains(&PT_INTERP), "{segments:?}");
}

#[test]
fn its_file_cannot_be_changed_through_the_container() {
    let mut b = ProgramBuilder::new();
    b.push(Op::Gate { number: 1 });
    let child = start(b);
    assert_eq!(child.report(), Report::Gate(1));
    let exe = format!("/proc/{}/exe", child.pid);
    let target = std::fs::read_link(&exe).unwrap();
    assert_eq!(target.to_str(), Some("/memfd:lightship-init (deleted)"));
    let file = File::open(&exe).unwrap();
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    assert!(rustix::fs::fcntl_get_seals(&file).unwrap().contains(seals));
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    // While it runs nobody can open it for writing, and afterwards nobody can write.
    assert!(File::options().write(true).open(&exe).is_err());
}

/// Kilobytes of a `/proc/<pid>/smaps_rollup` line.
fn kilobytes(rollup: &str, field: &str) -> usize {
    let line = rollup.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn a_container_that_waits_costs_little() {
    let folder = Folder::new();
    let mut b = ProgramBuilder::new();
    let listener = b.inherit(UnixListener::bind(folder.path("start")).unwrap().into());
    b.push(Op::Gate { number: 1 });
    b.push(Op::WaitStart { listener });
    // As long as the program of a container with Docker's profile and a large environment.
    let filter = b.aligned(&[0; 320 * 8]);
    b.push(Op::Seccomp { filter, flags: 0, out: program::Slot::NONE });
    let env = b.list((0..200).map(|number| format!("VARIABLE_{number}=a value of a usual length")));
    let args = b.list(["program"]);
    b.push(Op::Exec { args, env });
    shell(&mut b, "exit 0");
    let child = start(b);
    assert_eq!(child.report(), Report::Gate(1));
    child.go();
    assert_eq!(child.report(), Report::End);
    let rollup = child.proc_file("smaps_rollup");
    let private = kilobytes(&rollup, "Private_Dirty") + kilobytes(&rollup, "Private_Clean");
    println!("a waiting init: {private} KiB private, {} KiB resident", kilobytes(&rollup, "Rss"));
    assert!(private <= 150, "{rollup}");
}
