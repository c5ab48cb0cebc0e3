//! `docker run`: its exit codes, its streams, and each flag by its effect inside the container.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

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
        scene!(exit_code_is_the_commands),
        scene!(exit_code_of_a_killed_command_is_128_and_the_signal),
        scene!(failures_to_start_have_dockers_codes),
        scene!(unknown_runtime_or_flag_is_125),
        scene!(streams_stay_apart),
        scene!(interactive_reads_a_pipe_to_its_end),
        scene!(terminal_is_a_terminal_and_follows_its_window),
        scene!(rm_removes_the_container),
        scene!(init_reaps_and_forwards_signals),
        scene!(privileged_has_all_capabilities_and_devices)
            .peer_cannot_if(!host::may_raise_limits(), "runc 1.1 fails on a capability outside its own bounding set"),
        scene!(read_only_root_refuses_writes),
        scene!(tmpfs_is_a_tmpfs_with_its_options),
        scene!(volume_rw_and_ro),
        scene!(volume_propagates_mounts_only_when_told),
        scene!(volume_of_a_single_file),
        scene!(symlink_in_a_volume_target_stays_inside),
        scene!(user_and_groups),
        scene!(user_by_name_gets_its_groups),
        scene!(capabilities_added_and_dropped),
        scene!(no_new_privileges),
        scene!(seccomp_default_profile_refuses),
        scene!(seccomp_own_profile_and_none),
        scene!(hostname_and_domain_name),
        scene!(namespaces_of_the_host),
        scene!(ipc_of_another_container),
        scene!(pid_namespace_of_another_container),
        scene!(environment_and_working_directory),
        scene!(device_is_made_and_usable),
        scene!(devices_not_given_are_refused),
        scene!(masked_and_read_only_paths),
        scene!(shm_size),
    ]
}

/// Runs a shell line in a busybox container without network and gives its trimmed output.
#[track_caller]
fn shell(stage: &Stage, flags: &[&str], line: &str) -> String {
    let container = stage.docker.container("shell");
    container.run(&[&["--network", "none"], flags, &[BUSYBOX, "sh", "-c", line]].concat()).ok().text()
}

fn exit_code_is_the_commands(stage: &Stage) {
    for code in [0, 3, 255] {
        let container = stage.docker.container("code");
        container.run(&[BUSYBOX, "sh", "-c", &format!("exit {code}")]).code_is(code);
        assert_eq!(container.inspect("/State/ExitCode"), code);
    }
}

fn exit_code_of_a_killed_command_is_128_and_the_signal(stage: &Stage) {
    // An init is only killed from outside its pid namespace: let its parent's namespace be the host's.
    stage.docker.container("killed").run(&["--pid", "host", BUSYBOX, "sh", "-c", "kill -9 $$"]).code_is(137);
    let sleeper = stage.docker.container("sleeper");
    sleeper.start_detached(&[BUSYBOX, "sleep", "1000"]);
    sleeper.verb(&["kill"]).ok();
    assert_eq!(sleeper.wait(), 137);
}

fn failures_to_start_have_dockers_codes(stage: &Stage) {
    let run = |command: &str| stage.docker.container("broken").run(&[BUSYBOX, command]);
    run("nosuch").code_is(127).says("exec: \"nosuch\": executable file not found in $PATH");
    run("/nosuch").code_is(127).says("no such file or directory");
    run("/etc/passwd").code_is(126).says("permission denied");
    run("/etc").code_is(126).says("permission denied");
}

fn unknown_runtime_or_flag_is_125(stage: &Stage) {
    stage.docker.call(&["run", "--rm", "--runtime", "nosuch", BUSYBOX, "true"]).code_is(125);
    stage.docker.container("flag").run(&["--no-such-flag", BUSYBOX, "true"]).code_is(125);
}

fn streams_stay_apart(stage: &Stage) {
    let both = "echo out; echo err >&2";
    let output = stage.docker.container("streams").run(&["--network", "none", BUSYBOX, "sh", "-c", both]).ok();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
}

