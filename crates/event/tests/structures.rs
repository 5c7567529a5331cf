//! Structures as far as the caller knows them, and meanings that another field chooses.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use catalogue::Quality;
use common::header;
use event::build::RecordBuilder;
use event::json::schema;
use event::{Event, MemberValue, Value, names};
use proptest::prelude::*;

/// A record of the call bpf with that command and attributes.
fn bpf(command: i32, attr: &[u8]) -> Vec<u8> {
    let definition = catalogue::event("bpf").unwrap();
    RecordBuilder::new(definition, header())
        .put_i32(0, command)
        .put_bytes(1, attr, Quality::Ok)
        .put_u32(2, attr.len() as u32)
        .finish()
}

/// The members of its second field.
fn members(record: &[u8]) -> Vec<(&'static str, String)> {
    let event = Event::decode(record).unwrap();
    let Some(Value::Struct(structure)) = event.field(1).value else { return vec![] };
    structure
        .members()
        .map(|(member, value)| {
            let text = match (member.format, value.as_i64(), value) {
                (Some(format), Some(n), _) => names::Named(format, n).to_string(),
                (None, Some(n), _) => n.to_string(),
                (_, _, MemberValue::Str(text) | MemberValue::Bytes(text)) => {
                    String::from_utf8_lossy(text).into_owned()
                }
                _ => String::new(),
            };
            (member.name, text)
        })
        .collect()
}

fn attributes(words: &[(usize, u32)], size: usize) -> Vec<u8> {
    let mut attr = vec![0; size];
    for (at, word) in words {
        attr[*at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    attr
}

#[test]
fn the_command_chooses_the_attributes() {
    let mut map = attributes(&[(0, 2), (4, 4), (8, 8), (12, 1), (16, 0x80)], 48);
    map[28..34].copy_from_slice(b"a_name");
    let told = members(&bpf(0, &map));
    let expected = [
        ("map_type", "BPF_MAP_TYPE_ARRAY"),
        ("key_size", "4"),
        ("value_size", "8"),
        ("max_entries", "1"),
        ("map_flags", "BPF_F_RDONLY_PROG"),
        ("inner_map_fd", "0"),
        ("numa_node", "0"),
        ("map_name", "a_name"),
        ("map_ifindex", "0"),
    ];
    assert_eq!(told, expected.map(|(name, text)| (name, text.to_string())));
    // The same bytes under another command; a flag beside the command changes nothing.
    let freeze = 0x16;
    assert_eq!(members(&bpf(freeze, &map)), [("map_fd", "2".to_string())]);
    assert_eq!(members(&bpf(freeze | 0x1_0000, &map)), [("map_fd", "2".to_string())]);
}

#[test]
fn of_an_unknown_command_there_are_bytes() {
    let record = bpf(0xfff, &[1, 2, 3]);
    assert_eq!(Event::decode(&record).unwrap().field(1).value, Some(Value::Bytes(&[1, 2, 3])));
}

#[test]
fn every_command_has_its_attributes() {
    let layouts = catalogue::event("bpf").unwrap().fields[1].layouts.unwrap();
    for command in 0..=0x26 {
        assert!(layouts.get(command).is_some(), "{command:#x}");
    }
    assert!(layouts.get(0x27).is_none());
}

#[test]
fn what_the_caller_does_not_know_is_left_out() {
    let clone3 = catalogue::event("clone3").unwrap();
    let last = |size: usize| {
        let record =
            RecordBuilder::new(clone3, header()).put_bytes(0, &vec![255; size], Quality::Ok).finish();
        let event = Event::decode(&record).unwrap();
        let Some(Value::Struct(structure)) = event.field(0).value else { return None };
        structure.members().last().map(|(m, _)| m.name)
    };
    assert_eq!(last(64), Some("tls"));
    // Half of a member is none of it.
    assert_eq!(last(76), Some("set_tid"));
    assert_eq!(last(88), Some("cgroup"));
    assert_eq!(last(0), None);
}

#[test]
fn bytes_at_the_end_are_cut() {
    let told = members(&bpf(0x1c, &attributes(&[(16, 0x4241_4443)], 20)));
    assert_eq!(told.last().unwrap(), &("by_attach_type", "CDAB".to_string()));
}

#[test]
fn the_level_chooses_the_options_name() {
    let definition = catalogue::event("setsockopt").unwrap();
    let name = |level: i32, option: i32| {
        let record = RecordBuilder::new(definition, header()).put_i32(1, level).put_i32(2, option).finish();
        let event = Event::decode(&record).unwrap();
        event.format(&definition.fields[2]).map(|f| names::Named(f, option.into()).to_string())
    };
    assert_eq!(name(1, 2).as_deref(), Some("SO_REUSEADDR"));
    assert_eq!(name(6, 2).as_deref(), Some("TCP_MAXSEG"));
    assert_eq!(name(0, 1).as_deref(), Some("IP_TOS"));
    assert_eq!(name(12345, 2), None);
    assert_eq!(name(-1, 2), None);
}

proptest! {
    /// Any command with any attributes is told, and as the schema says.
    #[test]
    fn any_attributes(command in prop_oneof![0..0x30i32, any::<i32>()], attr in prop::collection::vec(any::<u8>(), 0..200)) {
        static SCHEMA: std::sync::LazyLock<jsonschema::Validator> =
            std::sync::LazyLock::new(|| jsonschema::validator_for(&schema()).unwrap());
        let record = bpf(command, &attr);
        let mut line = vec![];
        event::json::write_event(&mut line, &Event::decode(&record).unwrap(), &common::Nobody);
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let wrong = SCHEMA.iter_errors(&line).map(|e| e.to_string()).collect::<Vec<_>>();
        prop_assert!(wrong.is_empty(), "{wrong:?}: {line}");
    }
}
