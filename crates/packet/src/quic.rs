//! The ClientHello in the Initial packets of QUIC, version 1 (RFC 9001) and 2 (RFC 9369).
//!
//! They are encrypted with keys that follow from what stands before: so that nothing on the way changes them by mistake, not to hide them.

use std::collections::{BTreeMap, HashMap};

use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use aes_gcm::aead::{Aead as _, Payload};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::tls::{ClientHello, Hello};

/// Most connections at a time.
const CONNECTIONS: usize = 512;
/// A longer hello is given up.
const HELLO_BYTES: usize = 16384;
/// Most pieces of a hello that are not in order.
const PIECES: usize = 128;
/// No connection's name is longer (RFC 9000, section 17.2).
const NAME_BYTES: u8 = 20;
/// Bytes of an authentication tag, and of a sample for the header's protection.
const TAG: usize = 16;

/// What differs between the versions.
struct Version {
    number: u32,
    /// The bits of a first byte that say that it is an Initial packet.
    initial: u8,
    salt: [u8; 20],
    labels: [&'static str; 3],
}

const VERSIONS: [Version; 2] = [
    Version {
        number: 1,
        initial: 0xc0,
        salt: [
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
            0xcc, 0xbb, 0x7f, 0x0a,
        ],
        labels: ["quic key", "quic iv", "quic hp"],
    },
    Version {
        number: 0x6b33_43cf,
        initial: 0xd0,
        salt: [
            0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb,
            0xf9, 0xbd, 0x2e, 0xd9,
        ],
        labels: ["quicv2 key", "quicv2 iv", "quicv2 hp"],
    },
];

/// What stands before a packet's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Initial<'a> {
    pub(crate) version: u32,
    pub(crate) dcid: &'a [u8],
    pub(crate) scid: &'a [u8],
    /// Where the number of the packet stands.
    number: usize,
    /// The packet, as far as it goes in its datagram.
    packet: &'a [u8],
}

/// By which a client's first packets are encrypted.
struct Keys {
    key: [u8; 16],
    iv: [u8; 12],
    header: [u8; 16],
}

/// A hello, as far as it is there.
#[derive(Debug, Default)]
struct Connection {
    /// By where it stands.
    pieces: BTreeMap<usize, Vec<u8>>,
    told: bool,
    used: u64,
}

/// Hellos that are under way.
#[derive(Debug)]
pub(crate) struct Initials<K> {
    /// By where they were seen, and what the client calls the connection.
    connections: HashMap<(K, Vec<u8>), Connection, rustc_hash::FxBuildHasher>,
    clock: u64,
    /// Hellos that were given up.
    pub(crate) evicted: u64,
}

impl<K: std::hash::Hash + Eq + Clone> Initials<K> {
    pub(crate) fn new() -> Initials<K> {
        Initials { connections: HashMap::default(), clock: 0, evicted: 0 }
    }

