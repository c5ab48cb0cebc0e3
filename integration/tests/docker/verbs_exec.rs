//! `docker exec`: codes, streams, and each flag by its effect.

use integration::container::Container;
use integration::host;
use integration::image::BUSYBOX;
use integration::scene;
use integration::scene::Scene;
use integration::terminal::Terminal;
use integration::wait::{PATIENCE, eventually};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(exit_code_and_streams),
        scene!(failures_to_start_have_dockers_codes),
        scene!(joins_every_namespace_and_cgroup_of_the_container),
        scene!(same_confinement_as_init),
        scene!(detached_runs_on),
        scene!(interactive_reads_a_pipe_to_its_end),
        scene!(terminal_follows_its_window),
        scene!(user_environment_and_working_directory),
        scene!(privileged_has_all_capabilities)
            .peer_cannot_if(!host::may_raise_limits(), "runc 1.1 fails on a capability outside its own bounding set"),
        scene!(many_at_once),
        scene!(into_a_stopped_or_paused_container_is_refused),
    ]
}

fn sleeper(stage: &Stage, flags: &[&str]) -> Container {
    let container = stage.docker.container("exec");
    container.start_detached(&[flags, &[BUSYBOX, "sleep", "1000"]].concat());
    container
}

fn exit_code_and_streams(stage: &Stage) {
    let container = sleeper(stage, &[]);
    for code in [0, 3, 255] {
        container.exec_with(&[], &["sh", "-c", &format!("exit {code}")]).code_is(code);
    }
    container.exec_with(&[], &["sh", "-c", "kill -9 $$"]).code_is(137);
    let output = container.exec_with(&[], &["sh", "-c", "echo out; echo err >&2"]).ok();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
}

fn failures_to_start_have_dockers_codes(stage: &Stage) {
    let container = sleeper(stage, &[]);
    // Docker 20.10 answers 126 to all of them, later ones 127 to what is not there.
    let run = |command: &str| {
        let output = container.exec_with(&[], &[command]);
        assert!([126, 127].contains(&output.code), "{output}");
        output
    };
    run("nosuch").says("exec: \"nosuch\": executable file not found in $PATH");
    run("/nosuch").says("no such file or directory");
    run("/etc/passwd").code_is(126).says("permission denied");
    container.exec_with(&["-w", "/nosuch"], &["true"]).fails().says("no such file or directory");
}

fn joins_every_namespace_and_cgroup_of_the_container(stage: &Stage) {
    let container = sleeper(stage, &[]);
    for kind in ["pid", "mnt", "ipc", "uts", "net", "cgroup", "user"] {
        let inside = container.exec(&["readlink", &format!("/proc/self/ns/{kind}")]);
        assert_eq!(inside, host::namespace(container.pid(), kind), "{kind}");
    }
    let read = |path: &str| container.exec(&["cat", path]);
    assert_eq!(read("/proc/self/cgroup"), read("/proc/1/cgroup"));
}

fn same_confinement_as_init(stage: &Stage) {
    let flags = ["--cap-drop", "CHOWN", "--security-opt", "no-new-privileges", "--ulimit", "core=5120:10240"];
    let container = sleeper(stage, &flags);
    let fields =
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "SigIgn", "SigBlk", "Groups"];
    let inside = container.exec(&["cat", "/proc/self/status"]);
    for field in fields {
        let of_exec = inside.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap().trim();
        assert_eq!(Some(of_exec.to_owned()), host::status_field(container.pid(), field), "{field}");
    }
    assert_eq!(container.exec(&["sh", "-c", "ulimit -c; ulimit -Hc"]), "10\n20");
    container.exec_with(&[], &["unshare", "-u", "true"]).fails().says("not permitted");
}

fn detached_runs_on(stage: &Stage) {
    let container = sleeper(stage, &[]);
    let output = container.exec_with(&["-d"], &["sh", "-c", "echo done >/tmp/sign; exec sleep 2000"]).ok();
    assert_eq!(output.stdout, "");
    eventually(PATIENCE, "the detached command", || container.exec(&["ps"]).contains("sleep 2000").then_some(()));
    assert_eq!(container.exec(&["cat", "/tmp/sign"]), "done");
}

fn interactive_reads_a_pipe_to_its_end(stage: &Stage) {
    let container = sleeper(stage, &[]);
    let text = "one line\n".repeat(5_000);
    let output = stage.docker.call_with_input(&["exec", "-i", &container.name, "cat"], &text).ok();
    assert!(output.stdout == text, "{} bytes went in, {} came out", text.len(), output.stdout.len());
    assert_eq!(stage.docker.call_with_input(&["exec", &container.name, "cat"], "not given").ok().stdout, "");
}

fn terminal_follows_its_window(stage: &Stage) {
    let container = sleeper(stage, &[]);
    let mut terminal = Terminal::start(&stage.docker.command(&["exec", "-it", &container.name, "sh"]));
    terminal.types("test -t 0 && test -t 1 && echo tty $((40+1))\n");
    terminal.shows("tty 41");
    eventually(PATIENCE, "the new size inside the container", || {
        // Each time anew: the client asks for the size first and listens for changes later, and misses one in between.
        terminal.resize(44, 110);
        terminal.resize(44, 111);
        terminal.types("echo size $(stty size)\n");
        terminal.shows("size ");
        terminal.shows("size ");
        terminal.screen().contains("44 111").then_some(())
    });
    terminal.types("echo ctl-$((1+1)) >/dev/tty; exit 9\n");
    terminal.shows("ctl-2");
    assert_eq!(terminal.ends(), 9);
}

fn user_environment_and_working_directory(stage: &Stage) {
    let container = sleeper(stage, &["-e", "FROM=run"]);
    let line = ["sh", "-c", "id -u; id -g; id -G; pwd; echo $FROM $EXTRA"];
    let seen = container.exec_with(&["-u", "alice", "-e", "EXTRA=exec", "-w", "/tmp"], &line).ok().text();
    assert_eq!(seen, "1000\n1000\n1000 50\n/tmp\nrun exec");
    assert_eq!(container.exec_with(&["-u", "7:8"], &["sh", "-c", "id -u; id -g"]).ok().text(), "7\n8");
    let effective = container.exec_with(&["-u", "7"], &["grep", "CapEff", "/proc/self/status"]).ok().text();
    assert_eq!(effective, "CapEff:\t0000000000000000");
}

fn privileged_has_all_capabilities(stage: &Stage) {
    let container = sleeper(stage, &[]);
    let effective = container.exec_with(&["--privileged"], &["grep", "CapEff", "/proc/self/status"]).ok().text();
    assert!(crate::verbs_run::dockers_capabilities().iter().any(|all| effective.ends_with(all)), "{effective}");
}

fn many_at_once(stage: &Stage) {
    let container = sleeper(stage, &[]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let container = &container;
            scope.spawn(move || {
                let word = format!("number {number}");
                assert_eq!(container.exec(&["echo", &word]), word);
            });
        }
    });
}

fn into_a_stopped_or_paused_container_is_refused(stage: &Stage) {
    let container = sleeper(stage, &[]);
    container.verb(&["pause"]).ok();
    container.exec_with(&[], &["true"]).fails().says("paused");
    container.verb(&["unpause"]).ok();
    container.verb(&["kill"]).ok();
    container.wait();
    container.exec_with(&[], &["true"]).fails().says("not running");
}
