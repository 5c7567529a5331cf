//! Packets taken apart: of one record of the kernel's, the events that are in it.
//!
//! The kernel's programs tell each packet once, as `net_packet_raw`: its bytes, as far as an event needs them, and whose socket it
//! passed. [`Dissector::dissect`] makes records of the other events of it, with the same header, so that the rest of the way does not
//! know that they were not the kernel's. It is total: whatever stands in a packet gives events or none, and a header that is malformed
//! gives its event with that field `faulted`.

mod dns;
mod flows;
mod fragments;
mod http;
mod make;
mod quic;
mod ssh;
mod streams;
mod tls;
mod tunnel;

use std::net::IpAddr;

use catalogue::fields::{
    net_flow_udp_begin, net_flow_udp_end, net_packet_dns, net_packet_dns_request, net_packet_dns_response,
    net_packet_http, net_packet_http_request, net_packet_http_response, net_packet_icmp, net_packet_icmpv6,
    net_packet_ipv4, net_packet_ipv6, net_packet_quic_initial, net_packet_raw, net_packet_sctp,
    net_packet_ssh_banner, net_packet_tcp, net_packet_tls_client_hello, net_packet_tls_server_hello,
    net_packet_udp,
};
use catalogue::{Quality, Type};
use etherparse::{IpNumber, LaxIpSlice, TcpHeaderSlice, UdpHeaderSlice, ip_number};
use event::{Direction, Encapsulation, Event, Header, Packet, ProtocolHeader, Value};

use flows::{End, Flow, Flows};
use fragments::Fragments;
use make::Maker;
use quic::{Initial, Initials};
use ssh::Banner;
use streams::{Kind, Segment, Streams};
use tls::{ClientHello, Hello, ServerHello};

/// Events that are made of packets here.
pub const MADE_HERE: [u16; 19] = [
    net_packet_ipv4::EVENT_ID,
    net_packet_ipv6::EVENT_ID,
    net_packet_tcp::EVENT_ID,
    net_packet_udp::EVENT_ID,
    net_packet_icmp::EVENT_ID,
    net_packet_icmpv6::EVENT_ID,
    net_packet_sctp::EVENT_ID,
    net_packet_dns::EVENT_ID,
    net_packet_dns_request::EVENT_ID,
    net_packet_dns_response::EVENT_ID,
    net_packet_http::EVENT_ID,
    net_packet_http_request::EVENT_ID,
    net_packet_http_response::EVENT_ID,
    net_packet_tls_client_hello::EVENT_ID,
    net_packet_tls_server_hello::EVENT_ID,
    net_packet_ssh_banner::EVENT_ID,
    net_packet_quic_initial::EVENT_ID,
    net_flow_udp_begin::EVENT_ID,
    net_flow_udp_end::EVENT_ID,
];

/// Packets in packets in packets are looked into, but no deeper.
const DEPTH: usize = 4;
/// Bytes of the headers of UDP and SCTP.
const UDP_HEAD: usize = 8;
const SCTP_HEAD: usize = 12;

/// Makes events of packets.
#[derive(Debug)]
pub struct Dissector {
    /// Of [`MADE_HERE`], which are asked for.
    wanted: [bool; MADE_HERE.len()],
    state: State,
}

/// What is kept from one packet to the next.
#[derive(Debug)]
struct State {
    streams: Streams<Place>,
    /// None if nobody asks for them.
    initials: Option<Initials<Place>>,
    fragments: Fragments,
    /// None if nobody asks for them.
    flows: Option<Flows>,
    malformed: [u64; Malformed::ALL.len()],
}

/// What was malformed of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Malformed {
    Ip,
    Tcp,
    Udp,
    Icmp,
    Sctp,
    Tunnel,
}

impl Malformed {
    const ALL: [(Malformed, &str); 6] = [
        (Malformed::Ip, "IP"),
        (Malformed::Tcp, "TCP"),
        (Malformed::Udp, "UDP"),
        (Malformed::Icmp, "ICMP"),
        (Malformed::Sctp, "SCTP"),
        (Malformed::Tunnel, "tunnels"),
    ];
}

