//! The detectors in force.

use std::sync::Arc;
use std::time::Instant;

use catalogue::EVENTS;
use event::{Finding, Output};
use expr::{Index, Term, Truth};
use policy::{Evidence, Selection, Slot, Store};
use rustc_hash::FxHashMap;
use sieve::Alternative;

use crate::absence::Absences;
use crate::baseline::{Baseline, Baselines};
use crate::correlation::{Before, Groups, Mark, Measure};
use crate::detector::{Detector, Look, Of};
use crate::input::{In, Input, output};

/// Findings that lead to findings: at most so many after another, as Tracee has it. A circle would have no end.
const DEPTH: usize = 5;

/// Of so many looks the time of one is taken: reading the clock takes about as long as a look.
const TIMED: u64 = 64;

/// Detectors that hold together.
#[derive(Debug, Default)]
pub struct Detectors {
    all: Vec<InForce>,
    /// Each detector and which of its looks, in the order in which they look.
    looks: Vec<(usize, usize)>,
    /// Of these, by the number of the event, and by the finding: found by what their conditions want.
    by_event: Vec<Index<In>>,
    by_finding: FxHashMap<Arc<str>, Index<In>>,
    /// Detectors of what is known only when a time is over.
    waiting: Vec<usize>,
    /// Those that may find something in the event at hand.
    candidates: Vec<usize>,
    /// Findings that were not looked at, as they came of too many others.
    too_deep: u64,
}

#[derive(Debug)]
struct InForce {
    detector: Detector,
    counts: Counts,
    groups: Groups,
    absences: Absences,
}

/// What a detector did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events that it looked at: those that are not told to be none of its by an index.
    pub looked_at: u64,
    /// Events of which it could not be known.
    pub undecided: u64,
    /// Findings.
    pub found: u64,
    /// What was counted, and forgotten for want of room.
    pub evicted: u64,
    /// Looks of which the time was taken: one of [`TIMED`].
    timed: u64,
    /// What these took, in nanoseconds.
    nanoseconds: u64,
}

impl Counts {
    /// What a look takes, in nanoseconds, on the average of those of which it was taken; the clock's own time is in it.
    pub fn cost(&self) -> Option<u64> {
        self.nanoseconds.checked_div(self.timed)
    }
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
    /// The events before it that it is about, too.
    pub before: Option<Before>,
}

impl Detectors {
    /// These detectors.
    pub fn new(detectors: Vec<Detector>) -> Detectors {
        let len = EVENTS.iter().map(|e| usize::from(e.id) + 1).max().unwrap_or(0);
        let mut set = Detectors::default();
        let mut by_event: Vec<Vec<_>> = vec![vec![]; len];
        let mut by_finding: FxHashMap<Arc<str>, Vec<_>> = FxHashMap::default();
        for (number, detector) in detectors.iter().enumerate() {
            // The last part first: an event that is several parts of an order does not come after itself.
            for (n, look) in detector.looks.iter().enumerate().rev() {
                let looks = match &look.of {
                    Of::Event(event) => by_event.get_mut(usize::from(event.id)),
                    Of::Finding(name) => Some(by_finding.entry(Arc::clone(name)).or_default()),
                };
                if let Some(looks) = looks {
                    looks.push((set.looks.len(), look.condition.as_ref()));
                    set.looks.push((number, n));
                }
            }
        }
        set.by_event = by_event.into_iter().map(Index::new).collect();
        set.by_finding = by_finding.into_iter().map(|(name, looks)| (name, Index::new(looks))).collect();
        for (number, detector) in detectors.into_iter().enumerate() {
            if detector.correlation.as_ref().is_some_and(|c| c.measure == Measure::Absent || c.waits()) {
                set.waiting.push(number);
            }
            set.all.push(InForce {
                detector,
                counts: Counts::default(),
                groups: Groups::default(),
                absences: Absences::default(),
            });
        }
        set
    }

    /// Each detector, and what it did.
    pub fn iter(&self) -> impl Iterator<Item = (&Detector, Counts)> {
        self.all
            .iter()
            .map(|d| (&d.detector, Counts { evicted: d.groups.evicted + d.absences.evicted, ..d.counts }))
    }

    /// The detector at that place.
    pub fn get(&self, place: usize) -> Option<&Detector> {
        self.all.get(place).map(|d| &d.detector)
    }

    /// Whether any of them needs what that option of `--enrichment` takes.
    pub fn request(&self, option: &str) -> bool {
        self.all.iter().any(|d| d.detector.requests.contains(option))
    }

