//! The acts on credentials and capabilities, and what is told of each.

use serde_json::json;

use super::Trigger;
use crate::acts::check;

pub(super) const TRIGGERS: &[Trigger] = &[Trigger {
    event: "cap_capable",
    act: |_| {
        // SAFETY: a plain system call: asks for CAP_SYS_CHROOT.
        check(unsafe { libc::chroot(c"/".as_ptr()) }.into());
    },
    check: |told| {
        let line = told.with("cap", 18)[0];
        if told.tier != "kprobe" {
            line.assert(&[("granted", json!(true))]);
        }
    },
    ..Trigger::NONE
}];