/// Where packets that belong together are seen: a socket, a direction, the ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    socket: u64,
    egress: bool,
    addresses: [IpAddr; 2],
    ports: [u16; 2],
}

/// A packet, and where it comes from.
struct Layers<'a> {
    header: Header,
    socket: u64,
    packet: Packet,
    /// From the IP header on, as far as the record has it.
    data: &'a [u8],
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

/// What an IP packet has in it.
enum Carries<'a> {
    Over(Over<'a>),
    /// A part of what was cut.
    Fragment,
    /// What can not be found for what stands before it, or is not there.
    Nothing,
}

impl Dissector {
    /// One that makes the events of which `wanted` says so, by their numbers.
    pub fn new(wanted: impl Fn(u16) -> bool) -> Dissector {
        let state = State {
            streams: Streams::new(Default::default()),
            initials: None,
            fragments: Fragments::new(),
            flows: None,
            malformed: [0; Malformed::ALL.len()],
        };
        let mut dissector = Dissector { wanted: Default::default(), state };
        dissector.also(wanted);
        dissector
    }

    /// Makes these, too, from the next packet on. What it has begun goes on.
    pub fn also(&mut self, wanted: impl Fn(u16) -> bool) {
        let any = |events: &[u16]| events.iter().any(|&e| wanted(e));
        let http = [
            net_packet_http::EVENT_ID,
            net_packet_http_request::EVENT_ID,
            net_packet_http_response::EVENT_ID,
        ];
        let dns =
            [net_packet_dns::EVENT_ID, net_packet_dns_request::EVENT_ID, net_packet_dns_response::EVENT_ID];
        let tls = [net_packet_tls_client_hello::EVENT_ID, net_packet_tls_server_hello::EVENT_ID];
        let flows = [net_flow_udp_begin::EVENT_ID, net_flow_udp_end::EVENT_ID];
        let kinds = Kind::ALL.map(|kind| match kind {
            Kind::Http => any(&http),
            Kind::Tls => any(&tls),
            Kind::Ssh => any(&[net_packet_ssh_banner::EVENT_ID]),
            Kind::Dns => any(&dns),
        });
        self.state.streams.also(kinds);
        if any(&[net_packet_quic_initial::EVENT_ID]) {
            self.state.initials.get_or_insert_with(Initials::new);
        }
        if any(&flows) {
            self.state.flows.get_or_insert_default();
        }
        for (made, event) in self.wanted.iter_mut().zip(MADE_HERE) {
            *made |= wanted(event);
        }
    }

    /// What was given up before it was whole, or before its time, for want of room or of what did not come: by the event that it would have
    /// been.
    pub fn lost(&self) -> [(&'static str, u64); 7] {
        let [http, tls, ssh, dns] = self.state.streams.evicted;
        [
            ("net_packet_http", http),
            ("net_packet_tls_client_hello", tls),
            ("net_packet_ssh_banner", ssh),
            ("net_packet_dns", dns),
            ("net_packet_quic_initial", self.state.initials.as_ref().map_or(0, |i| i.evicted)),
            ("net_packet_raw", self.state.fragments.given_up),
            ("net_flow_udp_end", self.state.flows.as_ref().map_or(0, |f| f.evicted)),
        ]
    }

    /// Headers that were malformed, by protocol.
    pub fn malformed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Malformed::ALL.iter().zip(self.state.malformed).map(|((_, name), count)| (*name, count))
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
        let socket = event.field(net_packet_raw::SOCKET).value.and_then(|v| v.as_u64()).unwrap_or_default();
        let cut = data.quality == Quality::Truncated;
        let layers = Layers { header: event.header, socket, packet, data: bytes, cut };
        let wanted = self.wanted;
        self.state.packet(&layers, DEPTH, &mut |id, make| {
            if let Some(maker) = maker(&wanted, id, event.header) {
                give(&make(maker).finish());
            }
        });
        let Some(flows) = &mut self.state.flows else { return };
        if let Some(length) = datagram_length(&layers) {
            flows.datagram(socket, &event.header, &packet, length, &mut |flow, end| {
                give_flow(&wanted, flow, end, event.header.time, &mut give);
            });
        }
    }