    /// Takes what a datagram carries, and gives the hello that is complete with it.
    pub(crate) fn datagram(
        &mut self,
        key: &K,
        mut payload: &[u8],
        mut give: impl FnMut(&Initial<'_>, &ClientHello),
    ) {
        // Packets stand one behind the other.
        while let Some((version, initial)) = parse(payload) {
            payload = payload.get(initial.packet.len()..).unwrap_or_default();
            // What a server sends has other keys.
            let Some(frames) = Keys::of(version, initial.dcid).and_then(|keys| keys.open(&initial)) else {
                continue;
            };
            self.clock += 1;
            let place = (key.clone(), initial.dcid.to_vec());
            if !self.connections.contains_key(&place) {
                self.make_room();
            }
            let connection = self.connections.entry(place).or_default();
            connection.used = self.clock;
            if connection.told {
                continue;
            }
            match connection.take(&frames) {
                Ok(None) => {}
                Ok(Some(hello)) => {
                    connection.told = true;
                    connection.pieces.clear();
                    give(&initial, &hello);
                }
                Err(GivenUp) => {
                    connection.told = true;
                    connection.pieces.clear();
                    self.evicted += 1;
                }
            }
        }
    }

    fn make_room(&mut self) {
        if self.connections.len() < CONNECTIONS {
            return;
        }
        let oldest = self.connections.iter().min_by_key(|(_, c)| c.used).map(|(key, _)| key.clone());
        if let Some(connection) = oldest.and_then(|key| self.connections.remove(&key)) {
            self.evicted += u64::from(!connection.told && !connection.pieces.is_empty());
        }
    }
}

/// A hello that is none, or has too many pieces.
struct GivenUp;

impl Connection {
    /// The hello, if these frames complete it.
    fn take(&mut self, frames: &[u8]) -> Result<Option<ClientHello>, GivenUp> {
        for (at, data) in crypto(frames) {
            if at + data.len() > HELLO_BYTES || self.pieces.len() >= PIECES {
                return Err(GivenUp);
            }
            let piece = self.pieces.entry(at).or_default();
            if piece.len() < data.len() {
                *piece = data.to_vec();
            }
        }
        let mut hello: Vec<u8> = Vec::new();
        for (&at, piece) in &self.pieces {
            // A hole; or what is there already, as far as it is.
            let Some(known) = hello.len().checked_sub(at) else { break };
            hello.extend_from_slice(piece.get(known..).unwrap_or_default());
        }
        let Some(&[_, high, middle, low]) = hello.first_chunk::<4>() else { return Ok(None) };
        let length = 4 + u32::from_be_bytes([0, high, middle, low]) as usize;
        if length > HELLO_BYTES {
            return Err(GivenUp);
        }
        match hello.get(..length).map(Hello::parse) {
            None => Ok(None),
            Some(Some(Hello::Client(hello))) => Ok(Some(hello)),
            Some(_) => Err(GivenUp),
        }
    }
}

/// The Initial packet with which these bytes begin.
fn parse(bytes: &[u8]) -> Option<(&'static Version, Initial<'_>)> {
    let mut at = 1usize;
    let mut next = |length: usize| {
        let part = bytes.get(at..at.checked_add(length)?)?;
        at += length;
        Some((part, at))
    };
    let number = u32::from_be_bytes(<[u8; 4]>::try_from(next(4)?.0).ok()?);
    let version = VERSIONS.iter().find(|v| v.number == number)?;
    if bytes.first()? & 0xf0 != version.initial {
        return None;
    }
    let mut name = || {
        let length = *next(1)?.0.first()?;
        if length > NAME_BYTES { None } else { next(length.into()) }
    };
    let (dcid, _) = name()?;
    let (scid, at) = name()?;
    let (token, at) = varint(bytes, at)?;
    let (length, at) = varint(bytes, at.checked_add(token)?)?;
    let packet = bytes.get(..at.checked_add(length)?)?;
    Some((version, Initial { version: number, dcid, scid, number: at, packet }))
}

/// A number whose first two bits say how many bytes it has (RFC 9000, section 16), and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = *bytes.get(at)?;
    let length = 1usize << (first >> 6);
    let rest = bytes.get(at + 1..at + length)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, &b| value << 8 | u64::from(b));
    Some((usize::try_from(value).ok()?, at + length))
}

/// Pieces of the handshake, and where they stand, in the frames of a packet. What an Initial packet may not have ends them.
fn crypto(frames: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            match *frames.get(at)? {
                // Padding, and a ping.
                0 | 1 => at += 1,
                // What was received: ranges, and with 3 how many packets the network has marked.
                ack @ (2 | 3) => {
                    let mut next = at + 1;
                    let mut number = || {
                        let (value, end) = varint(frames, next)?;
                        next = end;
                        Some(value)
                    };
                    let (_, _, ranges, _) = (number()?, number()?, number()?, number()?);
                    for _ in 0..2 * ranges.min(frames.len()) + if ack == 3 { 3 } else { 0 } {
                        number()?;
                    }
                    at = next;
                }
                6 => {
                    let (offset, next) = varint(frames, at + 1)?;
                    let (length, next) = varint(frames, next)?;
                    let data = frames.get(next..next.checked_add(length)?)?;
                    at = next + length;
                    // Its end is a place, too.
                    offset.checked_add(length)?;
                    return Some((offset, data));
                }
                _ => return None,
            }
        }
    })
}

impl Keys {
    /// Those of the client that first called the connection so.
    fn of(version: &Version, dcid: &[u8]) -> Option<Keys> {
        let (_, initial) = Hkdf::<Sha256>::extract(Some(&version.salt), dcid);
        let secret: [u8; 32] = expand(&initial, "client in")?;
        let secret = Hkdf::<Sha256>::from_prk(&secret).ok()?;
        let [key, iv, header] = version.labels;
        Some(Keys { key: expand(&secret, key)?, iv: expand(&secret, iv)?, header: expand(&secret, header)? })
    }

