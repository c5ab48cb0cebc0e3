//! A container made for one test: a rootfs with busybox in it, the plan of a configuration, and init running its operations
//! in new namespaces, so that a shell script inside can say what is really there.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use program::{Failure, Op, ProgramBuilder, Report, Slot, Start};
use rootfs::{CgroupMounts, ConsolePlan, Emitter, PlanInput, RootfsPlan};
use rustix::mount::OpenTreeFlags;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{WaitId, WaitIdOptions};
use serde_json::{Value, json};
use sys::spawn::Spawn;

const NEW_MOUNT: u64 = 0x0002_0000;
const NEW_CGROUP: u32 = 0x0200_0000;
const NEW_IPC: u64 = 0x0800_0000;
const NEW_USER: u64 = 0x1000_0000;
const NEW_PID: u64 = 0x2000_0000;
/// The first id on the host of the containers with a user namespace.
pub const HOST_ID: u32 = 100_000;

/// What the mounts of a configuration usually are.
pub fn usual_mounts() -> Vec<Value> {
    vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
               "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}),
    ]
}

/// A bundle on disk, removed when dropped.
pub struct Container {
    pub bundle: PathBuf,
    pub user_namespace: bool,
    pub cgroups: CgroupMounts,
    /// Which kernel the plan is told of.
    pub kernel: (u32, u32),
    pub no_pivot: bool,
    /// No mount namespace of its own.
    pub on_host: bool,
    pub terminal: Option<ConsolePlan>,
    /// A cgroup folder of the host that init enters, to make it the root of a new cgroup namespace.
    pub cgroup_namespace: Option<PathBuf>,
}

impl Container {
    pub fn new() -> Container {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let bundle = std::env::temp_dir().join(format!("lightship-rootfs-{}-{number}", std::process::id()));
        let bin = bundle.join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        // By another process: a descriptor of ours that can write it would get into the child of a test beside this one, and no
        // file can be executed that somebody may write.
        assert!(Command::new("cp").arg("/bin/busybox").arg(&bin).status().unwrap().success());
        Container {
            bundle: bundle.canonicalize().unwrap(),
            user_namespace: false,
            cgroups: CgroupMounts::None,
            kernel: running_kernel(),
            no_pivot: false,
            on_host: false,
            terminal: None,
            cgroup_namespace: None,
        }
    }

    /// A path in the bundle.
    pub fn path(&self, name: &str) -> PathBuf {
        self.bundle.join(name)
    }

    pub fn plan(&self, mounts: Vec<Value>, linux: Value) -> Result<RootfsPlan, String> {
        self.plan_root(json!({"path": "rootfs"}), mounts, linux)
    }

    pub fn plan_root(&self, root: Value, mounts: Vec<Value>, mut linux: Value) -> Result<RootfsPlan, String> {
        linux["namespaces"] = if self.on_host { json!([]) } else { json!([{"type": "mount"}]) };
        let config = json!({"ociVersion": "1.3.0", "root": root, "mounts": mounts, "linux": linux});
        let spec = spec::Spec::from_bytes(config.to_string().as_bytes()).unwrap();
        let input = PlanInput {
            bundle: &self.bundle,
            rootfs: &self.path("rootfs"),
            user_namespace: self.user_namespace,
            privileged: true,
            can_mknod: true,
            kernel: self.kernel,
            cgroups: self.cgroups.clone(),
            no_pivot: self.no_pivot,
            mount_label: None,
        };
        rootfs::plan(&spec, &input).map_err(|refusal| refusal.to_string())
    }

    /// Runs a script in the container; what it prints, or the error of the operation that failed.
    pub fn run(&self, mounts: Vec<Value>, linux: Value, script: &str) -> Result<String, String> {
        self.run_plan(&self.plan(mounts, linux)?, script)
    }

    pub fn run_plan(&self, plan: &RootfsPlan, script: &str) -> Result<String, String> {
        let mut b = ProgramBuilder::new();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let output = b.inherit(write);
        let sources: Vec<Slot> = plan
            .inherited_sources()
            .iter()
            .map(|source| {
                let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                flags.set(OpenTreeFlags::AT_RECURSIVE, source.recursive);
                b.inherit(rustix::mount::open_tree(rustix::fs::CWD, &source.path, flags).unwrap())
            })
            .collect();
        if let Some(folder) = &self.cgroup_namespace {
            let (path, data) = (b.text(folder.join("cgroup.procs").to_str().unwrap()), b.text("0"));
            b.push(Op::WriteFile { dir: Slot::NONE, magic: 0, path, data });
            b.push(Op::Unshare { flags: NEW_CGROUP });
        }
        let mut emitter = Emitter::prepare(plan, &sources, &mut b);
        emitter.mounts(&mut b, |_| {});
        emitter.devices(&mut b);
        if let Some(terminal) = self.terminal {
            let (master, _) = emitter.console(terminal, &mut b);
            // No descriptor of a test has such a number.
            b.push(Op::Dup { fd: master, to: 200 });
        }
        emitter.hide(&mut b);
        emitter.pivot(&mut b);
        for to in [1, 2] {
            b.push(Op::Dup { fd: output, to });
        }
        let candidates = b.list(["/bin/busybox"]);
        b.push(Op::FindProgram { candidates });
        let (args, env) = (b.list(["sh", "-c", script]), b.list(["PATH=/bin"]));
        b.push(Op::Exec { args, env });
        self.execute(b, read)
    }

