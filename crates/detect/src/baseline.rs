//! What is usual, kept over a change of rules, and over the end of a watch.
//!
//! Of what was there only keyed hashes are known, and so many were there: a baseline tells nobody what was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What detectors have learnt, by their ids.
pub type Baselines = BTreeMap<String, Baseline>;

/// What one detector has learnt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Of what: what the detector looks at, in its own words. One that looks at something else learns anew.
    pub of: String,
    /// Of the hashes.
    pub(crate) keys: [u64; 2],
    pub(crate) groups: Vec<Usual>,
}

/// What is usual of those who are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Usual {
    /// The hash of what they have in common.
    pub(crate) alike: u64,
    /// Since when they are known: nanoseconds since 1970.
    pub(crate) since: i64,
    /// The hash of each value, and how often it was there.
    pub(crate) values: Vec<(u64, u32)>,
}
