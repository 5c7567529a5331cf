//! Decoding: what goes in comes out, and nothing else gets through.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use catalogue::{EVENTS, Quality};
use common::{any_parts, full, header, payload};
use event::build::RecordBuilder;
use event::{DecodeError, Event, HEADER_BYTES, Header, MAX_FIELDS, Value};
use proptest::prelude::*;

fn named(name: &str) -> &'static catalogue::Event {
    catalogue::event(name).unwrap()
}

#[test]
fn no_event_has_more_fields_than_fit() {
    for event in EVENTS {
        assert!(event.fields.len() <= MAX_FIELDS, "{}", event.name);
    }
}

#[test]
fn every_event_with_all_fields() {
    for definition in EVENTS {
        let record = full(definition, header());
        let event = Event::decode(&record).unwrap();
        assert_eq!(event.definition.name, definition.name);
        assert_eq!(event.fields().count(), definition.fields.len());
        for (field, value) in event.fields() {
            assert_eq!(value.quality, Quality::Ok, "{}", field.name);
            assert!(value.value.is_some(), "{}", field.name);
            assert_eq!(event.field_by_name(field.name), Some(value));
        }
    }
}

#[test]
fn every_event_with_no_fields() {
    for definition in EVENTS {
        let record = RecordBuilder::new(definition, header()).finish();
        let event = Event::decode(&record).unwrap();
        assert!(event.fields().all(|(_, v)| v.quality == Quality::Unavailable && v.value.is_none()));
        assert_eq!(event.field(255).quality, Quality::Unavailable);
        assert_eq!(event.field_by_name("no such field"), None);
    }
}

#[test]
fn the_header_comes_back() {
    let definition = named("setuid");
    let sent = Header { syscall: Some(105), ret: Some(-1), ..header() };
    let record = RecordBuilder::new(definition, sent).finish();
    let event = Event::decode(&record).unwrap();
    let expected = Header { event: definition.id, lane: definition.lane, flags: event.header.flags, ..sent };
    assert_eq!(event.header, expected);
    assert_eq!(event.header.comm(), b"bash");
    assert_eq!(Header::peek_time(&record), Some(sent.time));
    let long = Header { comm: *b"0123456789abcdef", ..sent };
    assert_eq!(long.comm(), b"0123456789abcdef");
}

/// The bytes as C has them, so that an error on both sides of the round trip shows.
#[test]
fn the_layout_is_the_kernels() {
    let record = RecordBuilder::new(named("setuid"), Header { syscall: Some(7), ret: Some(-2), ..header() })
        .put_u32(0, 0xAABBCCDD)
        .finish();
    let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
    assert_eq!(word(16), 176); // length
    assert_eq!(word(20), 10_105 | 3 << 16); // event, probe
    assert_eq!(record[24..28], [1, 1, 0, 0b1010]); // lane, slot, origin, flags
    assert_eq!(word(28), 2); // cpu
    assert_eq!(word(64), 100); // pid
    assert_eq!(word(72), 1); // ppid
    assert_eq!(word(88), 1000); // uid
    assert_eq!(word(104), 11); // mnt_ns
    assert_eq!(word(128), 17); // cgroup_ns
    assert_eq!(word(132), 7); // syscall
    assert_eq!(&record[136..140], b"bash");
    assert_eq!(word(160), (-2i32).cast_unsigned()); // ret
    assert_eq!(record[168..], [0, 0, 4, 0, 0xDD, 0xCC, 0xBB, 0xAA]);
}

#[test]
fn what_is_wrong_is_named() {
    let definition = named("lost_events");
    let good = full(definition, header());
    let kind = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut record = good.clone();
        change(&mut record);
        Event::decode(&record).map(|_| ()).map_err(|e| e.kind())
    };
    let relength = |record: &mut Vec<u8>| {
        let length = u32::try_from(record.len()).unwrap();
        record[16..20].copy_from_slice(&length.to_le_bytes());
    };
    const AT: usize = HEADER_BYTES;
    assert_eq!(kind(&|_| ()), Ok(()));
    assert_eq!(kind(&|r| r.truncate(159)), Err("short"));
    assert_eq!(kind(&|r| r.push(0)), Err("length"));
    assert_eq!(kind(&|r| r[20..22].fill(0xFF)), Err("unknown_event"));
    assert_eq!(kind(&|r| r[24] = 4), Err("unknown_lane"));
    assert_eq!(kind(&|r| r[24] = 1), Err("wrong_lane"));
    assert_eq!(kind(&|r| r[26] = 4), Err("unknown_origin"));
    assert_eq!(kind(&|r| r[AT] = 6), Err("unknown_field"));
    assert_eq!(kind(&|r| r[AT] = 1), Err("repeated_field"));
    assert_eq!(kind(&|r| r[AT + 1] = 5), Err("unknown_quality"));
    assert_eq!(kind(&|r| r[AT + 3] = 0xFF), Err("payload_cut"));
    assert_eq!(kind(&|r| r[AT + 4] = 0), Err("payload_value"));
    let trailing = |r: &mut Vec<u8>| {
        r.extend([0; 3]);
        relength(r);
    };
    assert_eq!(kind(&trailing), Err("field_head"));
    let one = |quality, payload: &[u8], index| {
        let record = RecordBuilder::new(definition, header()).put(index, quality, payload).finish();
        Event::decode(&record).map(|_| ()).map_err(|e| e.kind())
    };
    assert_eq!(one(Quality::Ok, &[1, 2, 3], 1), Err("payload_length"));
    assert_eq!(one(Quality::Ok, &[], 1), Err("payload_length"));
    assert_eq!(one(Quality::Faulted, &[], 1), Ok(()));
    assert_eq!(one(Quality::Unavailable, &[1], 1), Err("payload_length"));
    let mut padded = RecordBuilder::new(definition, header()).put(0, Quality::Ok, b"x").finish();
    *padded.last_mut().unwrap() = 1;
    assert_eq!(Event::decode(&padded).unwrap_err(), DecodeError::Padding { index: 0, offset: HEADER_BYTES });
}

