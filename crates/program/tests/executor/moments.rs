//! The moments that a traced init tells: one before the first operation, and one behind each.

use std::io::Write;

use program::{Failure, GO, GO_TRACED, Op, ProgramBuilder, Report, Start};

use crate::gates::{answer, connect, waiting};
use crate::init::{Child, Folder, Way, output, read, shell, start_as};

const NEW_PID: u32 = 0x2000_0000;
const MISSING: Failure = Failure { op: 1, step: 0, errno: 2 };

fn traced(b: ProgramBuilder) -> Child {
    start_as(b, Way { start: Start { traced: true, ..Start::default() }, ..Way::default() })
}

fn two_operations(b: &mut ProgramBuilder) {
    b.push(Op::Umask { mask: 0o22 });
    let path = b.text("/missing");
    b.push(Op::Chdir { path, attempt: 1 });
}

/// Divides what was said into moments and a report that is none.
fn divide(bytes: &[u8], moments: &mut Vec<u64>) -> Option<Report> {
    bytes.chunks(8).find_map(|word| match Report::from_bytes(word) {
        Report::Moment(moment) => {
            moments.push(moment);
            None
        }
        report => Some(report),
    })
}

/// What init says up to its next report.
fn next(child: &Child) -> (Vec<u64>, Report) {
    let mut moments = Vec::new();
    loop {
        let mut message = [0u8; 256];
        let len = child.receive(&mut message);
        let report = divide(&message[..len], &mut moments);
        if let Some(report) = report.or_else(|| (len == 0).then_some(Report::End)) {
            return (moments, report);
        }
    }
}

#[test]
fn every_operation_is_followed_by_one_up_to_the_execve() {
    let mut b = ProgramBuilder::new();
    // More than init keeps to itself.
    for _ in 0..40 {
        b.push(Op::Umask { mask: 0o22 });
    }
    b.push(Op::Gate { number: 3 });
    shell(&mut b, "true");
    let child = traced(b);
    let (mut all, gate) = next(&child);
    assert_eq!((all.len(), gate), (41, Report::Gate(3)));
    child.go();
    // That of the gate, and of the search for the program.
    let (behind, end) = next(&child);
    assert_eq!((behind.len(), end), (2, Report::End));
    all.extend(behind);
    let minute = 60_000_000_000;
    assert!(all.is_sorted() && all[42] - all[0] < minute, "{all:?}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    assert!((now - all[42]) % (1 << 48) < minute, "{now} {all:?}");
}

#[test]
fn those_before_a_failure_come_with_it() {
    let mut b = ProgramBuilder::new();
    two_operations(&mut b);
    let (moments, report) = next(&traced(b));
    assert_eq!((moments.len(), report), (3, Report::Failed(MISSING)));
}

#[test]
fn a_clone_does_not_tell_them_twice() {
    let mut b = ProgramBuilder::new();
    let out = output(&mut b);
    b.push(Op::Clone { flags: NEW_PID });
    shell(&mut b, "echo run");
    let child = traced(b);
    let (before, report) = next(&child);
    assert_eq!(before.len(), 3);
    assert!(matches!(report, Report::Cloned(_)), "{report:?}");
    child.go();
    let (behind, report) = next(&child);
    assert_eq!((behind.len(), report), (2, Report::End));
    assert_eq!(read(out), "run\n");
}

#[test]
fn start_decides_for_itself() {
    for (go, expected) in [(GO, 0), (GO_TRACED, 3)] {
        let folder = Folder::new();
        let (child, path) = waiting(&folder, two_operations);
        let mut starter = connect(&path);
        starter.write_all(&[go]).unwrap();
        let mut moments = Vec::new();
        assert_eq!(divide(&answer(starter), &mut moments), Some(Report::Failed(MISSING)));
        assert_eq!(moments.len(), expected);
        assert_eq!(child.end(), 1);
    }
}
