//! A request in a real ring.

use std::path::Path;

use serde_json::json;

use crate::trigger::{Told, Trigger};

pub(super) const TRIGGERS: &[Trigger] = &[Trigger {
    event: "io_uring_op",
    act: nothing_by_ring,
    check: |told: &Told<'_>| {
        let op = told.one("user_data", 77);
        op.assert(&[("opcode", json!(0)), ("op", json!("NOP")), ("sq_thread", json!(false))]);
        assert_eq!(op.0["via"], "io_uring");
    },
    needs: || match io_uring::IoUring::new(2) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("no rings here: {why}")),
    },
    ..Trigger::NONE
}];

fn nothing_by_ring(_: &Path) {
    let mut ring = io_uring::IoUring::new(2).unwrap();
    let nothing = io_uring::opcode::Nop::new().build().user_data(77);
    // SAFETY: points to nothing.
    unsafe { ring.submission().push(&nothing).unwrap() };
    ring.submit_and_wait(1).unwrap();
    assert_eq!(ring.completion().next().unwrap().result(), 0);
}
