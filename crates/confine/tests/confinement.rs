//! A plan executed by init: what the program then finds itself to be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way of failing")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use confine::capabilities::number;
use confine::seccomp::{Filter, native};
use confine::{ConfinePlan, HostFacts, emit_before_exec, emit_before_wait, emit_early, plan};
use program::{Op, ProgramBuilder, Report, Start};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::process::{WaitId, WaitIdOptions};
use serde_json::{Value, json};
use spec::{Linux, Process};
use sys::spawn::Spawn;

/// What lightship itself may pass on here.
fn host() -> HostFacts {
    HostFacts::probe(&std::fs::read_to_string("/proc/self/status").unwrap(), false)
}

/// A filter that lets everything pass but mkdir, which is its mark.
fn filter() -> Filter {
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":99}]}"#;
    Filter::compile(&serde_json::from_str(text).unwrap(), native().unwrap()).unwrap()
}

fn planned(process: Value, linux: Value, filter: Option<Filter>) -> ConfinePlan {
    let mut all = json!({"cwd": "/", "args": ["x"]});
    all.as_object_mut().unwrap().extend(process.as_object().unwrap().clone());
    let process: Process = serde_json::from_value(all).unwrap();
    // From text: a raw value inside cannot be read from a parsed one.
    let linux: Linux = serde_json::from_str(&linux.to_string()).unwrap();
    plan(&process, &linux, &host(), Some("_ses.confine-test".to_owned()), filter).unwrap()
}

/// Runs a script of busybox's shell under the plan; what it prints, or the failed operation.
fn run(plan: &ConfinePlan, script: &str) -> Result<String, String> {
    let mut b = ProgramBuilder::new();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let output = b.inherit(write);
    let early = emit_early(plan, &mut b);
    emit_before_wait(plan, &mut b);
    for to in [1, 2] {
        b.push(Op::Dup { fd: output, to });
    }
    let candidates = b.list(["/bin/busybox"]);
    b.push(Op::FindProgram { candidates });
    emit_before_exec(plan, early, &mut b);
    let (args, env) = (b.list(["sh", "-c", script]), b.list(["PATH=/bin:/usr/bin", "HOME=/"]));
    b.push(Op::Exec { args, env });

    let (report, childs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let mut program = b.finish(Start { report: childs.as_raw_fd(), ..Start::default() });
    let (init, program_in_init) = program.to_file().unwrap();
    let inherited: Vec<BorrowedFd<'_>> = program.inherited.iter().map(AsFd::as_fd).collect();
    let spawned = Spawn {
        namespaces: 0,
        cgroup: None,
        init: init.as_fd(),
        program: program_in_init,
        report: childs.as_fd(),
        failed: [0; 4],
        inherited: &inherited,
        first_private_fd: 3,
        wait_for_ids: false,
        own_memory: false,
    }
    .spawn()
    .unwrap();
    drop(childs);
    // Ours would keep the pipe from ending.
    program.inherited.clear();
    let mut message = [0u8; 8];
    let len = rustix::net::recv(&report, &mut message[..], RecvFlags::empty()).map_or(0, |(_, len)| len);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    rustix::process::waitid(WaitId::PidFd(spawned.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
    match Report::from_bytes(&message[..len]) {
        Report::End => Ok(text),
        Report::Failed(failure) => Err(program.explain(&failure).to_string()),
        other => Err(format!("{other:?}")),
    }
}

/// The fields of the program's /proc/self/status.
fn status(plan: &ConfinePlan) -> BTreeMap<String, String> {
    let text = run(plan, "exec cat /proc/self/status").unwrap();
    text.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.into(), v.trim().into())).collect()
}

fn mask(names: &[&str]) -> String {
    format!("{:016x}", names.iter().map(|name| 1u64 << number(name).unwrap()).sum::<u64>())
}

/// Inheritable, permitted, effective, bounding and ambient set, as the program finds them.
fn sets(status: &BTreeMap<String, String>) -> [&str; 5] {
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|field| status[field].as_str())
}

const FEW: [&str; 3] = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

fn capabilities(ambient: &[&str]) -> Value {
    json!({"bounding": FEW, "permitted": FEW, "effective": FEW, "inheritable": ambient, "ambient": ambient})
}

#[test]
fn roots_sets_are_exact_whatever_init_borrowed() {
    for (no_new_privileges, filter) in [(false, None), (false, Some(filter())), (true, None), (true, Some(filter()))] {
        let process = json!({"capabilities": capabilities(&[]), "noNewPrivileges": no_new_privileges,
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]});
        let plan = planned(process, json!({}), filter.clone());
        let status = status(&plan);
        let (few, none) = (mask(&FEW), mask(&[]));
        assert_eq!(sets(&status), [&none, &few, &few, &few, &none].map(String::as_str));
        assert_eq!(status["NoNewPrivs"], u8::from(no_new_privileges).to_string());
        assert_eq!(status["Seccomp"], if filter.is_some() { "2" } else { "0" });
        assert_eq!(status["Seccomp_filters"], u8::from(filter.is_some()).to_string());
    }
}

