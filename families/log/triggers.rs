//! What is read from logs, of nobody.

use crate::trigger::Trigger;

pub(super) const TRIGGERS: &[Trigger] =
    &[Trigger { event: "log_line", elsewhere: Some("log_lines"), ..Trigger::NONE }];
