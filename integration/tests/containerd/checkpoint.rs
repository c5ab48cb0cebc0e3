//! `ctr tasks checkpoint`.

use integration::containerd::Task;
use integration::counter::{self, COUNT};
use integration::host;
use integration::scene;
use integration::scene::Scene;
use integration::wait::{PATIENCE, eventually};

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let (criu, why) = (!host::has_working_criu(), "no criu in PATH that passes its own check");
    vec![
        scene!(task_is_checkpointed_and_goes_on_or_ends).skip_if(criu, why),
        scene!(another_container_goes_on_from_a_checkpoint).skip_if(criu, why),
    ]
}

fn task_is_checkpointed_and_goes_on_or_ends(stage: &Stage) {
    // Standing still interrupts a sleep, which some versions of busybox take for its end.
    let line = "while :; do sleep 1000; done";
    let task = stage.containerd.start_detached(&["--net-host"], &["sh", "-c", line]);
    let images = stage.containerd.folder.join(format!("{}-images", task.name));
    let images = images.to_str().unwrap();
    task.verb(&["checkpoint", "--image-path", images], &[]).ok();
    assert_eq!(task.listed().unwrap().1, "RUNNING");
    assert_eq!(task.exec(&[], &["echo", "on"]).ok().text(), "on");
    task.verb(&["checkpoint", "--exit", "--image-path", images], &[]).ok();
    task.stops();
    assert!(std::path::Path::new(images).join("inventory.img").exists(), "no images in {images}");
}

fn another_container_goes_on_from_a_checkpoint(stage: &Stage) {
    let task = stage.containerd.start_detached(&["--net-host"], &["sh", "-c", COUNT]);
    let dumped = counts_beyond(&task, 2);
    let reference = format!("checkpoints/{}:one", task.name);
    let checkpoint = ["containers", "checkpoint", "--task", "--image", "--rw", &task.name, &reference];
    stage.containerd.ctr(&checkpoint).ok();
    counts_beyond(&task, dumped);
    // The other one has its cgroup.
    drop(task);
    let other = stage.containerd.task();
    stage.containerd.ctr(&["containers", "restore", "--live", "--rw", &other.name, &reference]).ok();
    counts_beyond(&other, dumped);
}

fn counts_beyond(task: &Task<'_>, from: u64) -> u64 {
    eventually(PATIENCE, "the container to count on", || {
        counter::latest(&task.exec(&[], &["cat", "/count"]).stdout).filter(|count| *count > from)
    })
}
