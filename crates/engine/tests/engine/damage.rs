//! State that somebody has damaged: the others are listed as ever, and `delete --force` removes everything.

use engine::Runtime;
use spec::Status;

use crate::bundle::{Bundle, FOREVER, alive, pidfd};

const GARBAGE: [&[u8]; 5] = [b"", b"{", b"\xff\xfe\x00", b"null\n", b"{\"version\":1,\"id\":\"other\"}\n"];

fn running() -> (Bundle, std::os::fd::OwnedFd) {
    let bundle = Bundle::new(FOREVER);
    let init = pidfd(bundle.start().state().pid);
    (bundle, init)
}

#[test]
fn a_record() {
    let whole = Bundle::new(FOREVER);
    whole.start();
    for garbage in GARBAGE {
        let bundle = whole.sibling(FOREVER);
        let init = pidfd(bundle.start().state().pid);
        std::fs::write(bundle.recorded("record.json"), garbage).unwrap();
        assert!(bundle.runtime.state(&bundle.id).is_err());
        assert!(bundle.runtime.delete(&bundle.id, false).is_err());
        let listed = bundle.runtime.list().unwrap();
        assert_eq!(listed.len(), 2);
        for entry in &listed {
            assert_eq!(entry.error.is_some(), entry.id == bundle.id);
        }
        bundle.delete_all();
        assert!(!alive(&init));
    }
    whole.is(Status::Running);
}

#[test]
fn a_journal() {
    for garbage in GARBAGE {
        let (bundle, init) = running();
        std::fs::write(bundle.recorded("journal"), garbage).unwrap();
        bundle.is(Status::Running);
        bundle.delete_all();
        assert!(!alive(&init));
    }
    let (bundle, _init) = running();
    std::fs::remove_file(bundle.recorded("journal")).unwrap();
    bundle.delete_all();
}

#[test]
fn a_configuration() {
    for garbage in GARBAGE {
        let (bundle, init) = running();
        std::fs::write(bundle.recorded("config.json"), garbage).unwrap();
        bundle.is(Status::Running);
        assert!(bundle.exec("true").is_err());
        bundle.delete_all();
        assert!(!alive(&init));
    }
}

#[test]
fn something_else_in_a_files_place() {
    for name in ["record.json", "journal", "config.json", "start"] {
        let (bundle, _init) = running();
        let _ = std::fs::remove_file(bundle.recorded(name));
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, bundle.recorded(name), kind, mode, 0).unwrap();
        let _ = bundle.runtime.state(&bundle.id);
        bundle.delete_all();
    }
}

#[test]
fn a_container_left_half_made() {
    let bundle = Bundle::new(FOREVER);
    std::fs::create_dir_all(bundle.recorded("")).unwrap();
    assert!(bundle.runtime.state(&bundle.id).is_err());
    assert!(bundle.try_create().unwrap_err().to_string().contains("already exists"));
    assert_eq!(bundle.runtime.list().unwrap().len(), 1);
    bundle.delete_all();
}

#[test]
fn without_a_cgroup_the_journal_knows_the_process() {
    let mut bundle = Bundle::new(FOREVER);
    bundle.runtime = Runtime { cgroup_manager: cgroups::Manager::Disabled, ..bundle.runtime.clone() };
    let init = pidfd(bundle.start().state().pid);
    std::fs::write(bundle.recorded("record.json"), "garbage").unwrap();
    bundle.delete_all();
    assert!(!alive(&init));
}

/// As those of resctrl are, which no folder here could be.
#[test]
fn folders_in_the_journal_are_removed_the_inner_first() {
    let (bundle, _init) = running();
    let outer = bundle.recorded("").with_file_name(format!("{}-outer", bundle.id));
    let inner = outer.join("inner");
    std::fs::create_dir_all(&inner).unwrap();
    let lines =
        [&outer, &inner, &outer.join("never made")].map(|path| format!("{{\"folder\":{{\"path\":{path:?}}}}}\n"));
    let journal = std::fs::read_to_string(bundle.recorded("journal")).unwrap();
    std::fs::write(bundle.recorded("journal"), lines.concat() + &journal).unwrap();
    bundle.delete_all();
    assert!(!outer.exists());
}