#[test]
fn payloads_that_no_value_has() {
    let refused = |event: &str, index, payload: &[u8]| {
        let record = RecordBuilder::new(named(event), header()).put(index, Quality::Ok, payload).finish();
        Event::decode(&record).unwrap_err().kind() == "payload_value"
    };
    assert!(refused("sched_process_fork", 10, &[2, 0, 0, 0]));
    assert!(refused("sched_process_exec", 1, b"/a\0b"));
    assert!(refused("sched_process_exec", 7, b"ls\0-l"));
    let mut packet = payload(catalogue::Type::Packet);
    packet[0] = 1;
    assert!(refused("net_packet_dns_request", 0, &packet));
    packet[0] = 2;
    packet[2] = 2;
    assert!(refused("net_packet_dns_request", 0, &packet));
}

/// A faulted number is not a number; the part of a string that could be read is shown.
#[test]
fn what_was_not_read_has_no_value() {
    let record = RecordBuilder::new(named("sched_process_exec"), header())
        .put(0, Quality::Faulted, b"/tm")
        .put(1, Quality::Faulted, b"")
        .put(2, Quality::Faulted, &[0; 4])
        .put(3, Quality::Unavailable, &[0; 8])
        .put(7, Quality::Truncated, b"ls\0-la")
        .put(9, Quality::Truncated, b"")
        .finish();
    let event = Event::decode(&record).unwrap();
    assert_eq!(event.field(0).value, Some(Value::Str(b"/tm")));
    assert_eq!((event.field(1).value, event.field(2).value, event.field(3).value), (None, None, None));
    assert_eq!(event.field(2).quality, Quality::Faulted);
    let Some(Value::StrArray(argv)) = event.field(7).value else { panic!("no argv") };
    assert_eq!(argv.collect::<Vec<_>>(), [b"ls".as_slice(), b"-la"]);
    assert_eq!(event.field(9).value, Some(Value::Path(b"")));
}

#[test]
fn an_empty_string_in_an_array_is_an_element() {
    let argv: &[&[u8]] = &[b"", b"a", b"", b""];
    let record = RecordBuilder::new(named("sched_process_exec"), header())
        .put_str_array(7, argv, Quality::Ok)
        .finish();
    let event = Event::decode(&record).unwrap();
    let Some(Value::StrArray(found)) = event.field(7).value else { panic!("no argv") };
    assert_eq!(found.collect::<Vec<_>>(), argv);
}

#[test]
fn credentials_and_packets_come_back() {
    let record = RecordBuilder::new(named("commit_creds"), header()).put_cred(1, &common::cred()).finish();
    assert_eq!(Event::decode(&record).unwrap().field(1).value, Some(Value::Cred(common::cred())));
    let names: Vec<_> = common::cred().cap_effective.names().collect();
    assert_eq!(names, [Some("CAP_CHECKPOINT_RESTORE"), None]);
    let six = event::Packet {
        src: "fe80::1".parse().unwrap(),
        dst: "ff02::fb".parse().unwrap(),
        direction: event::Direction::Ingress,
        ..common::packet()
    };
    for packet in [common::packet(), six] {
        let record =
            RecordBuilder::new(named("net_packet_dns_request"), header()).put_packet(0, &packet).finish();
        assert_eq!(Event::decode(&record).unwrap().field(0).value, Some(Value::Packet(packet)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_built_is_decoded(parts in any_parts()) {
        let record = parts.record();
        let event = Event::decode(&record).unwrap();
        prop_assert_eq!(event.definition.name, parts.event.name);
        prop_assert_eq!(event.header, parts.header);
        for index in 0..parts.event.fields.len() {
            let there = parts.fields.iter().find(|(i, ..)| usize::from(*i) == index);
            let expected = there.map_or(Quality::Unavailable, |(_, quality, _)| *quality);
            prop_assert_eq!(event.field(index).quality, expected);
            let sure = !matches!(expected, Quality::Faulted | Quality::Unavailable);
            prop_assert!(!sure || event.field(index).value.is_some());
            if let (Some(value), Some((_, _, payload))) = (event.field(index).value, there) {
                match value {
                    Value::Str(v) | Value::Path(v) | Value::Bytes(v) => prop_assert_eq!(v, &payload[..]),
                    Value::I32(v) => prop_assert_eq!(&v.to_le_bytes()[..], &payload[..]),
                    Value::U64(v) => prop_assert_eq!(&v.to_le_bytes()[..], &payload[..]),
                    Value::Cred(v) => prop_assert_eq!(&v.encode()[..], &payload[..]),
                    Value::Packet(v) => prop_assert_eq!(&v.encode()[..], &payload[..]),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Event::decode(&bytes).map(|e| e.fields().count());
    }

    /// Past the header's own check of the length, where noise seldom comes.
    #[test]
    fn no_change_makes_it_panic(
        parts in any_parts(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let mut record = parts.record();
        if shorten {
            record.truncate(HEADER_BYTES + cut.index(record.len() - HEADER_BYTES + 1));
            let length = u32::try_from(record.len()).unwrap();
            record[16..20].copy_from_slice(&length.to_le_bytes());
        }
        for (at, byte) in changes {
            let at = at.index(record.len());
            record[at] = byte;
        }
        if let Ok(event) = Event::decode(&record) {
            let always = event.definition.fields.iter().filter(|f| f.on_request.is_none()).count();
            prop_assert!((always..=event.definition.fields.len()).contains(&event.fields().count()));
        }
    }
}
