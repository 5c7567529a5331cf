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
    /// What else the same may be, for those who look into a finding.
    pub false_positives: Vec<String>,
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
