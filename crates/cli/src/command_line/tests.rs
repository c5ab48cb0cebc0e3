//! The command lines that engines and people write, and what becomes of them.

use super::*;

/// The words that clap gets, one line; the check that it accepts them is in [`accepted`].
fn rewritten(line: &str) -> String {
    let line = CommandLine::new(line.split(' ').map(OsString::from));
    let words: Vec<_> = line.global.iter().chain(&line.rest).map(|word| word.to_str().unwrap()).collect();
    words.join(" ")
}

fn accepted(line: &str) -> (Global, &'static Verb, ArgMatches) {
    match CommandLine::new(line.split(' ').map(OsString::from)).request() {
        Ok(Request::Run(global, verb, arguments)) => (global, verb, arguments),
        Ok(Request::Print(text)) => panic!("{line}: {text}"),
        Err(error) => panic!("{line}: {error}"),
    }
}

fn refused(line: &str) -> String {
    match CommandLine::new(line.split(' ').map(OsString::from)).request() {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{line} is accepted"),
    }
}

/// Lines that must be accepted, and their one form.
fn check(rows: &[(&str, &str)]) {
    for (line, expected) in rows {
        assert_eq!(rewritten(line), *expected, "{line}");
        accepted(line);
        assert_eq!(rewritten(expected), *expected, "the one form is stable");
    }
}

#[test]
fn docker_and_containerd() {
    let given = "--root /run/moby --log /b/log.json --log-format json";
    let global = "--root=/run/moby --log=/b/log.json --log-format=json";
    for (command, expected) in [
        ("create --bundle /b --pid-file /b/init.pid c", "create --bundle=/b --pid-file=/b/init.pid c"),
        (
            "create --bundle /b --pid-file /b/init.pid --console-socket /s c",
            "create --bundle=/b --pid-file=/b/init.pid --console-socket=/s c",
        ),
        (
            "create --bundle /b --pid-file /p --no-pivot --no-new-keyring c",
            "create --bundle=/b --pid-file=/p --no-pivot --no-new-keyring c",
        ),
        ("create --pidfd-socket /s --preserve-fds 2 c", "create --pidfd-socket=/s --preserve-fds=2 c"),
        ("start c", "start c"),
        ("delete c", "delete c"),
        ("delete --force c", "delete --force c"),
        (
            "exec --process /p --console-socket /s --detach --pid-file /b/e.pid c",
            "exec --process=/p --console-socket=/s --detach --pid-file=/b/e.pid c",
        ),
        ("kill c 10", "kill c 10"),
        ("kill --all c 9", "kill --all c 9"),
        ("ps --format json c", "ps --format=json c"),
        ("ps --format table c -o pid,cmd", "ps --format=table c -- -o pid,cmd"),
        ("pause c", "pause c"),
        ("resume c", "resume c"),
        ("update --resources - c", "update --resources=- c"),
        ("update --resources=- c", "update --resources=- c"),
        ("events --stats c", "events --stats c"),
        ("events --interval=5s c", "events --interval=5s c"),
        ("list --format=json", "list --format=json"),
        ("state c", "state c"),
        ("features", "features"),
    ] {
        let line = format!("{given} {command}");
        assert_eq!(rewritten(&line), format!("{global} {expected}"), "{line}");
        let (global, verb, _) = accepted(&line);
        assert_eq!(global.root.as_deref(), Some("/run/moby".as_ref()));
        assert!(command.starts_with(verb.name));
    }
}

#[test]
fn runtime_arguments_of_the_daemon_come_first_and_the_last_word_counts() {
    let line = "--debug --root /a --rootless=true --systemd-cgroup --root /b --log /l --log-format json state c";
    let (global, ..) = accepted(line);
    assert_eq!(global.root.as_deref(), Some("/b".as_ref()));
    assert_eq!(global.rootless, engine::Rootless::Yes);
    assert_eq!(global.cgroup_manager, cgroups::Manager::Systemd);
    let options = CommandLine::new(line.split(' ').map(OsString::from)).log_options();
    assert_eq!(options.file.as_deref(), Some("/l".as_ref()));
    assert_eq!(options.format, crate::log::Format::Json);
    assert_eq!(options.level, Some(log::LevelFilter::Debug));
}

#[test]
fn buildkit() {
    check(&[
        (
            "--log /d/runc-log.json --log-format json run --bundle /x --keep c",
            "--log=/d/runc-log.json --log-format=json run --bundle=/x --keep c",
        ),
        ("exec --process /p --pid-file /e.pid c", "exec --process=/p --pid-file=/e.pid c"),
    ]);
}

#[test]
fn podman_and_buildah() {
    check(&[
        (
            "--log-format=json --log /u/oci-log create --bundle /u --pid-file /r/pidfile --console-socket /s c",
            "--log-format=json --log=/u/oci-log create --bundle=/u --pid-file=/r/pidfile --console-socket=/s c",
        ),
        ("start c", "start c"),
        ("kill c 15", "kill c 15"),
        ("exec --pid-file /p --process /f --detach c", "exec --pid-file=/p --process=/f --detach c"),
        ("update --resources=/tmp/limits c", "update --resources=/tmp/limits c"),
        (
            "create --bundle /var/b --pid-file /var/b/pid buildah-buildah1626364256",
            "create --bundle=/var/b --pid-file=/var/b/pid buildah-buildah1626364256",
        ),
        ("state buildah-buildah1626364256", "state buildah-buildah1626364256"),
        ("--cgroup-manager disabled create c", "--cgroup-manager=disabled create c"),
    ]);
}