#[test]
fn another_user_keeps_the_ambient_set_and_nothing_else() {
    for (no_new_privileges, filter) in [(false, None), (false, Some(filter())), (true, None), (true, Some(filter()))] {
        for ambient in [&["CAP_NET_BIND_SERVICE"][..], &[]] {
            let process = json!({"capabilities": capabilities(ambient), "noNewPrivileges": no_new_privileges,
                "user": {"uid": 1234, "gid": 5678, "additionalGids": [7, 8]}});
            let status = status(&planned(process, json!({}), filter.clone()));
            let (few, kept) = (mask(&FEW), mask(ambient));
            assert_eq!(sets(&status), [&kept, &kept, &kept, &few, &kept].map(String::as_str));
            assert_eq!(status["Uid"], "1234\t1234\t1234\t1234");
            assert_eq!(status["Gid"], "5678\t5678\t5678\t5678");
            assert_eq!(status["Groups"], "7 8");
            assert_eq!(status["NoNewPrivs"], u8::from(no_new_privileges).to_string());
            assert_eq!(status["Seccomp"], if filter.is_some() { "2" } else { "0" });
        }
    }
}

#[test]
fn without_capabilities_root_has_none() {
    let status = status(&planned(json!({}), json!({}), Some(filter())));
    let none = mask(&[]);
    assert_eq!(sets(&status), [none.as_str(); 5]);
}

#[test]
fn the_callers_groups_do_not_leak() {
    // Of this thread alone, which is the child's parent.
    rustix::thread::set_thread_groups(&[rustix::thread::Gid::from_raw(4321)]).unwrap();
    let status = status(&planned(json!({"user": {"uid": 0, "gid": 0}}), json!({}), None));
    assert_eq!(status["Groups"], "");
}

#[test]
fn the_filter_is_in_force() {
    let plan = planned(json!({"capabilities": capabilities(&[])}), json!({}), Some(filter()));
    let folder = std::env::temp_dir().join(format!("confine-filter-{}", std::process::id()));
    let script = format!("mkdir {} 2>&1; echo $?", folder.display());
    let text = run(&plan, &script).unwrap();
    assert!(!folder.exists());
    assert!(text.contains("Cannot assign requested address") && text.ends_with("1\n"), "{text}");
}

/// The filter is the last thing before the execve: it need not allow what init does.
#[test]
fn a_filter_that_allows_little_more_than_execve_lets_the_program_start() {
    let text = r#"{"defaultAction":"SCMP_ACT_KILL_PROCESS","syscalls":[{"names":["execve","execveat","brk","arch_prctl",
        "set_tid_address","set_robust_list","rseq","prlimit64","readlink","readlinkat","getrandom","mprotect","prctl","getuid",
        "getpid","getppid","geteuid","getegid","getgid","uname","rt_sigaction","rt_sigprocmask","mmap","munmap","write",
        "exit_group","exit","newfstatat","fstat","statx","setuid","setgid","getcwd"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let filter = Filter::compile(&serde_json::from_str(text).unwrap(), native().unwrap()).unwrap();
    for no_new_privileges in [false, true] {
        let process = json!({"capabilities": capabilities(&[]), "noNewPrivileges": no_new_privileges,
            "user": {"uid": 7, "gid": 7}, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}]});
        assert_eq!(run(&planned(process, json!({}), Some(filter.clone())), "echo started").unwrap(), "started\n");
    }
}

#[test]
fn limits_mask_personality_and_session_are_the_plans() {
    let process = json!({"user": {"uid": 0, "gid": 0, "umask": 0o027}, "oomScoreAdj": 321, "rlimits": [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_STACK", "soft": 1048576, "hard": 2097152}]});
    let plan = planned(process, json!({"personality": {"domain": "LINUX32"}}), None);
    let script = "umask; ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -Ss; ulimit -Hs; cat /proc/self/oom_score_adj /proc/self/personality";
    let text = run(&plan, script).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), ["0027", "100", "200", "0", "1024", "2048", "321", "00000008"]);
    if plan.keyring.is_some() {
        let keys = run(&plan, "cat /proc/keys").unwrap();
        assert!(keys.contains("_ses.confine-test"), "{keys}");
    }
}

/// Few descriptors for the program are not too few for init.
#[test]
fn a_limit_below_what_init_has_open_stops_nobody() {
    let process = json!({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 3}]});
    assert_eq!(run(&planned(process, json!({}), Some(filter())), "ulimit -n").unwrap(), "3\n");
}