    /// Gives what has ended by that time, on the events' clock, without a packet that says so.
    pub fn expire(&mut self, now: u64, mut give: impl FnMut(&[u8])) {
        let wanted = self.wanted;
        if let Some(flows) = &mut self.state.flows {
            flows.expire(now, &mut |flow, end| give_flow(&wanted, flow, end, now, &mut give));
        }
    }
}

/// Makes a record of that event, if it is wanted.
fn maker(wanted: &[bool; MADE_HERE.len()], id: u16, header: Header) -> Option<Maker> {
    let wanted = MADE_HERE.iter().zip(wanted).any(|(&e, &wanted)| e == id && wanted);
    let definition = wanted.then(|| catalogue::event_by_id(id))??;
    Some(Maker::new(definition, header))
}

impl State {
    /// Tells what is in a packet.
    fn packet(&mut self, layers: &Layers<'_>, depth: usize, tell: Tell<'_>) {
        let packet = &layers.packet;
        if packet.src.is_ipv4() {
            use net_packet_ipv4::{DST, EVENT_ID, METADATA, PROTO_IPV4, SRC};
            tell(EVENT_ID, &|m| {
                let m = m.ends([SRC, DST], packet).packet(METADATA, packet);
                m.header(PROTO_IPV4, Type::Ipv4, layers.data)
            });
        } else {
            use net_packet_ipv6::{DST, EVENT_ID, METADATA, PROTO_IPV6, SRC};
            tell(EVENT_ID, &|m| {
                let m = m.ends([SRC, DST], packet).packet(METADATA, packet);
                m.header(PROTO_IPV6, Type::Ipv6, layers.data)
            });
        }
        match carries(layers.data) {
            Carries::Over(over) => self.over(layers, over, depth, tell),
            Carries::Fragment => {
                let egress = packet.direction == Direction::Egress;
                let place = fragments::Place::new(&layers.header, layers.socket, egress);
                let whole = self.fragments.fragment(place, layers.header.time, layers.data);
                if let Some((protocol, bytes)) = whole {
                    let ports = ports(protocol, &bytes);
                    let packet = Packet { src_port: ports[0], dst_port: ports[1], ..*packet };
                    let layers = Layers { packet, cut: false, ..*layers };
                    self.over(&layers, Over { protocol, bytes: &bytes }, depth, tell);
                }
            }
            Carries::Nothing if !layers.cut => self.count(Malformed::Ip),
            Carries::Nothing => {}
        }
    }

    /// Tells what IP carries.
    fn over(&mut self, layers: &Layers<'_>, over: Over<'_>, depth: usize, tell: Tell<'_>) {
        let packet = &layers.packet;
        match over.protocol {
            ip_number::TCP => {
                use net_packet_tcp::{DST, DST_PORT, EVENT_ID, METADATA, PROTO_TCP, SRC, SRC_PORT};
                self.check(layers, Malformed::Tcp, Type::Tcp, &over);
                tell(EVENT_ID, &|m| {
                    let m = m.ends([SRC, DST], packet).ports([SRC_PORT, DST_PORT], packet);
                    m.packet(METADATA, packet).header(PROTO_TCP, Type::Tcp, over.bytes)
                });
                if let Some(segment) = segment(layers, &over) {
                    self.streams.segment(layers.place(), segment, &mut |kind, message, quality| {
                        tell_message(packet, kind, message, quality, tell);
                    });
                }
            }
            ip_number::UDP => {
                use net_packet_udp::{DST, DST_PORT, EVENT_ID, METADATA, PROTO_UDP, SRC, SRC_PORT};
                self.check(layers, Malformed::Udp, Type::Udp, &over);
                tell(EVENT_ID, &|m| {
                    let m = m.ends([SRC, DST], packet).ports([SRC_PORT, DST_PORT], packet);
                    m.packet(METADATA, packet).header(PROTO_UDP, Type::Udp, over.bytes)
                });
                if let Some((payload, whole)) = datagram(layers, &over) {
                    self.datagram(layers, payload, whole, depth, tell);
                }
            }
            ip_number::ICMP => {
                use net_packet_icmp::{DST, EVENT_ID, METADATA, PROTO_ICMP, SRC};
                self.check(layers, Malformed::Icmp, Type::Icmp, &over);
                tell(EVENT_ID, &|m| {
                    let m = m.ends([SRC, DST], packet).packet(METADATA, packet);
                    m.header(PROTO_ICMP, Type::Icmp, over.bytes)
                });
            }
            ip_number::IPV6_ICMP => {
                use net_packet_icmpv6::{DST, EVENT_ID, METADATA, PROTO_ICMPV6, SRC};
                self.check(layers, Malformed::Icmp, Type::Icmpv6, &over);
                tell(EVENT_ID, &|m| {
                    let m = m.ends([SRC, DST], packet).packet(METADATA, packet);
                    m.header(PROTO_ICMPV6, Type::Icmpv6, over.bytes)
                });
            }
            ip_number::SCTP => match over.bytes.split_at_checked(SCTP_HEAD) {
                Some((head, chunks)) => tell_sctp(layers, head, chunks, tell),
                None => self.count(Malformed::Sctp),
            },
            protocol => {
                if let Some((encapsulation, inner)) = tunnel::in_ip(protocol, over.bytes) {
                    self.inner(layers, encapsulation, inner, depth, tell);
                }
            }
        }
    }