    /// Whether any of them asks that of a store.
    pub fn asks(&self, store: Store) -> bool {
        let mut asked = false;
        let mut show = |slot: &In| asked |= *slot == In::Event(Slot::Store(store));
        for look in self.all.iter().flat_map(|d| &d.detector.looks) {
            look.condition.iter().for_each(|condition| condition.asks(&mut show));
            let terms = look.outputs.iter().flatten().chain(&look.by).chain(&look.value);
            terms.for_each(|term| term.asks(&mut show));
        }
        asked
    }

    /// What those have learnt that find what is unusual; `ahead` is by how many nanoseconds the clock of 1970 is ahead of that of the events.
    pub fn baselines(&self, ahead: i64) -> Baselines {
        let learnt = self.all.iter().filter_map(|d| {
            let (keys, groups) = d.groups.usual(ahead);
            Some((d.detector.id.to_string(), Baseline { of: d.detector.learns.clone()?, keys, groups }))
        });
        learnt.collect()
    }

    /// Begins with what was learnt before, by those that still look at the same.
    pub fn begin(&mut self, mut learnt: Baselines, ahead: i64) {
        for d in &mut self.all {
            if let Some(baseline) = learnt.remove(&*d.detector.id)
                && d.detector.learns.as_ref() == Some(&baseline.of)
            {
                d.groups.begin(baseline.keys, baseline.groups, ahead);
            }
        }
    }

    /// The ways for an event to be looked at by them, as far as the kernel can look at it.
    pub fn alternatives(&self, event: &catalogue::Event) -> Vec<Alternative> {
        let looks = self.all.iter().flat_map(|d| &d.detector.looks);
        let of_event = looks.filter(|look| matches!(look.of, Of::Event(of) if of.id == event.id));
        let slot = |slot: &In| match slot {
            In::Event(slot) => Some(*slot),
            In::Output(_) => None,
        };
        of_event.flat_map(|look| policy::alternatives(event, look.condition.as_ref(), slot).0).collect()
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

    /// Looks at an event; `found` gets what they find, in the order in which it is found.
    pub fn look<E: Evidence>(&mut self, event: &E, found: &mut Vec<Found>) {
        found.clear();
        let Some(looks) = self.by_event.get(usize::from(event.definition().id)) else { return };
        let input = Input { event, outputs: &[] };
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        looks.candidates(&input, &mut candidates);
        for (detector, look) in candidates.iter().filter_map(|&at| self.looks.get(at).copied()) {
            if let Some((outputs, before)) = self.all.get_mut(detector).and_then(|d| d.look(look, &input)) {
                found.push(Found { detector, outputs, through: vec![], before });
            }
        }
        self.candidates = candidates;
        self.chain(event, found);
    }

    /// What was found because a time is over, up to `now`, which is on the clock of the events: in which nothing came, or so much and no more;
    /// and what its event was kept as. It is to be [followed](Detectors::follow).
    pub fn due(&mut self, now: u64) -> Option<(Found, Arc<[u8]>)> {
        self.waiting.iter().find_map(|&detector| {
            let d = self.all.get_mut(detector)?;
            let correlation = d.detector.correlation.as_ref()?;
            let (outputs, before, record) = if correlation.measure == Measure::Absent {
                let waiting = d.absences.due(now, correlation.nanoseconds())?;
                (waiting.outputs, None, waiting.record)
            } else {
                let over = d.groups.over(correlation, now)?;
                (over.outputs, Some(over.before), over.record)
            };
            d.counts.found += 1;
            Some((Found { detector, outputs, through: vec![], before }, record))
        })
    }

    /// Has those look at a finding that look at findings; `found` gets it, and what they find.
    pub fn follow<E: Evidence>(&mut self, first: Found, event: &E, found: &mut Vec<Found>) {
        found.clear();
        found.push(first);
        self.chain(event, found);
    }

    /// Those that look at findings: each finding is looked at once, in the order in which it came.
    fn chain<E: Evidence>(&mut self, event: &E, found: &mut Vec<Found>) {
        let mut candidates = std::mem::take(&mut self.candidates);
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
            let input = Input { event, outputs: &outputs };
            candidates.clear();
            looks.candidates(&input, &mut candidates);
            for (detector, look) in candidates.iter().filter_map(|&at| self.looks.get(at).copied()) {
                if let Some((outputs, before)) = self.all.get_mut(detector).and_then(|d| d.look(look, &input))
                {
                    found.push(Found { detector, outputs, through: through.clone(), before });
                }
            }
        }
        self.candidates = candidates;
    }