    fn execute(&self, b: ProgramBuilder, output: OwnedFd) -> Result<String, String> {
        let (report, childs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let mut program = b.finish(Start { report: childs.as_raw_fd(), ..Start::default() });
        let (init, program_in_init) = program.to_file().unwrap();
        let inherited: Vec<BorrowedFd<'_>> = program.inherited.iter().map(AsFd::as_fd).collect();
        let user = if self.user_namespace { NEW_USER } else { 0 };
        let mount = if self.on_host { 0 } else { NEW_MOUNT };
        let spawned = Spawn {
            namespaces: mount | NEW_PID | NEW_IPC | user,
            cgroup: None,
            init: init.as_fd(),
            program: program_in_init,
            report: childs.as_fd(),
            failed: [0; 4],
            inherited: &inherited,
            first_private_fd: 3,
            wait_for_ids: self.user_namespace,
            own_memory: false,
        }
        .spawn()
        .unwrap();
        drop(childs);
        if self.user_namespace {
            for map in ["uid_map", "gid_map"] {
                fs::write(format!("/proc/{}/{map}", spawned.pid), format!("0 {HOST_ID} 65536")).unwrap();
            }
            rustix::net::send(&report, &[1], SendFlags::empty()).unwrap();
        }
        // Ours would keep the pipe from ending.
        program.inherited.clear();
        let mut message = [0u8; 8];
        let len = rustix::net::recv(&report, &mut message[..], RecvFlags::empty()).map_or(0, |(_, len)| len);
        let mut text = String::new();
        File::from(output).read_to_string(&mut text).unwrap();
        rustix::process::waitid(WaitId::PidFd(spawned.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
        match Report::from_bytes(&message[..len]) {
            Report::End => Ok(text),
            Report::Failed(failure) => Err(explained(&program, &failure)),
            report => Err(format!("{report:?}")),
        }
    }
}

fn explained(program: &program::Program, failure: &Failure) -> String {
    program.explain(failure).to_string()
}

fn running_kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

impl Drop for Container {
    fn drop(&mut self) {
        // Whatever a test mounted below is in a mount namespace of its own.
        fs::remove_dir_all(&self.bundle).unwrap();
    }
}

/// The line of a mountinfo for a mount point, the top one where there are more.
pub fn mount_line<'t>(mountinfo: &'t str, point: &str) -> &'t str {
    let line = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some(point));
    assert!(line.is_some(), "no mount at {point} in\n{mountinfo}");
    line.unwrap()
}

/// The flags of the mount (not of the superblock) at a mount point.
pub fn flags<'t>(mountinfo: &'t str, point: &str) -> Vec<&'t str> {
    mount_line(mountinfo, point).split(' ').nth(5).unwrap().split(',').collect()
}

/// The mounts of the host at one time.
pub struct HostMounts(Vec<String>);

impl HostMounts {
    pub fn now() -> HostMounts {
        HostMounts(fs::read_to_string("/proc/self/mountinfo").unwrap().lines().map(str::to_owned).collect())
    }

    /// What is there now and was not.
    pub fn added(&self) -> Vec<String> {
        HostMounts::now().0.into_iter().filter(|line| !self.0.contains(line)).collect()
    }

    /// Nothing came, and nothing went but what others have, whose folders may be removed at any time.
    pub fn assert_unchanged(&self) {
        assert_eq!(self.added(), [""; 0]);
        let now = HostMounts::now().0;
        let gone = self.0.iter().filter(|line| !now.contains(line)).filter(|line| {
            let point = line.split(' ').nth(4).unwrap();
            point == "/"
                || ["/proc", "/sys", "/dev"].iter().any(|top| point.starts_with(top))
                || point.contains("lightship-rootfs")
        });
        assert_eq!(gone.collect::<Vec<_>>(), [""; 0]);
    }
}

/// Makes a folder with one file.
pub fn folder_with(path: &Path, file: &str, text: &str) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join(file), text).unwrap();
}

/// Runs a test in a process of its own, in a mount namespace that plays the host: its mounts are shared, as systemd makes
/// them, and nobody else's come and go there. `test` is a closure in the test's function, whose name the process is told.
pub fn on_a_host<F: FnOnce()>(test: F) {
    const HOST: &str = "LIGHTSHIP_TEST_HOST";
    if std::env::var_os(HOST).is_some() {
        return test();
    }
    let name = std::any::type_name::<F>().split("::").nth(1).unwrap();
    let again = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", "mount --make-rshared / && exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(HOST, "1")
        .output()
        .unwrap();
    let output = String::from_utf8([again.stdout, again.stderr].concat()).unwrap();
    assert!(again.status.success() && output.contains("1 passed"), "{output}");
}
