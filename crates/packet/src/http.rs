//! Heads of HTTP messages, put together from the segments of TCP connections.
//!
//! A stream is one direction of one connection. What it keeps is bounded: so many streams, each with so many bytes; the stream that was
//! used longest ago gives way to a new one, which is counted if a head was under way in it.

use std::collections::HashMap;

use catalogue::{Quality, Type};
use event::{HTTP_HEADERS, HttpHead};

/// Most streams at a time.
pub(crate) const STREAMS: usize = 1024;
/// A longer head is cut: as much as the kernel's programs copy from where one begins.
pub(crate) const HEAD_BYTES: usize = 16384;
/// Most segments that wait for one that comes before them; they have no more than [`HEAD_BYTES`] together.
const WAITING: usize = 16;
/// No segment that is sent again lies farther back: no window is larger (RFC 7323, section 2.3).
const WINDOW: i64 = 1 << 30;

/// Whether what begins so may be a head of HTTP: what the kernel's programs look for.
const BEGINNINGS: [&[u8]; 10] =
    [b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC", b"HTTP"];

/// One direction of one connection.
#[derive(Debug, Default)]
struct Stream {
    /// Sequence number of the first byte in `bytes`; of the next that may begin a head, where there are none.
    from: u32,
    /// A head, as far as it is there.
    bytes: Vec<u8>,
    /// Segments behind a hole.
    waiting: Vec<(u32, Vec<u8>)>,
    used: u64,
}

/// All streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// By the socket's cookie, and whether it sends.
    streams: HashMap<(u64, bool), Stream>,
    clock: u64,
    /// Heads that were given up for others.
    pub(crate) evicted: u64,
}

/// A segment of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) seq: u32,
    pub(crate) payload: &'a [u8],
    /// There was more in it.
    pub(crate) cut: bool,
}

impl Streams {
    /// Takes a segment, and gives each head that is complete with it.
    pub(crate) fn segment(
        &mut self,
        key: (u64, bool),
        segment: Segment<'_>,
        mut give: impl FnMut(&[u8], Quality),
    ) {
        self.clock += 1;
        if !self.streams.contains_key(&key) {
            if !begins(segment.payload) {
                return;
            }
            self.make_room();
            self.streams.insert(key, Stream { from: segment.seq, ..Stream::default() });
        }
        let clock = self.clock;
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.used = clock;
            stream.take(segment, &mut self.evicted, &mut give);
        }
    }

    fn make_room(&mut self) {
        if self.streams.len() < STREAMS {
            return;
        }
        let oldest = self.streams.iter().min_by_key(|(_, s)| s.used).map(|(key, _)| *key);
        if let Some(stream) = oldest.and_then(|key| self.streams.remove(&key)) {
            self.evicted += u64::from(!stream.bytes.is_empty());
        }
    }
}

fn begins(payload: &[u8]) -> bool {
    BEGINNINGS.iter().any(|b| payload.starts_with(b))
}

/// A request line ends with what a response begins with, but for what follows there.
fn ends_request_line(payload: &[u8]) -> bool {
    payload.starts_with(b"HTTP") && payload.get(8) != Some(&b' ')
}

/// Too little to say whether it begins a head, but it may.
fn may_begin(payload: &[u8]) -> bool {
    !payload.is_empty() && BEGINNINGS.iter().any(|b| b.starts_with(payload))
}