fn interactive_reads_a_pipe_to_its_end(stage: &Stage) {
    let text = "one line\n".repeat(20_000);
    let output = stage.docker.container("pipe").run_with_input(&["-i", BUSYBOX, "cat"], &text).ok();
    assert!(output.stdout == text, "{} bytes went in, {} came out", text.len(), output.stdout.len());
}

fn terminal_is_a_terminal_and_follows_its_window(stage: &Stage) {
    let container = stage.docker.container("terminal");
    let mut terminal = Terminal::start(&stage.docker.command(&container.run_line(&["-it", BUSYBOX, "sh"])));
    terminal.types("tty; test -t 0 && test -t 1 && test -t 2 && echo all-$((1+1))\n");
    terminal.shows("/dev/pts/0");
    terminal.shows("all-2");
    terminal.types("ls -l /proc/self/fd/0 /dev/console; echo con >/dev/console; echo ctl >/dev/tty; echo $((20+3))\n");
    terminal.shows("ctl");
    terminal.shows("23");
    for (rows, columns) in [(50, 132), (31, 97)] {
        eventually(PATIENCE, "the new size inside the container", || {
            // Each time anew: the client may not listen for changes yet.
            terminal.resize(rows, columns - 1);
            terminal.resize(rows, columns);
            terminal.types("echo size $(stty size)\n");
            terminal.shows("size ");
            terminal.shows("size ");
            let screen = terminal.screen().to_owned();
            screen.contains(&format!("{rows} {columns}")).then_some(())
        });
    }
    // Job control works only on a controlling terminal: Ctrl-C ends the sleep and not the shell.
    terminal.types("sleep 1000 || echo interrupted-$((40+2))\n");
    eventually(PATIENCE, "the sleep to run", || container.exec(&["ps"]).contains("sleep 1000").then_some(()));
    terminal.types("\x03");
    terminal.types("echo alive-$((50+2)); exit 7\n");
    terminal.shows("alive-52");
    assert_eq!(terminal.ends(), 7);
}

fn rm_removes_the_container(stage: &Stage) {
    let container = stage.docker.container("gone");
    container.run(&["--rm", BUSYBOX, "true"]).ok();
    eventually(PATIENCE, "the container to be removed", || container.verb(&["inspect"]).code.ne(&0).then_some(()));
}

fn init_reaps_and_forwards_signals(stage: &Stage) {
    let container = stage.docker.container("init");
    container.start_detached(&[
        "--init",
        BUSYBOX,
        "sh",
        "-c",
        "trap 'exit 5' TERM; echo ready; while :; do sleep 1 & wait $!; done",
    ]);
    container.logs_show("ready");
    let first = container.exec(&["cat", "/proc/1/comm"]);
    assert!(first.contains("init"), "process 1 is {first}");
    container.verb(&["kill", "-s", "TERM"]).ok();
    assert_eq!(container.wait(), 5);
}

/// All that Docker knows by name, as far as this host has them to give: every one, or those that 20.10 knew (0 to 37).
pub(crate) fn dockers_capabilities() -> [String; 2] {
    let bounding = u64::from_str_radix(&host::status_field("self", "CapBnd").unwrap(), 16).unwrap();
    [bounding, bounding & ((1 << 38) - 1)].map(|known| format!("{known:016x}"))
}

fn privileged_has_all_capabilities_and_devices(stage: &Stage) {
    let flags = ["--privileged"];
    let effective = shell(stage, &flags, "grep CapEff /proc/self/status");
    assert!(dockers_capabilities().iter().any(|all| effective.ends_with(all)), "{effective}");
    assert_eq!(shell(stage, &flags, "test -c /dev/kmsg && mount -t tmpfs none /mnt && echo mounted"), "mounted");
    assert_eq!(shell(stage, &flags, "grep Seccomp: /proc/self/status | tr -s '\\t' ' '"), "Seccomp: 0");
}

fn read_only_root_refuses_writes(stage: &Stage) {
    assert_eq!(shell(stage, &["--read-only"], "touch /x 2>&1 || :"), "touch: /x: Read-only file system");
    assert_eq!(shell(stage, &["--read-only", "--tmpfs", "/tmp"], "touch /tmp/x && echo written"), "written");
    assert_eq!(shell(stage, &["--read-only"], "echo x >/dev/shm/x && echo written"), "written");
}

