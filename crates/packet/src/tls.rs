//! Hellos of TLS, and their fingerprints: JA3 and JA3S (Salesforce, BSD-3-Clause), JA4 of TLS clients (FoxIO, BSD-3-Clause).
//!
//! Of the other JA4 fingerprints, that of servers too, the licence is another, so they are not here.

use std::fmt::Write as _;

use md5::Digest as _;
use tls_parser::{
    TlsCipherSuite, TlsMessage, TlsMessageHandshake, TlsServerHelloContents, parse_tls_message_handshake,
};

use crate::streams::{Guess, Step};

/// A record's type, version and length.
const RECORD_HEAD: usize = 5;
/// The type of a record with messages of the handshake.
const HANDSHAKE: u8 = 22;
/// A message's type and length.
const MESSAGE_HEAD: usize = 4;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// No record is longer (RFC 8446, section 5.1).
const RECORD_BYTES: usize = 1 << 14;

/// Extensions that are looked into (IANA).
mod extension {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const GROUPS: u16 = 10;
    pub(super) const POINT_FORMATS: u16 = 11;
    pub(super) const SIGNATURES: u16 = 13;
    pub(super) const ALPN: u16 = 16;
    pub(super) const VERSIONS: u16 = 43;
    pub(super) const KEY_SHARE: u16 = 51;
}

/// The random number of a ServerHello that asks for another ClientHello (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What these bytes of a connection begin: a record with a hello.
pub(crate) fn guess(bytes: &[u8]) -> Guess {
    match bytes {
        [HANDSHAKE, 3, 0..=4, high, low, rest @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let hello = rest.first().is_none_or(|ty| [CLIENT_HELLO, SERVER_HELLO].contains(ty));
            if hello && (1..=RECORD_BYTES).contains(&length) { Guess::Is } else { Guess::No }
        }
        [HANDSHAKE, 3, 0..=4, _] => Guess::Is,
        [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, 0..=4] => Guess::May,
        _ => Guess::No,
    }
}

/// The hello with which these bytes begin, out of its records.
pub(crate) fn step(bytes: &[u8]) -> Step {
    let (mut rest, mut message) = (bytes, Vec::new());
    loop {
        let Some((&[ty, major, _, high, low], after)) = rest.split_first_chunk::<RECORD_HEAD>() else {
            return Step::More;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if ty != HANDSHAKE || major != 3 || !(1..=RECORD_BYTES).contains(&length) {
            return Step::Nothing;
        }
        message.extend_from_slice(after.get(..length).unwrap_or(after));
        if let Some(&[_, high, middle, low]) = message.first_chunk::<MESSAGE_HEAD>() {
            let whole = MESSAGE_HEAD + u32::from_be_bytes([0, high, middle, low]) as usize;
            if message.len() >= whole {
                message.truncate(whole);
                return if Hello::parse(&message).is_some() { Step::Last { message } } else { Step::Nothing };
            }
        }
        match after.get(length..) {
            Some(next) => rest = next,
            None => return Step::More,
        }
    }
}

/// A hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hello {
    Client(ClientHello),
    Server(ServerHello),
}

/// What a client offers. Values that stand for nothing but that there may be others (GREASE, RFC 8701) are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ClientHello {
    /// As it stands in the message: that of TLS 1.3 is in an extension.
    version: u16,
    pub(crate) ciphers: Vec<u16>,
    pub(crate) extensions: Vec<u16>,
    pub(crate) groups: Vec<u16>,
    pub(crate) signatures: Vec<u16>,
    pub(crate) versions: Vec<u16>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) protocols: Vec<Vec<u8>>,
    points: Vec<u8>,
}

/// What a server chose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ServerHello {
    version: u16,
    pub(crate) cipher: u16,
    pub(crate) extensions: Vec<u16>,
    chosen: Option<u16>,
    pub(crate) group: Option<u16>,
    pub(crate) protocol: Option<Vec<u8>>,
    pub(crate) retry: bool,
}

impl Hello {
    /// The hello in a message of the handshake; none if it is another, or malformed.
    pub(crate) fn parse(message: &[u8]) -> Option<Hello> {
        let (_, TlsMessage::Handshake(parsed)) = parse_tls_message_handshake(message).ok()? else {
            return None;
        };
        match parsed {
            TlsMessageHandshake::ClientHello(hello) => {
                let mut client = ClientHello { version: hello.version.0, ..ClientHello::default() };
                client.ciphers = hello.ciphers.iter().map(|c| c.0).filter(|&c| !is_grease(c)).collect();
                for (id, data) in extensions(hello.ext.unwrap_or_default())? {
                    client.extension(id, data);
                }
                Some(Hello::Client(client))
            }
            TlsMessageHandshake::ServerHello(hello) => Some(Hello::Server(ServerHello::of(&hello)?)),
            _ => None,
        }
    }
}

