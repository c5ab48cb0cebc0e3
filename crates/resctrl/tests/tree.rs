//! A container's way through resctrl, in a folder with the file system's files: few machines have a processor for the real one.
//! What the kernel would put into a new group, the test does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the lints of clippy.toml guard the product")]

use std::fs;
use std::path::{Path, PathBuf};

use resctrl::{ResctrlPlan, ResctrlRecord, plan};
use serde_json::{Value, json};
use spec::Spec;

const LINES: &str = "    L3:0=fffff;1=fffff\n    MB:0= 100;1= 100\n";

/// A file system of two caches.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Tree {
        let root = std::env::temp_dir().join(format!("lightship-resctrl-{name}-{}", std::process::id()));
        let tree = Tree(root);
        fs::create_dir_all(tree.0.join("info/MB")).unwrap();
        tree.file("info/MB/bandwidth_gran", "10\n");
        tree.file("info/last_cmd_status", "ok\n");
        tree.group("");
        tree
    }

    fn file(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }

    /// What the kernel puts into a new control group.
    fn group(&self, name: &str) {
        let folder = Path::new(name);
        self.file(folder.join("schemata"), LINES);
        self.file(folder.join("tasks"), "");
        fs::create_dir_all(self.0.join(folder).join("mon_groups")).unwrap();
    }

    fn plan(&self, rdt: &Value) -> ResctrlPlan {
        let config = json!({"ociVersion": "1.3.0", "linux": {"intelRdt": rdt}});
        plan(&Spec::from_bytes(config.to_string().as_bytes()).unwrap(), "c", Some(&self.0)).unwrap().unwrap()
    }

    /// Goes the whole way, as create does.
    fn create(&self, rdt: &Value) -> ResctrlRecord {
        let plan = self.plan(rdt);
        let record = plan.record().unwrap();
        plan.make_group().unwrap();
        if record.made {
            self.group(record.group.file_name().unwrap().to_str().unwrap());
        }
        plan.configure(&record).unwrap();
        if let Some(monitor) = &record.monitor {
            fs::write(monitor.join("tasks"), "").unwrap();
        }
        record.join(4711).unwrap();
        record
    }

    fn refused(&self, rdt: &Value) -> String {
        self.plan(rdt).record().unwrap_err().to_string()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn folders(record: &ResctrlRecord) -> Vec<&Path> {
    record.folders().collect()
}

#[test]
fn without_a_name_the_group_is_the_containers_and_goes_with_it() {
    let tree = Tree::new("own");
    let record = tree.create(&json!({"enableMonitoring": true}));
    assert_eq!(tree.text("c/schemata"), LINES, "no line is asked for, so none is written");
    assert_eq!((tree.text("c/tasks"), tree.text("c/mon_groups/c/tasks")), ("4711".to_owned(), "4711".to_owned()));
    assert_eq!(folders(&record), [tree.0.join("c"), tree.0.join("c/mon_groups/c")]);
}

#[test]
fn the_lines_of_schemata_are_written_last() {
    let tree = Tree::new("last");
    tree.create(&json!({"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20"}));
    // A file of a folder keeps what is behind the end of a write.
    assert!(tree.text("c/schemata").starts_with("L3:0=f\nMB:0=20\n"));
    fs::remove_dir_all(tree.0.join("c")).unwrap();
    tree.create(&json!({"l3CacheSchema": "L3:0=f", "schemata": ["L3:0=7", "L2:1=3"]}));
    assert!(tree.text("c/schemata").starts_with("L3:0=7\nL2:1=3\n"));
}

#[test]
fn a_group_of_the_containers_name_that_was_there_stays() {
    let tree = Tree::new("there");
    tree.group("c");
    assert!(folders(&tree.create(&json!({}))).is_empty());
}

#[test]
fn a_named_group_is_made_if_it_has_lines_and_stays() {
    let tree = Tree::new("named");
    assert!(tree.refused(&json!({"closID": "gold"})).contains("/linux/intelRdt/closID: there is no group"));
    assert!(!tree.0.join("gold").exists());
    let record = tree.create(&json!({"closID": "gold", "memBwSchema": "MB:0=30", "enableMonitoring": true}));
    assert!(tree.text("gold/schemata").starts_with("MB:0=30\n"));
    assert_eq!(folders(&record), [tree.0.join("gold/mon_groups/c")]);
}

#[test]
fn a_named_group_that_is_there_is_joined_if_its_lines_fit() {
    let tree = Tree::new("fits");
    tree.group("gold");
    for rdt in [
        json!({"closID": "gold"}),
        json!({"closID": "gold", "l3CacheSchema": "L3:0=fffff", "memBwSchema": "MB:1=95"}),
        json!({"closID": "gold", "schemata": ["MB:0=100"]}),
    ] {
        assert!(folders(&tree.create(&rdt)).is_empty());
        assert_eq!((tree.text("gold/schemata"), tree.text("gold/tasks")), (LINES.to_owned(), "4711".to_owned()));
    }
    for (property, lines, missing) in [
        ("l3CacheSchema", json!("L3:0=ff"), "L3:0=ff"),
        ("memBwSchema", json!("MB:0=20"), "MB:0=20"),
        ("schemata", json!(["L3:0=fffff", "L2:0=f"]), "L2:0=f"),
    ] {
        let error = tree.refused(&json!({"closID": "gold", property: lines}));
        assert!(error.contains("/linux/intelRdt/closID") && error.contains(missing), "{error}");
    }
}

#[test]
fn the_default_group_is_the_root() {
    let tree = Tree::new("default");
    let record = tree.create(&json!({"closID": "/", "enableMonitoring": true}));
    assert_eq!((tree.text("tasks"), tree.text("mon_groups/c/tasks")), ("4711".to_owned(), "4711".to_owned()));
    assert_eq!(folders(&record), [tree.0.join("mon_groups/c")]);
}

#[test]
fn a_monitoring_group_is_the_containers_own() {
    let tree = Tree::new("monitor");
    fs::create_dir(tree.0.join("mon_groups/c")).unwrap();
    let error = tree.refused(&json!({"closID": "/", "enableMonitoring": true}));
    assert!(error.contains("/linux/intelRdt/enableMonitoring"), "{error}");
}

#[test]
fn the_kernels_reason_is_in_the_error() {
    let tree = Tree::new("reason");
    tree.file("info/last_cmd_status", "Out of CLOSIDs\n");
    let plan = tree.plan(&json!({"closID": "gold", "memBwSchema": "MB:0=30"}));
    let record = plan.record().unwrap();
    plan.make_group().unwrap();
    // The new group has no files here, so nothing can be written.
    let error = plan.configure(&record).unwrap_err().to_string();
    let file = tree.0.join("gold/schemata");
    let text =
        format!("/linux/intelRdt: cannot write \"MB:0=30\" to {}: missing (ENOENT) (Out of CLOSIDs)", file.display());
    assert_eq!(error, text);
    assert!(!tree.0.join("gold").exists(), "a named group without its lines would be in the way of the next container");
}

#[test]
fn an_update_writes_and_statistics_read() {
    let tree = Tree::new("stats");
    let record = tree.create(&json!({"enableMonitoring": true}));
    record.update(Some("L3:0=fffff;1=ff"), None).unwrap();
    for (file, text) in [
        ("c/schemata", "    L3:0=fffff;1=ff\n    MB:0= 100;1= 20\n"),
        ("info/L3/cbm_mask", "fffff\n"),
        ("info/L3/min_cbm_bits", "1\n"),
        ("info/L3/num_closids", "16\n"),
        ("c/mon_groups/c/mon_data/mon_L3_00/llc_occupancy", "1024\n"),
        ("c/mon_groups/c/mon_data/mon_L3_00/mbm_total_bytes", "2048\n"),
        ("c/mon_groups/c/mon_data/mon_L3_00/mbm_local_bytes", "Unavailable\n"),
    ] {
        tree.file(file, text);
    }
    let expected = json!({
        "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16},
        "l3_cache_schema_root": "L3:0=fffff;1=fffff",
        "l3_cache_schema": "L3:0=fffff;1=ff",
        "mem_bw_schema_root": "MB:0= 100;1= 100",
        "mem_bw_schema": "MB:0= 100;1= 20",
        "schemata": ["L3:0=fffff;1=ff", "MB:0= 100;1= 20"],
        "mbm_stats": [{"mbm_total_bytes": 2048, "mbm_local_bytes": 0}],
        "cmt_stats": [{"llc_occupancy": 1024}],
    });
    assert_eq!(serde_json::to_value(record.stats().unwrap()).unwrap(), expected);
}
