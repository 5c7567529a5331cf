//! Messages that are put together from the segments of TCP connections: heads of HTTP, hellos of TLS, banners of SSH, DNS.
//!
//! A stream is one direction of one connection. What it keeps is bounded: so many streams, each with so many bytes; the stream that was
//! used longest ago gives way to a new one, which is counted if a message was under way in it.

use std::collections::HashMap;

use catalogue::Quality;

use crate::{dns, http, ssh, tls};

/// Most streams at a time.
pub(crate) const STREAMS: usize = 1024;
/// A longer message is cut, but for those of DNS: as much as the kernel's programs copy from where one begins.
pub(crate) const MESSAGE_BYTES: usize = 16384;
/// No message of DNS is longer, with its length before it.
const DNS_BYTES: usize = 2 + 65535;
/// Most segments that wait for one that comes before them; they have no more than [`MESSAGE_BYTES`] together.
const WAITING: usize = 16;
/// No segment that is sent again lies farther back: no window is larger (RFC 7323, section 2.3).
const WINDOW: i64 = 1 << 30;

/// Of which protocol a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The head of an HTTP/1 message.
    Http,
    /// A ClientHello or ServerHello of TLS, as a handshake message.
    Tls,
    /// The first line of an end of an SSH connection.
    Ssh,
    /// A message of DNS, on its port.
    Dns,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Http, Kind::Tls, Kind::Ssh, Kind::Dns];

    fn guess(self, bytes: &[u8]) -> Guess {
        match self {
            Kind::Http => http::guess(bytes),
            Kind::Tls => tls::guess(bytes),
            Kind::Ssh => ssh::guess(bytes),
            Kind::Dns => dns::guess(bytes),
        }
    }

    fn step(self, bytes: &[u8]) -> Step {
        match self {
            Kind::Http => http::step(bytes),
            Kind::Tls => tls::step(bytes),
            Kind::Ssh => ssh::step(bytes),
            Kind::Dns => dns::step(bytes),
        }
    }

    const fn limit(self) -> usize {
        match self {
            Kind::Dns => DNS_BYTES,
            _ => MESSAGE_BYTES,
        }
    }

    /// What can be told of a message that is cut.
    fn cut(self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self {
            Kind::Http => http::whole_lines(bytes),
            Kind::Dns => dns::beginning(bytes),
            Kind::Tls | Kind::Ssh => None,
        }
    }
}

/// Whether bytes begin a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guess {
    /// By what is there.
    Is,
    /// It is too little to say.
    May,
    /// They do not.
    No,
}

/// What the bytes from the beginning of a message on are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A message of so many bytes; another may follow.
    Message { message: Vec<u8>, length: usize },
    /// The only message that there is.
    Last { message: Vec<u8> },
    /// A message that is not all there yet.
    More,
    /// No message after all.
    Nothing,
}

/// One direction of one connection.
#[derive(Debug, Default)]
struct Stream {
    /// Sequence number of the first byte in `bytes`; of the next that may begin a message, where there are none.
    from: u32,
    /// A message, as far as it is there.
    bytes: Vec<u8>,
    /// Segments behind a hole.
    waiting: Vec<(u32, Vec<u8>)>,
    /// What was missing did not come: the next that looks like a beginning is taken for one.
    astray: bool,
    /// All of it is DNS: so is what waits.
    dns: bool,
    used: u64,
}

/// All streams.
#[derive(Debug, Default)]
pub(crate) struct Streams<K> {
    streams: HashMap<K, Stream, rustc_hash::FxBuildHasher>,
    clock: u64,
    /// By [`Kind`]: looked for.
    kinds: [bool; Kind::ALL.len()],
    /// By [`Kind`]: messages that were given up for others.
    pub(crate) evicted: [u64; Kind::ALL.len()],
}

/// A segment of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) seq: u32,
    pub(crate) payload: &'a [u8],
    /// There was more in it.
    pub(crate) cut: bool,
    /// A name server is at one end: all of it is DNS.
    pub(crate) dns: bool,
}

/// What a segment may belong to, and how its messages are given.
struct Looking<'a> {
    kinds: [bool; Kind::ALL.len()],
    evicted: &'a mut [u64; Kind::ALL.len()],
    give: &'a mut dyn FnMut(Kind, &[u8], Quality),
}

impl Looking<'_> {
    /// What the bytes begin, of what is looked for.
    fn guess(&self, bytes: &[u8]) -> Option<(Kind, Guess)> {
        let wanted = Kind::ALL.into_iter().zip(self.kinds).filter(|(_, wanted)| *wanted);
        let guesses = wanted.map(|(kind, _)| (kind, kind.guess(bytes)));
        // No two begin alike, as far as there is enough.
        guesses.filter(|(_, guess)| *guess != Guess::No).min_by_key(|(_, guess)| *guess == Guess::May)
    }

    fn begins(&self, bytes: &[u8]) -> bool {
        matches!(self.guess(bytes), Some((_, Guess::Is)))
    }

    /// A message that was under way is given up.
    fn give_up(&mut self, stream: &Stream, bytes: &[u8]) {
        let kind = match self.guess(bytes) {
            Some((kind, _)) => kind,
            None if stream.dns && !stream.waiting.is_empty() => Kind::Dns,
            None => return,
        };
        self.evicted[kind as usize] += 1;
    }
}

