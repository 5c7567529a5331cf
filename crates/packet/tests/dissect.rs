//! Packets: whole, cut, changed, and noise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::net::{IpAddr, Ipv4Addr};

use catalogue::Quality;
use catalogue::fields::net_packet_raw;
use etherparse::PacketBuilder;
use event::build::RecordBuilder;
use event::{Direction, Event, Header, Packet, Value};
use packet::Dissector;
use proptest::prelude::*;

/// A question for example.com's address.
const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01";

/// What the kernel tells of a packet, as far as it is well-formed.
fn record(data: &[u8], [src_port, dst_port]: [u16; 2], quality: Quality) -> Vec<u8> {
    let six = data.first().is_some_and(|b| b >> 4 == 6);
    let address: IpAddr = if six { "::1".parse().unwrap() } else { Ipv4Addr::LOCALHOST.into() };
    let metadata = Packet {
        src: address,
        dst: address,
        src_port,
        dst_port,
        protocol: 17,
        direction: Direction::Egress,
        length: data.len() as u32,
        ifindex: 1,
        encapsulation: None,
    };
    let header = Header { seq: 7, ..Header::unknown(5) };
    RecordBuilder::new(catalogue::event_by_id(net_packet_raw::EVENT_ID).unwrap(), header)
        .put_packet(net_packet_raw::METADATA as u8, &metadata)
        .put_bytes(net_packet_raw::DATA as u8, data, quality)
        .finish()
}

/// The events in it: each is sound.
fn made(record: &[u8]) -> Vec<Vec<u8>> {
    let mut made = vec![];
    Dissector::new(|_| true).dissect(&Event::decode(record).unwrap(), |r| made.push(r.to_vec()));
    made.iter().for_each(|r| assert!(Event::decode(r).is_ok()));
    made
}

fn names(made: &[Vec<u8>]) -> Vec<&'static str> {
    made.iter().map(|r| Event::decode(r).unwrap().definition.name).collect()
}

fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    let builder = PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64).udp(ports[0], ports[1]);
    builder.write(&mut out, payload).unwrap();
    out
}

fn tcp6() -> Vec<u8> {
    let mut out = vec![];
    let builder = PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(4000, 80, 7, 1000).syn();
    builder.write(&mut out, b"").unwrap();
    out
}

fn ping() -> Vec<u8> {
    let mut out = vec![];
    PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64)
        .icmpv4_echo_request(1, 2)
        .write(&mut out, b"x")
        .unwrap();
    out
}

#[test]
fn a_question_is_five_events() {
    let ports = [4000, 53];
    let made = made(&record(&udp(ports, QUESTION), ports, Quality::Ok));
    assert_eq!(
        names(&made),
        [
            "net_packet_ipv4",
            "net_packet_udp",
            "net_packet_dns",
            "net_packet_dns_request",
            "net_flow_udp_begin"
        ]
    );
    let question = Event::decode(&made[3]).unwrap();
    let Some(Value::Dns(message)) = question.field_by_name("dns_questions").unwrap().value else { panic!() };
    assert_eq!(message.raw(), QUESTION);
    // The header is the packet's own.
    assert_eq!((question.header.seq, question.header.time), (7, 5));
}

#[test]
fn only_what_is_wanted_is_made() {
    let record = record(&udp([4000, 53], QUESTION), [4000, 53], Quality::Ok);
    let mut dissector = Dissector::new(|e| e == catalogue::fields::net_packet_udp::EVENT_ID);
    let mut made = vec![];
    dissector.dissect(&Event::decode(&record).unwrap(), |r| made.push(r.to_vec()));
    assert_eq!(names(&made), ["net_packet_udp"]);
}

#[test]
fn other_protocols() {
    let six = tcp6();
    assert_eq!(names(&made(&record(&six, [4000, 80], Quality::Ok))), ["net_packet_ipv6", "net_packet_tcp"]);
    assert_eq!(names(&made(&record(&ping(), [0, 0], Quality::Ok))), ["net_packet_ipv4", "net_packet_icmp"]);
}

#[test]
fn what_is_cut_says_so() {
    let ports = [4000, 53];
    let packet = udp(ports, QUESTION);
    let made = made(&record(&packet[..packet.len() - 4], ports, Quality::Truncated));
    let dns = made.iter().find(|r| Event::decode(r).unwrap().definition.name == "net_packet_dns").unwrap();
    assert_eq!(Event::decode(dns).unwrap().field_by_name("proto_dns").unwrap().quality, Quality::Truncated);
}

#[test]
fn a_header_that_is_malformed_is_faulted() {
    // TCP says that its header has 60 bytes.
    let mut packet = tcp6();
    packet[40 + 12] = 0xf0;
    let made = made(&record(&packet, [4000, 80], Quality::Ok));
    assert_eq!(names(&made), ["net_packet_ipv6", "net_packet_tcp"]);
    let tcp = Event::decode(&made[1]).unwrap();
    assert_eq!(tcp.field_by_name("proto_tcp").unwrap().quality, Quality::Faulted);
}

#[test]
fn a_later_fragment_has_no_header_of_its_own() {
    let mut packet = udp([4000, 53], QUESTION);
    packet[7] = 8;
    assert_eq!(names(&made(&record(&packet, [0, 0], Quality::Ok))), ["net_packet_ipv4"]);
}

/// A segment of a connection to a server, from so many bytes on.
fn tcp(port: u16, at: usize, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    let builder =
        PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 1], 64).tcp(4000, port, 1000 + at as u32, 1000);
    builder.write(&mut out, payload).unwrap();
    out
}

