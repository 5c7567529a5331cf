//! Packets taken apart: of one record of the kernel's, the events that are in it.
//!
//! The kernel's programs tell each packet once, as `net_packet_raw`: its bytes, as far as an event needs them, and whose socket it
//! passed. [`Dissector::dissect`] makes records of the other events of it, with the same header, so that the rest of the way does not
//! know that they were not the kernel's. It is total: whatever stands in a packet gives events or none, and a header that is malformed
//! gives its event with that field `faulted`.

mod http;
mod make;

use catalogue::fields::{
    net_packet_dns, net_packet_dns_request, net_packet_dns_response, net_packet_http,
    net_packet_http_request, net_packet_http_response, net_packet_icmp, net_packet_icmpv6, net_packet_ipv4,
    net_packet_ipv6, net_packet_raw, net_packet_tcp, net_packet_udp,
};
use catalogue::{Quality, Type};
use etherparse::{IpNumber, LaxIpSlice, TcpHeaderSlice, UdpHeaderSlice, ip_number};
use event::{Direction, Event, Packet, Value};

use http::{Segment, Streams};
use make::Maker;

/// Events that are made of packets here.
pub const MADE_HERE: [u16; 12] = [
    net_packet_ipv4::EVENT_ID,
    net_packet_ipv6::EVENT_ID,
    net_packet_tcp::EVENT_ID,
    net_packet_udp::EVENT_ID,
    net_packet_icmp::EVENT_ID,
    net_packet_icmpv6::EVENT_ID,
    net_packet_dns::EVENT_ID,
    net_packet_dns_request::EVENT_ID,
    net_packet_dns_response::EVENT_ID,
    net_packet_http::EVENT_ID,
    net_packet_http_request::EVENT_ID,
    net_packet_http_response::EVENT_ID,
];

/// The port of DNS; what goes over another is not taken for it.
const DNS_PORT: u16 = 53;
/// Bytes of a DNS message's header: nothing shorter is one.
const DNS_HEAD: usize = 12;
/// In the third byte of a DNS message.
const DNS_IS_RESPONSE: u8 = 0x80;

/// Makes events of packets.
#[derive(Debug)]
pub struct Dissector {
    /// Of [`MADE_HERE`], which are asked for.
    wanted: [bool; MADE_HERE.len()],
    streams: Streams,
}

/// What a packet consists of.
struct Layers<'a> {
    packet: Packet,
    /// From the IP header on, as far as the record has it.
    data: &'a [u8],
    /// What IP carries; `None` if that is not in this packet, or malformed.
    over: Option<Over<'a>>,
    /// The packet is longer than what the record has of it.
    cut: bool,
}

/// Gives the record of an event, which is put together only if it is wanted.
type Tell<'t> = &'t mut dyn FnMut(u16, &dyn Fn(Maker) -> Maker);

/// What IP carries.
#[derive(Clone, Copy)]
struct Over<'a> {
    protocol: IpNumber,
    /// From the protocol's own header on.
    bytes: &'a [u8],
}

impl Dissector {
    /// One that makes the events of which `wanted` says so, by their numbers.
    pub fn new(wanted: impl Fn(u16) -> bool) -> Dissector {
        Dissector { wanted: MADE_HERE.map(wanted), streams: Streams::default() }
    }

    /// Messages that were given up before they were whole, for want of room.
    pub fn evicted(&self) -> u64 {
        self.streams.evicted
    }

    /// Gives the record of each event that is wanted and in this one, if it is a packet's.
    pub fn dissect(&mut self, event: &Event<'_>, mut give: impl FnMut(&[u8])) {
        if event.definition.id != net_packet_raw::EVENT_ID {
            return;
        }
        let data = event.field(net_packet_raw::DATA);
        let (Some(Value::Bytes(bytes)), Some(Value::Packet(packet))) =
            (data.value, event.field(net_packet_raw::METADATA).value)
        else {
            return;
        };
        let layers =
            Layers { packet, data: bytes, over: over(bytes), cut: data.quality == Quality::Truncated };
        let mut tell = |id: u16, make: &dyn Fn(Maker) -> Maker| {
            if MADE_HERE.iter().zip(self.wanted).any(|(&e, wanted)| e == id && wanted)
                && let Some(definition) = catalogue::event_by_id(id)
            {
                give(&make(Maker::new(definition, event.header)).finish());
            }
        };
        if packet.src.is_ipv4() {
            use net_packet_ipv4::{DST, EVENT_ID, METADATA, PROTO_IPV4, SRC};
            tell(EVENT_ID, &|m| {
                let m = m.ends([SRC, DST], &packet).packet(METADATA, &packet);
                m.header(PROTO_IPV4, Type::Ipv4, layers.data)
            });
        } else {
            use net_packet_ipv6::{DST, EVENT_ID, METADATA, PROTO_IPV6, SRC};
            tell(EVENT_ID, &|m| {
                let m = m.ends([SRC, DST], &packet).packet(METADATA, &packet);
                m.header(PROTO_IPV6, Type::Ipv6, layers.data)
            });
        }
        let Some(over) = layers.over else { return };
        match over.protocol {
            ip_number::TCP => {
                use net_packet_tcp::{DST, DST_PORT, EVENT_ID, METADATA, PROTO_TCP, SRC, SRC_PORT};
                tell(EVENT_ID, &|m| {
                    let m = m.ends([SRC, DST], &packet).ports([SRC_PORT, DST_PORT], &packet);
                    m.packet(METADATA, &packet).header(PROTO_TCP, Type::Tcp, over.bytes)
                });
                let socket = event.field(net_packet_raw::SOCKET).value.and_then(|v| v.as_u64());
                if let (Some(segment), Some(socket)) = (segment(&layers, &over), socket) {
                    let stream = (socket, packet.direction == Direction::Egress);
                    self.streams.segment(stream, segment, |head, quality| {
                        tell_http(&packet, head, quality, &mut tell);
                    });
                }
            }
            ip_number::UDP => {
                use net_packet_udp::{DST, DST_PORT, EVENT_ID, METADATA, PROTO_UDP, SRC, SRC_PORT};
                tell(EVENT_ID, &|m| {
                    let m = m.ends([SRC, DST], &packet).ports([SRC_PORT, DST_PORT], &packet);
                    m.packet(METADATA, &packet).header(PROTO_UDP, Type::Udp, over.bytes)
                });
                if let Some((message, quality)) = dns(&layers, &over) {
                    tell_dns(&packet, message, quality, &mut tell);
                }
            }
            ip_number::ICMP => {
                use net_packet_icmp::{DST, EVENT_ID, METADATA, PROTO_ICMP, SRC};
                tell(EVENT_ID, &|m| {
                    let m = m.ends([SRC, DST], &packet).packet(METADATA, &packet);
                    m.header(PROTO_ICMP, Type::Icmp, over.bytes)
                });
            }
            ip_number::IPV6_ICMP => {
                use net_packet_icmpv6::{DST, EVENT_ID, METADATA, PROTO_ICMPV6, SRC};
                tell(EVENT_ID, &|m| {
                    let m = m.ends([SRC, DST], &packet).packet(METADATA, &packet);
                    m.header(PROTO_ICMPV6, Type::Icmpv6, over.bytes)
                });
            }
            _ => {}
        }
    }
}

