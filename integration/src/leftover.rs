//! What a run, or one container, left behind on this machine: processes, mounts, cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{cgroup, host};

/// Living processes that hold a file of `folder` open or name it on their command line.
///
/// A container's init keeps the stdio it was created with, whatever namespaces it lives in: a test whose stdio are
/// files of its own folder finds every process that came of it.
pub fn processes(folder: &Path) -> Vec<i32> {
    let mine = std::process::id() as i32;
    let all = host::processes().into_iter().filter(|&pid| pid != mine && host::is_alive(pid));
    all.filter(|&pid| (names(pid, folder) || holds(pid, folder)) && !is_fork_of_ours(pid)).collect()
}

/// A command that another test is about to execute: until it does, it has the files of all tests open.
fn is_fork_of_ours(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| std::env::current_exe().is_ok_and(|ours| ours == exe))
}

fn names(pid: i32, folder: &Path) -> bool {
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command_line).contains(&format!("{}/", folder.display()))
}

fn holds(pid: i32, folder: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(folder)))
}

/// Mount points of this mount namespace inside `folder`, the innermost first.
pub fn mounts(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut found: Vec<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    found.reverse();
    found
}

/// The processes in the cgroup `path` of any hierarchy, its children included.
pub fn members(path: &str) -> Vec<i32> {
    let mut pids = Vec::new();
    for directory in cgroup::directories(path).iter().flat_map(|top| tree(top)) {
        let listed = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        pids.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// `top` and all directories below it, children before parents.
pub fn tree(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(tree(&entry.path()));
        }
    }
    found.push(top.to_owned());
    found
}