impl<K: std::hash::Hash + Eq + Copy> Streams<K> {
    /// Looks for messages of these kinds, too, from the next segment on.
    pub(crate) fn also(&mut self, kinds: [bool; Kind::ALL.len()]) {
        for (wanted, too) in self.kinds.iter_mut().zip(kinds) {
            *wanted |= too;
        }
    }

    /// Looks for messages of these kinds.
    pub(crate) fn new(kinds: [bool; Kind::ALL.len()]) -> Streams<K> {
        Streams { streams: HashMap::default(), clock: 0, kinds, evicted: Default::default() }
    }

    /// Takes a segment, and gives each message that is complete with it.
    pub(crate) fn segment(
        &mut self,
        key: K,
        segment: Segment<'_>,
        give: &mut dyn FnMut(Kind, &[u8], Quality),
    ) {
        let [http, tls, ssh, dns] = self.kinds;
        let kinds = if segment.dns { [false, false, false, dns] } else { [http, tls, ssh, false] };
        if !kinds.contains(&true) {
            return;
        }
        self.clock += 1;
        if !self.streams.contains_key(&key) {
            let looking = Looking { kinds, evicted: &mut self.evicted, give };
            // Of the others, the kernel copies nothing where a message does not begin.
            if !(looking.begins(segment.payload) || segment.dns && looking.guess(segment.payload).is_some()) {
                return;
            }
            self.make_room();
            self.streams.insert(key, Stream { from: segment.seq, dns: segment.dns, ..Stream::default() });
        }
        let clock = self.clock;
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.used = clock;
            stream.take(segment, &mut Looking { kinds, evicted: &mut self.evicted, give });
        }
    }

    fn make_room(&mut self) {
        if self.streams.len() < STREAMS {
            return;
        }
        let oldest = self.streams.iter().min_by_key(|(_, s)| s.used).map(|(key, _)| *key);
        if let Some(stream) = oldest.and_then(|key| self.streams.remove(&key)) {
            let kinds = self.kinds;
            Looking { kinds, evicted: &mut self.evicted, give: &mut |_, _, _| {} }
                .give_up(&stream, &stream.bytes);
        }
    }
}

