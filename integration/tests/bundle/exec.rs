//! `exec`: another process in the container, in the foreground or detached.

use std::fs;

use integration::bundle::Bundle;
use integration::console::ConsoleSocket;
use integration::scene;
use integration::scene::Scene;
use integration::terminal::Terminal;
use integration::{host, leftover};
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(gives_the_status_of_the_process),
        scene!(failures_to_start_are_255_and_told),
        scene!(process_file_detached_with_a_pid_file),
        scene!(flags_shape_the_process),
        scene!(joins_namespaces_and_cgroup),
        scene!(terminal_by_console_socket),
        scene!(stopped_container_is_refused),
        scene!(paused_container_is_refused),
        scene!(preserved_descriptors_arrive),
        scene!(has_the_confinement_of_init),
    ]
}

fn running(stage: &Stage) -> Bundle {
    let bundle = stage.sleeper();
    bundle.start();
    bundle
}

/// `exec FLAGS... ID COMMAND...`
#[track_caller]
fn exec(bundle: &Bundle, flags: &[&str], command: &[&str]) -> integration::command::Output {
    bundle.call(&[&["exec"], flags, &[&bundle.id], command].concat())
}

fn gives_the_status_of_the_process(stage: &Stage) {
    let bundle = running(stage);
    for code in [0, 1, 42, 255] {
        exec(&bundle, &[], &["sh", "-c", &format!("exit {code}")]).code_is(code);
    }
    exec(&bundle, &[], &["sh", "-c", "kill -9 $$"]).code_is(137);
    exec(&bundle, &[], &["sh", "-c", "kill -TERM $$"]).code_is(143);
    let output = exec(&bundle, &[], &["sh", "-c", "echo out; echo err >&2"]).ok();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
}

fn failures_to_start_are_255_and_told(stage: &Stage) {
    let bundle = running(stage);
    let cases = [
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
        ("/nosuch", "exec: \"/nosuch\": stat /nosuch: no such file or directory"),
        ("/etc/passwd", "exec: \"/etc/passwd\": permission denied"),
    ];
    for (count, (program, text)) in cases.iter().enumerate() {
        let output = exec(&bundle, &[], &[program]).code_is(255).says(text);
        let errors = bundle.logged_errors();
        assert_eq!(errors.len(), count + 1);
        assert_eq!(output.stderr.trim_end(), errors[count]);
    }
    exec(&bundle, &["--cwd", "/nosuch"], &["true"]).code_is(255).says("no such file or directory");
    assert_eq!(leftover::members(&bundle.cgroup), [bundle.pid()]);
}

fn process_file_detached_with_a_pid_file(stage: &Stage) {
    let bundle = running(stage);
    let (file, pid_file) = (bundle.folder.join("process.json"), bundle.folder.join("exec.pid"));
    let process = json!({
        "args": ["sh", "-c", "echo $WORD; exec sleep 500"], "cwd": "/tmp", "env": ["PATH=/bin", "WORD=from file"],
        "user": { "uid": 7, "gid": 8, "additionalGids": [9] }, "capabilities": {}, "noNewPrivileges": true,
    });
    fs::write(&file, process.to_string()).unwrap();
    let (file, pid_word) = (file.to_str().unwrap(), pid_file.to_str().unwrap());
    let line = ["exec", "--process", file, "--detach", "--pid-file", pid_word, &bundle.id];
    bundle.on_own_streams(&mut bundle.command(&line)).ok();
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    bundle.says("from file");
    assert_eq!(host::status_field(pid, "Uid").unwrap(), "7\t7\t7\t7");
    assert_eq!(host::status_field(pid, "Gid").unwrap(), "8\t8\t8\t8");
    assert_eq!(host::status_field(pid, "NoNewPrivs").unwrap(), "1");
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str().unwrap(), "/tmp");
    assert!(leftover::members(&bundle.cgroup).contains(&pid));
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    assert_eq!(bundle.exit_code(pid), 137, "the process is a child of whoever called the runtime");
}