    /// What protects a header.
    fn mask(&self, sample: [u8; TAG]) -> Option<[u8; TAG]> {
        let mut block = sample.into();
        aes::Aes128::new_from_slice(&self.header).ok()?.encrypt_block(&mut block);
        Some(block.into())
    }

    fn nonce(&self, number: u32) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, n) in nonce[8..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= n;
        }
        nonce
    }

    /// The frames of a packet; none if it was not encrypted with these keys.
    fn open(&self, initial: &Initial<'_>) -> Option<Vec<u8>> {
        let sample = initial.packet.get(initial.number + 4..)?.first_chunk::<TAG>()?;
        let mask = self.mask(*sample)?;
        let first = initial.packet.first()? ^ (mask[0] & 0xf);
        let length = usize::from(first & 3) + 1;
        let mut head = initial.packet.get(..initial.number + length)?.to_vec();
        *head.first_mut()? = first;
        let mut number = 0u32;
        for (byte, mask) in head.iter_mut().skip(initial.number).zip(&mask[1..]) {
            *byte ^= mask;
            number = number << 8 | u32::from(*byte);
        }
        let sealed = Payload { msg: initial.packet.get(head.len()..)?, aad: &head };
        // The first packets have numbers of no more bytes than stand here.
        aes_gcm::Aes128Gcm::new_from_slice(&self.key).ok()?.decrypt(&self.nonce(number).into(), sealed).ok()
    }
}

