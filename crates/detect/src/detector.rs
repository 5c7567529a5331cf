//! A detector, read and checked.

use std::collections::BTreeSet;
use std::sync::Arc;

use catalogue::Event;
use event::Threat;
use expr::{Condition, Term, Type};
use policy::Place;

use crate::correlation::Correlation;
use crate::input::In;

/// A detector.
#[derive(Debug, Clone)]
pub struct Detector {
    /// Its id: `TRC-102`.
    pub id: Arc<str>,
    /// What it finds.
    pub produced: Produced,
    /// What that means.
    pub threat: Option<Threat>,
    /// What it looks at.
    pub looks: Vec<Look>,
    /// What several events must be together, where one is not enough.
    pub correlation: Option<Correlation>,
    /// What is learnt of, in the detector's words, if it finds what is unusual.
    pub learns: Option<String>,
    /// Options of `--enrichment` without which it can not know what it asks.
    pub requests: BTreeSet<&'static str>,
    /// How far it can be relied on.
    pub maturity: Maturity,
    /// What else the same may be, for those who look into a finding.
    pub false_positives: Vec<String>,
    /// What it must find, and what not.
    pub tests: Vec<Case>,
    /// Where it stands.
    pub place: Place,
}

/// How far a detector can be relied on, in Falco's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Maturity {
    /// What it finds is worth a look nearly everywhere.
    #[default]
    Stable,
    /// On some hosts much of that is what they do all day.
    Incubating,
    /// Much of it is what anybody does all day.
    Sandbox,
    /// Another has taken its place.
    Deprecated,
}

impl Maturity {
    /// Each.
    pub const ALL: [Maturity; 4] =
        [Maturity::Stable, Maturity::Incubating, Maturity::Sandbox, Maturity::Deprecated];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Maturity::Stable => "stable",
            Maturity::Incubating => "incubating",
            Maturity::Sandbox => "sandbox",
            Maturity::Deprecated => "deprecated",
        }
    }

    /// It looks at events where all detectors are asked for; the others must be named.
    pub const fn is_on(self) -> bool {
        matches!(self, Maturity::Stable | Maturity::Incubating)
    }
}

/// Events by which a detector is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The lines of a recording.
    pub recording: String,
    /// How often it finds something in them.
    pub finds: usize,
    /// Where it stands.
    pub place: Place,
}

/// What a detector finds, as an event.
#[derive(Debug, Clone)]
pub struct Produced {
    /// Its name.
    pub name: Arc<str>,
    /// What it tells.
    pub description: String,
    /// Sets that it is in.
    pub tags: Vec<String>,
    /// Its fields.
    pub fields: Vec<(String, Type)>,
}

/// What a detector looks at.
#[derive(Debug, Clone)]
pub struct Look {
    /// At which events.
    pub of: Of,
    /// What must hold, of whom among it; nothing if anything is found.
    pub condition: Option<Condition<In>>,
    /// What is told, for each of the fields that are produced; `None` where this event does not say.
    pub outputs: Vec<Option<Term<In>>>,
    /// Which part of a correlation it is.
    pub part: usize,
    /// What events that are counted together have in common.
    pub by: Vec<Term<In>>,
    /// Which of these is the tree of processes that they are in, [`policy::About::Tree`]: it is the tree of one of several processes.
    pub tree: Option<usize>,
    /// The value that is counted.
    pub value: Option<Term<In>>,
}

/// Events, or findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// Of the catalogue.
    Event(&'static Event),
    /// Of a detector.
    Finding(Arc<str>),
}
