//! Containers come and go: cgroups named as runtimes name theirs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::trigger::{Told, Trigger};

const TOLD_BY_RUNTIMES: [&str; 7] = [
    "container_image",
    "container_image_digest",
    "container_name",
    "pod_name",
    "pod_namespace",
    "pod_uid",
    "pod_sandbox",
];

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger {
        event: "container_create",
        act: container,
        check: |told| {
            let made = told.one("container_id", id(told.dir));
            made.assert(&[("runtime", json!("docker"))]);
            // When it was made is when the event happened.
            let time = &made.0["timestamp"];
            let (seconds, nanos) = (time["seconds"].as_u64().unwrap(), time["nanos"].as_u64().unwrap());
            assert_eq!(made.get("ctime"), json!(seconds * 1_000_000_000 + nanos));
            // No runtime knows of it.
            for field in TOLD_BY_RUNTIMES {
                assert_eq!((made.get(field), made.quality(field).as_str()), (Value::Null, "unavailable"));
            }
        },
        ..Trigger::NONE
    },
    Trigger { event: "container_remove", act: container, check: gone, ..Trigger::NONE },
    Trigger { event: "existing_container", elsewhere: Some("existing_containers"), ..Trigger::NONE },
    Trigger { event: "container_enriched", elsewhere: Some("names_of_containers"), ..Trigger::NONE },
];

/// 64 digits of which the last are the act's.
fn id(dir: &Path) -> String {
    let digits: String = dir.to_str().unwrap().bytes().map(|b| format!("{b:02x}")).collect();
    format!("{:0>64}", &digits[digits.len().saturating_sub(60)..])
}

fn cgroup(dir: &Path) -> PathBuf {
    crate::container_hierarchy().join(format!("docker-{}.scope", id(dir)))
}

fn container(dir: &Path) {
    let own = cgroup(dir);
    fs::create_dir_all(own.join("init.scope")).unwrap();
    fs::remove_dir(own.join("init.scope")).unwrap();
    fs::remove_dir(own).unwrap();
}

fn gone(told: &Told<'_>) {
    told.one("container_id", id(told.dir)).assert(&[("runtime", json!("docker"))]);
}