impl ClientHello {
    fn extension(&mut self, id: u16, data: &[u8]) {
        if is_grease(id) {
            return;
        }
        self.extensions.push(id);
        match id {
            extension::SERVER_NAME => {
                // A list of names, each with its type: 0 is that of a host.
                self.name = behind16(data)
                    .and_then(|list| list.strip_prefix(&[0]))
                    .and_then(behind16)
                    .map(<[u8]>::to_vec);
            }
            extension::GROUPS => self.groups = words(behind16(data)),
            extension::SIGNATURES => self.signatures = words(behind16(data)),
            extension::VERSIONS => self.versions = words(behind8(data)),
            extension::POINT_FORMATS => self.points = behind8(data).unwrap_or_default().to_vec(),
            extension::ALPN => self.protocols = protocols(data),
            _ => {}
        }
    }

    /// The highest version that is offered.
    pub(crate) fn version(&self) -> u16 {
        self.versions.iter().copied().max().unwrap_or(self.version)
    }

    /// JA3, before it is hashed.
    fn ja3_text(&self) -> String {
        let points: Vec<u16> = self.points.iter().map(|&p| p.into()).collect();
        let lists = [&self.ciphers, &self.extensions, &self.groups, &points].map(|l| decimal(l));
        format!("{},{}", self.version, lists.join(","))
    }

    /// JA3: the MD5 of what is offered, in the order in which it is.
    pub(crate) fn ja3(&self) -> String {
        md5_of(&self.ja3_text())
    }

    /// JA4: what is offered, in an order of its own. `quic` says that the hello came by QUIC.
    pub(crate) fn ja4(&self, quic: bool) -> String {
        let mut ciphers = self.ciphers.clone();
        ciphers.sort_unstable();
        let mut extensions: Vec<u16> = self.extensions.clone();
        extensions.retain(|e| ![extension::SERVER_NAME, extension::ALPN].contains(e));
        extensions.sort_unstable();
        let mut second = hexadecimal(&extensions);
        if !self.signatures.is_empty() {
            let _ = write!(second, "_{}", hexadecimal(&self.signatures));
        }
        let hash = |empty: bool, text: &str| if empty { "0".repeat(12) } else { sha256_of(text) };
        format!(
            "{}{}{}{:02}{:02}{}_{}_{}",
            if quic { 'q' } else { 't' },
            ja4_version(self.version()),
            if self.extensions.contains(&extension::SERVER_NAME) { 'd' } else { 'i' },
            ciphers.len().min(99),
            self.extensions.len().min(99),
            ja4_protocol(self.protocols.first()),
            hash(ciphers.is_empty(), &hexadecimal(&ciphers)),
            hash(extensions.is_empty(), &second),
        )
    }
}

impl ServerHello {
    fn of(hello: &TlsServerHelloContents<'_>) -> Option<ServerHello> {
        let mut server = ServerHello {
            version: hello.version.0,
            cipher: hello.cipher.0,
            retry: hello.random == RETRY,
            ..ServerHello::default()
        };
        for (id, data) in extensions(hello.ext.unwrap_or_default())? {
            server.extensions.push(id);
            match id {
                extension::VERSIONS => server.chosen = word(data),
                extension::KEY_SHARE => server.group = word(data),
                extension::ALPN => server.protocol = protocols(data).into_iter().next(),
                _ => {}
            }
        }
        Some(server)
    }

    /// The version that was chosen.
    pub(crate) fn version(&self) -> u16 {
        self.chosen.unwrap_or(self.version)
    }

    fn ja3s_text(&self) -> String {
        format!("{},{},{}", self.version, self.cipher, decimal(&self.extensions))
    }

    /// JA3S: the MD5 of what was chosen.
    pub(crate) fn ja3s(&self) -> String {
        md5_of(&self.ja3s_text())
    }
}

/// Extensions: numbers, and what is in them; none if they do not fill these bytes.
fn extensions(mut bytes: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (id, rest) = bytes.split_first_chunk::<2>()?;
        let data = behind16(rest)?;
        all.push((u16::from_be_bytes(*id), data));
        bytes = rest.get(2 + data.len()..)?;
    }
    Some(all)
}

