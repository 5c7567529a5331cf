//! The detectors in force.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hash as _, Hasher, RandomState};
use std::sync::Arc;

use catalogue::EVENTS;
use context::Context;
use event::{Event, Finding, Output};
use expr::{Term, Truth};
use policy::{Facts, Selection};
use rustc_hash::FxHashMap;

use crate::detector::{Detector, Of, Threshold};
use crate::input::{In, Input, output};

/// Findings that lead to findings: at most so many after another, as Tracee has it. A circle would have no end.
const DEPTH: usize = 5;
/// Most that one detector counts at the same time: when there are more, the oldest are forgotten.
const COUNTED: usize = 4096;

/// Detectors that hold together.
#[derive(Debug, Default)]
pub struct Detectors {
    all: Vec<InForce>,
    /// Detectors and which of their looks, by the number of the event.
    by_event: Vec<Vec<(usize, usize)>>,
    by_finding: FxHashMap<Arc<str>, Vec<(usize, usize)>>,
    /// Findings that were not looked at, as they came of too many others.
    too_deep: u64,
}

#[derive(Debug)]
struct InForce {
    detector: Detector,
    counts: Counts,
    seen: Seen,
}

/// What a detector did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events that it looked at.
    pub looked_at: u64,
    /// Events of which it could not be known.
    pub undecided: u64,
    /// Findings.
    pub found: u64,
    /// What was counted, and forgotten for want of room.
    pub evicted: u64,
}

/// What was found in an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The detector's place among those in force.
    pub detector: usize,
    /// What it tells: a value for each of the fields that it produces.
    pub outputs: Vec<Output>,
    /// Detectors of the findings between, the last first.
    pub through: Vec<usize>,
}

impl Detectors {
    /// These detectors.
    pub fn new(detectors: Vec<Detector>) -> Detectors {
        let len = EVENTS.iter().map(|e| usize::from(e.id) + 1).max().unwrap_or(0);
        let mut set = Detectors { by_event: vec![vec![]; len], ..Detectors::default() };
        for (number, detector) in detectors.into_iter().enumerate() {
            for (n, look) in detector.looks.iter().enumerate() {
                match &look.of {
                    Of::Event(event) => {
                        if let Some(all) = set.by_event.get_mut(usize::from(event.id)) {
                            all.push((number, n));
                        }
                    }
                    Of::Finding(name) => {
                        set.by_finding.entry(Arc::clone(name)).or_default().push((number, n));
                    }
                }
            }
            set.all.push(InForce { detector, counts: Counts::default(), seen: Seen::default() });
        }
        set
    }

    /// Each detector, and what it did.
    pub fn iter(&self) -> impl Iterator<Item = (&Detector, Counts)> {
        self.all.iter().map(|d| (&d.detector, d.counts))
    }

    /// The detector at that place.
    pub fn get(&self, place: usize) -> Option<&Detector> {
        self.all.get(place).map(|d| &d.detector)
    }

    /// Whether any of them needs what that option of `--enrichment` takes.
    pub fn request(&self, option: &str) -> bool {
        self.all.iter().any(|d| d.detector.requests.contains(option))
    }

    /// The events that they look at.
    pub fn selection(&self) -> Selection {
        let wanted = self.by_event.iter().enumerate().filter(|(_, looks)| !looks.is_empty());
        Selection::of(wanted.filter_map(|(id, _)| u16::try_from(id).ok()))
    }

    /// Whether any of them looks at the event of that number.
    #[inline]
    pub fn look_at(&self, event: u16) -> bool {
        self.by_event.get(usize::from(event)).is_some_and(|looks| !looks.is_empty())
    }

    /// Findings that were not looked at, as they came of too many others, one after another.
    pub const fn too_deep(&self) -> u64 {
        self.too_deep
    }

    /// Looks at an event, which `ctx` must have observed; `found` gets what they find, in the order in which it is found.
    pub fn look(&mut self, event: &Event<'_>, ctx: &Context, found: &mut Vec<Found>) {
        found.clear();
        let facts = Facts { event, ctx };
        let Some(looks) = self.by_event.get(usize::from(event.definition.id)) else { return };
        for &(detector, look) in looks {
            let input = Input { facts, outputs: &[] };
            if let Some(outputs) = self.all.get_mut(detector).and_then(|d| d.look(look, &input)) {
                found.push(Found { detector, outputs, through: vec![] });
            }
        }
        // Those that look at findings: each finding is looked at once, in the order in which it came.
        let mut next = 0;
        while let Some(last) = found.get(next) {
            next += 1;
            let Some(named) = self.all.get(last.detector) else { continue };
            let Some(looks) = self.by_finding.get(&named.detector.produced.name) else { continue };
            if last.through.len() + 1 >= DEPTH {
                self.too_deep += 1;
                continue;
            }
            let produced = named.detector.produced.clone();
            let outputs: Vec<(&str, Output)> = produced
                .fields
                .iter()
                .map(|(name, _)| name.as_str())
                .zip(last.outputs.iter().cloned())
                .collect();
            let through: Vec<usize> =
                std::iter::once(last.detector).chain(last.through.iter().copied()).collect();
            for &(detector, look) in looks {
                let input = Input { facts, outputs: &outputs };
                if let Some(outputs) = self.all.get_mut(detector).and_then(|d| d.look(look, &input)) {
                    found.push(Found { detector, outputs, through: through.clone() });
                }
            }
        }
    }

