//! Shared objects loaded, and what they export.

use serde_json::json;

use crate::libraries::load;
use crate::trigger::Trigger;

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger {
        event: "symbols_loaded",
        act: |dir| load(&dir.join("first.so")),
        check: |told| {
            let line = told.one("library_path", told.path("first.so"));
            line.assert(&[("symbols", json!(["fopen"]))]);
            let hash = line.get("sha256");
            let sum = std::process::Command::new("sha256sum").arg(told.dir.join("first.so")).output().unwrap();
            assert_eq!(hash.as_str().unwrap().as_bytes(), &sum.stdout[..64]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "symbols_collision",
        act: |dir| {
            load(&dir.join("first.so"));
            load(&dir.join("second.so"));
        },
        check: |told| {
            let both = told.lines.0.iter().filter(|l| l.get("loaded_path") == told.path("second.so"));
            let both: Vec<_> = both.filter(|l| l.get("collision_path") == told.path("first.so")).collect();
            assert_eq!(both.len(), 1, "{:?}", told.lines.0);
            both[0].assert(&[("symbols", json!(["fopen"]))]);
        },
        ..Trigger::NONE
    },
];