/// What follows its length of two bytes.
fn behind16(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(..u16::from_be_bytes(*length).into())
}

/// What follows its length of one byte.
fn behind8(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first()?;
    rest.get(..usize::from(*length))
}

fn word(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk::<2>().map(|w| u16::from_be_bytes(*w))
}

/// Numbers of two bytes, without those that stand for nothing.
fn words(bytes: Option<&[u8]>) -> Vec<u16> {
    bytes.unwrap_or_default().chunks_exact(2).filter_map(word).filter(|&w| !is_grease(w)).collect()
}

/// The names of protocols in a list; none of those that stand for nothing.
fn protocols(data: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = behind16(data).unwrap_or_default();
    let mut all = Vec::new();
    while let Some(name) = behind8(rest) {
        let grease = matches!(*name, [a, b] if is_grease(u16::from_be_bytes([a, b])));
        if !name.is_empty() && !grease {
            all.push(name.to_vec());
        }
        rest = rest.get(1 + name.len()..).unwrap_or_default();
    }
    all
}

const fn is_grease(word: u16) -> bool {
    let [a, b] = word.to_be_bytes();
    a == b && a & 0xf == 0xa
}

fn decimal(words: &[u16]) -> String {
    words.iter().map(u16::to_string).collect::<Vec<_>>().join("-")
}

fn hexadecimal(words: &[u16]) -> String {
    words.iter().map(|w| format!("{w:04x}")).collect::<Vec<_>>().join(",")
}

fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn md5_of(text: &str) -> String {
    hex(md5::Md5::digest(text))
}

/// The first 12 digits.
fn sha256_of(text: &str) -> String {
    hex(sha2::Sha256::digest(text).into_iter().take(6))
}