/// What an IP packet carries, through the extension headers of IPv6; nothing of a later fragment.
fn over(data: &[u8]) -> Option<Over<'_>> {
    // Lax: the record may have less of the packet than its header says.
    let (ip, stopped) = LaxIpSlice::from_slice(data).ok()?;
    let payload = ip.payload();
    let first = match &ip {
        LaxIpSlice::Ipv4(v4) => v4.header().fragments_offset().value() == 0,
        // An extension header that is cut or malformed hides what follows.
        LaxIpSlice::Ipv6(_) => stopped.is_none() && !payload.fragmented,
    };
    first.then_some(Over { protocol: payload.ip_number, bytes: payload.payload })
}

/// The DNS message in a UDP datagram, if that is one, and whether it is whole.
fn dns<'a>(layers: &Layers<'_>, over: &Over<'a>) -> Option<(&'a [u8], Quality)> {
    if layers.packet.src_port != DNS_PORT && layers.packet.dst_port != DNS_PORT {
        return None;
    }
    let header = UdpHeaderSlice::from_slice(over.bytes).ok()?;
    let length = usize::from(header.length()).checked_sub(header.slice().len())?;
    let rest = over.bytes.get(header.slice().len()..)?;
    let message = rest.get(..length).unwrap_or(rest);
    let quality = if message.len() < length { Quality::Truncated } else { Quality::Ok };
    // Where no event wants it, the record has no more than the headers.
    (message.len() >= DNS_HEAD && (quality == Quality::Ok || layers.cut)).then_some((message, quality))
}

/// What a TCP segment carries, if anything.
fn segment<'a>(layers: &Layers<'_>, over: &Over<'a>) -> Option<Segment<'a>> {
    let header = TcpHeaderSlice::from_slice(over.bytes).ok()?;
    let payload = over.bytes.get(header.slice().len()..).filter(|p| !p.is_empty())?;
    Some(Segment { seq: header.sequence_number(), payload, cut: layers.cut })
}

fn tell_http(packet: &Packet, head: &[u8], quality: Quality, tell: Tell<'_>) {
    tell(net_packet_http::EVENT_ID, &|m| {
        use net_packet_http::{METADATA, PROTO_HTTP};
        m.packet(METADATA, packet).bytes(PROTO_HTTP, head, quality)
    });
    if head.starts_with(b"HTTP/") {
        use net_packet_http_response::{EVENT_ID, HTTP_RESPONSE, METADATA};
        tell(EVENT_ID, &|m| m.packet(METADATA, packet).bytes(HTTP_RESPONSE, head, quality));
    } else {
        use net_packet_http_request::{EVENT_ID, HTTP_REQUEST, METADATA};
        tell(EVENT_ID, &|m| m.packet(METADATA, packet).bytes(HTTP_REQUEST, head, quality));
    }
}

fn tell_dns(packet: &Packet, message: &[u8], quality: Quality, tell: Tell<'_>) {
    tell(net_packet_dns::EVENT_ID, &|m| {
        use net_packet_dns::{DST, DST_PORT, METADATA, PROTO_DNS, SRC, SRC_PORT};
        let m = m.ends([SRC, DST], packet).ports([SRC_PORT, DST_PORT], packet);
        m.packet(METADATA, packet).bytes(PROTO_DNS, message, quality)
    });
    if message.get(2).is_some_and(|flags| flags & DNS_IS_RESPONSE != 0) {
        use net_packet_dns_response::{DNS_RESPONSE, EVENT_ID, METADATA};
        tell(EVENT_ID, &|m| m.packet(METADATA, packet).bytes(DNS_RESPONSE, message, quality));
    } else {
        use net_packet_dns_request::{DNS_QUESTIONS, EVENT_ID, METADATA};
        tell(EVENT_ID, &|m| m.packet(METADATA, packet).bytes(DNS_QUESTIONS, message, quality));
    }
}