impl Stream {
    fn take(&mut self, segment: Segment<'_>, looking: &mut Looking<'_>) {
        let Segment { seq, payload, cut, dns } = segment;
        let waiting: usize = self.waiting.iter().map(|(_, payload)| payload.len()).sum();
        if self.waiting.len() >= WAITING || waiting > MESSAGE_BYTES {
            // What is missing does not come any more: the record of it was lost.
            looking.give_up(self, &self.bytes);
            self.pass();
            self.astray = true;
        }
        // Sequence numbers wrap: what is not a little behind is ahead.
        let mut ahead = i64::from(seq.wrapping_sub(self.from));
        if ahead > i64::from(u32::MAX) - WINDOW {
            ahead -= 1 << 32;
        }
        let begins = looking.begins(payload);
        if ahead > MESSAGE_BYTES as i64 && begins && !dns {
            looking.give_up(self, &self.bytes);
            self.pass();
        }
        let head = match ahead {
            0 => looking.guess(payload).is_some(),
            // All of DNS is copied: what is ahead waits.
            1.. if dns => self.astray && begins,
            // Behind a body that was not copied; but it may be the middle of a request whose beginning is still to come.
            1.. => begins && !http::ends_request_line(payload),
            _ => false,
        };
        if self.bytes.is_empty() && head {
            self.from = seq;
            self.astray = false;
            ahead = 0;
        }
        let have = self.bytes.len() as i64;
        if ahead > have {
            let limit = if dns { DNS_BYTES } else { MESSAGE_BYTES };
            if ahead <= limit as i64 && !cut {
                self.waiting.push((seq, payload.to_vec()));
            }
            return;
        }
        // Of what overlaps, what came first holds.
        let new = usize::try_from(have - ahead).ok().and_then(|known| payload.get(known..));
        let Some(new) = new.filter(|new| !new.is_empty()) else { return };
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|(seq, _)| seq.wrapping_sub(self.from));
        self.grow(new, cut, looking);
        for (seq, payload) in waiting {
            self.take(Segment { seq, payload: &payload, cut: false, dns }, looking);
        }
    }

    /// Adds bytes, and gives the messages that are complete with them.
    fn grow(&mut self, new: &[u8], cut: bool, looking: &mut Looking<'_>) {
        self.bytes.extend_from_slice(new);
        let mut at = 0;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let step = match looking.guess(rest) {
                // A body, or nothing that is looked for.
                None => return self.pass(),
                Some((kind, Guess::Is)) => (kind, kind.step(rest)),
                Some((kind, _)) => (kind, Step::More),
            };
            match step {
                (kind, Step::Message { message, length }) => {
                    (looking.give)(kind, &message, Quality::Ok);
                    at += length;
                }
                (kind, Step::Last { message }) => {
                    (looking.give)(kind, &message, Quality::Ok);
                    return self.pass();
                }
                (kind, Step::More) if !cut && rest.len() <= kind.limit() => {
                    self.bytes.drain(..at);
                    self.from = self.from.wrapping_add(at as u32);
                    return;
                }
                (kind, Step::More) => {
                    match kind.cut(rest.get(..kind.limit()).unwrap_or(rest)) {
                        Some(message) => (looking.give)(kind, &message, Quality::Truncated),
                        None => looking.give_up(self, rest),
                    }
                    self.pass();
                    self.astray = cut;
                    return;
                }
                (_, Step::Nothing) => return self.pass(),
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

#[cfg(test)]
mod tests {
    use catalogue::Type;
    use event::HttpHead;
    use proptest::prelude::*;

    use super::*;

    const ALL: [bool; 4] = [true; 4];

    const HEADS: &[u8] =
        b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 0\r\n\r\n";

    /// What comes of segments, each with its place in the stream.
    fn heads(start: u32, segments: &[(usize, &[u8])]) -> Vec<(Vec<u8>, Quality)> {
        let (mut streams, mut heads) = (Streams::new(ALL), vec![]);
        for (at, payload) in segments {
            let seq = start.wrapping_add(*at as u32);
            let segment = Segment { seq, payload, cut: false, dns: false };
            streams.segment((1, true), segment, &mut |_, head, quality| heads.push((head.to_vec(), quality)));
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
        while long.len() <= MESSAGE_BYTES {
            long.extend(b"Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: b\r\n");
        }
        let found = heads(7, &[(0, &long)]);
        assert_eq!((found.len(), found[0].1), (1, Quality::Truncated));
        assert!(found[0].0.len() <= MESSAGE_BYTES + 2);
    }

    #[test]
    fn what_never_comes_is_given_up_and_counted() {
        let (mut streams, mut told) = (Streams::new(ALL), 0);
        let mut take = |seq, payload| {
            let segment = Segment { seq, payload, cut: false, dns: false };
            streams.segment((1, true), segment, &mut |_, _, _| told += 1);
        };
        take(0, &b"GET /a HTTP/1.1\r\n"[..]);
        (0..WAITING as u32).for_each(|n| take(100 + n, b"x"));
        take(200, HEADS);
        assert_eq!((told, streams.evicted), (2, [1, 0, 0, 0]));
    }

    #[test]
    fn streams_are_bounded_and_what_gives_way_is_counted() {
        let mut streams = Streams::new(ALL);
        for n in 0..STREAMS as u64 + 3 {
            let segment = Segment { seq: 0, payload: b"GET /", cut: false, dns: false };
            streams.segment((n, true), segment, &mut |_, _, _| {});
        }
        assert_eq!((streams.streams.len(), streams.evicted), (STREAMS, [3, 0, 0, 0]));
    }

    /// Messages of DNS, each behind its length.
    const MESSAGES: [&[u8]; 2] = [
        b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01",
        b"\0\x1d\x12\x35\x81\x83\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01",
    ];

    fn messages(segments: &[(usize, &[u8])], cut: bool) -> Vec<(Vec<u8>, Quality)> {
        let (mut streams, mut found) = (Streams::new(ALL), vec![]);
        for (at, payload) in segments {
            let segment = Segment { seq: *at as u32, payload, cut, dns: true };
            streams.segment(1, segment, &mut |kind, message, quality| {
                assert_eq!(kind, Kind::Dns);
                found.push((message.to_vec(), quality));
            });
        }
        found
    }

    #[test]
    fn dns_over_tcp() {
        let both = MESSAGES.map(|m| (m[2..].to_vec(), Quality::Ok));
        let all = MESSAGES.concat();
        assert_eq!(messages(&[(0, &all)], false), both);
        // The length in a segment of its own, as some send it.
        assert_eq!(messages(&[(0, &all[..2]), (2, &all[2..])], false), both);
        // The second message before the rest of the first.
        assert_eq!(messages(&[(0, &all[..9]), (31, &all[31..]), (9, &all[9..31])], false), both);
        let cut = messages(&[(0, &all[..20])], true);
        assert_eq!(cut, [(all[2..20].to_vec(), Quality::Truncated)]);
    }

    #[test]
    fn banners() {
        let line: &[u8] = b"SSH-2.0-x\r\n";
        assert_eq!(heads(7, &[(0, line), (line.len(), line)]).len(), 2);
        assert_eq!(
            heads(7, &[(0, b"SSH-2.0-"), (8, b"x\r\n\0\0\x01")]),
            [(b"SSH-2.0-x".to_vec(), Quality::Ok)]
        );
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
            let mut streams = Streams::new(ALL);
            for (seq, payload, cut) in &segments {
                let segment = Segment { seq: *seq, payload, cut: *cut, dns: false };
                streams.segment((1, true), segment, &mut |kind, head, _| {
                    assert!(kind != Kind::Http || HttpHead::new(Type::Http, head).unwrap().parse().is_some());
                });
            }
        }
    }
}