    /// Tells what a datagram carries.
    fn datagram(&mut self, layers: &Layers<'_>, payload: &[u8], whole: bool, depth: usize, tell: Tell<'_>) {
        let packet = &layers.packet;
        if let Some((encapsulation, inner)) = tunnel::in_datagram(packet.dst_port, payload) {
            return self.inner(layers, encapsulation, inner, depth, tell);
        }
        if let Some(service) = dns::service([packet.src_port, packet.dst_port], payload, whole) {
            let quality = if whole { Quality::Ok } else { Quality::Truncated };
            return tell_dns(packet, payload, quality, ["udp", service], tell);
        }
        if let Some(initials) = &mut self.initials {
            initials
                .datagram(&layers.place(), payload, |initial, hello| tell_quic(packet, initial, hello, tell));
        }
    }

    /// Tells what is in a packet that another carries.
    fn inner(
        &mut self,
        layers: &Layers<'_>,
        encapsulation: Encapsulation,
        data: &[u8],
        depth: usize,
        tell: Tell<'_>,
    ) {
        let Some(packet) = inner_packet(&layers.packet, encapsulation, data) else {
            return self.count(Malformed::Tunnel);
        };
        if depth > 0 {
            self.packet(&Layers { packet, data, ..*layers }, depth - 1, tell);
        }
    }

    fn count(&mut self, what: Malformed) {
        self.malformed[what as usize] += 1;
    }

    /// Counts a header that is malformed; not one that is cut.
    fn check(&mut self, layers: &Layers<'_>, what: Malformed, ty: Type, over: &Over<'_>) {
        if !layers.cut && ProtocolHeader::decode(ty, over.bytes).is_none() {
            self.count(what);
        }
    }
}

impl Layers<'_> {
    fn place(&self) -> Place {
        let Packet { src, dst, src_port, dst_port, direction, .. } = self.packet;
        let egress = direction == Direction::Egress;
        Place { socket: self.socket, egress, addresses: [src, dst], ports: [src_port, dst_port] }
    }
}

/// What an IP packet carries, through the extension headers of IPv6.
fn carries(data: &[u8]) -> Carries<'_> {
    // Lax: the record may have less of the packet than its header says.
    let Ok((ip, stopped)) = LaxIpSlice::from_slice(data) else { return Carries::Nothing };
    let payload = ip.payload();
    let fragmented = match &ip {
        LaxIpSlice::Ipv4(v4) => v4.header().is_fragmenting_payload(),
        LaxIpSlice::Ipv6(_) => payload.fragmented,
    };
    match (fragmented, &ip) {
        (true, _) => Carries::Fragment,
        // An extension header that is cut or malformed hides what follows.
        (false, LaxIpSlice::Ipv6(_)) if stopped.is_some() => Carries::Nothing,
        _ => Carries::Over(Over { protocol: payload.ip_number, bytes: payload.payload }),
    }
}

