//! What one `run true` may take, with a configuration as Docker writes it: system calls, processes, bytes written, memory, and
//! descriptors. Times depend on the machine, these numbers do not.
//!
//! The program runs itself under strace(1): called with a state root and a bundle it is a runtime, nothing more. Set RUNTIME
//! to the path of a `lightship` to count that one instead.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a test that fails may fail anywhere, and its files are its own"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::{CreateOptions, RunOptions, Runtime};
use serde_json::{Value, json};

/// System calls, which are the time of a run: on any host, of the runtime, init and the program, a static busybox.
const BASE: usize = 412;
/// What each hierarchy of cgroup v1 adds: to be looked at, made, limited, joined, shown in the container and removed.
const PER_HIERARCHY: usize = 10;
/// What the host's network adds: the programs for counters and diagnosis, to be generated, loaded and attached, and a look for others
/// above at bind(2) of each family.
const HOST_NETWORK: usize = 31;
/// Processes, which are the memory of many containers: the runtime and the container's first process.
const PROCESSES: usize = 2;
/// Bytes written, of which most stay in memory as long as the run: init and its program, the state, the kernel's values.
const BYTES: usize = 56 * 1024;
/// The calls of a child before it executes init: it shares the memory of a runtime that may have threads, so it must not
/// allocate (brk, mmap) nor wait for a lock (futex).
const CHILD: [&str; 4] = ["close_range", "fcntl", "dup3", "execveat"];
/// How often a run is counted. The lowest counts: a cgroup that a process is just leaving is removed at the second attempt.
const RUNS: usize = 6;
/// The limit of open files, stdio included, under which it works whatever the number of hierarchies.
const DESCRIPTORS: u32 = 16;

fn main() {
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|verb| verb == "--as-runtime") {
        return run(Path::new(&arguments[2]), Path::new(&arguments[3]));
    }
    few_descriptors();
    match () {
        () if !Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()) => {
            println!("skipped: strace is not installed");
        }
        () => {
            let (new, host) = (count("new", true), count("host", false));
            println!("test result: ok; {new} system calls with a network of its own, {host} with the host's");
        }
    }
}

