//! What several events say together that one does not.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hash as _, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

pub use ::sigma::Comparison;
use event::Output;
use rustc_hash::FxHashMap;
use siphasher::sip::SipHasher13;

use crate::baseline::Usual;

/// Most groups of one detector at the same time: when there are more, the oldest are forgotten.
const GROUPS: usize = 4096;
/// Most bytes that one detector remembers, in all its groups.
pub(crate) const BYTES: usize = 8 << 20;
/// Most that a correlation can count up to: each is remembered.
pub(crate) const MOST: u32 = 4096;
/// What a value takes of which it is counted how often it was there.
const VALUE: usize = size_of::<(u64, u32)>() + 1;
/// Of so many events the records are kept, the last ones, to be told of with the finding.
const KEPT: usize = 16;
/// Longer ones are counted, but not kept. A line of a recording is longer than the record was.
const LONGEST: usize = 16 << 10;

/// What is counted of events that have something in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Events.
    Events,
    /// Different values.
    Values,
    /// Parts of which there is an event, in whatever order.
    Together,
    /// The same, in their order.
    InOrder,
    /// None: the first part is found, if none of the others comes after it. It is kept in another way than what is counted.
    Absent,
    /// How often the value was there before, by those who are known for so long as `within`: what is seldom, or new.
    Unusual,
}

impl From<::sigma::Measure> for Measure {
    fn from(measure: ::sigma::Measure) -> Measure {
        match measure {
            ::sigma::Measure::Events => Measure::Events,
            ::sigma::Measure::Values => Measure::Values,
            ::sigma::Measure::Together => Measure::Together,
            ::sigma::Measure::InOrder => Measure::InOrder,
        }
    }
}

/// Several events that have something in common, within a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    /// What is counted.
    pub measure: Measure,
    /// From the first to the last; of [`Measure::Unusual`], for how long nothing is told. Where a count may still come to be otherwise, it is
    /// told when this time is over, since the first.
    pub within: Duration,
    /// All of these hold of the count.
    pub condition: Vec<(Comparison, i128)>,
    /// How many parts there are, of [`Measure::Together`] and [`Measure::InOrder`].
    pub parts: usize,
}

impl Correlation {
    /// Its time, in nanoseconds.
    pub(crate) fn nanoseconds(&self) -> u64 {
        u64::try_from(self.within.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether the count is known only when its time is over: what holds of it now may not hold of it then.
    pub(crate) fn waits(&self) -> bool {
        let may_end = |(comparison, than): &(Comparison, i128)| match comparison {
            Comparison::GreaterOrEqual | Comparison::Greater => false,
            // There are no more.
            Comparison::Equal => self.measure != Measure::Together || *than != self.parts as i128,
            Comparison::NotEqual | Comparison::Less | Comparison::LessOrEqual => true,
        };
        matches!(self.measure, Measure::Events | Measure::Values | Measure::Together)
            && self.condition.iter().any(may_end)
    }

    pub(crate) fn holds(&self, count: usize) -> bool {
        self.condition.iter().all(|(comparison, than)| comparison.holds(count as i128, *than))
    }
}

/// Events that a finding is about together with its own: those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// What was counted, the finding's own event among it: events, different values, or parts; or how often what is unusual was there before.
    pub count: usize,
    /// Records of the events before, the oldest first; the last ones, if there were many or long ones.
    pub records: Vec<Arc<[u8]>>,
}

/// One event for a correlation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark<'a> {
    /// What it has in common with others.
    pub(crate) alike: &'a [Output],
    /// Which part it is.
    pub(crate) part: usize,
    /// The value that is counted.
    pub(crate) value: Option<&'a Output>,
    /// When: boot clock, nanoseconds.
    pub(crate) time: u64,
    pub(crate) record: &'a [u8],
}

/// Numbers for what is alike, which may be long: keyed, so that nobody makes two of one number.
#[derive(Debug)]
pub(crate) struct Keys(u64, u64);

impl Default for Keys {
    fn default() -> Self {
        // Each is seeded by the system; of nothing, its hash is a number as good as its seed.
        let random = || RandomState::new().build_hasher().finish();
        Keys(random(), random())
    }
}