fn tmpfs_is_a_tmpfs_with_its_options(stage: &Stage) {
    let flags = ["--tmpfs", "/scratch:rw,noexec,size=1m,mode=1750"];
    let line = shell(stage, &flags, "grep ' /scratch ' /proc/mounts; stat -c %a /scratch");
    assert!(line.contains("tmpfs") && line.contains("noexec") && line.contains("size=1024k"), "{line}");
    assert!(line.ends_with("1750"), "{line}");
    let full = shell(stage, &flags, "dd if=/dev/zero of=/scratch/x bs=1k count=2000 2>&1 || echo full");
    assert!(full.contains("full"), "{full}");
}

/// A folder of this scene, on the host.
fn folder(stage: &Stage, name: &str) -> std::path::PathBuf {
    let folder = stage.ground.folder.join(name);
    fs::create_dir(&folder).unwrap();
    folder
}

fn volume_rw_and_ro(stage: &Stage) {
    let data = folder(stage, "volume");
    fs::write(data.join("greeting"), "hello\n").unwrap();
    let source = data.to_str().unwrap();
    let rw = shell(stage, &["-v", &format!("{source}:/data")], "cat /data/greeting; echo back >/data/answer");
    assert_eq!(rw, "hello");
    assert_eq!(fs::read_to_string(data.join("answer")).unwrap(), "back\n");
    let ro = shell(stage, &["-v", &format!("{source}:/data:ro")], "cat /data/answer; touch /data/x 2>&1 || :");
    assert_eq!(ro, "back\ntouch: /data/x: Read-only file system");
    let named = stage.docker.container("named");
    named.run(&["-v", &format!("{0}:/data", named.name), BUSYBOX, "sh", "-c", "echo kept >/data/x"]).ok();
    let reader = stage.docker.container("reader");
    reader.run(&["--volumes-from", &named.name, BUSYBOX, "cat", "/data/x"]).ok().says("kept");
    drop((named, reader));
    stage.docker.call(&["volume", "prune", "-f"]);
}

fn volume_propagates_mounts_only_when_told(stage: &Stage) {
    let data = folder(stage, "propagation");
    let (source, point) = (data.to_str().unwrap(), data.join("late"));
    fs::create_dir(&point).unwrap();
    let mount = |args: &[&str]| integration::command::run(std::process::Command::new("mount").args(args)).ok();
    // The source must itself be a shared mount for anything to propagate from it.
    mount(&["--bind", source, source]);
    mount(&["--make-shared", source]);
    let start = |name, options: &str| {
        let container = stage.docker.container(name);
        container.start_detached(&["-v", &format!("{source}:/data:{options}"), BUSYBOX, "sleep", "1000"]);
        container
    };
    let (private, slave) = (start("private", "rprivate"), start("slave", "rslave"));
    mount(&["-t", "tmpfs", "none", point.to_str().unwrap()]);
    let sees = |container: &Container| container.exec(&["cat", "/proc/mounts"]).contains(" /data/late ");
    eventually(PATIENCE, "the mount to reach the slave", || sees(&slave).then_some(()));
    assert!(!sees(&private), "a private volume received a mount of the host");
    drop((private, slave));
    for path in [point.to_str().unwrap(), source] {
        integration::command::run(std::process::Command::new("umount").arg(path)).ok();
    }
}

fn volume_of_a_single_file(stage: &Stage) {
    let file = folder(stage, "file").join("conf");
    fs::write(&file, "from outside\n").unwrap();
    let bind = format!("{}:/etc/made/up/conf:ro", file.display());
    assert_eq!(shell(stage, &["-v", &bind], "cat /etc/made/up/conf"), "from outside");
    let onto_directory = format!("{}:/tmp", file.display());
    stage.docker.container("mismatch").run(&["-v", &onto_directory, BUSYBOX, "true"]).fails().says("not a directory");
}