    /// Tells of what was found in an event; `read` gives one of those before it from what it was kept as.
    pub fn tell<'f, E>(
        &self,
        found: &'f Found,
        event: &E,
        read: impl Fn(&'f [u8]) -> Option<E>,
        degraded: bool,
        tell: impl FnOnce(&Finding<'_, E>),
    ) {
        let Some(detector) = self.get(found.detector) else { return };
        let names = detector.produced.fields.iter().map(|(name, _)| name.as_str());
        let fields: Vec<(&str, Output)> = names.zip(found.outputs.iter().cloned()).collect();
        let through: Vec<&str> =
            found.through.iter().filter_map(|&d| self.get(d)).map(|d| &*d.produced.name).collect();
        let records = found.before.iter().flat_map(|b| &b.records);
        let events: Vec<E> = records.filter_map(|record| read(record)).collect();
        let correlated = found.before.as_ref().map(|b| event::Correlated { count: b.count, events: &events });
        tell(&Finding {
            name: &detector.produced.name,
            detector: &detector.id,
            threat: detector.threat.as_ref(),
            fields: &fields,
            through: &through,
            before: correlated.as_ref(),
            event,
            degraded,
        });
    }
}

impl InForce {
    /// What is told, if this look finds something.
    fn look<E: Evidence>(
        &mut self,
        look: usize,
        input: &Input<'_, E>,
    ) -> Option<(Vec<Output>, Option<Before>)> {
        if !self.counts.looked_at.is_multiple_of(TIMED) {
            return self.ask(look, input);
        }
        let begun = Instant::now();
        let found = self.ask(look, input);
        self.counts.timed += 1;
        self.counts.nanoseconds += u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        found
    }

    fn ask<E: Evidence>(
        &mut self,
        look: usize,
        input: &Input<'_, E>,
    ) -> Option<(Vec<Output>, Option<Before>)> {
        self.counts.looked_at += 1;
        let condition = self.detector.looks.get(look)?.condition.as_ref();
        match condition.map_or(Truth::True, |c| c.of(input)) {
            Truth::True => {}
            Truth::False => return None,
            Truth::Unknown => {
                self.counts.undecided += 1;
                return None;
            }
        }
        let before = match self.detector.correlation {
            None => None,
            Some(_) => Some(self.count(look, input)?),
        };
        self.counts.found += 1;
        Some((outputs(self.detector.looks.get(look)?, input), before))
    }

    /// Counts an event with others that it has something in common with; what there was before it, if that is what is to be found.
    fn count<E: Evidence>(&mut self, look: usize, input: &Input<'_, E>) -> Option<Before> {
        let look = self.detector.looks.get(look)?;
        let correlation = self.detector.correlation.as_ref()?;
        let alike: Vec<Output> = look.by.iter().map(|term| output(&term.value(input))).collect();
        let counted = look.value.as_ref().map(|term| output(&term.value(input)));
        // With whom it is alike is not known: it is alike with nobody.
        if alike.iter().chain(&counted).any(|value| *value == Output::Unknown) {
            self.counts.undecided += 1;
            return None;
        }
        let (time, record) = (input.event.time(), &*input.event.record());
        let trees = match look.tree {
            Some(at) => trees(&alike, at),
            None => vec![alike],
        };
        // What it begins is about the parent and all that descends from it, unless the host begins there.
        let begun = trees.get(1).or(trees.first())?;
        match (correlation.measure, look.part) {
            (Measure::Absent, 0) => {
                self.absences.begin(begun, time, record, outputs(look, input));
                return None;
            }
            (Measure::Absent, _) => {
                trees.iter().for_each(|alike| self.absences.end(alike, time, correlation.nanoseconds()));
                return None;
            }
            _ => {}
        }
        let begins = trees.len() == 1 || (correlation.measure == Measure::InOrder && look.part == 0);
        let is_in = |alike: &&Vec<Output>| self.groups.awaits(correlation, alike, look.part, time);
        let alike = trees.iter().find(|alike| !begins && is_in(alike)).unwrap_or(begun);
        let mark = Mark { alike, part: look.part, value: counted.as_ref(), time, record };
        if correlation.waits() {
            self.groups.wait(correlation, &mark, outputs(look, input));
            return None;
        }
        self.groups.add(correlation, &mark)
    }
}

/// What is told of an event.
fn outputs<E: Evidence>(look: &Look, input: &Input<'_, E>) -> Vec<Output> {
    let value = |term: &Option<Term<In>>| term.as_ref().map_or(Output::Unknown, |t| output(&t.value(input)));
    look.outputs.iter().map(value).collect()
}

/// What an event has in common with others, for each tree that it is in: of whoever did it, and those that it descends from.
fn trees(alike: &[Output], at: usize) -> Vec<Vec<Output>> {
    let Some(Output::List(ids)) = alike.get(at) else { return vec![] };
    let of = |id: &Output| {
        let before = alike.iter().take(at);
        before.chain([id]).chain(alike.iter().skip(at + 1)).cloned().collect()
    };
    ids.iter().map(of).collect()
}
