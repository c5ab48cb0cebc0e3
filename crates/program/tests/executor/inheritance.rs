//! Nothing of the caller is left in the program but what was asked for.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use program::{Op, ProgramBuilder, Report, Start};
use rustix::fs::{Mode, OFlags};
use rustix::io::FdFlags;
use rustix::process::{Signal, Uid};

use crate::init::{Child, Way, output, read, shell, start, start_as};

/// Bit of a signal in a mask.
const fn bit(signal: Signal) -> u64 {
    1 << (signal.as_raw() - 1)
}

fn mask(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t")).unwrap();
    u64::from_str_radix(line, 16).unwrap()
}

#[test]
fn descriptors_are_closed_from_the_first_private_one_on() {
    // Descriptors of ours that execve would keep, as a careless caller has them.
    let leaked: Vec<OwnedFd> = [60, 61, 62]
        .into_iter()
        .map(|number| {
            let null = rustix::fs::open("/dev/null", OFlags::RDONLY, Mode::empty()).unwrap();
            let leaked = rustix::io::fcntl_dupfd_cloexec(&null, number).unwrap();
            rustix::io::fcntl_setfd(&leaked, FdFlags::empty()).unwrap();
            leaked
        })
        .collect();
    let first_private = leaked[1].as_raw_fd();
    let mut b = ProgramBuilder::new();
    let out = output(&mut b);
    let null = std::fs::File::open("/dev/null").unwrap();
    let kept = b.inherit(null.into());
    b.push(Op::Dup { fd: kept, to: 59 });
    shell(&mut b, "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done");
    let preserve_fds = u32::try_from(first_private).unwrap() - 3;
    let child = start_as(b, Way { start: Start { preserve_fds, ..Start::default() }, ..Way::default() });
    assert_eq!(child.report(), Report::End);
    let open: Vec<i32> = read(out).lines().map(|line| line.parse().unwrap()).collect();
    // What the shell itself opens is in between.
    for number in [0, 1, 2, 59, leaked[0].as_raw_fd()] {
        assert!(open.contains(&number), "{number} is not in {open:?}");
    }
    assert!(open.iter().all(|&number| number < first_private), "{open:?}");
}

#[test]
fn signals_are_unblocked_and_those_ignored_have_their_default_again() {
    // Only this thread's mask changes.
    let _signals = sys::signal::Signals::block().unwrap();
    let run = |ignored_signals| {
        let mut b = ProgramBuilder::new();
        let out = output(&mut b);
        let cat = b.list(["/bin/busybox"]);
        b.push(Op::FindProgram { candidates: cat });
        let (args, env) = (b.list(["cat", "/proc/self/status"]), b.list(Vec::<&str>::new()));
        b.push(Op::Exec { args, env });
        let child = start_as(b, Way { start: Start { ignored_signals, ..Start::default() }, ..Way::default() });
        assert_eq!(child.report(), Report::End);
        read(out)
    };
    // Rust's start-up ignores SIGPIPE in this process.
    let ours = mask(&std::fs::read_to_string("/proc/self/status").unwrap(), "SigIgn");
    assert!(ours & bit(Signal::PIPE) != 0);
    let status = run(ours);
    assert_eq!((mask(&status, "SigBlk"), mask(&status, "SigIgn"), mask(&status, "SigCgt")), (0, 0, 0));
    assert_eq!(mask(&run(0), "SigIgn"), ours, "the test would not notice");
}

#[test]
fn the_parents_end_is_no_signal_to_the_container() {
    let ended = std::thread::spawn(|| {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
        let mut b = ProgramBuilder::new();
        b.push(Op::Gate { number: 1 });
        let child = start(b);
        assert_eq!(child.report(), Report::Gate(1));
        child
    });
    // The signal belongs to the thread that made the child, and that thread has ended.
    let child = ended.join().unwrap();
    let mut polled = [rustix::event::PollFd::new(&child.pidfd, rustix::event::PollFlags::IN)];
    let moment = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    assert_eq!(rustix::event::poll(&mut polled, Some(&moment)).unwrap(), 0, "init has been killed");
}

#[test]
fn while_it_waits_init_has_its_name_and_cannot_be_looked_into() {
    // The files of a process belong to its user, or to root where nobody may look into it (proc(5)).
    let owner = |child: &Child| std::fs::metadata(format!("/proc/{}/environ", child.pid)).unwrap().uid();
    let user = Uid::from_raw(1000);
    let (waiting, running) = std::thread::spawn(move || {
        // Only this thread's.
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
        let mut b = ProgramBuilder::new();
        b.push(Op::Gate { number: 1 });
        shell(&mut b, "read forever < /dev/zero");
        let child = start(b);
        assert_eq!(child.report(), Report::Gate(1));
        let waiting = (child.proc_file("comm"), owner(&child));
        child.go();
        assert_eq!(child.report(), Report::End);
        (waiting, (child.proc_file("comm"), owner(&child)))
    })
    .join()
    .unwrap();
    assert_eq!(waiting, ("lightship-init\n".to_owned(), 0));
    assert_eq!(running, ("busybox\n".to_owned(), 1000));
}