/// Is the runtime.
fn run(root: &Path, bundle: &Path) {
    let runtime = Runtime { root: root.into(), ..Runtime::default() };
    let create = CreateOptions { bundle: bundle.into(), ..CreateOptions::default() };
    match runtime.run("budget", &create, &RunOptions::default()) {
        Ok(status) => assert_eq!(status, 0),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

/// Runs under a limit of open files; and under less than it needs, where it must say so and leave nothing.
fn few_descriptors() {
    let folder = Folder(std::env::temp_dir().join(format!("lightship-descriptors-{}", std::process::id())));
    let (bundle, root) = (folder.0.join("bundle"), folder.0.join("state"));
    make(&bundle, true);
    for limit in (5..=DESCRIPTORS).rev() {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n $0; exec \"$@\" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-", &limit.to_string()]);
        let output = command.args(runtime(&root, &bundle)).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        let left = std::fs::read_dir(&root)
            .map_or(0, |entries| entries.filter(|entry| entry.as_ref().unwrap().file_name() == "budget").count());
        assert_eq!(left, 0, "limit {limit}: {error}");
        if limit == DESCRIPTORS {
            assert!(output.status.success(), "limit {limit}: {error}");
        } else if !output.status.success() {
            // In the words of glibc or of musl.
            let said =
                ["too many open files", "no file descriptors available"].iter().any(|words| error.contains(words));
            assert!(said, "limit {limit}: {error}");
        }
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a run took.
#[derive(Default)]
struct Taken {
    calls: BTreeMap<String, usize>,
    processes: usize,
    bytes: usize,
}

impl Taken {
    fn calls(&self) -> usize {
        self.calls.values().sum()
    }
}

/// Counts a run and compares it with the budgets.
fn count(name: &str, new_network: bool) -> usize {
    let folder = Folder(std::env::temp_dir().join(format!("lightship-budget-{name}-{}", std::process::id())));
    let (bundle, root, trace) = (folder.0.join("bundle"), folder.0.join("state"), folder.0.join("trace"));
    make(&bundle, new_network);
    let one_run = || {
        // What the caller ignores (a shell's background jobs, nohup) init gives its default again, with a call for each.
        let mut command = Command::new("env");
        command.args(["--default-signal", "strace", "-f", "-qq", "-o"]).arg(&trace).args(runtime(&root, &bundle));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        read(&std::fs::read_to_string(&trace).unwrap())
    };
    // Once before, so that the state root and the folders for mounts are there.
    one_run();
    let taken = (0..RUNS).map(|_| one_run()).min_by_key(Taken::calls).unwrap();
    let (total, hierarchies) = (taken.calls(), v1_hierarchies());
    let budget = BASE + PER_HIERARCHY * hierarchies + if new_network { 0 } else { HOST_NETWORK };
    assert!(taken.processes <= PROCESSES, "{} processes", taken.processes);
    assert!(taken.bytes <= BYTES, "{} bytes written", taken.bytes);
    assert!(
        total <= budget,
        "{total} system calls, {budget} with {hierarchies} cgroup hierarchies:\n{:#?}",
        taken.calls
    );
    total
}

fn runtime(root: &Path, bundle: &Path) -> Vec<std::ffi::OsString> {
    let (root, bundle): (&OsStr, &OsStr) = (root.as_ref(), bundle.as_ref());
    let words: Vec<&OsStr> = match std::env::var_os("RUNTIME") {
        Some(path) => {
            return [
                path.as_os_str(),
                "--root".as_ref(),
                root,
                "run".as_ref(),
                "-b".as_ref(),
                bundle,
                "budget".as_ref(),
            ]
            .map(Into::into)
            .into();
        }
        None => vec!["--as-runtime".as_ref(), root, bundle],
    };
    let own = std::env::current_exe().unwrap().into_os_string();
    std::iter::once(own).chain(words.into_iter().map(Into::into)).collect()
}

/// Reads what strace saw, and looks at what each process does before it executes its program.
fn read(trace: &str) -> Taken {
    let mut taken = Taken::default();
    let (mut processes, mut executed) = (BTreeSet::new(), BTreeSet::new());
    for line in trace.lines() {
        let Some((process, event)) = line.split_once(' ') else { continue };
        let event = event.trim_start();
        processes.insert(process);
        if event.starts_with("write") || event.starts_with("<... write") || event.starts_with("sendto") {
            let answer = event.rsplit_once("= ").and_then(|(_, answer)| answer.trim().parse::<usize>().ok());
            taken.bytes += answer.unwrap_or_default();
        }
        // Not a call's beginning: the end of one, a signal, a process's end. And std's own check of each descriptor that it
        // closes, which a release build does not have.
        let counted = !event.contains(" resumed>") && !event.contains("F_GETFD");
        let Some((name, _)) = event.split_once('(').filter(|_| counted) else { continue };
        // The runtime begins with execve, and init with the child's execveat.
        if name.starts_with("execve") {
            executed.insert(process);
        }
        assert!(executed.contains(process) || CHILD.contains(&name), "before init: {line}");
        *taken.calls.entry(name.to_owned()).or_insert(0) += 1;
    }
    taken.processes = processes.len();
    taken
}

fn v1_hierarchies() -> usize {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(" - cgroup ")).count()
}

fn make(bundle: &Path, new_network: bool) {
    for folder in ["rootfs/bin", "rootfs/etc", "etc"] {
        std::fs::create_dir_all(bundle.join(folder)).unwrap();
    }
    std::fs::copy("/bin/busybox", bundle.join("rootfs/bin/true")).unwrap();
    for name in ["resolv.conf", "hostname", "hosts"] {
        std::fs::write(bundle.join("etc").join(name), "").unwrap();
    }
    let config = configuration(new_network);
    std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
}

fn configuration(new_network: bool) -> Value {
    let caps: Vec<String> =
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE \
                             SYS_CHROOT KILL AUDIT_WRITE"
            .split_whitespace()
            .map(|name| format!("CAP_{name}"))
            .collect();
    let kinds = ["mount", "uts", "pid", "ipc", "network"];
    let namespaces: Vec<Value> =
        kinds.iter().take(if new_network { 5 } else { 4 }).map(|kind| json!({"type": kind})).collect();
    let file = |name: &str| json!({"destination": format!("/etc/{name}"), "type": "bind", "source": format!("etc/{name}"), "options": ["rbind", "rprivate"]});
    let mount = |destination: &str, kind: &str, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        json!({"destination": destination, "type": kind, "source": kind, "options": options})
    };
    let device =
        |major: u32, minor: u32| json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm"});
    json!({
        "ociVersion": "1.3.0",
        "hostname": "budget",
        "root": {"path": "rootfs"},
        "process": {
            "args": ["true"], "cwd": "/", "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=budget"],
            "user": {"uid": 0, "gid": 0, "additionalGids": [0, 10]}, "oomScoreAdj": 0,
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        },
        "mounts": [
            mount("/proc", "proc", "nosuid,noexec,nodev"),
            mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            mount("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            mount("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
            mount("/sys/fs/cgroup", "cgroup", "ro,nosuid,noexec,nodev"),
            mount("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
            mount("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=67108864"),
            file("resolv.conf"), file("hostname"), file("hosts"),
        ],
        "linux": {
            "cgroupsPath": format!("/lightship-budget-{}", std::process::id()),
            "namespaces": namespaces,
            "resources": {
                "devices": [{"allow": false, "access": "rwm"}, device(1, 5), device(1, 3), device(1, 9), device(1, 8), device(5, 0), device(5, 1)],
                "memory": {"limit": 268_435_456}, "cpu": {"quota": 100_000, "period": 100_000}, "pids": {"limit": 100},
            },
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "syscalls": [{"names": ["execve", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64",
                    "readlink", "readlinkat", "getrandom", "mprotect", "prctl", "getuid", "exit_group"], "action": "SCMP_ACT_ALLOW"}],
            },
            "maskedPaths": ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