impl Keys {
    pub(crate) fn of(&self, alike: &[Output]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        alike.iter().for_each(|output| feed(output, &mut hasher));
        hasher.finish()
    }
}

/// What a correlation has counted.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// By what is alike.
    groups: FxHashMap<u64, Group>,
    /// Their keys, in the order in which they came.
    order: VecDeque<u64>,
    /// What their marks take.
    bytes: usize,
    keys: Keys,
    /// Groups forgotten for want of room, that might have come to something.
    pub(crate) evicted: u64,
}

/// What a count came to when its time was over.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) before: Before,
    /// Its last event.
    pub(crate) record: Arc<[u8]>,
    pub(crate) outputs: Vec<Output>,
}

/// What was counted of events that are alike.
#[derive(Debug)]
enum Group {
    /// As [`Group::Marks`], since that time, until its time is over; and what is told then.
    Open(u64, VecDeque<Kept>, Vec<Output>),
    /// Events; or the last of each value or part.
    Marks(VecDeque<Kept>),
    /// The parts up to each one, in their order: of several such, the one that began last.
    Chains(Vec<Vec<Kept>>),
    /// Since when, which may be before this boot, and each value with how often it was there.
    Usual(i64, FxHashMap<u64, u32>),
}

#[derive(Debug, Clone)]
struct Kept {
    time: u64,
    /// Which value or part.
    which: u64,
    record: Option<Arc<[u8]>>,
}

impl Kept {
    fn bytes(&self) -> usize {
        size_of::<Kept>() + self.record.as_ref().map_or(0, |r| r.len())
    }
}

impl Groups {
    /// Counts an event; what there was before it, if its count is as is wanted. That begins a new count.
    ///
    /// An event that is several parts is to be counted as the last of them first, so that it does not come after itself.
    pub(crate) fn add(&mut self, correlation: &Correlation, mark: &Mark<'_>) -> Option<Before> {
        let key = self.keys.of(mark.alike);
        let window = correlation.nanoseconds();
        let oldest = mark.time.saturating_sub(window);
        let kept = Kept {
            time: mark.time,
            which: match (correlation.measure, mark.value) {
                (Measure::Values | Measure::Unusual, Some(value)) => {
                    self.keys.of(std::slice::from_ref(value))
                }
                _ => mark.part as u64,
            },
            // The last one of those that wait is what is told of, however long it is.
            record: (correlation.measure != Measure::Unusual
                && (mark.record.len() <= LONGEST || correlation.waits()))
            .then(|| mark.record.into()),
        };
        if !self.groups.contains_key(&key) {
            // What does not begin an order needs no place.
            if correlation.measure == Measure::InOrder && mark.part > 0 {
                return None;
            }
            while self.groups.len() >= GROUPS {
                self.forget_one(oldest);
            }
            self.order.push_back(key);
            let group = match correlation.measure {
                _ if correlation.waits() => Group::Open(mark.time, VecDeque::new(), vec![]),
                Measure::InOrder => Group::Chains(vec![vec![]; correlation.parts]),
                Measure::Events | Measure::Values | Measure::Together | Measure::Absent => {
                    Group::Marks(VecDeque::new())
                }
                Measure::Unusual => Group::Usual(signed(mark.time), FxHashMap::default()),
            };
            self.groups.insert(key, group);
        }
        let group = self.groups.get_mut(&key)?;
        self.bytes -= group.bytes();
        let count = group.count(correlation.measure, kept, window);
        let reached = count.filter(|&count| correlation.holds(count)).map(|count| group.take(count));
        self.bytes += group.bytes();
        while self.bytes > BYTES && !self.groups.is_empty() {
            self.forget_one(oldest);
        }
        reached
    }

    /// Whether there is something, and not too long ago, that an event of that part is counted with.
    pub(crate) fn awaits(&self, correlation: &Correlation, alike: &[Output], part: usize, time: u64) -> bool {
        let oldest = time.saturating_sub(correlation.nanoseconds());
        match self.groups.get(&self.keys.of(alike)) {
            Some(Group::Chains(chains)) => {
                let before = part.checked_sub(1).and_then(|before| chains.get(before)?.first());
                before.is_some_and(|first| first.time >= oldest)
            }
            Some(group) => group.lives(oldest),
            None => false,
        }
    }

