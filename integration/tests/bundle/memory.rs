//! What a `run` takes of the machine's memory.

use integration::runtime::Runtime;
use integration::scene::Scene;
use integration::{host, scene};
use serde_json::Value;

use crate::Stage;

/// The largest peak of the resident set, in KiB; the pages of the program are part of it.
const PEAK: u64 = 1536;
/// The median of so many counts: the first ones compile the filter, until it is in the cache; one may have to wait for a cgroup
/// to be left, which is more code; and the last instants of one may be missed.
const RUNS: usize = 7;
/// The configuration that Docker writes.
const DOCKER: &str = include_str!("../../bench/docker-config.json");

pub fn scenes() -> Vec<Scene<Stage>> {
    let runtime = Runtime::under_test().path;
    let musl = runtime.iter().any(|name| name.to_string_lossy().ends_with("-musl"));
    vec![scene!(run_stays_within_its_memory).peer_cannot("takes more").skip_if(
        !musl || !runtime.ends_with("release/lightship"),
        "only the release with musl is so small: scripts/build",
    )]
}

fn run_stays_within_its_memory(stage: &Stage) {
    let docker: Value = serde_json::from_str(DOCKER).unwrap();
    let mut bundle = stage.bundle(&["true"]);
    for place in ["/process/capabilities", "/linux/seccomp", "/linux/maskedPaths", "/linux/readonlyPaths"] {
        bundle.set(place, docker.pointer(place).unwrap().clone());
    }
    for network in ["new", "host"] {
        if network == "host" {
            bundle.share_namespace("network");
        }
        bundle.write();
        let mut peaks: Vec<u64> = (0..RUNS).map(|_| peak(bundle.command(&bundle.create_line("run", &[])))).collect();
        peaks.sort_unstable();
        let peak = peaks[RUNS / 2];
        println!("{network} network: {peak} KiB");
        assert!(
            peak <= PEAK,
            "{peak} KiB with the {network} network, of {PEAK}: order the functions anew, scripts/order"
        );
    }
}

/// In KiB. The program's own, which it is asked for while it runs: what wait4(2) says begins with that of the caller.
fn peak(mut command: std::process::Command) -> u64 {
    let mut runtime = command.spawn().unwrap();
    let mut peak = 0;
    while runtime.try_wait().unwrap().is_none() {
        let told = host::status_field(runtime.id() as i32, "VmHWM");
        peak = told.and_then(|told| told.split(' ').next()?.parse().ok()).unwrap_or(peak);
    }
    assert!(runtime.wait().unwrap().success());
    peak
}
