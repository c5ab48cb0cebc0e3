//! What it takes to put all programs of a container in force.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use hostnet::config::{Key, Setting, Source};
use hostnet::{NetFacts, attach, plan};
use integration::cgroup;

use crate::Result;

const REPEATED: usize = 30;

/// The median time from a plan with publish, counters, diagnosis and guard to all of its programs loaded and attached.
pub fn measure() -> Result<Duration> {
    let mut hierarchies = cgroup::hierarchies().into_iter();
    let unified = hierarchies.find(|hierarchy| hierarchy.controllers.is_empty()).ok_or("no cgroup2 is mounted")?;
    let setting = |key, value: &str| Setting { key, value: value.to_owned(), source: Source::Argument };
    let settings = [setting(Key::Publish, "8080:80,8443:443"), setting(Key::Guard, "on")];
    let facts = NetFacts { host_network: true, kernel: (u32::MAX, 0), privileged: true };
    let plan = plan(&settings, &facts)?.ok_or("no plan for the host's network")?;
    let directory = unified.mount.join(format!("bench-net-{}", std::process::id()));
    let mut times = Vec::new();
    for _ in 0..REPEATED {
        fs::create_dir(&directory)?;
        let outcome = File::open(&directory).map_err(Into::into).and_then(|cgroup| {
            let begun = Instant::now();
            let maps = attach::apply(&plan, &cgroup)?;
            times.push(begun.elapsed());
            drop(maps);
            Ok(())
        });
        fs::remove_dir(&directory)?;
        outcome.map_err(|error: Box<dyn std::error::Error>| error.to_string())?;
    }
    times.sort_unstable();
    Ok(times[REPEATED / 2])
}
