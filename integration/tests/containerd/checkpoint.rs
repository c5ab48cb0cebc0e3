//! `ctr tasks checkpoint`.

use integration::host;
use integration::scene;
use integration::scene::Scene;

use crate::Stage;

pub fn scenes() -> Vec<Scene<Stage>> {
    let (criu, why) = (!host::has_working_criu(), "no criu in PATH that passes its own check");
    vec![scene!(task_is_checkpointed_and_goes_on_or_ends).skip_if(criu, why)]
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