    /// Counts an event of a correlation that [waits](Correlation::waits); `outputs` are told of the last one.
    pub(crate) fn wait(&mut self, correlation: &Correlation, mark: &Mark<'_>, outputs: Vec<Output>) {
        self.add(correlation, mark);
        if let Some(Group::Open(_, _, last)) = self.groups.get_mut(&self.keys.of(mark.alike)) {
            self.bytes -= sizes(last);
            self.bytes += sizes(&outputs);
            *last = outputs;
        }
    }

    /// One of which the time is over, and the count is as is wanted.
    pub(crate) fn over(&mut self, correlation: &Correlation, now: u64) -> Option<Over> {
        let window = correlation.nanoseconds();
        let is_over =
            |group: &Group| matches!(group, Group::Open(since, ..) if now.saturating_sub(*since) > window);
        while self.order.front().and_then(|key| self.groups.get(key)).is_some_and(is_over) {
            let mut group = self.order.pop_front().and_then(|key| self.groups.remove(&key))?;
            self.bytes -= group.bytes();
            let count = group.marks().count();
            if correlation.holds(count) {
                let record = group.marks().last().and_then(|last| last.record.clone())?;
                let before = group.take(count);
                let Group::Open(.., outputs) = group else { return None };
                return Some(Over { before, record, outputs });
            }
        }
        None
    }

    /// What is usual, with its keys; `ahead` is by how much the clock of 1970 is ahead of that of the events.
    pub(crate) fn usual(&self, ahead: i64) -> ([u64; 2], Vec<Usual>) {
        // The oldest first, as they are forgotten.
        let groups = self.order.iter().filter_map(|key| match self.groups.get(key)? {
            Group::Usual(since, values) => Some(Usual {
                alike: *key,
                since: since.saturating_add(ahead),
                values: values.iter().map(|(value, times)| (*value, *times)).collect(),
            }),
            _ => None,
        });
        ([self.keys.0, self.keys.1], groups.collect())
    }

    /// Begins with what was usual before, as far as there is room for it.
    pub(crate) fn begin(&mut self, keys: [u64; 2], usual: Vec<Usual>, ahead: i64) {
        *self = Groups { keys: Keys(keys[0], keys[1]), evicted: self.evicted, ..Groups::default() };
        for Usual { alike, since, values } in usual {
            let values = values.into_iter().map(|(value, times)| (value, times.min(MOST)));
            let group = Group::Usual(since.saturating_sub(ahead), values.collect());
            if let Some(before) = self.groups.insert(alike, group) {
                // Not of our making: each stands there once.
                self.bytes -= before.bytes();
            } else {
                self.order.push_back(alike);
            }
            self.bytes += self.groups.get(&alike).map_or(0, Group::bytes);
            while self.groups.len() > GROUPS || (self.bytes > BYTES && !self.groups.is_empty()) {
                self.forget_one(0);
            }
        }
    }

    /// Forgets the group that came first.
    fn forget_one(&mut self, oldest: u64) {
        let Some(group) = self.order.pop_front().and_then(|key| self.groups.remove(&key)) else { return };
        self.bytes -= group.bytes();
        self.evicted += u64::from(group.lives(oldest));
    }
}

impl Group {
    /// Counts one more; what there is now, without what is too old, if that says something.
    fn count(&mut self, measure: Measure, kept: Kept, window: u64) -> Option<usize> {
        let oldest = kept.time.saturating_sub(window);
        match self {
            Group::Marks(marks) => {
                while marks.front().is_some_and(|first| first.time < oldest) {
                    marks.pop_front();
                }
                push(marks, measure, kept);
                Some(marks.len())
            }
            Group::Open(_, marks, _) => {
                if let Some(last) = marks.back_mut() {
                    last.record = last.record.take().filter(|record| record.len() <= LONGEST);
                }
                push(marks, measure, kept);
                None
            }
            Group::Chains(chains) => {
                let part = usize::try_from(kept.which).unwrap_or(usize::MAX);
                let chain = match part.checked_sub(1).map(|before| chains.get(before)) {
                    None => vec![kept],
                    Some(Some(before)) if before.first().is_some_and(|first| first.time >= oldest) => {
                        before.iter().cloned().chain([kept]).collect()
                    }
                    Some(_) => return None,
                };
                if let Some(place) = chains.get_mut(part) {
                    *place = chain;
                }
                Some(part + 1)
            }
            Group::Usual(since, values) => {
                let times = values.entry(kept.which).or_default();
                let before = *times;
                // No detector asks whether it was there more often.
                *times = before.saturating_add(1).min(MOST);
                let known = signed(kept.time).saturating_sub(*since);
                (known >= signed(window)).then_some(before as usize)
            }
        }
    }

