//! What did not come after something, within a time.

use std::collections::VecDeque;
use std::sync::Arc;

use event::Output;
use rustc_hash::FxHashMap;

use crate::correlation::{BYTES, Keys, sizes};

/// Events that wait for another, by what both have in common.
#[derive(Debug, Default)]
pub(crate) struct Absences {
    groups: FxHashMap<u64, VecDeque<Waiting>>,
    /// All that began to wait, also if what they waited for has come, the oldest first: when, its number, and its group.
    order: VecDeque<(u64, u64, u64)>,
    /// The number of the next.
    next: u64,
    keys: Keys,
    bytes: usize,
    /// Those that were forgotten for want of room.
    pub(crate) evicted: u64,
}

/// An event that waits for another, with what is told if that does not come.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// When: boot clock, nanoseconds.
    time: u64,
    /// Tells it from another of the same time.
    number: u64,
    pub(crate) record: Arc<[u8]>,
    pub(crate) outputs: Vec<Output>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        size_of::<Waiting>() + self.record.len() + sizes(&self.outputs)
    }
}

impl Absences {
    /// Has an event wait.
    pub(crate) fn begin(&mut self, alike: &[Output], time: u64, record: &[u8], outputs: Vec<Output>) {
        let key = self.keys.of(alike);
        let number = self.next;
        self.next += 1;
        let waiting = Waiting { time, number, record: record.into(), outputs };
        self.bytes += waiting.bytes();
        self.groups.entry(key).or_default().push_back(waiting);
        self.order.push_back((time, number, key));
        while self.bytes + self.order.len() * size_of::<(u64, u64, u64)>() > BYTES && !self.order.is_empty() {
            self.evicted += u64::from(self.first().is_some());
        }
    }

    /// What all wait for that are alike, and have not waited for longer than `window`.
    pub(crate) fn end(&mut self, alike: &[Output], time: u64, window: u64) {
        let key = self.keys.of(alike);
        let Some(group) = self.groups.get_mut(&key) else { return };
        let came = |waiting: &Waiting| time.saturating_sub(waiting.time) <= window;
        self.bytes -= group.iter().filter(|w| came(w)).map(Waiting::bytes).sum::<usize>();
        group.retain(|waiting| !came(waiting));
        if group.is_empty() {
            self.groups.remove(&key);
        }
    }

    /// One that has waited for longer than `window`.
    pub(crate) fn due(&mut self, now: u64, window: u64) -> Option<Waiting> {
        while self.order.front().is_some_and(|(time, ..)| now.saturating_sub(*time) > window) {
            let waiting = self.first();
            if waiting.is_some() {
                return waiting;
            }
        }
        None
    }

    /// Takes out the one that began first, unless what it waited for has come.
    fn first(&mut self) -> Option<Waiting> {
        let (_, number, key) = self.order.pop_front()?;
        let group = self.groups.get_mut(&key)?;
        let waiting = if group.front()?.number == number { group.pop_front() } else { None };
        if group.is_empty() {
            self.groups.remove(&key);
        }
        self.bytes -= waiting.as_ref().map_or(0, Waiting::bytes);
        waiting
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outputs(value: i128) -> Vec<Output> {
        vec![Output::Int(value)]
    }

    proptest! {
        /// What is due is what a list of all that came, looked through each time, would say.
        #[test]
        fn what_does_not_come_is_due(events in prop::collection::vec((0u64..4, 0i128..2, any::<bool>()), 0..60)) {
            const WINDOW: u64 = 5;
            let mut absences = Absences::default();
            let (mut waiting, mut now): (Vec<(u64, i128, i128)>, u64) = (vec![], 0);
            for (n, &(step, who, begins)) in (0..).zip(&events) {
                now += step;
                let mut due = vec![];
                while let Some(one) = absences.due(now, WINDOW) {
                    due.push(one.outputs);
                }
                let expected: Vec<_> =
                    waiting.iter().filter(|(at, ..)| now - at > WINDOW).map(|(.., n)| outputs(*n)).collect();
                prop_assert_eq!(due, expected);
                waiting.retain(|(at, ..)| now - at <= WINDOW);
                if begins {
                    absences.begin(&outputs(who), now, &[0], outputs(n));
                    waiting.push((now, who, n));
                } else {
                    absences.end(&outputs(who), now, WINDOW);
                    waiting.retain(|(_, other, _)| *other != who);
                }
            }
            prop_assert_eq!(absences.evicted, 0);
            while absences.due(u64::MAX, WINDOW).is_some() {}
            prop_assert!(absences.bytes == 0 && absences.groups.is_empty() && absences.order.is_empty());
        }
    }

    /// One of the same time that did not wait in vain leaves the others' order alone.
    #[test]
    fn at_the_same_time() {
        let mut absences = Absences::default();
        absences.begin(&outputs(1), 0, &[0], outputs(0));
        absences.end(&outputs(1), 0, 5);
        absences.begin(&outputs(0), 0, &[0], outputs(1));
        absences.begin(&outputs(1), 0, &[0], outputs(2));
        let due: Vec<_> = std::iter::from_fn(|| absences.due(6, 5)).map(|w| w.outputs).collect();
        assert_eq!(due, [outputs(1), outputs(2)]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut absences = Absences::default();
        let record = vec![0; 1 << 16];
        for n in 0..1000 {
            absences.begin(&outputs(n), n as u64, &record, vec![]);
            assert!(absences.bytes <= BYTES);
        }
        let left = std::iter::from_fn(|| absences.due(u64::MAX, 0)).count();
        assert_eq!(absences.evicted as usize + left, 1000);
        assert!(left > 100);
    }
}
