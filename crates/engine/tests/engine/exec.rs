//! A further process has the confinement of the first one.

use serde_json::json;

use crate::bundle::{Bundle, FOREVER, exec_options};
use crate::namespaces::with_user_namespace;

/// Everything that tells how a process is confined, in a form that two processes can be compared by.
const SELF: &str = "umask; grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Seccomp_filters|SigBlk|SigIgn)' /proc/self/status; \
    cat /proc/self/limits /proc/self/cgroup /proc/self/oom_score_adj /proc/self/personality /proc/self/attr/current; \
    grep -o '_ses[^ :]*' /proc/keys; readlink /proc/self/ns/*; pwd";

fn confined() -> Bundle {
    let mut bundle = Bundle::new(&format!("({SELF}) > /tmp/init 2>&1; {FOREVER}"));
    let tmp = bundle.folder.join("rootfs/tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    std::fs::set_permissions(&tmp, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let process = &mut bundle.config["process"];
    let caps = json!(["CAP_KILL", "CAP_CHOWN"]);
    process["capabilities"] =
        json!({"bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps, "ambient": caps});
    process["user"] = json!({"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o027});
    process["noNewPrivileges"] = json!(true);
    process["rlimits"] = json!([
        {"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]);
    process["oomScoreAdj"] = json!(77);
    process["cwd"] = json!("/tmp");
    bundle.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}],
    });
    bundle
}

#[test]
fn it_is_confined_as_init_is() {
    let bundle = confined();
    bundle.start();
    let wait = "until [ -s /tmp/init ] && grep -q ^/tmp$ /tmp/init; do :; done";
    assert_eq!(bundle.exec(&format!("{wait}; ({SELF}) > /tmp/exec 2>&1")).unwrap(), 0);
    let (init, exec) = (bundle.file("tmp/init"), bundle.file("tmp/exec"));
    assert_eq!(init, exec);
    for line in [
        "0027\n",
        "Uid:\t7\t7\t7\t7",
        "Groups:\t9 10",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "Seccomp_filters:\t1",
        "CapEff:\t0000000000000021",
        "CapAmb:\t0000000000000021",
        "SigIgn:\t0000000000000000",
        "\n77\n",
        "00000008",
    ] {
        assert!(exec.contains(line), "{line:?} is not in\n{exec}");
    }
    assert!(exec.lines().any(|line| line.starts_with("Max open files") && line.contains("99") && line.contains("100")));
    assert!(exec.contains(&format!("_ses.{}\n", bundle.id)), "{exec}");
    // The filter works, and is no mere number.
    assert_ne!(bundle.exec("/bin/busybox mkdir /tmp/made").unwrap(), 0);
}

#[test]
fn flags_change_what_they_say_and_nothing_else() {
    let bundle = confined();
    bundle.start();
    let mut options = exec_options(
        "id -u > /tmp/out; id -g >> /tmp/out; echo $A >> /tmp/out; pwd >> /tmp/out; grep Cap /proc/self/status >> /tmp/out",
    );
    options.user = Some(engine::UserSpec { uid: 0, gid: None });
    options.env = vec!["A=b".to_owned()];
    options.cwd = Some("/bin".into());
    options.caps = vec!["CAP_NET_RAW".to_owned()];
    assert_eq!(bundle.runtime.exec(&bundle.id, &options).unwrap(), 0);
    let out = bundle.file("tmp/out");
    assert!(out.starts_with("0\n8\nb\n/bin\n"), "{out}");
    assert!(out.contains("CapInh:\t0000000000000021\n") && out.contains("CapEff:\t0000000000002021\n"), "{out}");
}

#[test]
fn in_a_user_namespace_it_is_the_containers_user() {
    let bundle = with_user_namespace(FOREVER);
    bundle.start();
    assert_eq!(
        bundle.exec("id -u > /out; cat /proc/self/uid_map >> /out; readlink /proc/self/ns/user >> /out").unwrap(),
        0
    );
    let out = bundle.file("out");
    let user = std::fs::read_link(format!("/proc/{}/ns/user", bundle.state().pid)).unwrap();
    assert!(out.starts_with("0\n") && out.contains("100000") && out.contains(user.to_str().unwrap()), "{out}");
}

#[test]
fn its_end_is_passed_on() {
    let bundle = Bundle::new(FOREVER);
    bundle.start();
    assert_eq!(bundle.exec("exit 255").unwrap(), 255);
    assert_eq!(bundle.exec("kill -9 $$").unwrap(), 137);
    assert_eq!(bundle.exec("kill -15 $$").unwrap(), 143);
}

#[test]
fn what_cannot_be_executed_is_told_in_the_engines_words() {
    let bundle = Bundle::new(FOREVER);
    bundle.start();
    let run = |args: &[&str], cwd: Option<&str>| {
        let mut options = exec_options("");
        options.args = args.iter().map(Into::into).collect();
        options.cwd = cwd.map(Into::into);
        bundle.runtime.exec(&bundle.id, &options).unwrap_err().to_string()
    };
    assert_eq!(run(&["missing"], None), "exec: \"missing\": executable file not found in $PATH");
    assert_eq!(run(&["/missing"], None), "exec: \"/missing\": stat /missing: no such file or directory");
    assert_eq!(run(&["/proc/version"], None), "exec: \"/proc/version\": permission denied");
    assert!(run(&["true"], Some("/missing")).contains("no such file or directory"));
    bundle.runtime.kill(&bundle.id, 9, false).unwrap();
}