/// HKDF-Expand-Label of TLS (RFC 8446, section 7.1), without a context.
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &str) -> Option<[u8; N]> {
    let (mut out, full) = ([0; N], format!("tls13 {label}"));
    let info = [&(N as u16).to_be_bytes()[..], &[full.len() as u8], full.as_bytes(), &[0]].concat();
    secret.expand(&info, &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 16).unwrap()).collect()
    }

    /// RFC 9001, appendix A.2.
    fn packet() -> Vec<u8> {
        bytes(include_str!("../tests/data/rfc9001-a2.hex"))
    }

    const DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    /// The frames in it, without the padding, opened with keys that are right.
    fn frames() -> Vec<u8> {
        let packet = packet();
        let (version, initial) = parse(&packet).unwrap();
        Keys::of(version, initial.dcid).unwrap().open(&initial).unwrap()
    }

    /// A client's packet with these frames.
    fn seal(version: &Version, number: u32, frames: &[u8]) -> Vec<u8> {
        let keys = Keys::of(version, &DCID).unwrap();
        let mut head = vec![version.initial | 3];
        head.extend(version.number.to_be_bytes());
        head.push(DCID.len() as u8);
        head.extend(DCID);
        head.extend([0, 0]);
        head.extend((0x4000 | (4 + frames.len() + TAG) as u16).to_be_bytes());
        let at = head.len();
        head.extend(number.to_be_bytes());
        let cipher = aes_gcm::Aes128Gcm::new_from_slice(&keys.key).unwrap();
        let sealed = cipher.encrypt(&keys.nonce(number).into(), Payload { msg: frames, aad: &head }).unwrap();
        let mask = keys.mask(*sealed.first_chunk().unwrap()).unwrap();
        head[0] ^= mask[0] & 0xf;
        for (byte, mask) in head[at..].iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
        }
        [head, sealed].concat()
    }

    fn names(datagrams: &[Vec<u8>]) -> (Vec<String>, u64) {
        let (mut initials, mut names) = (Initials::new(), vec![]);
        for datagram in datagrams {
            initials.datagram(&1, datagram, |_, hello| {
                names.push(String::from_utf8(hello.name.clone().unwrap()).unwrap());
            });
        }
        (names, initials.evicted)
    }

    #[test]
    fn the_packet_of_the_rfc() {
        let mut told = 0;
        Initials::new().datagram(&1, &packet(), |initial, hello| {
            told += 1;
            assert_eq!((initial.version, initial.dcid, initial.scid), (1, &DCID[..], &[][..]));
            assert_eq!(hello.name.as_deref(), Some(&b"example.com"[..]));
            assert_eq!(hello.protocols, [b"alpn"]);
        });
        assert_eq!(told, 1);
        assert_eq!(seal(&VERSIONS[0], 2, &frames()), packet());
    }

    #[test]
    fn keys_of_the_rfcs() {
        // RFC 9001, appendix A.1, and RFC 9369, appendix A.1.
        for (version, key, iv, header) in [
            (
                0,
                "1f369613dd76d5467730efcbe3b1a22d",
                "fa044b2f42a3fd3b46fb255c",
                "9f50449e04a0e810283a1e9933adedd2",
            ),
            (
                1,
                "8b1a0bc121284290a29e0971b5cd045d",
                "91f73e2351d8fa91660e909f",
                "45b95e15235d6f45a6b19cbcb0294ba9",
            ),
        ] {
            let keys = Keys::of(&VERSIONS[version], &DCID).unwrap();
            assert_eq!((&keys.key[..], &keys.iv[..]), (&bytes(key)[..], &bytes(iv)[..]));
            assert_eq!(keys.header, bytes(header)[..]);
        }
    }

    #[test]
    fn version_2() {
        let packet = seal(&VERSIONS[1], 2, &frames());
        // RFC 9369, appendix A.2, begins so.
        let begins =
            bytes("d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071bf03");
        assert_eq!(packet[..begins.len()], begins);
        assert_eq!(names(&[packet]).0, ["example.com"]);
    }

    #[test]
    fn what_is_sent_again_is_told_once() {
        assert_eq!(names(&[packet(), packet()]).0, ["example.com"]);
        // Both in one datagram.
        assert_eq!(names(&[[packet(), packet()].concat()]).0, ["example.com"]);
    }

    #[test]
    fn what_is_changed_is_not_told() {
        let mut packet = packet();
        packet[100] ^= 1;
        assert_eq!(names(&[packet]), (vec![], 0));
    }

    #[test]
    fn what_never_comes_is_bounded_and_counted() {
        let mut initials = Initials::new();
        let first = seal(&VERSIONS[0], 0, &[&[6, 0, 4, 1, 0, 0, 0xed][..], &[0; 40]].concat());
        for n in 0..CONNECTIONS + 2 {
            initials.datagram(&n, &first, |_, _| panic!("it is not whole"));
        }
        assert_eq!((initials.connections.len(), initials.evicted), (CONNECTIONS, 2));
        // A hello that is too long.
        let long = seal(&VERSIONS[0], 0, &[&[6, 0, 4, 1, 0xff, 0, 0][..], &[0; 40]].concat());
        initials.datagram(&0, &long, |_, _| panic!("it is too long"));
        assert_eq!(initials.evicted, 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// However the hello is cut, in whatever order its pieces come, one packet for each.
        #[test]
        fn pieces_in_any_order(
            cuts in proptest::collection::btree_set(1..241usize, 0..6),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 7),
            version in 0..2usize,
        ) {
            let frames = frames();
            let hello = crypto(&frames).next().unwrap().1.to_vec();
            let mut bounds: Vec<usize> = [0].into_iter().chain(cuts).collect();
            bounds.push(hello.len());
            let mut pieces: Vec<Vec<u8>> = bounds
                .windows(2)
                .map(|w| {
                    let (at, part) = (w[0] as u16, &hello[w[0]..w[1]]);
                    let [offset, length] = [at, part.len() as u16].map(|n| (0x4000 | n).to_be_bytes());
                    [&[1, 6][..], &offset, &length, part, &[0; 20]].concat()
                })
                .collect();
            let mut datagrams = vec![];
            for index in order {
                if !pieces.is_empty() {
                    let piece = pieces.remove(index.index(pieces.len()));
                    datagrams.push(seal(&VERSIONS[version], datagrams.len() as u32, &piece));
                }
            }
            prop_assert_eq!(names(&datagrams), (vec!["example.com".to_string()], 0));
        }

        #[test]
        fn no_frames_make_it_panic(frames in proptest::collection::vec(any::<u8>(), 0..60)) {
            names(&[seal(&VERSIONS[0], 0, &[&frames[..], &[0; 20]].concat())]);
            crypto(&frames).for_each(drop);
        }

        #[test]
        fn no_noise_makes_it_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..60),
            changes in proptest::collection::vec((0..30usize, any::<u8>()), 1..4),
        ) {
            names(&[noise]);
            let mut packet = packet();
            for (at, byte) in changes {
                packet[at] = byte;
            }
            names(&[packet]);
        }
    }
}