    /// What led to a finding; it is not counted again.
    fn take(&mut self, count: usize) -> Before {
        let marks: Vec<Kept> = match self {
            Group::Marks(marks) | Group::Open(_, marks, _) => marks.drain(..).collect(),
            Group::Chains(chains) => {
                let reached = count.checked_sub(1).and_then(|at| chains.get_mut(at)).map(std::mem::take);
                chains.iter_mut().for_each(Vec::clear);
                reached.unwrap_or_default()
            }
            // What is usual stays so.
            Group::Usual(..) => vec![],
        };
        // The last is the finding's own event.
        let before = marks.split_last().map_or(&[][..], |(_, before)| before);
        Before { count, records: before.iter().filter_map(|m| m.record.clone()).collect() }
    }

    fn marks(&self) -> impl Iterator<Item = &Kept> {
        let (marks, chains) = match self {
            Group::Marks(marks) | Group::Open(_, marks, _) => (Some(marks), None),
            Group::Chains(chains) => (None, Some(chains)),
            Group::Usual(..) => (None, None),
        };
        marks.into_iter().flatten().chain(chains.into_iter().flatten().flatten())
    }

    fn bytes(&self) -> usize {
        match self {
            Group::Marks(marks) => sum(marks),
            Group::Open(_, marks, outputs) => sum(marks) + sizes(outputs),
            Group::Chains(_) => self.marks().map(Kept::bytes).sum(),
            Group::Usual(_, values) => values.capacity() * VALUE,
        }
    }

    /// Whether there is something in it that is not too old.
    fn lives(&self, oldest: u64) -> bool {
        matches!(self, Group::Usual(..) | Group::Open(..)) || self.marks().any(|m| m.time >= oldest)
    }
}

/// Adds one, in place of the one before it of the same value or part, if these are counted.
fn push(marks: &mut VecDeque<Kept>, measure: Measure, kept: Kept) {
    if measure != Measure::Events
        && let Some(known) = marks.iter().position(|m| m.which == kept.which)
    {
        marks.remove(known);
    }
    marks.push_back(kept);
    if marks.len() > MOST as usize {
        marks.pop_front();
    }
    if let Some(mark) = marks.len().checked_sub(KEPT + 1).and_then(|at| marks.get_mut(at)) {
        mark.record = None;
    }
}

/// What they take: as many as there may be of events, and most have no record.
fn sum(marks: &VecDeque<Kept>) -> usize {
    let records = marks.iter().rev().take(KEPT).filter_map(|m| m.record.as_ref()).map(|r| r.len());
    marks.len() * size_of::<Kept>() + records.sum::<usize>()
}

/// What values take.
pub(crate) fn sizes(outputs: &[Output]) -> usize {
    let size = |output: &Output| match output {
        Output::Text { bytes, .. } => bytes.len(),
        Output::List(values) => sizes(values),
        Output::Unknown | Output::Bool(_) | Output::Int(_) | Output::Double(_) => 0,
    };
    outputs.iter().map(|output| size_of::<Output>() + size(output)).sum()
}

