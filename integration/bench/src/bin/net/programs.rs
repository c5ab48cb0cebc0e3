//! What the programs of a container take: to be put in force, and each time that the kernel calls one of them. Times are of the
//! processor, so that others on the machine do not count.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hostnet::config::{Key, Setting, Source};
use hostnet::programs::{Host, Maps, generate};
use hostnet::{NetFacts, NetPlan, attach, plan};
use integration::{cgroup, command};
use rustix::time::{ClockId, clock_gettime};
use sys::bpf::{self, Assembler, Hook, KernelTypes};

use crate::Result;
use crate::way::CALLS;

const REPEATED: usize = 30;
const CALLED: usize = 5_000;
/// The kernel measures each call of a program while this is 1, and adds some 50 ns to it.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// One program.
pub struct Cost {
    pub name: &'static str,
    pub instructions: usize,
    /// The median time to load it.
    pub load: Duration,
    /// The mean time of a call in nanoseconds, without what measuring takes.
    pub call: f64,
}

/// All of them.
pub struct Costs {
    pub programs: Vec<Cost>,
    /// The median time from a plan with publish, counters, diagnosis and guard to all of its programs loaded and attached.
    pub attachment: Duration,
    /// The same for a container without any setting.
    pub attachment_without_settings: Duration,
}

/// Measures them in cgroups of their own.
pub fn measure() -> Result<Costs> {
    let publish = format!("{}:{CALLS},{0}:{CALLS}/udp", CALLS + 10_000);
    let all = planned(&[(Key::Publish, &publish), (Key::Guard, "on")])?;
    Ok(Costs {
        programs: in_cgroup(|directory| each(&all, directory))?,
        attachment: attachment(&all)?,
        attachment_without_settings: attachment(&planned(&[])?)?,
    })
}

fn planned(settings: &[(Key, &str)]) -> Result<NetPlan> {
    let setting = |&(key, value): &(Key, &str)| Setting { key, value: value.to_owned(), source: Source::Argument };
    let settings: Vec<Setting> = settings.iter().map(setting).collect();
    let facts = NetFacts { host_network: true, kernel: (u32::MAX, 0), privileged: true };
    Ok(plan(&settings, &facts)?.ok_or("no plan for the host's network")?)
}

/// Does something with a new directory of the unified hierarchy.
fn in_cgroup<T>(action: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let mut hierarchies = cgroup::hierarchies().into_iter();
    let unified = hierarchies.find(|hierarchy| hierarchy.controllers.is_empty()).ok_or("no cgroup2 is mounted")?;
    let directory = unified.mount.join(format!("bench-net-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let outcome = action(&directory);
    fs::remove_dir(&directory)?;
    outcome
}

fn attachment(plan: &NetPlan) -> Result<Duration> {
    let types = KernelTypes::read();
    let once = || {
        in_cgroup(|directory| {
            let cgroup = File::open(directory)?;
            let begun = processor_time();
            // The maps are let go of later.
            let maps = attach::apply(plan, types, &cgroup)?;
            let taken = processor_time() - begun;
            drop(maps);
            Ok(taken)
        })
    };
    Ok(median(&mut (0..REPEATED).map(|_| once()).collect::<Result<Vec<_>>>()?))
}

fn each(plan: &NetPlan, directory: &Path) -> Result<Vec<Cost>> {
    let maps = Maps::create(plan)?;
    let programs = generate(plan, &maps, Host { netns: sys::process::netns_cookie()?, types: KernelTypes::read() })?;
    let mut costs = Vec::new();
    let mut attached = vec![empty()?];
    bpf::attach(Hook::Bind4, File::open(directory)?, &attached[0])?;
    for program in &programs {
        let mut times = Vec::new();
        for last in (0..REPEATED).rev() {
            let begun = processor_time();
            let loaded = bpf::load(program.hooks[0], program.name, &program.code)?;
            times.push(processor_time() - begun);
            if last == 0 {
                program.hooks.iter().try_for_each(|hook| bpf::attach(*hook, File::open(directory)?, &loaded))?;
                attached.push(loaded);
            }
        }
        let (name, instructions) = (program.name, program.code.len());
        costs.push(Cost { name, instructions, load: median(&mut times), call: f64::NAN });
    }
    call_all(directory)?;
    let measuring = call(&attached[0])?;
    for (cost, program) in costs.iter_mut().zip(&attached[1..]) {
        // What measuring takes is not quite the same everywhere.
        cost.call = (call(program)? - measuring).max(0.0);
    }
    Ok(costs)
}

/// A program that does nothing: what is measured of it is what measuring takes.
fn empty() -> Result<OwnedFd> {
    let mut asm = Assembler::default();
    asm.answer(1);
    Ok(bpf::load(Hook::Bind4, "empty", &asm.finish()?)?)
}

/// Has a process in the cgroup do what calls the programs.
fn call_all(directory: &Path) -> Result<()> {
    let before = fs::read(STATISTICS)?;
    fs::write(STATISTICS, "1")?;
    let mut inside = Command::new("sh");
    inside
        .args(["-c", "echo $$ >$0/cgroup.procs && exec \"$1\" exercise"])
        .arg(directory)
        .arg(std::env::current_exe()?);
    let output = command::run(&mut inside);
    fs::write(STATISTICS, before)?;
    if output.code == 0 { Ok(()) } else { Err(format!("the calls in a cgroup: {output}").into()) }
}

/// What is called in there: all socket calls that have programs, with IPv4 and IPv6, and a parameter that is read.
pub fn exercise() -> Result<()> {
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let address = SocketAddr::new(ip, CALLS);
        let (server, client) = (UdpSocket::bind(address)?, UdpSocket::bind((ip, 0))?);
        for _ in 0..CALLED {
            drop(TcpListener::bind(address)?);
            client.send_to(b"x", address)?;
            server.recv_from(&mut [0])?;
        }
        for _ in 0..CALLED {
            client.connect(address)?;
            client.peer_addr()?;
            server.local_addr()?;
        }
    }
    for _ in 0..CALLED {
        fs::read("/proc/sys/net/core/somaxconn")?;
    }
    Ok(())
}

/// The mean time of a call in nanoseconds; NaN if there was none.
fn call(program: &OwnedFd) -> Result<f64> {
    let information = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd()))?;
    let number = |name: &str| -> Result<f64> {
        let line = information.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.ok_or("this kernel tells no times of programs")?.trim().parse()?)
    };
    Ok(number("run_time_ns:")? / number("run_cnt:")?)
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