/// The events of packets that follow one another.
fn made_of(packets: &[Vec<u8>], port: u16) -> (Vec<Vec<u8>>, Dissector) {
    let (mut dissector, mut made) = (Dissector::new(|_| true), vec![]);
    for packet in packets {
        let record = record(packet, [4000, port], Quality::Ok);
        dissector.dissect(&Event::decode(&record).unwrap(), |r| made.push(r.to_vec()));
    }
    made.iter().for_each(|r| assert!(Event::decode(r).is_ok()));
    (made, dissector)
}

fn one<'a>(made: &'a [Vec<u8>], name: &str) -> Event<'a> {
    let mut found = made.iter().map(|r| Event::decode(r).unwrap()).filter(|e| e.definition.name == name);
    let first = found.next().unwrap();
    assert!(found.next().is_none(), "{name} more than once");
    first
}

/// A ClientHello for `tls.tarsius`, in a record.
fn hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0x13, 1, 0xfe, 0xed, 1, 0]);
    let name = b"\0\0\0\x10\0\x0e\0\0\x0btls.tarsius";
    body.extend((name.len() as u16).to_be_bytes());
    body.extend(name);
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, message.len() as u8][..], &message].concat()
}

#[test]
fn a_hello_in_segments_of_which_one_comes_late_and_one_twice() {
    let hello = hello();
    let parts = [tcp(7000, 0, &hello[..20]), tcp(7000, 40, &hello[40..]), tcp(7000, 20, &hello[20..40])];
    let packets = [parts[0].clone(), parts[1].clone(), parts[0].clone(), parts[2].clone()];
    let (made, dissector) = made_of(&packets, 7000);
    let event = one(&made, "net_packet_tls_client_hello");
    assert_eq!(event.field_by_name("sni").unwrap().value, Some(Value::Str(b"tls.tarsius")));
    let Some(Value::StrArray(ciphers)) = event.field_by_name("cipher_suites").unwrap().value else {
        panic!()
    };
    assert_eq!(ciphers.collect::<Vec<_>>(), [&b"TLS_AES_128_GCM_SHA256"[..], b"0xfeed"]);
    assert!(dissector.lost().iter().all(|(_, count)| *count == 0));
    // Without the middle there is none.
    let (made, _) = made_of(&packets[..3], 7000);
    assert!(!names(&made).contains(&"net_packet_tls_client_hello"));
}

#[test]
fn dns_over_tcp() {
    let message = [&(QUESTION.len() as u16).to_be_bytes()[..], QUESTION].concat();
    let (made, _) = made_of(&[tcp(53, 0, &message[..2]), tcp(53, 2, &message[2..])], 53);
    let event = one(&made, "net_packet_dns_request");
    assert_eq!(event.field_by_name("transport").unwrap().value, Some(Value::Str(b"tcp")));
    // On another port it is none.
    assert!(!names(&made_of(&[tcp(54, 0, &message)], 54).0).contains(&"net_packet_dns_request"));
}

#[test]
fn packets_in_packets() {
    let inner = udp([4000, 53], QUESTION);
    let mut outer = vec![];
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .write(&mut outer, etherparse::ip_number::GRE, &[&[0, 0, 8, 0][..], &inner].concat())
        .unwrap();
    let (made, dissector) = made_of(&[outer], 0);
    assert_eq!(names(&made)[..2], ["net_packet_ipv4", "net_packet_ipv4"]);
    let event = one(&made, "net_packet_dns_request");
    let Some(Value::Packet(packet)) = event.field_by_name("metadata").unwrap().value else { panic!() };
    assert_eq!((packet.encapsulation, packet.dst_port), (Some(event::Encapsulation::Gre), 53));
    assert!(dissector.malformed().all(|(_, count)| count == 0));
}

#[test]
fn what_is_malformed_is_counted_by_its_name() {
    let mut segment = tcp(80, 0, b"");
    segment[20 + 12] = 0xf0;
    let (_, dissector) = made_of(&[segment, vec![0x45; 6]], 80);
    let counts: Vec<_> = dissector.malformed().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counts, [("IP", 1), ("TCP", 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_packet_makes_it_panic(
        which in 0..7usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        shorten in any::<bool>(),
        ports in prop::sample::select(vec![[53, 9], [9, 53], [80, 9]]),
    ) {
        let inner = udp([4000, 53], QUESTION);
        let initial = include_str!("data/rfc9001-a2.hex").replace('\n', "");
        let initial: Vec<u8> =
            (0..initial.len() / 2).map(|n| u8::from_str_radix(&initial[2 * n..2 * n + 2], 16).unwrap()).collect();
        let mut gre = vec![];
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .write(&mut gre, etherparse::ip_number::GRE, &[&[0, 0, 8, 0][..], &inner].concat())
            .unwrap();
        let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &[0; 12], &[8, 0], &inner].concat();
        let all = [
            udp(ports, QUESTION),
            tcp6(),
            ping(),
            tcp(443, 0, &hello()),
            gre,
            udp([4000, 4789], &vxlan),
            udp([4000, 443], &initial),
        ];
        let mut packet = all[which].clone();
        for (at, byte) in changes {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        if shorten {
            packet.truncate(cut.index(packet.len()));
        }
        made(&record(&packet, ports, if shorten { Quality::Truncated } else { Quality::Ok }));
    }

    #[test]
    fn no_noise_makes_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..120)) {
        made(&record(&noise, [53, 53], Quality::Ok));
    }
}