fn symlink_in_a_volume_target_stays_inside(stage: &Stage) {
    let outside = folder(stage, "outside");
    let trap = folder(stage, "trap");
    symlink(&outside, trap.join("link")).unwrap();
    let (trap, outside_path) = (trap.to_str().unwrap(), outside.to_str().unwrap());
    let container = stage.docker.container("symlink");
    // The second volume's target goes through the link: it must be resolved in the container's root.
    let second = format!("{outside_path}:/data/link/deep");
    container.run(&["-v", &format!("{trap}:/data"), "-v", &second, BUSYBOX, "true"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "a mount point was made outside of the root");
}

fn user_and_groups(stage: &Stage) {
    let flags = ["--user", "1234:567", "--group-add", "50", "--group-add", "99"];
    assert_eq!(shell(stage, &flags, "id -u; id -g; id -G"), "1234\n567\n567 50 99");
    assert_eq!(shell(stage, &["--user", "1234"], "grep CapEff /proc/self/status"), "CapEff:\t0000000000000000");
}

fn user_by_name_gets_its_groups(stage: &Stage) {
    assert_eq!(shell(stage, &["--user", "alice"], "id -u; id -G; echo $HOME"), "1000\n1000 50\n/home");
    assert_eq!(shell(stage, &[], "id -u; echo $HOME"), "0\n/root");
}

fn capabilities_added_and_dropped(stage: &Stage) {
    let bits = |flags: &[&str]| {
        let line = shell(stage, flags, "grep CapEff /proc/self/status");
        u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap()
    };
    let (chown, net_admin) = (1 << 0, 1 << 12);
    let default = bits(&[]);
    assert_eq!(default, 0xa804_25fb, "Docker's default set");
    assert_eq!(bits(&["--cap-drop", "CHOWN"]), default & !chown);
    assert_eq!(bits(&["--cap-add", "NET_ADMIN"]), default | net_admin);
    assert_eq!(bits(&["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"]), net_admin);
    shell(stage, &["--cap-add", "NET_ADMIN"], "ip link add d0 type dummy || ip link set lo down");
    stage.docker.container("nocap").run(&["--cap-drop", "CHOWN", BUSYBOX, "chown", "1:1", "/tmp"]).fails();
}

fn no_new_privileges(stage: &Stage) {
    let read = "grep NoNewPrivs /proc/self/status";
    assert_eq!(shell(stage, &["--security-opt", "no-new-privileges"], read), "NoNewPrivs:\t1");
    assert_eq!(shell(stage, &[], read), "NoNewPrivs:\t0");
}

fn seccomp_default_profile_refuses(stage: &Stage) {
    assert_eq!(shell(stage, &[], "grep Seccomp: /proc/self/status"), "Seccomp:\t2");
    // unshare(CLONE_NEWUTS) is refused by the profile for want of CAP_SYS_ADMIN.
    stage.docker.container("refused").run(&[BUSYBOX, "unshare", "-u", "true"]).fails().says("not permitted");
}

fn seccomp_own_profile_and_none(stage: &Stage) {
    let profile = folder(stage, "seccomp").join("profile.json");
    let rule = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
    fs::write(&profile, rule).unwrap();
    let own = format!("seccomp={}", profile.display());
    assert_eq!(
        shell(stage, &["--security-opt", &own], "mkdir /tmp/x 2>&1 || touch /tmp/y"),
        "mkdir: can't create directory '/tmp/x': Function not implemented"
    );
    let none = ["--security-opt", "seccomp=unconfined"];
    assert_eq!(shell(stage, &none, "grep Seccomp: /proc/self/status"), "Seccomp:\t0");
}

fn hostname_and_domain_name(stage: &Stage) {
    assert_eq!(shell(stage, &["--hostname", "earth"], "hostname; cat /etc/hostname"), "earth\nearth");
    let domain = shell(stage, &["--hostname", "a", "--domainname", "b.test"], "cat /proc/sys/kernel/domainname");
    assert_eq!(domain, "b.test");
    let container = stage.docker.container("default");
    let output = container.run(&[BUSYBOX, "hostname"]).ok().text();
    assert!(container.id().starts_with(&output) && output.len() == 12, "{output}");
}

fn namespaces_of_the_host(stage: &Stage) {
    for kind in ["ipc", "pid", "uts"] {
        let inside = shell(stage, &[&format!("--{kind}=host")], &format!("readlink /proc/self/ns/{kind}"));
        assert_eq!(inside, host::namespace("self", kind));
    }
}

fn ipc_of_another_container(stage: &Stage) {
    let owner = stage.docker.container("owner");
    owner.start_detached(&["--ipc", "shareable", BUSYBOX, "sh", "-c", "echo shared >/dev/shm/note; exec sleep 1000"]);
    eventually(PATIENCE, "the note", || {
        owner.exec_with(&[], &["test", "-s", "/dev/shm/note"]).code.eq(&0).then_some(())
    });
    let ipc = format!("container:{}", owner.name);
    let seen = shell(stage, &["--ipc", &ipc], "readlink /proc/self/ns/ipc; cat /dev/shm/note");
    assert_eq!(seen, format!("{}\nshared", host::namespace(owner.pid(), "ipc")));
}

fn pid_namespace_of_another_container(stage: &Stage) {
    let owner = stage.docker.container("pidowner");
    owner.start_detached(&[BUSYBOX, "sleep", "1000"]);
    let guest = stage.docker.container("pidguest");
    guest.start_detached(&["--pid", &format!("container:{}", owner.name), BUSYBOX, "sleep", "2000"]);
    assert_eq!(host::namespace(guest.pid(), "pid"), host::namespace(owner.pid(), "pid"));
    let listing = guest.exec(&["ps"]);
    assert!(listing.contains("sleep 1000") && listing.contains("sleep 2000"), "{listing}");
    guest.verb(&["rm", "-f"]).ok();
    assert_eq!(owner.status(), "running");
}

fn environment_and_working_directory(stage: &Stage) {
    let seen = shell(stage, &["-e", "A=1", "-e", "B=two words", "-w", "/made/here"], "echo $A $B; pwd; env | sort");
    assert!(seen.starts_with("1 two words\n/made/here\nA=1\nB=two words\nHOME=/root\nHOSTNAME="), "{seen}");
    let names: Vec<&str> = seen.lines().skip(2).map(|line| line.split('=').next().unwrap()).collect();
    assert_eq!(shell(stage, &[], "umask"), "0022");
    assert_eq!(names, ["A", "B", "HOME", "HOSTNAME", "PATH", "PWD", "SHLVL"], "something leaked in");
}

fn device_is_made_and_usable(stage: &Stage) {
    let flags = ["--device", "/dev/zero:/dev/nothing:r"];
    let seen =
        shell(stage, &flags, "stat -c '%t:%T %F' /dev/nothing; head -c 3 /dev/nothing | wc -c; echo x >/dev/nothing");
    assert_eq!(seen, "1:5 character special file\n3");
    let host = fs::metadata("/dev/zero").unwrap();
    assert_eq!(shell(stage, &flags, "stat -c %a /dev/nothing"), format!("{:o}", host.mode() & 0o7777));
}

fn devices_not_given_are_refused(stage: &Stage) {
    // /dev/kmsg's number, made by the container itself: the cgroup's device rules refuse its use.
    let seen = shell(stage, &[], "mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg 2>&1 || :");
    assert!(seen.contains("not permitted"), "{seen}");
    let basic = "for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done; echo x >/dev/null; \
                 for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done";
    assert_eq!(shell(stage, &[], basic), "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx");
}

fn masked_and_read_only_paths(stage: &Stage) {
    assert_eq!(
        shell(
            stage,
            &[],
            "cat /proc/kcore 2>/dev/null | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : | grep -c . || :"
        ),
        "0\n0"
    );
    let refused = shell(stage, &[], "echo 1 2>&1 >/proc/sys/kernel/panic || :");
    assert!(refused.contains("Read-only file system"), "{refused}");
    let refused = shell(stage, &[], "mount -o remount,rw /proc/sys 2>&1 || :");
    assert!(refused.contains("denied") || refused.contains("not permitted"), "{refused}");
}

fn shm_size(stage: &Stage) {
    let line = shell(stage, &["--shm-size", "8m"], "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2");
    assert_eq!(line, "8192");
}
