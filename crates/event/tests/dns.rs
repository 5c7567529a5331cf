//! DNS messages: whole, cut, malformed, hostile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use catalogue::Quality;
use common::{DNS, any_dns};
use event::{Dns, DnsMessage, DnsPart, RecordData, names};
use proptest::prelude::*;
use simple_dns::rdata::RData;

fn parse(bytes: &[u8]) -> Dns<'_> {
    DnsMessage::new(bytes, DnsPart::Answers, Quality::Ok).parse()
}

/// Answers as `TYPE data`.
fn answers(bytes: &[u8]) -> Vec<String> {
    parse(bytes).answers().map(|a| format!("{} {}", names::dns_type(a.ty).unwrap(), a.data)).collect()
}

/// A response without question; each answer is about the root.
fn response(records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = vec![0, 1, 0x81, 0x80, 0, 0, 0, records.len() as u8, 0, 0, 0, 0];
    for (ty, data) in records {
        message.push(0);
        message.extend(ty.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60]);
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(*data);
    }
    message
}

#[test]
fn a_question_and_its_answer() {
    let dns = parse(DNS);
    assert_eq!(dns.quality, Quality::Ok);
    assert_eq!((dns.id(), dns.response_code()), (0x1234, 0));
    let question = dns.questions().next().unwrap();
    assert_eq!((question.name.to_string().as_str(), question.ty, question.class), ("example.com", 1, 1));
    let answer = dns.answers().next().unwrap();
    assert_eq!(answer.name, question.name);
    assert_eq!((answer.ttl, answer.data), (300, RecordData::A("93.184.216.34".parse().unwrap())));
    assert_eq!(DnsMessage::new(DNS, DnsPart::Questions, Quality::Ok).parse().answers().count(), 0);
}

#[test]
fn every_type_that_is_shown() {
    let soa = b"\x01a\0\x01b\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";
    let message = response(&[
        (28, &[0; 16]),
        (5, b"\x03www\x01a\0"),
        (2, b"\x02ns\0"),
        (12, b"\x01h\0"),
        (15, b"\0\x0a\x02mx\0"),
        (16, b"\x03a\"b\x01\xff"),
        (16, b""),
        (6, soa),
        (33, b"\0\x01\0\x02\0\x50\x01t\0"),
        (257, b"\x00\x05issue"),
    ]);
    assert_eq!(parse(&message).quality, Quality::Ok);
    assert_eq!(
        answers(&message),
        [
            "AAAA ::",
            "CNAME www.a",
            "NS ns",
            "PTR h",
            "MX 10 mx",
            r#"TXT "a\"b" "\255""#,
            "TXT ",
            "SOA a b 1 2 3 4 5",
            "SRV 1 2 80 t",
            "CAA 00056973737565",
        ]
    );
}

#[test]
fn names_are_written_as_in_a_zone_file() {
    let message = response(&[(5, b"\x03a.b\x02\\\x07\0"), (5, b"\0")]);
    assert_eq!(answers(&message), [r"CNAME a\.b.\\\007", "CNAME ."]);
}

#[test]
fn a_cut_message_gives_what_is_whole() {
    for length in 0..DNS.len() {
        let dns = parse(&DNS[..length]);
        assert_eq!(dns.quality, Quality::Truncated, "{length}");
        assert_eq!(dns.questions().count(), usize::from(length >= 29), "{length}");
        assert_eq!(dns.answers().count(), 0);
    }
}

#[test]
fn the_records_word_is_kept() {
    assert_eq!(
        DnsMessage::new(DNS, DnsPart::Answers, Quality::Truncated).parse().quality,
        Quality::Truncated
    );
}

#[test]
fn a_malformed_answer_ends_the_answers() {
    for (ty, data) in [
        (1, b"abc".as_slice()),
        (28, b"abc"),
        (5, b"\x01a\0x"),
        (5, b"\x40"),
        (5, b"\x05ab"),
        (15, b"\0"),
        (16, b"\x05ab"),
        (6, b"\0\0\0"),
        (33, b"\0\0\0\0\0"),
        (5, b"\xc0\xff"),
    ] {
        let message = response(&[(1, &[1, 2, 3, 4]), (ty, data), (1, &[1, 2, 3, 4])]);
        let dns = parse(&message);
        assert_eq!(dns.quality, Quality::Faulted, "{ty} {data:?}");
        assert_eq!(dns.answers().count(), 1, "{ty} {data:?}");
    }
}

/// Pointers to themselves, to each other, and a name that grows by pointers beyond what a name may have.
#[test]
fn hostile_names_end() {
    let start = 12;
    for name in [b"\xc0\x0c".as_slice(), b"\x01a\xc0\x0c", b"\xc0\x0e\xc0\x0c"] {
        let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(name);
        message.extend([0, 1, 0, 1]);
        assert_eq!(message[start], name[0]);
        let dns = parse(&message);
        assert_eq!((dns.quality, dns.questions().count()), (Quality::Faulted, 0));
    }
    let mut long = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for _ in 0..5 {
        long.push(63);
        long.extend([b'x'; 63]);
    }
    long.extend([0, 0, 1, 0, 1]);
    assert_eq!(parse(&long).quality, Quality::Faulted);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end(bytes in any_dns()) {
        let dns = parse(&bytes);
        for question in dns.questions() {
            prop_assert!(question.name.to_string().is_ascii());
        }
        for answer in dns.answers() {
            prop_assert!(answer.data.to_string().is_ascii());
        }
    }

    /// What a parser of whole messages makes of a message, this one makes of it too.
    #[test]
    fn agrees_with_another_parser(bytes in any_dns()) {
        let dns = parse(&bytes);
        if let Ok(packet) = simple_dns::Packet::parse(&bytes) && dns.quality == Quality::Ok {
            let theirs: Vec<_> = packet.questions.iter().map(|q| q.qname.to_string().to_lowercase()).collect();
            let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
            let ours: Vec<_> = dns.questions().map(|q| q.name.to_string().to_lowercase()).collect();
            if ours.iter().all(|n| n != "." && plain(n)) {
                prop_assert_eq!(ours, theirs);
            }
            for answer in packet.answers.iter().zip(dns.answers()) {
                if let (RData::A(theirs), RecordData::A(ours)) = (&answer.0.rdata, answer.1.data) {
                    prop_assert_eq!(theirs.address, u32::from(ours));
                    prop_assert_eq!(answer.0.ttl, answer.1.ttl);
                }
            }
        }
    }
}
