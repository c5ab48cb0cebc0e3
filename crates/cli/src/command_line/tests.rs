//! The command lines that engines and people write, and what becomes of them.

use std::os::unix::ffi::OsStringExt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn read(line: &str) -> CommandLine {
    CommandLine::new(line.split(' ').map(OsString::from))
}

pub(crate) fn accepted(line: &str) -> (Global, &'static Verb, Arguments) {
    match read(line).request() {
        Ok(Request::Run(global, verb, arguments)) => (global, verb, arguments),
        Ok(Request::Print(text)) => panic!("{line}: {text}"),
        Err(error) => panic!("{line}: {error}"),
    }
}

/// Why `line` is not a command line, which comes before anything is done.
fn refused(line: &str) -> String {
    let answer = match read(line).request() {
        Ok(Request::Run(global, verb, arguments)) => (verb.run)(&global, &arguments).map(|_| ()),
        answer => answer.map(|_| ()),
    };
    match answer {
        Err(Error::Usage(message)) => message,
        _ => panic!("{line} is accepted"),
    }
}

/// What was read, in one form for all that mean the same.
fn one_form(line: &str) -> String {
    let global = words(&read(line).global);
    let (_, verb, arguments) = accepted(line);
    let words: Vec<String> = global.into_iter().chain([verb.name.to_owned()]).chain(words(&arguments)).collect();
    words.join(" ")
}

fn words(arguments: &Arguments) -> Vec<String> {
    let mut words = Vec::new();
    for (argument, value) in arguments.given() {
        let value = value.to_str().unwrap();
        match argument.kind {
            Kind::Switch => words.push(format!("--{}", argument.name)),
            Kind::Text | Kind::Path | Kind::List => words.push(format!("--{}={value}", argument.name)),
            Kind::Positional { .. } | Kind::Trailing { .. } => words.push(value.to_owned()),
        }
    }
    let foreign = arguments.given().filter(|(argument, _)| matches!(argument.kind, Kind::Trailing { .. })).count();
    if foreign > 0 {
        words.insert(words.len() - foreign, "--".to_owned());
    }
    words
}

/// Lines that must be accepted, and their one form.
fn check(rows: &[(&str, &str)]) {
    for (line, expected) in rows {
        assert_eq!(one_form(line), *expected, "{line}");
        assert_eq!(one_form(expected), *expected, "the one form is stable");
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
        assert_eq!(one_form(&line), format!("{global} {expected}"), "{line}");
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
    let options = read(line).log_options();
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
fn the_last_of_several_counts() {
    check(&[
        ("--root /a --root /b state c", "--root=/b state c"),
        ("run --detach --keep --detach=false c", "run --keep c"),
        ("run --detach=0 -d --bundle /a -b /b c", "run --detach --bundle=/b c"),
    ]);
}

#[test]
fn the_log_is_found_behind_what_makes_no_sense() {
    let line = "--bogus --log-format xml --log /l --log-format json --log-level nonsense nonsense";
    refused(line);
    let options = read(line).log_options();
    assert_eq!((options.file.as_deref(), options.format), (Some("/l".as_ref()), crate::log::Format::Json));
}

#[test]
fn the_process_of_exec_keeps_its_own_flags() {
    check(&[
        ("exec c cmd -x --tty -h", "exec c -- cmd -x --tty -h"),
        ("exec c -- cmd -x -- -y", "exec c -- cmd -x -- -y"),
        ("exec c cmd -- -h", "exec c -- cmd -- -h"),
        ("exec -- c -x", "exec c -- -x"),
        ("exec c -t cmd -t", "exec c --tty -- cmd -t"),
        ("exec -tu 0:0 c sh -c exit", "exec --tty --user=0:0 c -- sh -c exit"),
        ("exec -e A=b -e --x --cap CAP_KILL c env", "exec --env=A=b --env=--x --cap=CAP_KILL c -- env"),
        ("exec -g 1 -g 2 c id", "exec --additional-gids=1 --additional-gids=2 c -- id"),
    ]);
}

#[test]
fn the_options_of_ps_follow_the_container() {
    check(&[
        ("ps c -f -o pid", "ps c -- -f -o pid"),
        ("ps -f json c", "ps --format=json c"),
        ("ps c -- aux", "ps c -- aux"),
    ]);
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
        ("update --memory 1x --resources /r c", "'1x'"),
        ("exec --process= c", "<COMMAND>"),
        ("create --bundle", "--bundle"),
        ("create --log /l c", "'--log'"),
        ("run -dx c", "'-dx'"),
        ("-- state c", "'--'"),
        ("ports 0", "'0'"),
        ("checkpoint --status-fd x c", "'x'"),
        ("help stat", "'state'"),
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
        ("kill -h", "lightship kill"),
        ("exec c -h", "lightship exec"),
        ("run --help --bogus", "lightship run"),
        ("--help kill", "Commands:"),
    ] {
        match read(line).request() {
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

proptest! {
    /// Whatever the words are: no panic, and what is refused gives a reason.
    #[test]
    fn any_words(line in vec(prop_oneof![select(WORDS).prop_map(|word| word.to_vec()), vec(any::<u8>(), 0..9)], 0..9)) {
        let line = CommandLine::new(line.into_iter().map(OsString::from_vec));
        let _ = line.log_options();
        if let Err(error) = line.request() {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

const WORDS: &[&[u8]] = &[
    b"--root",
    b"-v",
    b"--log=/l",
    b"--log-level",
    b"run",
    b"exec",
    b"ps",
    b"kill",
    b"update",
    b"c",
    b"-d",
    b"-dt",
    b"-b",
    b"-b=",
    b"--bundle",
    b"--detach=",
    b"--detach=false",
    b"--",
    b"-",
    b"--=",
    b"-=",
    b"--help",
    b"-e",
    b"--memory",
    b"",
];
