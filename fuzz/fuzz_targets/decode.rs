//! Any bytes: decoded or refused, and what is decoded is one line of JSON.

#![no_main]

use event::json::{Who, write_event};
use event::{Event, HEADER_BYTES};

struct Nobody;

impl Who for Nobody {
    fn host(&self) -> &str {
        "host"
    }

    fn boot_id(&self) -> &str {
        "boot"
    }

    fn wall_time(&self, boot_ns: u64) -> u64 {
        boot_ns
    }

    fn unique_id(&self, start_time: u64, tid: u32) -> u64 {
        start_time ^ u64::from(tid)
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Event::decode(data);
    // Help it past the checks of the header that a fuzzer guesses slowly.
    let mut record = data.to_vec();
    if record.len() >= HEADER_BYTES {
        let length = record.len() as u32;
        record[16..20].copy_from_slice(&length.to_le_bytes());
        let events = catalogue_events();
        let (id, lane) = events[usize::from(record[20]) % events.len()];
        record[20..22].copy_from_slice(&id.to_le_bytes());
        record[24] = lane;
        record[26] %= 3;
        record[27] &= 15;
    }
    let Ok(event) = Event::decode(&record) else { return };
    let mut line = Vec::new();
    write_event(&mut line, &event, &Nobody);
    let parsed: serde_json::Value = serde_json::from_slice(&line).expect("a line is JSON");
    let fields = event.definition.fields.len() + usize::from(event.header.ret.is_some());
    assert_eq!(parsed["data"].as_array().map(Vec::len), Some(fields));
});

fn catalogue_events() -> &'static [(u16, u8)] {
    static EVENTS: std::sync::LazyLock<Vec<(u16, u8)>> =
        std::sync::LazyLock::new(|| catalogue::EVENTS.iter().map(|e| (e.id, e.lane as u8)).collect());
    &EVENTS
}