    /// Tells of what was found in an event.
    pub fn tell(&self, found: &Found, event: &Event<'_>, degraded: bool, tell: impl FnOnce(&Finding<'_>)) {
        let Some(detector) = self.get(found.detector) else { return };
        let names = detector.produced.fields.iter().map(|(name, _)| name.as_str());
        let fields: Vec<(&str, Output)> = names.zip(found.outputs.iter().cloned()).collect();
        let through: Vec<&str> =
            found.through.iter().filter_map(|&d| self.get(d)).map(|d| &*d.produced.name).collect();
        tell(&Finding {
            name: &detector.produced.name,
            detector: &detector.id,
            threat: detector.threat.as_ref(),
            fields: &fields,
            through: &through,
            event,
            degraded,
        });
    }
}

impl InForce {
    /// What is told, if this look finds something.
    fn look(&mut self, look: usize, input: &Input<'_>) -> Option<Vec<Output>> {
        let look = self.detector.looks.get(look)?;
        if !look.scope.matches(input.facts.event, input.facts.ctx) {
            return None;
        }
        self.counts.looked_at += 1;
        match look.condition.as_ref().map_or(Truth::True, |c| c.of(input)) {
            Truth::True => {}
            Truth::False => return None,
            Truth::Unknown => {
                self.counts.undecided += 1;
                return None;
            }
        }
        if let Some(threshold) = self.detector.threshold {
            let values: Vec<Output> = look.by.iter().map(|term| output(&term.value(input))).collect();
            let (reached, evicted) = self.seen.add(&values, input.facts.event.header.time, threshold);
            self.counts.evicted += u64::from(evicted);
            if !reached {
                return None;
            }
        }
        self.counts.found += 1;
        let value =
            |term: &Option<Term<In>>| term.as_ref().map_or(Output::Unknown, |t| output(&t.value(input)));
        Some(look.outputs.iter().map(value).collect())
    }
}

fn feed(output: &Output, hasher: &mut impl Hasher) {
    std::mem::discriminant(output).hash(hasher);
    match output {
        Output::Unknown => {}
        Output::Bool(b) => b.hash(hasher),
        Output::Int(n) => n.hash(hasher),
        Output::Double(n) => n.to_bits().hash(hasher),
        Output::Text { bytes, .. } => bytes.hash(hasher),
        Output::List(values) => {
            values.len().hash(hasher);
            values.iter().for_each(|value| feed(value, hasher));
        }
    }
}

/// When what is alike was seen, as far as that may still count.
#[derive(Debug, Default)]
struct Seen {
    /// By the hash of what is alike, which may be long: keyed, so that nobody makes two of one hash.
    times: FxHashMap<u64, VecDeque<u64>>,
    /// The keys, in the order in which they came.
    order: VecDeque<u64>,
    hasher: RandomState,
}

impl Seen {
    /// Whether it has been seen often enough now, which begins a new count; and whether another was forgotten for it.
    fn add(&mut self, alike: &[Output], time: u64, threshold: Threshold) -> (bool, bool) {
        let mut hasher = self.hasher.build_hasher();
        alike.iter().for_each(|output| feed(output, &mut hasher));
        let key = hasher.finish();
        let window = u64::try_from(threshold.window.as_nanos()).unwrap_or(u64::MAX);
        let mut evicted = false;
        if !self.times.contains_key(&key) {
            if self.times.len() >= COUNTED
                && let Some(oldest) = self.order.pop_front()
            {
                self.times.remove(&oldest);
                evicted = true;
            }
            self.order.push_back(key);
        }
        let times = self.times.entry(key).or_default();
        times.push_back(time);
        while times.front().is_some_and(|first| time.saturating_sub(*first) > window) {
            times.pop_front();
        }
        let reached = times.len() >= threshold.count as usize;
        if reached {
            times.clear();
        }
        (reached, evicted)
    }
}