impl Stream {
    fn take(&mut self, segment: Segment<'_>, evicted: &mut u64, give: &mut impl FnMut(&[u8], Quality)) {
        let Segment { seq, payload, cut } = segment;
        let waiting: usize = self.waiting.iter().map(|(_, payload)| payload.len()).sum();
        if self.waiting.len() >= WAITING || waiting > HEAD_BYTES {
            // What is missing does not come any more: the record of it was lost.
            *evicted += u64::from(!self.bytes.is_empty());
            self.pass();
        }
        // Sequence numbers wrap: what is not a little behind is ahead.
        let mut ahead = i64::from(seq.wrapping_sub(self.from));
        if ahead > i64::from(u32::MAX) - WINDOW {
            ahead -= 1 << 32;
        }
        if ahead > HEAD_BYTES as i64 && begins(payload) {
            *evicted += u64::from(!self.bytes.is_empty());
            self.pass();
        }
        let head = match ahead {
            0 => begins(payload) || may_begin(payload),
            // Behind a body that was not copied; but it may be the middle of a request whose beginning is still to come.
            1.. => begins(payload) && !ends_request_line(payload),
            _ => false,
        };
        if self.bytes.is_empty() && head {
            self.from = seq;
            ahead = 0;
        }
        let have = self.bytes.len() as i64;
        if ahead > have {
            if ahead <= HEAD_BYTES as i64 && !cut {
                self.waiting.push((seq, payload.to_vec()));
            }
            return;
        }
        // Of what overlaps, what came first holds.
        let new = usize::try_from(have - ahead).ok().and_then(|known| payload.get(known..));
        let Some(new) = new.filter(|new| !new.is_empty()) else { return };
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|(seq, _)| seq.wrapping_sub(self.from));
        self.grow(new, cut, give);
        for (seq, payload) in waiting {
            self.take(Segment { seq, payload: &payload, cut: false }, evicted, give);
        }
    }

    /// Adds bytes, and gives the heads that are complete with them.
    fn grow(&mut self, new: &[u8], cut: bool, give: &mut impl FnMut(&[u8], Quality)) {
        self.bytes.extend_from_slice(new);
        let mut at = 0;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            if !begins(rest) && !may_begin(rest) {
                // A body, or no HTTP.
                return self.pass();
            }
            match head_length(rest) {
                Ok(Some(length)) => {
                    give(rest.get(..length).unwrap_or_default(), Quality::Ok);
                    at += length;
                }
                Ok(None) if !cut && rest.len() <= HEAD_BYTES => {
                    self.bytes.drain(..at);
                    self.from = self.from.wrapping_add(at as u32);
                    return;
                }
                Ok(None) => {
                    if let Some(head) = whole_lines(rest.get(..HEAD_BYTES).unwrap_or(rest)) {
                        give(&head, Quality::Truncated);
                    }
                    return self.pass();
                }
                Err(()) => return self.pass(),
            }
        }
    }

    /// Nothing more is looked for in what is there.
    fn pass(&mut self) {
        self.from = self.from.wrapping_add(self.bytes.len() as u32);
        self.bytes.clear();
        self.waiting.clear();
    }
}

/// Bytes of the head with which these begin; none if it is not all there yet.
fn head_length(bytes: &[u8]) -> Result<Option<usize>, ()> {
    let mut headers = [httparse::EMPTY_HEADER; HTTP_HEADERS];
    if may_begin(bytes) {
        return Ok(None);
    }
    let status = if bytes.starts_with(b"HTTP") {
        httparse::Response::new(&mut headers).parse(bytes)
    } else {
        httparse::Request::new(&mut headers).parse(bytes)
    };
    match status.map_err(drop)? {
        httparse::Status::Complete(length) => Ok(Some(length)),
        httparse::Status::Partial => Ok(None),
    }
}

