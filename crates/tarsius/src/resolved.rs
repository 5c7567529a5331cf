//! Names of addresses, added to the events that show them.

use catalogue::Quality;
use catalogue::fields::{
    net_flow_tcp_begin, net_flow_tcp_end, net_flow_udp_begin, net_flow_udp_end, net_tcp_connect,
};
use context::Context;
use event::build::RecordBuilder;
use event::{Event, Value};

/// Events that show what their addresses are called.
pub(crate) const NAMED: [u16; 5] = [
    net_tcp_connect::EVENT_ID,
    net_flow_tcp_begin::EVENT_ID,
    net_flow_tcp_end::EVENT_ID,
    net_flow_udp_begin::EVENT_ID,
    net_flow_udp_end::EVENT_ID,
];

/// The event's record with the names of its addresses; `None` if it shows none, or none is known.
pub(crate) fn with_names(event: &Event<'_>, context: &Context) -> Option<Vec<u8>> {
    // Each address, and the field of its names.
    let pairs: &[(usize, usize)] = match event.definition.id {
        net_tcp_connect::EVENT_ID => &[(net_tcp_connect::DST, net_tcp_connect::DST_DNS)],
        net_flow_tcp_begin::EVENT_ID => {
            use net_flow_tcp_begin::{DST, DST_DNS, SRC, SRC_DNS};
            &[(SRC, SRC_DNS), (DST, DST_DNS)]
        }
        net_flow_tcp_end::EVENT_ID => {
            use net_flow_tcp_end::{DST, DST_DNS, SRC, SRC_DNS};
            &[(SRC, SRC_DNS), (DST, DST_DNS)]
        }
        net_flow_udp_begin::EVENT_ID => {
            use net_flow_udp_begin::{DST, DST_DNS, SRC, SRC_DNS};
            &[(SRC, SRC_DNS), (DST, DST_DNS)]
        }
        net_flow_udp_end::EVENT_ID => {
            use net_flow_udp_end::{DST, DST_DNS, SRC, SRC_DNS};
            &[(SRC, SRC_DNS), (DST, DST_DNS)]
        }
        _ => return None,
    };
    let mut record: Option<RecordBuilder> = None;
    for &(address, field) in pairs {
        let Some(Value::Ip(address)) = event.field(address).value else { continue };
        let names = context.dns.names(event, address);
        if !names.is_empty() {
            let names: Vec<&[u8]> = names.iter().map(|n| n.as_bytes()).collect();
            let index = u8::try_from(field).unwrap_or(u8::MAX);
            let builder = record.take().unwrap_or_else(|| RecordBuilder::of(event));
            record = Some(builder.put_str_array(index, &names, Quality::Ok));
        }
    }
    record.map(RecordBuilder::finish)
}
