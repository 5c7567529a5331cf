//! The acts on the machine as a whole, and what is told of each.

use serde_json::json;

use super::Trigger;
use crate::acts::check;

pub(super) const TRIGGERS: &[Trigger] = &[Trigger {
    event: "security_settime64",
    act: |_| {
        let mut zone = [0i32; 2];
        // SAFETY: the zone is read into live memory, and set to what it is.
        unsafe {
            check(libc::syscall(libc::SYS_gettimeofday, 0, zone.as_mut_ptr()));
            check(libc::syscall(libc::SYS_settimeofday, 0, zone.as_ptr()));
        }
    },
    check: |told| {
        told.one("tz_dsttime", 0).assert(&[("tz_minuteswest", json!(0))]);
    },
    ..Trigger::NONE
}];