fn flags_shape_the_process(stage: &Stage) {
    let bundle = running(stage);
    let text = |flags: &[&str], line: &str| exec(&bundle, flags, &["sh", "-c", line]).ok().text();
    assert_eq!(text(&["-e", "A=1", "-e", "B=2 3"], "echo $A $B"), "1 2 3");
    assert_eq!(text(&["--env=A=9"], "echo $A"), "9");
    assert_eq!(text(&["--cwd", "/tmp"], "pwd"), "/tmp");
    assert_eq!(text(&["-u", "12:34"], "id -u; id -g"), "12\n34");
    assert_eq!(text(&["--user=12"], "id -u"), "12");
    assert_eq!(text(&["-u", "1:1", "-g", "5", "-g", "6"], "id -G"), "1 5 6");
    assert_eq!(text(&["--no-new-privs"], "grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t1");
    let bits = text(&["--cap", "CAP_SYS_CHROOT"], "grep CapEff /proc/self/status");
    assert!(bits.contains("0000000000040"), "{bits}");
}

fn joins_namespaces_and_cgroup(stage: &Stage) {
    let bundle = running(stage);
    for kind in ["pid", "mnt", "ipc", "uts", "net", "user", "cgroup"] {
        let inside = exec(&bundle, &[], &["readlink", &format!("/proc/self/ns/{kind}")]).ok().text();
        assert_eq!(inside, host::namespace(bundle.pid(), kind));
    }
    let read = |path: &str| exec(&bundle, &[], &["cat", path]).ok().text();
    assert_eq!(read("/proc/self/cgroup"), read("/proc/1/cgroup"));
}

fn terminal_by_console_socket(stage: &Stage) {
    let bundle = running(stage);
    let socket = ConsoleSocket::listen(&bundle.folder.join("console"));
    let pid_file = bundle.folder.join("exec.pid");
    let flags = ["--tty", "--console-socket", socket.word(), "--detach", "--pid-file", pid_file.to_str().unwrap()];
    let line = [&["exec"], &flags[..], &[&bundle.id, "sh"]].concat();
    bundle.on_own_streams(&mut bundle.command(&line)).ok();
    let mut messages = socket.messages();
    assert_eq!((messages.len(), messages[0].len()), (1, 1), "messages, descriptors");
    let mut terminal = Terminal::of_container(messages.remove(0).remove(0));
    terminal.resize(21, 43);
    terminal.types("test -t 0 && stty size && echo ctl-$((1+1)) >/dev/tty; exit 6\n");
    terminal.shows("21 43");
    terminal.shows("ctl-2");
    let pid = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(bundle.exit_code(pid), 6);
}

fn stopped_container_is_refused(stage: &Stage) {
    let bundle = stage.bundle(&["true"]);
    bundle.start();
    bundle.stops();
    exec(&bundle, &[], &["true"]).code_is(255);
    assert_eq!(bundle.logged_errors().len(), 1);
    bundle.call(&["exec", "unknown", "true"]).fails().says("does not exist");
}

fn paused_container_is_refused(stage: &Stage) {
    let bundle = running(stage);
    bundle.verb(&["pause"]).ok();
    exec(&bundle, &[], &["true"]).code_is(255).says("paused");
    bundle.verb(&["resume"]).ok();
    exec(&bundle, &[], &["true"]).ok();
}

fn preserved_descriptors_arrive(stage: &Stage) {
    let bundle = running(stage);
    let script = "cd /proc/self/fd; for f in 3 4 5; do test -e $f && echo $f $(cat <&$f); done; true";
    let line = ["exec", "--preserve-fds", "1", &bundle.id, "sh", "-c", script];
    bundle.call_after("exec 3<<<three 4<<<four;", &line).ok();
    assert_eq!(bundle.stdout(), "3 three\n");
}

fn has_the_confinement_of_init(stage: &Stage) {
    let mut bundle = stage.sleeper();
    bundle.set("/process/noNewPrivileges", json!(true));
    bundle.set("/process/rlimits", json!([{ "type": "RLIMIT_CORE", "soft": 1024, "hard": 2048 }]));
    bundle.set("/process/oomScoreAdj", json!(500));
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 });
    bundle.set("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }));
    bundle.start();
    let status = exec(&bundle, &[], &["cat", "/proc/self/status"]).ok().stdout;
    for field in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "SigIgn", "SigBlk"] {
        let inside = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap().trim();
        assert_eq!(Some(inside.to_owned()), host::status_field(bundle.pid(), field), "{field}");
    }
    exec(&bundle, &[], &["mkdir", "/tmp/x"]).fails().says("Function not implemented");
    assert_eq!(exec(&bundle, &[], &["sh", "-c", "ulimit -c; ulimit -Hc"]).ok().text(), "2\n4");
}