/// Of the boot clock, which does not reach that far in 292 years.
fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// Baselines keep these hashes: they must not change.
fn feed(output: &Output, hasher: &mut impl Hasher) {
    match output {
        Output::Unknown => hasher.write_u8(0),
        Output::Bool(b) => (1u8, b).hash(hasher),
        Output::Int(n) => (2u8, n).hash(hasher),
        Output::Double(n) => (3u8, n.to_bits()).hash(hasher),
        Output::Text { bytes, .. } => (4u8, bytes).hash(hasher),
        Output::List(values) => {
            (5u8, values.len()).hash(hasher);
            values.iter().for_each(|value| feed(value, hasher));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn correlation(measure: Measure, parts: usize, condition: (Comparison, i128)) -> Correlation {
        Correlation { measure, within: Duration::from_secs(10), condition: vec![condition], parts }
    }

    fn add(groups: &mut Groups, of: &Correlation, at: u64, part: usize, value: i128) -> Option<usize> {
        let record = at.to_le_bytes();
        let mark = Mark {
            alike: &[Output::Int(1)],
            part,
            value: Some(&Output::Int(value)),
            time: at * SECOND,
            record: &record,
        };
        groups.add(of, &mark).map(|before| before.records.len())
    }

    #[test]
    fn different_values_are_counted_once() {
        let of = correlation(Measure::Values, 1, (Comparison::GreaterOrEqual, 3));
        let mut groups = Groups::default();
        // The first 5 is out of the window when 8 comes, but was seen again.
        let told: Vec<_> = [(0, 5), (1, 5), (2, 6), (3, 6), (9, 5), (11, 8), (12, 9)]
            .into_iter()
            .map(|(at, value)| add(&mut groups, &of, at, 0, value))
            .collect();
        assert_eq!(told, [None, None, None, None, None, Some(2), None]);
    }

    #[test]
    fn parts_come_in_their_order_or_in_any() {
        let in_order = correlation(Measure::InOrder, 3, (Comparison::GreaterOrEqual, 3));
        let together = correlation(Measure::Together, 3, (Comparison::GreaterOrEqual, 3));
        let run = |of: &Correlation, parts: &[(u64, usize)]| {
            let mut groups = Groups::default();
            let told: Vec<_> =
                parts.iter().map(|&(at, part)| add(&mut groups, of, at, part, 0).is_some()).collect();
            told.iter().position(|told| *told)
        };
        assert_eq!(run(&in_order, &[(1, 0), (2, 1), (3, 2)]), Some(2));
        assert_eq!(run(&in_order, &[(1, 0), (2, 2), (3, 1)]), None);
        assert_eq!(run(&together, &[(1, 0), (2, 2), (3, 1)]), Some(2));
        assert_eq!(run(&in_order, &[(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)]), Some(4));
        // The first is too old, unless it comes again, and then the second must come again, too.
        assert_eq!(run(&in_order, &[(1, 0), (8, 1), (12, 2)]), None);
        assert_eq!(run(&in_order, &[(1, 0), (8, 1), (9, 0), (12, 2)]), None);
        assert_eq!(run(&in_order, &[(1, 0), (8, 1), (9, 0), (11, 1), (12, 2)]), Some(4));
        // One event that is all parts.
        assert_eq!(run(&in_order, &[(1, 2), (1, 1), (1, 0)]), None);
        assert_eq!(run(&together, &[(1, 2), (1, 1), (1, 0)]), Some(2));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let of = correlation(Measure::Events, 1, (Comparison::GreaterOrEqual, i128::from(MOST)));
        let mut groups = Groups::default();
        let record = vec![0; LONGEST];
        for n in 0..2 * GROUPS as u64 {
            let alike = [Output::Int(n.into())];
            let mark = Mark { alike: &alike, part: 0, value: None, time: n, record: &record };
            assert_eq!(groups.add(&of, &mark), None);
            assert!(groups.bytes <= BYTES && groups.groups.len() <= GROUPS);
        }
        assert_eq!(groups.evicted as usize + groups.groups.len(), 2 * GROUPS);
        // What can come to nothing any more is not missed.
        let (evicted, later) = (groups.evicted, 100 * SECOND);
        for n in 0..GROUPS as i128 {
            let alike = [Output::Int(-n)];
            groups.add(&of, &Mark { alike: &alike, part: 0, value: None, time: later, record: &[] });
        }
        assert_eq!(groups.evicted, evicted);
    }

    #[test]
    fn what_was_seldom_before_is_unusual() {
        let of = correlation(Measure::Unusual, 1, (Comparison::Less, 2));
        let mut groups = Groups::default();
        // Nothing is told in the first ten seconds, in which 5 becomes usual; 6 is after its second time, 7 was never there.
        let told: Vec<_> =
            [(0, 5), (1, 5), (2, 6), (9, 8), (10, 5), (11, 6), (12, 6), (13, 7), (14, 7), (15, 7)]
                .into_iter()
                .map(|(at, value)| add(&mut groups, &of, at, 0, value).is_some())
                .collect();
        assert_eq!(told, [false, false, false, false, false, true, false, true, true, false]);
        assert_eq!(groups.evicted, 0);
        // Too many values: what is usual is forgotten, which is counted, and learnt again before anything is told.
        let many = (BYTES / VALUE) as i128;
        let told = (0..many).filter(|n| add(&mut groups, &of, 16, 0, 1000 + n).is_some()).count();
        assert!(groups.evicted == 1 && told < many as usize && groups.bytes <= BYTES);
        assert_eq!(add(&mut groups, &of, 17, 0, 9), None);
    }

    #[test]
    fn what_was_usual_stays_so() {
        const AHEAD: i64 = 1_700_000_000 * SECOND as i64;
        let of = correlation(Measure::Unusual, 1, (Comparison::Less, 1));
        let mut first = Groups::default();
        let told = |groups: &mut Groups, at: u64, value| add(groups, &of, at, 0, value).is_some();
        assert!(!told(&mut first, 100, 5) && !told(&mut first, 109, 6));
        let (keys, usual) = first.usual(AHEAD);
        // Five seconds later by the clock of 1970, and a second after the next boot.
        let mut next = Groups::default();
        next.begin(keys, usual.clone(), AHEAD + 113 * SECOND as i64);
        assert_eq!(next.usual(AHEAD + 113 * SECOND as i64).1[0].since, usual[0].since);
        assert!(!told(&mut next, 1, 5) && !told(&mut next, 1, 6) && told(&mut next, 1, 7));
        // One that begins without it knows nobody for so long.
        assert!(!told(&mut Groups::default(), 1, 7));
        // More than there is room for, by hands that are not ours.
        let many =
            |n: u64| Usual { alike: n % 5000, since: 0, values: (0..1000).map(|v| (v, u32::MAX)).collect() };
        next.begin(keys, (0..6000).map(many).collect(), 0);
        let kept: usize = next.groups.values().map(Group::bytes).sum();
        assert!(
            next.bytes == kept && kept <= BYTES && next.groups.len() <= GROUPS && !next.groups.is_empty()
        );
    }

    #[test]
    fn the_last_of_what_waits_is_told_of_however_long_it_is() {
        let of = correlation(Measure::Events, 1, (Comparison::LessOrEqual, 2));
        let mut groups = Groups::default();
        let long = vec![7; LONGEST + 1];
        for time in [0, 1] {
            let mark = Mark { alike: &[], part: 0, value: None, time, record: &long };
            groups.wait(&of, &mark, vec![Output::Int(time.into())]);
        }
        assert!(groups.over(&of, 10 * SECOND).is_none());
        let over = groups.over(&of, 10 * SECOND + 1).unwrap();
        assert_eq!((over.record.len(), over.outputs), (LONGEST + 1, vec![Output::Int(1)]));
        assert_eq!((over.before.count, over.before.records.len()), (2, 0));
        assert_eq!((groups.bytes, groups.evicted), (0, 0));
        // What can still come to something is missed when it is forgotten.
        for n in 0..=GROUPS as i128 {
            let mark = Mark { alike: &[Output::Int(n)], part: 0, value: None, time: 0, record: &[] };
            groups.wait(&of, &mark, vec![Output::Text { bytes: (*b"told").into(), cut: false }]);
        }
        assert_eq!(groups.evicted, 1);
        while groups.over(&of, u64::MAX).is_some() {}
        assert!(groups.bytes == 0 && groups.groups.is_empty());
    }

    proptest! {
        /// What waits is counted from its first event until its time is over, whoever else comes meanwhile.
        #[test]
        fn what_waits_is_counted_when_its_time_is_over(
            events in prop::collection::vec((0u64..6, 0i128..2, 0i128..3), 0..60),
            comparison in prop::sample::select(vec![Comparison::Less, Comparison::NotEqual, Comparison::Equal]),
            than in 1i128..4,
        ) {
            for measure in [Measure::Events, Measure::Values] {
                let of = correlation(measure, 1, (comparison, than));
                let mut groups = Groups::default();
                // Whose they are, since when, and each value.
                let mut open: Vec<(i128, u64, Vec<i128>)> = vec![];
                let mut now = 0;
                for &(step, who, value) in &events {
                    now += step;
                    let mut told = vec![];
                    while let Some(over) = groups.over(&of, now * SECOND) {
                        told.push((over.before.count, over.outputs));
                    }
                    let (over, still) = open.into_iter().partition(|(_, since, _)| since + 10 < now);
                    open = still;
                    let counted = |mut values: Vec<i128>| {
                        if measure == Measure::Values {
                            values.sort_unstable();
                            values.dedup();
                        }
                        values.len()
                    };
                    let of_all = over.into_iter().map(|(who, _, values): (_, u64, _)| (counted(values), vec![Output::Int(who)]));
                    let expected: Vec<_> = of_all.filter(|(n, _)| comparison.holds(*n as i128, than)).collect();
                    prop_assert_eq!(told, expected);
                    match open.iter_mut().find(|(of, ..)| *of == who) {
                        Some((.., values)) => values.push(value),
                        None => open.push((who, now, vec![value])),
                    }
                    let (alike, value) = ([Output::Int(who)], Output::Int(value));
                    let mark = Mark { alike: &alike, part: 0, value: Some(&value), time: now * SECOND, record: &[0] };
                    groups.wait(&of, &mark, alike.to_vec());
                }
                prop_assert_eq!(groups.evicted, 0);
            }
        }

        /// What is counted is what a list of all that came, looked through each time, would say.
        #[test]
        fn counts_are_those_of_a_full_list(
            events in prop::collection::vec((0u64..4, 0usize..3, 0i128..3), 0..60),
            need in 2i128..5,
        ) {
            for measure in
                [Measure::Events, Measure::Values, Measure::Together, Measure::InOrder, Measure::Unusual]
            {
                let need = if measure == Measure::InOrder { need.min(3) } else { need };
                let comparison =
                    if measure == Measure::Unusual { Comparison::Less } else { Comparison::GreaterOrEqual };
                let of = correlation(measure, 3, (comparison, need));
                let mut groups = Groups::default();
                let mut all: Vec<(u64, usize, i128)> = vec![];
                let mut now = 0;
                for &(step, part, value) in &events {
                    now += step;
                    all.push((now, part, value));
                    let window: Vec<_> = all.iter().filter(|(at, ..)| at + 10 >= now).copied().collect();
                    let distinct = |mut of: Vec<i128>| { of.sort_unstable(); of.dedup(); of.len() as i128 };
                    let expected = match measure {
                        Measure::Events => window.len() as i128 >= need,
                        Measure::Values => distinct(window.iter().map(|w| w.2).collect()) >= need,
                        Measure::Together => distinct(window.iter().map(|w| w.1 as i128).collect()) >= need,
                        Measure::InOrder => {
                            // Backwards from this one: for each part before, the latest that is earlier.
                            let mut end = Some((window.len() - 1, part));
                            while let Some((at, of)) = end.filter(|(_, of)| *of > 0) {
                                end = window[..at].iter().rposition(|w| w.1 == of - 1).map(|at| (at, of - 1));
                            }
                            end.is_some() && part as i128 + 1 >= need
                        }
                        Measure::Absent => unreachable!("it is not counted"),
                        Measure::Unusual => {
                            let (_, before) = all.split_last().expect("this one");
                            let times = before.iter().filter(|e| e.2 == value).count() as i128;
                            all[0].0 + 10 <= now && times < need
                        }
                    };
                    let told = add(&mut groups, &of, now, part, value).is_some();
                    prop_assert_eq!(told, expected, "{:?} of {:?}", measure, all);
                    if told && measure != Measure::Unusual {
                        all.clear();
                    }
                }
            }
        }
    }
}