/// The lines of a head that are whole, as a head of their own; none if that is none.
fn whole_lines(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.windows(2).rposition(|w| w == b"\r\n")? + 2;
    let head = [bytes.get(..end)?, b"\r\n"].concat();
    HttpHead::new(Type::Http, &head)?.parse().is_some().then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADS: &[u8] =
        b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 0\r\n\r\n";

    /// What comes of segments, each with its place in the stream.
    fn heads(start: u32, segments: &[(usize, &[u8])]) -> Vec<(Vec<u8>, Quality)> {
        let (mut streams, mut heads) = (Streams::default(), vec![]);
        for (at, payload) in segments {
            let seq = start.wrapping_add(*at as u32);
            let segment = Segment { seq, payload, cut: false };
            streams.segment((1, true), segment, |head, quality| heads.push((head.to_vec(), quality)));
        }
        heads
    }

    fn both() -> Vec<(Vec<u8>, Quality)> {
        let second = HEADS.windows(4).position(|w| w == b"POST").unwrap();
        [&HEADS[..second], &HEADS[second..]].map(|h| (h.to_vec(), Quality::Ok)).to_vec()
    }

    #[test]
    fn one_segment_with_two_heads() {
        assert_eq!(heads(7, &[(0, HEADS)]), both());
    }

    #[test]
    fn a_body_is_no_head() {
        let message = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let next = b"HTTP/1.1 204 No Content\r\n\r\n";
        let found = heads(7, &[(0, message), (message.len(), next)]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].0, next);
    }

    #[test]
    fn what_is_sent_again_is_told_once() {
        assert_eq!(heads(7, &[(0, HEADS), (0, HEADS)]), both());
    }

    #[test]
    fn what_is_no_http_after_all_is_left() {
        assert_eq!(heads(7, &[(0, b"GET \0\0\0\0"), (8, b"GET \x01")]), []);
    }

    #[test]
    fn a_head_without_end_is_cut() {
        let mut long = b"GET /a HTTP/1.1\r\n".to_vec();
        while long.len() <= HEAD_BYTES {
            long.extend(b"Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: b\r\n");
        }
        let found = heads(7, &[(0, &long)]);
        assert_eq!((found.len(), found[0].1), (1, Quality::Truncated));
        assert!(found[0].0.len() <= HEAD_BYTES + 2);
    }

    #[test]
    fn what_never_comes_is_given_up_and_counted() {
        let (mut streams, mut told) = (Streams::default(), 0);
        let mut take = |seq, payload| {
            let segment = Segment { seq, payload, cut: false };
            streams.segment((1, true), segment, |_, _| told += 1);
        };
        take(0, &b"GET /a HTTP/1.1\r\n"[..]);
        (0..WAITING as u32).for_each(|n| take(100 + n, b"x"));
        take(200, HEADS);
        assert_eq!((told, streams.evicted), (2, 1));
    }

    #[test]
    fn streams_are_bounded_and_what_gives_way_is_counted() {
        let mut streams = Streams::default();
        for n in 0..STREAMS as u64 + 3 {
            let segment = Segment { seq: 0, payload: b"GET /", cut: false };
            streams.segment((n, true), segment, |_, _| {});
        }
        assert_eq!((streams.streams.len(), streams.evicted), (STREAMS, 3));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

        /// However the stream is cut into segments, and in whatever order those after the first come, some of them twice.
        #[test]
        fn segments_in_any_order(
            cuts in proptest::collection::btree_set(4..HEADS.len(), 1..8),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 8),
            again in any::<prop::sample::Index>(),
            start in prop_oneof![Just(7u32), Just(u32::MAX - 10)],
        ) {
            let mut bounds: Vec<usize> = [0].into_iter().chain(cuts).collect();
            bounds.push(HEADS.len());
            bounds.dedup();
            let mut segments: Vec<(usize, &[u8])> =
                bounds.windows(2).map(|w| (w[0], &HEADS[w[0]..w[1]])).collect();
            let first = segments.remove(0);
            let mut shuffled = vec![first];
            for index in order {
                if !segments.is_empty() {
                    shuffled.push(segments.remove(index.index(segments.len())));
                }
            }
            shuffled.append(&mut segments);
            shuffled.insert(1, shuffled[again.index(shuffled.len())]);
            prop_assert_eq!(heads(start, &shuffled), both());
        }

        #[test]
        fn no_noise_makes_it_panic(
            segments in proptest::collection::vec(
                (0u32..64, prop_oneof!["(GET |HTTP/1\\.1 200|\r\n|a: b|[ -~]){0,9}".prop_map(String::into_bytes),
                    proptest::collection::vec(any::<u8>(), 0..60)], any::<bool>()),
                0..20,
            ),
        ) {
            let mut streams = Streams::default();
            for (seq, payload, cut) in &segments {
                let segment = Segment { seq: *seq, payload, cut: *cut };
                streams.segment((1, true), segment, |head, _| {
                    assert!(HttpHead::new(Type::Http, head).unwrap().parse().is_some());
                });
            }
        }
    }
}
