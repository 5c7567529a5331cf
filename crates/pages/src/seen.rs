//! What the conformance test saw.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What came of one event's trigger, by one tier, under one kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct One {
    pub(crate) event: String,
    pub(crate) tier: String,
    /// Its release.
    pub(crate) kernel: String,
    /// Not in a virtual machine.
    pub(crate) host: bool,
    /// `pass`, or why not.
    pub(crate) result: String,
    /// The event's line, without what tells of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<Value>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<(String, String, String), One>);

impl Seen {
    /// Adds lines of `seen.jsonl`.
    pub(crate) fn read(&mut self, text: &str) -> serde_json::Result<()> {
        for line in text.lines() {
            self.add(serde_json::from_str(line)?);
        }
        Ok(())
    }

    /// Adds what the conformance test printed; of a guest each line has the guest's name before it.
    pub(crate) fn read_log(&mut self, text: &str) -> serde_json::Result<()> {
        for line in text.lines() {
            if let Some((_, json)) = line.split_once("CONFORMED ") {
                self.add(serde_json::from_str(json)?);
            }
        }
        Ok(())
    }

    /// A pass stays, whatever else is said of the same: an event is tried at several tiers, some of which come to the same.
    fn add(&mut self, mut one: One) {
        let key = (one.event.clone(), one.tier.clone(), one.kernel.clone());
        if let Some(line) = &mut one.line {
            plain(line);
        }
        let old = self.0.get(&key);
        if one.result == "pass" || old.is_none_or(|o| o.result != "pass") {
            self.0.insert(key, one);
        }
    }

    /// The lines of `seen.jsonl`; an example for each event is enough.
    pub(crate) fn write(&self) -> serde_json::Result<String> {
        let mut out = String::new();
        let mut shown = String::new();
        for one in self.0.values() {
            let mut one = one.clone();
            if one.event == shown || one.result != "pass" {
                one.line = None;
            } else if one.line.is_some() {
                shown.clone_from(&one.event);
            }
            out.push_str(&serde_json::to_string(&one)?);
            out.push('\n');
        }
        Ok(out)
    }

    /// What was seen of an event.
    pub(crate) fn of(&self, event: &str) -> impl Iterator<Item = &One> {
        self.0.values().filter(move |o| o.event == event)
    }

    /// Where it passed: tier by tier, the kernels.
    pub(crate) fn passed(&self, event: &str) -> BTreeMap<&str, Vec<String>> {
        let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for one in self.of(event).filter(|o| o.result == "pass") {
            let version: Vec<&str> = one.kernel.split(['.', '-']).take(2).collect();
            let rt = if one.kernel.contains("-rt") { "-rt" } else { "" };
            let place = if one.host { " (not a guest)" } else { "" };
            let name = format!("{}{rt}{place}", version.join("."));
            let kernels = found.entry(&one.tier).or_default();
            if !kernels.contains(&name) {
                kernels.push(name);
            }
        }
        found
    }
}

/// Takes out what tells of the machine rather than of the event.
fn plain(line: &mut Value) {
    for pointer in ["", "/workload/process", "/workload/process/thread"] {
        if let Some(object) = line.pointer_mut(pointer).and_then(Value::as_object_mut) {
            for name in ["ancestors", "host", "boot_id", "executable", "namespaces", "cgroup_id", "unique_id"]
            {
                object.remove(name);
            }
        }
    }
    programs(line);
}

/// The act is the test program, wherever that was built.
fn programs(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("/target/debug/") => *text = "/usr/bin/act".into(),
        Value::Array(items) => items.iter_mut().for_each(programs),
        Value::Object(members) => members.values_mut().for_each(programs),
        _ => {}
    }
}
