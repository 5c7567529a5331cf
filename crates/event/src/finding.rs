//! What a detector has found in an event.

use crate::Event;

/// How grave a finding is. The numbers are Tracee's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth a note.
    Info = 0,
    /// Seldom an attack.
    Low = 1,
    /// An attack, or something that wants to be looked at.
    Medium = 2,
    /// An attack.
    High = 3,
    /// An attack that has succeeded.
    Critical = 4,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Severity; 5] =
        [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    /// As it stands in events.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "INFO",
            Severity::Low => "LOW",
            Severity::Medium => "MEDIUM",
            Severity::High => "HIGH",
            Severity::Critical => "CRITICAL",
        }
    }
}

/// What a finding means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threat {
    /// In a few words.
    pub name: Option<String>,
    /// In a sentence.
    pub description: String,
    /// How grave it is.
    pub severity: Severity,
    /// The tactic of MITRE ATT&CK that it serves.
    pub tactic: Option<String>,
    /// The technique of MITRE ATT&CK: its id and name.
    pub technique: Option<(String, Option<String>)>,
    /// Ids of other techniques of which the same is a sign.
    pub other_techniques: Vec<String>,
}

/// A value that a detector gives out.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Not known of this event.
    Unknown,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number.
    Double(f64),
    /// Bytes: all, or their beginning.
    Text {
        /// What there is.
        bytes: Box<[u8]>,
        /// There was more.
        cut: bool,
    },
    /// Several.
    List(Vec<Output>),
}

/// What a detector has found. It is told as an event of who did the event that led to it.
#[derive(Debug, Clone, Copy)]
pub struct Finding<'a, E = Event<'a>> {
    /// Its name, as that of an event.
    pub name: &'a str,
    /// The detector's id.
    pub detector: &'a str,
    /// What it means.
    pub threat: Option<&'a Threat>,
    /// Its fields.
    pub fields: &'a [(&'a str, Output)],
    /// The findings between, the last first: of a detector that looks at findings.
    pub through: &'a [&'a str],
    /// The events that it is about together with that one.
    pub before: Option<&'a Correlated<'a, E>>,
    /// The event that led to it; of several, the last.
    pub event: &'a E,
    /// Events were lost since a while before it: there may be more to it.
    pub degraded: bool,
}

/// Several events of one finding.
#[derive(Debug, Clone, Copy)]
pub struct Correlated<'a, E = Event<'a>> {
    /// What was counted: events, different values, or parts of a sequence.
    pub count: usize,
    /// The events before the last one, the oldest first. Of many they are the last ones, and those that are long are not kept.
    pub events: &'a [E],
}