/// The ports with which the header of such a protocol begins.
fn ports(protocol: IpNumber, bytes: &[u8]) -> [u16; 2] {
    match bytes.first_chunk::<4>() {
        Some(&[a, b, c, d]) if [ip_number::TCP, ip_number::UDP, ip_number::SCTP].contains(&protocol) => {
            [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
        }
        _ => [0; 2],
    }
}

/// What is known of a packet that another carries, from its header on.
fn inner_packet(outer: &Packet, encapsulation: Encapsulation, data: &[u8]) -> Option<Packet> {
    let (ip, _) = LaxIpSlice::from_slice(data).ok()?;
    let (src, dst, length) = match &ip {
        LaxIpSlice::Ipv4(v4) => {
            let h = v4.header();
            (h.source_addr().into(), h.destination_addr().into(), u32::from(h.total_len()))
        }
        LaxIpSlice::Ipv6(v6) => {
            let h = v6.header();
            (h.source_addr().into(), h.destination_addr().into(), 40 + u32::from(h.payload_length()))
        }
    };
    let payload = ip.payload();
    let [src_port, dst_port] = match carries(data) {
        Carries::Over(over) => ports(over.protocol, over.bytes),
        _ => [0; 2],
    };
    let protocol = payload.ip_number.0;
    let encapsulation = Some(encapsulation);
    Some(Packet { src, dst, src_port, dst_port, protocol, length, encapsulation, ..*outer })
}

/// Bytes that a datagram carries, as its header says; none if it is another packet, or a fragment, or in a tunnel.
fn datagram_length(layers: &Layers<'_>) -> Option<u64> {
    let Carries::Over(over) = carries(layers.data) else { return None };
    if over.protocol != ip_number::UDP {
        return None;
    }
    let header = UdpHeaderSlice::from_slice(over.bytes).ok()?;
    Some(u64::from(header.length()).saturating_sub(UDP_HEAD as u64))
}

/// What a datagram carries, if it is in the record, and whether it is whole.
fn datagram<'a>(layers: &Layers<'_>, over: &Over<'a>) -> Option<(&'a [u8], bool)> {
    let header = UdpHeaderSlice::from_slice(over.bytes).ok()?;
    let length = usize::from(header.length()).checked_sub(UDP_HEAD)?;
    let rest = over.bytes.get(UDP_HEAD..).filter(|rest| !rest.is_empty())?;
    let payload = rest.get(..length).unwrap_or(rest);
    let whole = payload.len() == length;
    // What is not whole in a record that is was malformed.
    (whole || layers.cut).then_some((payload, whole))
}

/// What a TCP segment carries, if anything.
fn segment<'a>(layers: &Layers<'_>, over: &Over<'a>) -> Option<Segment<'a>> {
    let header = TcpHeaderSlice::from_slice(over.bytes).ok()?;
    let payload = over.bytes.get(header.slice().len()..).filter(|p| !p.is_empty())?;
    let dns = [header.source_port(), header.destination_port()].contains(&dns::PORT);
    Some(Segment { seq: header.sequence_number(), payload, cut: layers.cut, dns })
}

