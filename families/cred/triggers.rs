//! The acts on credentials and capabilities, and what is told of each.

use serde_json::json;

use super::{Told, Trigger};
use crate::acts::{self, check};

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger {
        event: "commit_creds",
        act: |dir| acts::credentials(dir, &[]),
        check: committed,
        ..Trigger::NONE
    },
    Trigger { event: "creds_overwritten", elsewhere: Some("rootkit_creds"), ..Trigger::NONE },
    Trigger {
        event: "security_task_prctl",
        act: |dir| acts::credentials(dir, &[]),
        check: |told| {
            let dropped = told.one("option", libc::PR_CAPBSET_DROP);
            assert_eq!((dropped.get("arg2"), dropped.parsed("option")), (json!(21), json!("PR_CAPBSET_DROP")));
        },
        ..Trigger::NONE
    },
    Trigger {
    event: "cap_capable",
    act: |_| {
        // SAFETY: a plain system call: asks for CAP_SYS_CHROOT.
        check(unsafe { libc::chroot(c"/".as_ptr()) }.into());
    },
    check: |told| {
        let line = told.with("cap", 18)[0];
        assert_eq!(line.parsed("cap"), "CAP_SYS_CHROOT");
        if told.tier != "kprobe" {
            line.assert(&[("granted", json!(true))]);
        }
    },
    ..Trigger::NONE
},
];

fn committed(told: &Told<'_>) {
    let changes = &told.lines.0;
    let to_41 = changes.iter().find(|l| l.get("new_cred")["uid"] == 41).unwrap();
    assert_eq!((to_41.get("old_cred")["uid"].clone(), to_41.get("new_cred")["euid"].clone()), (json!(0), json!(41)));
    let effective = |c: &str| to_41.get(c)["cap_effective"].as_array().unwrap().len();
    assert!(effective("old_cred") > 0 && effective("new_cred") == 0);
    let bounding = changes.iter().find(|l| {
        let has = |c: &str| l.get(c)["cap_bounding"].as_array().unwrap().contains(&json!("CAP_SYS_ADMIN"));
        has("old_cred") && !has("new_cred")
    });
    assert!(bounding.is_some(), "{changes:?}");
    // What changes nothing is no change.
    assert!(changes.iter().all(|l| l.get("old_cred") != l.get("new_cred")));
}
