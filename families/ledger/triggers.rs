//! Losses are caused by tests that starve the rings; policies are changed and hold back in tests of their own.

use super::Trigger;

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger { event: "lost_events", elsewhere: Some("tiny_rings_lose_and_say_so"), ..Trigger::NONE },
    Trigger { event: "policy_reloaded", elsewhere: Some("policies_are_changed_while_watching"), ..Trigger::NONE },
    Trigger { event: "policy_suppressed", elsewhere: Some("policies_hold_back"), ..Trigger::NONE },
    Trigger { event: "enforcement_failed", elsewhere: Some("policies_deny_what_they_can"), ..Trigger::NONE },
    Trigger { event: "file_captured", elsewhere: Some("policies_capture_files"), ..Trigger::NONE },
    Trigger { event: "policy_mode_changed", elsewhere: Some("policies_kill"), ..Trigger::NONE },
];
