//! Records of many rings, given out in the order of time.
//!
//! A record's time is when its run began; it reaches the ring a little later, and much later when its run was preempted. So after
//! a round that looked at every ring, everything older than the round's start less the *hold* is given out, and the rest waits for the
//! next round. A record that comes even later is given out at once, and counted as late.

/// Collects the records of a round and gives them out sorted. Memory is bounded by what a round may take in.
#[derive(Debug, Default)]
pub struct Merge {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    spare: Vec<u8>,
    released: u64,
    late: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    time: u64,
    start: usize,
    length: usize,
}

impl Merge {
    /// Takes in a record. Its first 8 bytes are its time; one that is shorter is the oldest of all.
    pub fn push(&mut self, record: &[u8]) {
        let time = record.first_chunk().map_or(0, |b| u64::from_ne_bytes(*b));
        self.entries.push(Entry { time, start: self.bytes.len(), length: record.len() });
        self.bytes.extend_from_slice(record);
    }

    /// Gives out, oldest first, all records of a time before `until`; keeps the others.
    pub fn release(&mut self, until: u64, mut give: impl FnMut(&[u8])) {
        // Each ring's records come almost sorted: the stable sort finds the runs.
        self.entries.sort_by_key(|e| e.time);
        let ready = self.entries.partition_point(|e| e.time < until);
        for entry in self.entries.drain(..ready) {
            if entry.time < self.released {
                self.late += 1;
            } else {
                self.released = entry.time;
            }
            give(&self.bytes[entry.start..entry.start + entry.length]);
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        } else if ready > 0 {
            self.spare.clear();
            for entry in &mut self.entries {
                let start = self.spare.len();
                self.spare.extend_from_slice(&self.bytes[entry.start..entry.start + entry.length]);
                entry.start = start;
            }
            std::mem::swap(&mut self.bytes, &mut self.spare);
        }
    }

    /// Bytes held back.
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Records given out after younger ones.
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(time: u64, tag: u8) -> Vec<u8> {
        [&time.to_ne_bytes()[..], &[tag]].concat()
    }

    fn times(merge: &mut Merge, until: u64) -> Vec<u64> {
        let mut out = vec![];
        merge.release(until, |r| out.push(u64::from_ne_bytes(*r.first_chunk().unwrap())));
        out
    }

    #[test]
    fn gives_out_in_order_and_holds_the_young() {
        let mut merge = Merge::default();
        for t in [5, 1, 9, 3] {
            merge.push(&record(t, 0));
        }
        assert_eq!(times(&mut merge, 6), [1, 3, 5]);
        assert_eq!(merge.held(), 9);
        merge.push(&record(7, 0));
        assert_eq!(times(&mut merge, u64::MAX), [7, 9]);
        assert_eq!((merge.held(), merge.late()), (0, 0));
    }

    #[test]
    fn counts_the_late() {
        let mut merge = Merge::default();
        merge.push(&record(5, 0));
        assert_eq!(times(&mut merge, 6), [5]);
        merge.push(&record(2, 0));
        assert_eq!(times(&mut merge, 6), [2]);
        assert_eq!(merge.late(), 1);
    }

    #[test]
    fn short_records_are_given_out_too() {
        let mut merge = Merge::default();
        merge.push(&[1, 2]);
        let mut seen = vec![];
        merge.release(1, |r| seen.push(r.to_vec()));
        assert_eq!(seen, [vec![1, 2]]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_made_up(rounds in prop::collection::vec(prop::collection::vec(0u64..1000, 0..50), 0..10)) {
            let mut merge = Merge::default();
            let mut given = vec![];
            let mut pushed = vec![];
            for (n, round) in rounds.iter().enumerate() {
                for &t in round {
                    merge.push(&record(t, n as u8));
                    pushed.push((t, n as u8));
                }
                merge.release(n as u64 * 100, |r| given.push((u64::from_ne_bytes(*r.first_chunk().unwrap()), r[8])));
            }
            merge.release(u64::MAX, |r| given.push((u64::from_ne_bytes(*r.first_chunk().unwrap()), r[8])));
            given.sort();
            pushed.sort();
            prop_assert_eq!(given, pushed);
        }
    }
}
