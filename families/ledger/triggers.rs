//! Losses are caused by tests that starve the rings.

use super::Trigger;

pub(super) const TRIGGERS: &[Trigger] =
    &[Trigger { event: "lost_events", elsewhere: Some("tiny_rings_lose_and_say_so"), ..Trigger::NONE }];
