//! Packets over loopback pass twice: out of the sender's socket and into the receiver's. In a file such a packet stands once, as it left;
//! as it came in only where it did not leave a socket of which it was seen.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

/// The interface on which a packet passes twice: its number is this in every network namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// A packet that has not come in within that time is not waited for: nanoseconds.
const PATIENCE: u64 = 1_000_000_000;
/// So many packets are waited for, in all files together.
const WAITING: usize = 65536;

/// Packets that went out, by file and what is in them, and are to come in.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    hasher: RandomState,
    /// By what they are, their numbers, the oldest first.
    waiting: HashMap<u64, VecDeque<u64>>,
    /// Of all that went out lately: when, number, what. Those that came in are still there, but no longer in `waiting`.
    order: VecDeque<(u64, u64, u64)>,
    number: u64,
}

impl Twins {
    /// A packet over loopback; true if it stands in that file already.
    pub(crate) fn is_second(
        &mut self,
        out: bool,
        time: u64,
        file: &str,
        net_ns: u32,
        length: u32,
        data: &[u8],
    ) -> bool {
        let key = self.hasher.hash_one((file, net_ns, length, data));
        while self.order.len() >= WAITING
            || self.order.front().is_some_and(|&(then, ..)| then.saturating_add(PATIENCE) < time)
        {
            let Some((_, number, old)) = self.order.pop_front() else { break };
            self.take(old, |first| first == number);
        }
        if out {
            self.number += 1;
            self.waiting.entry(key).or_default().push_back(self.number);
            self.order.push_back((time, self.number, key));
            false
        } else {
            self.take(key, |_| true)
        }
    }

    /// No longer waits for the oldest of those packets, if it is the one meant.
    fn take(&mut self, key: u64, is_meant: impl Fn(u64) -> bool) -> bool {
        let Some(numbers) = self.waiting.get_mut(&key) else { return false };
        if !numbers.front().is_some_and(|&first| is_meant(first)) {
            return false;
        }
        numbers.pop_front();
        if numbers.is_empty() {
            self.waiting.remove(&key);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_file() {
        let mut twins = Twins::default();
        let mut pass = |out, time, file, data: &[u8]| twins.is_second(out, time, file, 1, 3, data);
        // Two of the same bytes, each once.
        assert!(!pass(true, 1, "a", b"abc") && !pass(true, 2, "a", b"abc"));
        assert!(pass(false, 3, "a", b"abc") && pass(false, 4, "a", b"abc"));
        // Nothing left to wait for: a third that comes in is another.
        assert!(!pass(false, 5, "a", b"abc"));
        // Another file, other bytes.
        assert!(!pass(true, 6, "a", b"abc") && !pass(false, 7, "b", b"abc") && !pass(false, 8, "a", b"abd"));
        // Too late.
        assert!(!pass(false, 2_000_000_000, "a", b"abc"));
        // Many of the same bytes, over and over.
        for n in 0..10_000 {
            let time = 3_000_000_000 + n * 1_000_000;
            assert!(!pass(true, time, "a", b"abc") && pass(false, time + 1, "a", b"abc"), "{n}");
        }
    }

    #[test]
    fn bounded() {
        let mut twins = Twins::default();
        for n in 0..2 * WAITING as u64 {
            twins.is_second(true, n, "a", 1, 8, &n.to_ne_bytes());
        }
        assert!(twins.order.len() <= WAITING && twins.waiting.len() <= WAITING);
    }
}
