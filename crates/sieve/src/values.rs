//! Sets of values, by their beginnings.

use std::collections::BTreeMap;

/// The first bits of values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// As many bytes as the bits need; what is behind them in the last is zero.
    bytes: Box<[u8]>,
    bits: u32,
}

impl Prefix {
    /// The first `bits` of `bytes`.
    pub fn new(bytes: &[u8], bits: u32) -> Prefix {
        let mut bytes = bytes[..bytes.len().min(bits.div_ceil(8) as usize)].to_vec();
        let bits = bits.min(bytes.len() as u32 * 8);
        if let (Some(last), rest @ 1..) = (bytes.last_mut(), bits % 8) {
            *last &= !(0xff >> rest);
        }
        Prefix { bytes: bytes.into(), bits }
    }

    /// Its bytes; what is behind its bits in the last is zero.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bits count.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Whether a value begins so.
    pub fn begins(&self, value: &[u8]) -> bool {
        let whole = (self.bits / 8) as usize;
        let rest = self.bits % 8;
        value.get(..whole) == self.bytes.get(..whole)
            && (rest == 0 || value.get(whole).is_some_and(|b| b & !(0xff >> rest) == self.bytes[whole]))
    }

    /// Whether all that begins like the other begins like this.
    fn contains(&self, other: &Prefix) -> bool {
        self.bits <= other.bits && self.begins(&other.bytes)
    }
}

/// A set of values: of the prefixes that a value begins with, the longest says whether it is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Values {
    others: bool,
    prefixes: BTreeMap<Prefix, bool>,
}

impl Values {
    /// All values, or none.
    pub fn all(all: bool) -> Values {
        Values { others: all, prefixes: BTreeMap::new() }
    }

    /// Those that begin like one of these.
    pub fn beginning(prefixes: impl IntoIterator<Item = Prefix>) -> Values {
        Values { others: false, prefixes: prefixes.into_iter().map(|p| (p, true)).collect() }
    }

    /// Numbers from the first to the last, both included, as 8 bytes, the highest first.
    pub fn range(first: u64, last: u64) -> Values {
        let mut prefixes = vec![];
        let mut at = first;
        while at <= last {
            // The largest block that begins here and does not go beyond the last.
            let free = at.trailing_zeros().min(63);
            let bits =
                (0..=free).rev().find(|bits| at.checked_add((1 << bits) - 1).is_some_and(|end| end <= last));
            let bits = bits.unwrap_or(0);
            // All of them: no block of 64 bits was tried.
            prefixes.push(Prefix::new(&at.to_be_bytes(), 64 - bits));
            match at.checked_add(1 << bits) {
                Some(next) => at = next,
                None => break,
            }
        }
        Values::beginning(prefixes)
    }

    /// Whether nothing is asked: all values are in.
    pub fn is_all(&self) -> bool {
        self.others && self.prefixes.values().all(|is| *is)
    }

    /// Whether a value is in.
    pub fn has(&self, value: &[u8]) -> bool {
        // Shorter prefixes come before longer ones of the same value.
        self.prefixes.iter().rfind(|(p, _)| p.begins(value)).map_or(self.others, |(_, is)| *is)
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Values) -> Values {
        layers(&[self, other], |bits| bits == 3)
    }

    /// Those that are in either.
    #[must_use]
    pub fn or(&self, other: &Values) -> Values {
        layers(&[self, other], |bits| bits != 0)
    }

    /// Those that are not in it.
    #[must_use]
    pub fn not(&self) -> Values {
        Values {
            others: !self.others,
            prefixes: self.prefixes.iter().map(|(p, is)| (p.clone(), !is)).collect(),
        }
    }
}

fn layers(sets: &[&Values], is: impl Fn(u64) -> bool) -> Values {
    let (others, prefixes) = overlay(sets.iter().map(|set| Some(*set)));
    let others = is(others);
    Values { others, prefixes: prefixes.into_iter().map(|(p, bits)| (p, is(bits))).collect() }
}

/// Lays sets over one another: a bit for each, of values that begin with none of the prefixes, and of those that begin with each. A set
/// that is not there has all values.
pub(crate) fn overlay<'v>(sets: impl Iterator<Item = Option<&'v Values>>) -> (u64, Vec<(Prefix, u64)>) {
    let mut others = 0;
    let mut said: BTreeMap<&Prefix, (u64, u64)> = BTreeMap::new();
    for (n, set) in sets.enumerate().take(64) {
        let bit = 1 << n;
        let Some(set) = set else {
            others |= bit;
            continue;
        };
        if set.others {
            others |= bit;
        }
        for (prefix, is) in &set.prefixes {
            let (yes, no) = said.entry(prefix).or_default();
            *(if *is { yes } else { no }) |= bit;
        }
    }
    let mut out: Vec<(Prefix, u64)> = vec![];
    // A prefix stands behind those that it begins with, and before all others that begin with it.
    let mut around: Vec<(&Prefix, u64)> = vec![];
    for (prefix, (yes, no)) in said {
        while around.last().is_some_and(|(outer, _)| !outer.contains(prefix)) {
            around.pop();
        }
        let outer = around.last().map_or(others, |(_, bits)| *bits);
        let bits = (outer | yes) & !no;
        around.push((prefix, bits));
        // It says nothing new.
        if bits != outer {
            out.push((prefix.clone(), bits));
        }
    }
    (others, out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix() -> impl Strategy<Value = Prefix> {
        (prop::collection::vec(any::<u8>().prop_map(|b| b & 0xc3), 0..3), 0u32..24)
            .prop_map(|(bytes, bits)| Prefix::new(&bytes, bits))
    }

    fn values() -> impl Strategy<Value = Values> {
        (any::<bool>(), prop::collection::btree_map(prefix(), any::<bool>(), 0..8))
            .prop_map(|(others, prefixes)| Values { others, prefixes })
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>().prop_map(|b| b & 0xc3), 3)
    }

    proptest! {
        #[test]
        fn sets_are_sets(a in values(), b in values(), v in value()) {
            prop_assert_eq!(a.and(&b).has(&v), a.has(&v) && b.has(&v));
            prop_assert_eq!(a.or(&b).has(&v), a.has(&v) || b.has(&v));
            prop_assert_eq!(a.not().has(&v), !a.has(&v));
        }

        #[test]
        fn ranges_are_ranges(a in any::<u64>(), b in any::<u64>(), near in -2i64..3) {
            let (low, high) = (a.min(b), a.max(b));
            let range = Values::range(low, high);
            prop_assert!(range.prefixes.len() <= 126);
            for at in [low, high] {
                let at = at.wrapping_add_signed(near);
                prop_assert_eq!(range.has(&at.to_be_bytes()), (low..=high).contains(&at));
            }
        }
    }

    #[test]
    fn whole_ranges() {
        assert!(Values::range(0, u64::MAX).has(&7u64.to_be_bytes()));
        assert!(Values::range(0, u64::MAX).has(&u64::MAX.to_be_bytes()));
        assert!(!Values::range(5, 4).has(&5u64.to_be_bytes()));
        assert!(Values::range(u64::MAX, u64::MAX).has(&u64::MAX.to_be_bytes()));
    }
}
