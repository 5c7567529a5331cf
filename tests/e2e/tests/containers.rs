//! Containers, from their making to their removal.

use std::fs;
use std::path::PathBuf;

use e2e::{Watch, container_hierarchy};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[("existing_containers", existing)];

/// A container's cgroup; gone with it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(id: &str) -> Cgroup {
        let path = container_hierarchy().join(format!("libpod-{id}.scope"));
        fs::create_dir(&path).unwrap();
        Cgroup(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Nothing can be done about what is not removed.
        let _ = fs::remove_dir(&self.0);
    }
}

fn id() -> String {
    format!("{:064x}", 0xfeed_0000_0000 + u64::from(std::process::id()))
}

/// What is there before the watch is told at its start, once, in any scope, and not as made.
fn existing(_: &str) {
    let cgroup = Cgroup::new(&id());
    let watch = Watch::start(&["--events", "tag=containers", "--scope", "uid=12345"]);
    drop(cgroup);
    let account = watch.stop();
    let found = account.lines.one("existing_container", "container_id", id());
    found.assert(&[("runtime", json!("podman"))]);
    assert!(found.get("ctime").as_u64().unwrap() > 1_600_000_000_000_000_000);
    assert_eq!(found.0["workload"], json!({"container": {"id": id(), "runtime": "podman"}}));
    assert_eq!(
        (found.get("container_name"), found.quality("container_name").as_str()),
        (Value::Null, "unavailable")
    );
    assert_eq!(account.lines.with("container_create", "container_id", id()).len(), 0);
    account.assert_clean();
}
