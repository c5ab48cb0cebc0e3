//! `kubectl exec` and `kubectl attach`: what runs beside a container's own process.

use integration::command;
use integration::scene;
use integration::scene::Scene;
use integration::terminal::Terminal;
use serde_json::json;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    vec![
        scene!(streams_and_exit_code),
        scene!(command_that_cannot_be_run),
        scene!(a_probe_that_takes_too_long_is_killed),
        scene!(by_a_stream),
        scene!(on_a_terminal),
        scene!(attach),
    ]
}

fn streams_and_exit_code(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sleep", "1000"]);
    let output = container.exec(&["sh", "-c", "echo out; echo err >&2; exit 9"]).code_is(9);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
}

fn command_that_cannot_be_run(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sleep", "1000"]);
    let answer = container.try_call("ExecSync", &json!({ "cmd": ["nosuch"] })).fails();
    assert!(
        answer.stderr.replace('\\', "").contains("exec: \"nosuch\": executable file not found in $PATH"),
        "{answer}"
    );
    assert_eq!(container.state(), "CONTAINER_RUNNING");
}

fn a_probe_that_takes_too_long_is_killed(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sleep", "1000"]);
    let answer = container.try_call("ExecSync", &json!({ "cmd": ["sleep", "3333"], "timeout": 1 })).fails();
    assert!(answer.stderr.contains("DeadlineExceeded"), "{answer}");
    assert!(!container.exec(&["ps"]).ok().stdout.contains("sleep 3333"));
}

fn by_a_stream(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sleep", "1000"]);
    let line = "read word; echo \"got $word\"; echo err >&2; exit 5";
    let request = json!({ "cmd": ["sh", "-c", line], "stdin": true, "stdout": true, "stderr": true });
    let output = command::run_with_input(&mut container.stream("Exec", &request), "input\n").code_is(5);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("got input\n", "err\n"));
}

fn on_a_terminal(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let container = pod.start(&json!({}), &["sleep", "1000"]);
    let request = json!({ "cmd": ["sh"], "tty": true, "stdin": true, "stdout": true });
    let mut terminal = Terminal::start(&container.stream("Exec", &request));
    terminal.types("tty; echo o''n; exit 6\n");
    terminal.shows("/dev/pts/0");
    terminal.shows("on");
    assert_eq!(terminal.ends(), 6);
}

fn attach(stage: &Stage) {
    let pod = stage.cri.pod(&json!({}));
    let line = "while read word; do echo \"got $word\"; done";
    let container = pod.start(&json!({ "stdin": true, "stdinOnce": false }), &["sh", "-c", line]);
    let request = json!({ "stdin": true, "stdout": true, "stderr": true });
    let mut terminal = Terminal::start(&container.stream("Attach", &request));
    terminal.types("first\n");
    terminal.shows("got first");
    drop(terminal);
    container.log_shows("stdout F got first\n");
    assert_eq!(container.state(), "CONTAINER_RUNNING");
}