fn tell_message(packet: &Packet, kind: Kind, message: &[u8], quality: Quality, tell: Tell<'_>) {
    match kind {
        Kind::Http => tell_http(packet, message, quality, tell),
        Kind::Dns => tell_dns(packet, message, quality, ["tcp", "dns"], tell),
        Kind::Tls => match Hello::parse(message) {
            Some(Hello::Client(hello)) => tell_client(packet, &hello, tell),
            Some(Hello::Server(hello)) => tell_server(packet, &hello, tell),
            None => {}
        },
        Kind::Ssh => {
            if let Some(banner) = Banner::parse(message) {
                tell_banner(packet, &banner, tell);
            }
        }
    }
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

fn tell_dns(
    packet: &Packet,
    message: &[u8],
    quality: Quality,
    [transport, service]: [&str; 2],
    tell: Tell<'_>,
) {
    tell(net_packet_dns::EVENT_ID, &|m| {
        use net_packet_dns::{DST, DST_PORT, METADATA, PROTO_DNS, SERVICE, SRC, SRC_PORT, TRANSPORT};
        let m = m.ends([SRC, DST], packet).ports([SRC_PORT, DST_PORT], packet);
        let m = m.packet(METADATA, packet).bytes(PROTO_DNS, message, quality);
        m.text(TRANSPORT, transport).text(SERVICE, service)
    });
    // A bit of the header says that it is a response.
    if message.get(2).is_some_and(|flags| flags & 0x80 != 0) {
        use net_packet_dns_response::{DNS_RESPONSE, EVENT_ID, METADATA, SERVICE, TRANSPORT};
        tell(EVENT_ID, &|m| {
            let m = m.packet(METADATA, packet).bytes(DNS_RESPONSE, message, quality);
            m.text(TRANSPORT, transport).text(SERVICE, service)
        });
    } else {
        use net_packet_dns_request::{DNS_QUESTIONS, EVENT_ID, METADATA, SERVICE, TRANSPORT};
        tell(EVENT_ID, &|m| {
            let m = m.packet(METADATA, packet).bytes(DNS_QUESTIONS, message, quality);
            m.text(TRANSPORT, transport).text(SERVICE, service)
        });
    }
}

/// Names of numbers, in a list of texts.
fn named(numbers: &[u16], name: fn(u16) -> String) -> impl Iterator<Item = String> {
    numbers.iter().map(move |&n| name(n))
}

fn tell_client(packet: &Packet, hello: &ClientHello, tell: Tell<'_>) {
    tell(net_packet_tls_client_hello::EVENT_ID, &|m| {
        use net_packet_tls_client_hello::{
            ALPN, CIPHER_SUITES, EXTENSIONS, GROUPS, JA3, JA4, METADATA, SIGNATURE_ALGORITHMS, SNI, VERSION,
            VERSIONS,
        };
        let m = m.packet(METADATA, packet).number(VERSION, hello.version().into());
        let m = m.found(SNI, hello.name.as_deref()).texts(ALPN, &hello.protocols, Quality::Ok);
        let m = m.texts(CIPHER_SUITES, named(&hello.ciphers, tls::cipher), Quality::Ok);
        let m = m.texts(EXTENSIONS, named(&hello.extensions, tls::extension), Quality::Ok);
        let m = m.texts(GROUPS, named(&hello.groups, tls::group), Quality::Ok);
        let m = m.texts(SIGNATURE_ALGORITHMS, named(&hello.signatures, tls::signature), Quality::Ok);
        let m = m.texts(VERSIONS, named(&hello.versions, tls::version), Quality::Ok);
        m.text(JA3, &hello.ja3()).text(JA4, &hello.ja4(false))
    });
}

fn tell_server(packet: &Packet, hello: &ServerHello, tell: Tell<'_>) {
    tell(net_packet_tls_server_hello::EVENT_ID, &|m| {
        use net_packet_tls_server_hello::{
            ALPN, CIPHER_SUITE, EXTENSIONS, GROUP, JA3S, METADATA, RETRY, VERSION,
        };
        let m = m.packet(METADATA, packet).number(VERSION, hello.version().into());
        let m = m.text(CIPHER_SUITE, &tls::cipher(hello.cipher)).found(ALPN, hello.protocol.as_deref());
        let m = m.texts(EXTENSIONS, named(&hello.extensions, tls::extension), Quality::Ok);
        let m = m.found(GROUP, hello.group.map(tls::group).as_ref().map(String::as_bytes));
        m.number(RETRY, hello.retry.into()).text(JA3S, &hello.ja3s())
    });
}

fn tell_banner(packet: &Packet, banner: &Banner<'_>, tell: Tell<'_>) {
    tell(net_packet_ssh_banner::EVENT_ID, &|m| {
        use net_packet_ssh_banner::{COMMENTS, METADATA, PROTOCOL, ROLE, SOFTWARE};
        let role = if packet.src_port < packet.dst_port { "server" } else { "client" };
        let m = m.packet(METADATA, packet).text(ROLE, role).found(PROTOCOL, Some(banner.protocol));
        m.found(SOFTWARE, Some(banner.software)).found(COMMENTS, banner.comments)
    });
}

fn tell_quic(packet: &Packet, initial: &Initial<'_>, hello: &ClientHello, tell: Tell<'_>) {
    tell(net_packet_quic_initial::EVENT_ID, &|m| {
        use net_packet_quic_initial::{ALPN, DCID, JA4, METADATA, SCID, SNI, VERSION};
        let m = m.packet(METADATA, packet).number(VERSION, initial.version);
        let m = m.bytes(DCID, initial.dcid, Quality::Ok).bytes(SCID, initial.scid, Quality::Ok);
        let m = m.found(SNI, hello.name.as_deref()).texts(ALPN, &hello.protocols, Quality::Ok);
        m.text(JA4, &hello.ja4(true))
    });
}

fn tell_sctp(layers: &Layers<'_>, head: &[u8], mut chunks: &[u8], tell: Tell<'_>) {
    let tag = head.get(4..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |t| u32::from_be_bytes(*t));
    let mut types = vec![];
    // Each has its length, with that of its head, and begins at a multiple of four.
    while let Some(&[ty, _, high, low]) = chunks.first_chunk::<4>() {
        types.push(sctp_chunk(ty));
        let length = usize::from(u16::from_be_bytes([high, low])).max(4).next_multiple_of(4);
        chunks = chunks.get(length..).unwrap_or_default();
    }
    let quality = if layers.cut { Quality::Truncated } else { Quality::Ok };
    let packet = &layers.packet;
    tell(net_packet_sctp::EVENT_ID, &|m| {
        use net_packet_sctp::{CHUNKS, DST, DST_PORT, METADATA, SRC, SRC_PORT, VERIFICATION_TAG};
        let m = m.ends([SRC, DST], packet).ports([SRC_PORT, DST_PORT], packet).packet(METADATA, packet);
        m.number(VERIFICATION_TAG, tag).texts(CHUNKS, &types, quality)
    });
}

/// The name of a chunk's type (IANA), or its number.
fn sctp_chunk(ty: u8) -> String {
    const NAMES: [&str; 16] = [
        "DATA",
        "INIT",
        "INIT_ACK",
        "SACK",
        "HEARTBEAT",
        "HEARTBEAT_ACK",
        "ABORT",
        "SHUTDOWN",
        "SHUTDOWN_ACK",
        "ERROR",
        "COOKIE_ECHO",
        "COOKIE_ACK",
        "ECNE",
        "CWR",
        "SHUTDOWN_COMPLETE",
        "AUTH",
    ];
    NAMES.get(usize::from(ty)).map_or_else(|| format!("{ty:#04x}"), |name| (*name).to_string())
}

fn give_flow(
    wanted: &[bool; MADE_HERE.len()],
    flow: &Flow,
    end: Option<End>,
    time: u64,
    give: &mut impl FnMut(&[u8]),
) {
    let direction = if flow.outgoing() { "outgoing" } else { "incoming" };
    let header = Header { time, ..flow.header };
    match end {
        None => {
            use net_flow_udp_begin::{CONN_DIRECTION, DST, DST_PORT, EVENT_ID, SRC, SRC_PORT};
            let Some(m) = maker(wanted, EVENT_ID, header) else { return };
            let m = m.text(CONN_DIRECTION, direction).ends([SRC, DST], &flow.packet);
            give(&m.ports([SRC_PORT, DST_PORT], &flow.packet).finish());
        }
        Some(end) => {
            use net_flow_udp_end::{
                BYTES_RECEIVED, BYTES_SENT, CONN_DIRECTION, DST, DST_PORT, DURATION, EVENT_ID,
                PACKETS_RECEIVED, PACKETS_SENT, REASON, SRC, SRC_PORT,
            };
            let Some(m) = maker(wanted, EVENT_ID, header) else { return };
            let m = m.text(CONN_DIRECTION, direction).ends([SRC, DST], &flow.packet);
            let m = m.ports([SRC_PORT, DST_PORT], &flow.packet);
            let m = m.long(DURATION, flow.last.saturating_sub(flow.header.time)).text(REASON, end.name());
            let m = m.long(BYTES_SENT, flow.bytes[0]).long(BYTES_RECEIVED, flow.bytes[1]);
            give(&m.long(PACKETS_SENT, flow.packets[0]).long(PACKETS_RECEIVED, flow.packets[1]).finish());
        }
    }
}