const fn ja4_version(version: u16) -> &'static str {
    match version {
        0x304 => "13",
        0x303 => "12",
        0x302 => "11",
        0x301 => "10",
        0x300 => "s3",
        2 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// The first and last letter of a protocol; of its hexadecimal form, if one of these is neither letter nor digit.
fn ja4_protocol(name: Option<&Vec<u8>>) -> String {
    let ends = |text: &[u8]| Some([char::from(*text.first()?), char::from(*text.last()?)]);
    let Some(name) = name else { return "00".into() };
    let plain = ends(name).filter(|ends| ends.iter().all(char::is_ascii_alphanumeric));
    plain.or_else(|| ends(hex(name.iter().copied()).as_bytes())).into_iter().flatten().collect()
}

/// A cipher suite's name, or its number.
pub(crate) fn cipher(id: u16) -> String {
    TlsCipherSuite::from_id(id).map_or_else(|| number(id), |suite| suite.name.to_string())
}

/// The names of versions, as everyone writes them.
pub(crate) fn version(id: u16) -> String {
    match id {
        0x300 => "SSL 3.0".into(),
        0x301..=0x304 => format!("TLS 1.{}", id - 0x301),
        _ => number(id),
    }
}

fn number(id: u16) -> String {
    format!("{id:#06x}")
}

fn name(id: u16, names: &[(u16, &str)]) -> String {
    names.iter().find(|(n, _)| *n == id).map_or_else(|| number(id), |(_, name)| (*name).to_string())
}

/// An extension's name (IANA), or its number.
pub(crate) fn extension(id: u16) -> String {
    #[rustfmt::skip]
    const NAMES: &[(u16, &str)] = &[
        (0, "server_name"), (1, "max_fragment_length"), (5, "status_request"), (10, "supported_groups"),
        (11, "ec_point_formats"), (12, "srp"), (13, "signature_algorithms"), (14, "use_srtp"), (15, "heartbeat"),
        (16, "application_layer_protocol_negotiation"), (17, "status_request_v2"), (18, "signed_certificate_timestamp"),
        (19, "client_certificate_type"), (20, "server_certificate_type"), (21, "padding"), (22, "encrypt_then_mac"),
        (23, "extended_master_secret"), (24, "token_binding"), (27, "compress_certificate"), (28, "record_size_limit"),
        (34, "delegated_credential"), (35, "session_ticket"), (41, "pre_shared_key"), (42, "early_data"),
        (43, "supported_versions"), (44, "cookie"), (45, "psk_key_exchange_modes"), (47, "certificate_authorities"),
        (48, "oid_filters"), (49, "post_handshake_auth"), (50, "signature_algorithms_cert"), (51, "key_share"),
        (57, "quic_transport_parameters"), (13172, "next_protocol_negotiation"), (17513, "application_settings"),
        (17613, "application_settings"), (0xfe0d, "encrypted_client_hello"), (0xff01, "renegotiation_info"),
    ];
    name(id, NAMES)
}

/// A group's name (IANA), or its number.
pub(crate) fn group(id: u16) -> String {
    #[rustfmt::skip]
    const NAMES: &[(u16, &str)] = &[
        (21, "secp224r1"), (22, "secp256k1"), (23, "secp256r1"), (24, "secp384r1"), (25, "secp521r1"),
        (26, "brainpoolP256r1"), (27, "brainpoolP384r1"), (28, "brainpoolP512r1"), (29, "x25519"), (30, "x448"),
        (256, "ffdhe2048"), (257, "ffdhe3072"), (258, "ffdhe4096"), (259, "ffdhe6144"), (260, "ffdhe8192"),
        (512, "MLKEM512"), (513, "MLKEM768"), (514, "MLKEM1024"), (4587, "SecP256r1MLKEM768"),
        (4588, "X25519MLKEM768"), (4589, "SecP384r1MLKEM1024"), (0x6399, "X25519Kyber768Draft00"),
    ];
    name(id, NAMES)
}

/// A signature's name (IANA), or its number.
pub(crate) fn signature(id: u16) -> String {
    #[rustfmt::skip]
    const NAMES: &[(u16, &str)] = &[
        (0x201, "rsa_pkcs1_sha1"), (0x203, "ecdsa_sha1"), (0x401, "rsa_pkcs1_sha256"), (0x403, "ecdsa_secp256r1_sha256"),
        (0x501, "rsa_pkcs1_sha384"), (0x503, "ecdsa_secp384r1_sha384"), (0x601, "rsa_pkcs1_sha512"),
        (0x603, "ecdsa_secp521r1_sha512"), (0x804, "rsa_pss_rsae_sha256"), (0x805, "rsa_pss_rsae_sha384"),
        (0x806, "rsa_pss_rsae_sha512"), (0x807, "ed25519"), (0x808, "ed448"), (0x809, "rsa_pss_pss_sha256"),
        (0x80a, "rsa_pss_pss_sha384"), (0x80b, "rsa_pss_pss_sha512"), (0x904, "mldsa44"), (0x905, "mldsa65"),
        (0x906, "mldsa87"),
    ];
    name(id, NAMES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A hello of a client or a server, as a message of the handshake.
    fn message(ty: u8, random: &[u8; 32], body: &[u8], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut inside = vec![3, 3];
        inside.extend(random);
        inside.extend(body);
        let all: Vec<u8> = extensions
            .iter()
            .flat_map(|(id, data)| {
                [&id.to_be_bytes(), &(data.len() as u16).to_be_bytes(), &data[..]].concat()
            })
            .collect();
        inside.extend((all.len() as u16).to_be_bytes());
        inside.extend(all);
        let length = (inside.len() as u32).to_be_bytes();
        [&[ty], &length[1..], &inside].concat()
    }

    fn listed(words: &[u16], prefix: usize) -> Vec<u8> {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        [&(bytes.len() as u16).to_be_bytes()[2 - prefix..], &bytes].concat()
    }

    /// The client of the example in the specification of JA4: Chrome, with values that stand for nothing.
    fn chrome() -> Vec<u8> {
        let ciphers = [
            0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
            0x9c, 0x9d, 0x2f, 0x35,
        ];
        let body = [&[0][..], &listed(&ciphers, 2), &[1, 0]].concat();
        let empty = |id| (id, vec![]);
        let extensions = [
            empty(0x4a4a),
            empty(0x1b),
            (0, b"\0\x0e\0\0\x0bexample.com".to_vec()),
            (0x33, vec![0, 0]),
            (0x10, b"\0\x0c\x02h2\x08http/1.1".to_vec()),
            empty(0x4469),
            empty(0x17),
            empty(0x2d),
            (0xd, listed(&[0x403, 0x804, 0x401, 0x503, 0x805, 0x501, 0x806, 0x601], 2)),
            empty(5),
            empty(0x23),
            empty(0x12),
            (0x2b, listed(&[0xdada, 0x304, 0x303], 1)),
            empty(0xff01),
            (0xb, vec![1, 0]),
            (0xa, listed(&[0x1a1a, 29, 23, 24], 2)),
            empty(0x15),
        ];
        message(CLIENT_HELLO, &[7; 32], &body, &extensions)
    }

    fn client(message: &[u8]) -> ClientHello {
        let Some(Hello::Client(client)) = Hello::parse(message) else { panic!("no hello") };
        client
    }

    #[test]
    fn a_client_and_its_fingerprints() {
        let client = client(&chrome());
        assert_eq!(client.ja4(false), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert!(client.ja4(true).starts_with("q13d1516h2_"));
        assert_eq!(client.name.as_deref(), Some(&b"example.com"[..]));
        assert_eq!(client.protocols, [&b"h2"[..], b"http/1.1"]);
        assert_eq!((client.version(), &client.versions[..]), (0x304, &[0x304, 0x303][..]));
        assert_eq!(
            client.ja3_text(),
            "771,4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,\
             27-0-51-16-17513-23-45-13-5-35-18-43-65281-11-10-21,29-23-24,0"
        );
    }

    /// Those of JA3's own description.
    #[test]
    fn hashes_of_known_texts() {
        let text = "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0";
        assert_eq!(md5_of(text), "ada70206e40642a3e4461f35503241d5");
        assert_eq!(md5_of("769,4-5-10-9-100-98-3-6-19-18-99,,,"), "de350869b8c85de67a350c8d186f11e6");
    }

    #[test]
    fn a_hello_without_anything() {
        let hello = message(CLIENT_HELLO, &[7; 32], &[0, 0, 2, 0x2a, 0x2a, 1, 0], &[]);
        assert_eq!(client(&hello).ja4(false), "t12i000000_000000000000_000000000000");
        assert_eq!(client(&hello).ja3_text(), "771,,,,");
    }

    #[test]
    fn letters_of_a_protocol() {
        for (name, letters) in
            [(&b"h2"[..], "h2"), (b"http/1.1", "h1"), (b"\xab\xcd", "ad"), (b"\x30\xab", "3b"), (b"x", "xx")]
        {
            assert_eq!(ja4_protocol(Some(&name.to_vec())), letters);
        }
        assert_eq!(ja4_protocol(None), "00");
    }

    #[test]
    fn a_server() {
        let extensions = [(43, vec![3, 4]), (51, vec![0, 29, 0, 1, 7])];
        for (random, retry) in [([7; 32], false), (RETRY, true)] {
            let hello = message(SERVER_HELLO, &random, &[0, 0x13, 1, 0], &extensions);
            let Some(Hello::Server(server)) = Hello::parse(&hello) else { panic!("no hello") };
            assert_eq!(
                (server.version(), server.cipher, server.group, server.retry),
                (0x304, 0x1301, Some(29), retry)
            );
            assert_eq!(server.ja3s_text(), "771,4865,43-51");
        }
        let tls12 = message(SERVER_HELLO, &[7; 32], &[0, 0xc0, 0x2f, 0], &[(16, b"\0\x03\x02h2".to_vec())]);
        let Some(Hello::Server(server)) = Hello::parse(&tls12) else { panic!("no hello") };
        assert_eq!((server.version(), server.protocol.as_deref()), (0x303, Some(&b"h2"[..])));
    }

    /// The message in records of so many bytes.
    fn records(message: &[u8], bytes: usize) -> Vec<u8> {
        let record =
            |part: &[u8]| [&[HANDSHAKE, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
        message.chunks(bytes).flat_map(record).collect()
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(cipher(0x1301), "TLS_AES_128_GCM_SHA256");
        assert_eq!([cipher(0xfeed), group(4588), group(7)], ["0xfeed", "X25519MLKEM768", "0x0007"]);
        assert_eq!([version(0x304), version(0x7f12)], ["TLS 1.3", "0x7f12"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_hello_in_any_records(bytes in 1..700usize, cut in any::<prop::sample::Index>()) {
            let (hello, whole) = (chrome(), records(&chrome(), bytes));
            let last = Step::Last { message: hello };
            prop_assert_eq!(step(&whole), last.clone());
            // What follows does not matter; what is missing does.
            prop_assert_eq!(step(&[&whole[..], b"\x14\x03\x03"].concat()), last);
            let part = &whole[..cut.index(whole.len())];
            prop_assert_eq!(step(part), Step::More);
        }

        #[test]
        fn no_change_makes_it_panic(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            bytes in 1..700usize,
        ) {
            let mut hello = records(&chrome(), bytes);
            for (at, byte) in changes {
                let at = at.index(hello.len());
                hello[at] = byte;
            }
            let _ = guess(&hello);
            if let Step::Last { message } = step(&hello)
                && let Some(Hello::Client(client)) = Hello::parse(&message)
            {
                prop_assert!(client.ja4(false).len() >= 36);
            }
        }
    }
}
