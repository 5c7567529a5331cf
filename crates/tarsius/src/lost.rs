//! `lost_events`: the ledger's losses as events of the stream.

use catalogue::Quality;
use catalogue::fields::lost_events;
use event::Header;
use event::build::RecordBuilder;
use sensor::Loss;

/// The record of a loss within a window of the boot clock.
pub(crate) fn record(loss: &Loss, since: u64, until: u64) -> Vec<u8> {
    let Some(definition) = catalogue::event_by_id(lost_events::EVENT_ID) else { return vec![] };
    let header = Header { cpu: loss.cpu.unwrap_or(0), ..Header::unknown(until) };
    let index = |field: usize| u8::try_from(field).unwrap_or(u8::MAX);
    let mut record = RecordBuilder::new(definition, header)
        .put_str(index(lost_events::LANE), loss.lane.name().as_bytes(), Quality::Ok)
        .put_str(index(lost_events::PROBE), loss.probe.as_bytes(), Quality::Ok)
        .put_str(index(lost_events::CAUSE), loss.cause.name().as_bytes(), Quality::Ok)
        .put_u64(index(lost_events::COUNT), loss.count)
        .put_u64(index(lost_events::SINCE), since);
    if let Some(cpu) = loss.cpu {
        record = record.put_u32(index(lost_events::CPU), cpu);
    }
    record.finish()
}
