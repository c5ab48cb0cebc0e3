//! One process, many threads, as a shim has them: no call may disturb another's.

use std::collections::BTreeSet;
use std::sync::Mutex;

use spec::Status;

use crate::bundle::{Bundle, FOREVER};

const THREADS: usize = 8;
const EACH: usize = 20;

#[test]
fn eight_threads_make_use_and_delete_containers() {
    let first = Bundle::new(FOREVER);
    let failures = Mutex::new(Vec::new());
    let live = || {
        for _ in 0..EACH {
            let bundle = first.sibling(FOREVER);
            let lived = bundle
                .try_create()
                .and_then(|()| bundle.runtime.start(&bundle.id))
                .and_then(|()| bundle.exec("exit 7"))
                .and_then(|status| bundle.runtime.state(&bundle.id).map(|state| (status, state.status)));
            if !matches!(lived, Ok((7, Status::Running))) {
                failures.lock().unwrap().push(format!("{lived:?}"));
            }
            bundle.delete_all();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(live);
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {}: {failures:#?}", failures.len(), THREADS * EACH);
    assert!(first.runtime.list().unwrap().is_empty());
}

#[test]
fn a_hundred_execs_at_once_in_one_container() {
    let bundle = Bundle::new(FOREVER);
    bundle.start();
    let statuses: Vec<u8> = std::thread::scope(|scope| {
        let bundle = &bundle;
        let threads: Vec<_> =
            (0..100u8).map(|number| scope.spawn(move || bundle.exec(&format!("exit {number}")).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses, (0..100).collect::<Vec<u8>>());
    assert_eq!(bundle.runtime.ps(&bundle.id).unwrap().len(), 1);
}

#[test]
fn a_container_holds_no_descriptor_of_another_threads() {
    // A pipe as a careless library in the same process might have it: open across execve. What is open is told by its
    // target, since a shell has descriptors of its own under other numbers.
    let (read, write) = rustix::pipe::pipe().unwrap();
    let pipe = format!("pipe:[{}]", rustix::fs::fstat(&write).unwrap().st_ino);
    let bundle = Bundle::new("for fd in /proc/1/fd/*; do readlink $fd; done > /out");
    bundle.run();
    let out = bundle.file("out");
    let open: BTreeSet<&str> = out.lines().collect();
    assert!(!open.contains(pipe.as_str()), "{pipe} is in {open:?}");
    // Standard input, where the answer goes, and standard error.
    assert!(open.contains("/dev/null") && open.contains("/out") && open.len() == 3, "{open:?}");
    drop((read, write));
}