#[test]
fn cri_o() {
    check(&[
        ("--root=/run/l --systemd-cgroup start c", "--root=/run/l --systemd-cgroup start c"),
        ("--root /run/l kill -a c KILL", "--root=/run/l kill --all c KILL"),
        ("--root /run/l kill c SIGRTMIN+3", "--root=/run/l kill c SIGRTMIN+3"),
        ("--root /run/l exec --process /f c", "--root=/run/l exec --process=/f c"),
        ("--root /run/l delete --force c", "--root=/run/l delete --force c"),
        ("--root /run/l update --resources - c", "--root=/run/l update --resources=- c"),
    ]);
}

#[test]
fn flags_in_the_forms_of_go() {
    check(&[
        ("-root /r run -no-subreaper -bundle=/b c", "--root=/r run --no-subreaper --bundle=/b c"),
        ("kill c --all", "kill c --all"),
        ("kill c 9 -a", "kill c 9 --all"),
        ("delete c -f", "delete c --force"),
        ("run --detach=true --keep=false -b=/b c", "run --detach --bundle=/b c"),
        ("run -db /b c", "run --detach --bundle=/b c"),
        ("run -d -b/b c", "run --detach --bundle=/b c"),
        ("update --memory-swap -1 --cpu-quota -1 c", "update --memory-swap=-1 --cpu-quota=-1 c"),
        ("list -q", "list --quiet"),
        ("--log= state c", "--log= state c"),
    ]);
}

#[test]
fn the_process_of_exec_keeps_its_own_flags() {
    check(&[
        ("exec c cmd -x --tty -h", "exec c -- cmd -x --tty -h"),
        ("exec c -- cmd -x -- -y", "exec c -- cmd -x -- -y"),
        ("exec c -t cmd -t", "exec c --tty -- cmd -t"),
        ("exec -tu 0:0 c sh -c exit", "exec --tty --user=0:0 c -- sh -c exit"),
        ("exec -e A=b -e --x --cap CAP_KILL c env", "exec --env=A=b --env=--x --cap=CAP_KILL c -- env"),
        ("exec -g 1 -g 2 c id", "exec --additional-gids=1 --additional-gids=2 c -- id"),
    ]);
    let (.., arguments) = accepted("exec c -- cmd -x -- -y");
    let words: Vec<&OsString> = arguments.get_many("args").unwrap().collect();
    assert_eq!(words, ["cmd", "-x", "--", "-y"]);
}

#[test]
fn the_options_of_ps_follow_the_container() {
    check(&[("ps c -f", "ps c -- -f"), ("ps -f json c", "ps --format=json c"), ("ps c -- aux", "ps c -- aux")]);
    let (.., arguments) = accepted("ps c -f -o pid");
    let words: Vec<&OsString> = arguments.get_many("ps").unwrap().collect();
    assert_eq!(words, ["-f", "-o", "pid"]);
}

#[test]
fn refusals_are_one_line_and_name_the_word() {
    for (line, expected) in [
        ("state", "<CONTAINER>"),
        ("state a b", "'b'"),
        ("stat c", "'state'"),
        ("create --bundel /b c", "'--bundel'"),
        ("--bogus state c", "'--bogus'"),
        ("kill c TREM", "'TREM'"),
        ("kill c 65", "'65'"),
        ("exec c", "<COMMAND>"),
        ("exec --user root c id", "UID"),
        ("create --preserve-fds -1 c", "'-1'"),
        ("--log-format xml state c", "'xml'"),
        ("update --memory 1x c", "'1x'"),
        ("create --bundle", "--bundle"),
        ("run --detach=maybe c", "'maybe'"),
    ] {
        let message = refused(line);
        assert!(message.contains(expected) && !message.contains('\n'), "{line}: {message}");
        assert!(!message.starts_with("error:") && !message.contains("--help"), "{line}: {message}");
    }
}

#[test]
fn help_and_version_are_answers() {
    for (line, expected) in [
        ("--version", "lightship version "),
        ("-v", "\nspec: "),
        ("--root /r --help", "Commands:"),
        ("help kill", "lightship kill"),
        ("kill -h", "lightship kill"),
        ("--help kill", "Commands:"),
    ] {
        match CommandLine::new(line.split(' ').map(OsString::from)).request() {
            Ok(Request::Print(text)) => assert!(text.contains(expected), "{line}: {text}"),
            Ok(Request::Run(..)) => panic!("{line} runs a command"),
            Err(error) => panic!("{line}: {error}"),
        }
    }
}

#[test]
fn paths_may_be_any_bytes() {
    let words =
        [&b"--log=/\xff"[..], b"create", b"--bundle", b"/\xfe", b"c"].map(|word| OsString::from_vec(word.to_vec()));
    let line = CommandLine::new(words.into_iter());
    assert_eq!(line.log_options().file, Some(OsString::from_vec(b"/\xff".to_vec()).into()));
    assert!(matches!(line.request(), Ok(Request::Run(..))));
}
