//! SQLite's write-ahead log: pages that are newer than those of the database, in frames.
//! <https://sqlite.org/fileformat2.html#the_write_ahead_log>

use std::collections::BTreeMap;

use super::Content;

/// Bytes before the first frame, and before a frame's page.
const HEAD: usize = 32;
const FRAME: usize = 24;

/// What was committed in a log.
pub(crate) struct Wal<'a> {
    content: &'a dyn Content,
    /// Where the newest form of a page lies.
    pages: BTreeMap<u32, u64>,
    /// How many pages the database has with it.
    pub(crate) count: u32,
}

impl<'a> Wal<'a> {
    /// Reads the log of a database with pages of that size; `None` if nothing in it counts.
    pub(crate) fn read(content: &'a dyn Content, page: usize) -> Option<Wal<'a>> {
        let mut head = [0; HEAD];
        if !content.read(0, &mut head) {
            return None;
        }
        let [magic, version, size, _, salt1, salt2, sum1, sum2] = numbers(&head);
        let little = match magic {
            0x377f_0682 => true,
            0x377f_0683 => false,
            _ => return None,
        };
        let mut sum = Sum { little, parts: [0, 0] };
        sum.add(head.get(..24)?);
        if version != 3_007_000 || size as usize != page || sum.parts != [sum1, sum2] {
            return None;
        }
        let mut wal = Wal { content, pages: BTreeMap::new(), count: 0 };
        let (mut at, mut frame, mut transaction) = (HEAD as u64, vec![0; FRAME + page], vec![]);
        // What follows the last frame of this log is left from an earlier one, with other salts, or was not written to its end.
        while content.read(at, &mut frame) {
            let [number, count, s1, s2, sum1, sum2, ..] = numbers(&frame);
            sum.add(frame.get(..8)?);
            sum.add(frame.get(FRAME..)?);
            if [s1, s2] != [salt1, salt2] || sum.parts != [sum1, sum2] {
                break;
            }
            transaction.push((number, at + FRAME as u64));
            at += frame.len() as u64;
            if count > 0 {
                wal.count = count;
                wal.pages.extend(transaction.drain(..));
            }
        }
        (wal.count > 0).then_some(wal)
    }

    /// How long the log is.
    pub(crate) fn length(&self) -> u64 {
        self.content.length()
    }

    /// Fills `into` with that page, if the log has it.
    pub(crate) fn page(&self, number: u32, into: &mut [u8]) -> Option<bool> {
        self.pages.get(&number).map(|&at| self.content.read(at, into))
    }
}

/// The sum over a log so far.
struct Sum {
    little: bool,
    parts: [u32; 2],
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let word = |w: [u8; 4]| if self.little { u32::from_le_bytes(w) } else { u32::from_be_bytes(w) };
        let [mut one, mut two] = self.parts;
        for &[a, b, c, d, e, f, g, h] in bytes.as_chunks().0 {
            one = one.wrapping_add(word([a, b, c, d])).wrapping_add(two);
            two = two.wrapping_add(word([e, f, g, h])).wrapping_add(one);
        }
        self.parts = [one, two];
    }
}

/// The first eight numbers.
fn numbers(bytes: &[u8]) -> [u32; 8] {
    let mut all = bytes.as_chunks().0.iter().map(|&n| u32::from_be_bytes(n));
    std::array::from_fn(|_| all.next().unwrap_or_default())
}
