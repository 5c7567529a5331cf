//! Headers and messages of packets, in the shapes of Tracee's `event_data.proto`.

use catalogue::Quality;
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice};

use super::text::{base64, display, name, put};
use crate::dns::txt_strings;
use crate::{Answer, Dns, DnsMessage, DnsPart, Packet, Parsed, ProtocolHeader, Question, RecordData, names};

pub(super) fn metadata(out: &mut Vec<u8>, packet: &Packet) {
    out.extend_from_slice(b"\"packet_metadata\":{\"src_ip\":");
    display(out, packet.src);
    out.extend_from_slice(b",\"dst_ip\":");
    display(out, packet.dst);
    put(out, ",\"src_port\":", packet.src_port);
    put(out, ",\"dst_port\":", packet.dst_port);
    put(out, ",\"protocol\":", packet.protocol);
    put(out, ",\"packet_len\":", packet.length);
    if packet.ifindex != 0 {
        put(out, ",\"ifindex\":", packet.ifindex);
    }
    out.extend_from_slice(b",\"direction\":\"");
    out.extend_from_slice(packet.direction.name().as_bytes());
    out.push(b'"');
    if let Some(encapsulation) = packet.encapsulation {
        out.extend_from_slice(b",\"encapsulation\":\"");
        out.extend_from_slice(encapsulation.name().as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
}

pub(super) fn header(out: &mut Vec<u8>, header: &ProtocolHeader<'_>) {
    match header.parse() {
        Some(Parsed::Ipv4(h)) => ipv4(out, &h),
        Some(Parsed::Ipv6(h)) => ipv6(out, &h),
        Some(Parsed::Tcp(h)) => tcp(out, &h),
        Some(Parsed::Udp(h)) => {
            put(out, "\"udp\":{\"src_port\":", h.source_port());
            put(out, ",\"dst_port\":", h.destination_port());
            put(out, ",\"length\":", h.length());
            put(out, ",\"checksum\":", h.checksum());
        }
        Some(Parsed::Icmp(h)) => {
            out.extend_from_slice(b"\"icmp\":{\"type_code\":");
            display(out, names::icmp(h.ty, h.code));
            put(out, ",\"checksum\":", h.checksum);
            put(out, ",\"id\":", h.id);
            put(out, ",\"seq\":", h.seq);
        }
        Some(Parsed::Icmpv6(h)) => {
            out.extend_from_slice(b"\"icmpv6\":{\"type_code\":");
            display(out, names::icmpv6(h.ty, h.code));
            put(out, ",\"checksum\":", h.checksum);
        }
        // It was well-formed when it was decoded.
        None => {
            name(out, "bytes");
            return base64(out, header.raw());
        }
    }
    out.push(b'}');
}

fn ipv4(out: &mut Vec<u8>, h: &Ipv4HeaderSlice<'_>) {
    // 4 and 2 from the most significant bit on, as the wire has them: reserved, don't fragment, more fragments.
    let flags = u8::from(h.dont_fragment()) << 1 | u8::from(h.more_fragments());
    put(out, "\"ipv4\":{\"version\":", h.version());
    put(out, ",\"ihl\":", h.ihl());
    put(out, ",\"tos\":", h.dcp().value() << 2 | h.ecn().value());
    put(out, ",\"length\":", h.total_len());
    put(out, ",\"id\":", h.identification());
    put(out, ",\"flags\":", flags);
    put(out, ",\"frag_offset\":", h.fragments_offset().value());
    put(out, ",\"ttl\":", h.ttl());
    out.extend_from_slice(b",\"protocol\":");
    display(out, names::ip_protocol(h.protocol().0));
    put(out, ",\"checksum\":", h.header_checksum());
    out.extend_from_slice(b",\"src_ip\":");
    display(out, h.source_addr());
    out.extend_from_slice(b",\"dst_ip\":");
    display(out, h.destination_addr());
}

fn ipv6(out: &mut Vec<u8>, h: &Ipv6HeaderSlice<'_>) {
    put(out, "\"ipv6\":{\"version\":", h.version());
    put(out, ",\"traffic_class\":", h.traffic_class());
    put(out, ",\"flow_label\":", h.flow_label().value());
    put(out, ",\"length\":", h.payload_length());
    out.extend_from_slice(b",\"next_header\":");
    display(out, names::ip_protocol(h.next_header().0));
    put(out, ",\"hop_limit\":", h.hop_limit());
    out.extend_from_slice(b",\"src_ip\":");
    display(out, h.source_addr());
    out.extend_from_slice(b",\"dst_ip\":");
    display(out, h.destination_addr());
}

fn tcp(out: &mut Vec<u8>, h: &TcpHeaderSlice<'_>) {
    put(out, "\"tcp\":{\"src_port\":", h.source_port());
    put(out, ",\"dst_port\":", h.destination_port());
    put(out, ",\"seq\":", h.sequence_number());
    put(out, ",\"ack\":", h.acknowledgment_number());
    put(out, ",\"data_offset\":", h.data_offset());
    for (flag, set) in [
        (",\"fin_flag\":", h.fin()),
        (",\"syn_flag\":", h.syn()),
        (",\"rst_flag\":", h.rst()),
        (",\"psh_flag\":", h.psh()),
        (",\"ack_flag\":", h.ack()),
        (",\"urg_flag\":", h.urg()),
        (",\"ece_flag\":", h.ece()),
        (",\"cwr_flag\":", h.cwr()),
        (",\"ns_flag\":", h.ns()),
    ] {
        put(out, flag, u8::from(set));
    }
    put(out, ",\"window\":", h.window_size());
    put(out, ",\"checksum\":", h.checksum());
    put(out, ",\"urgent\":", h.urgent_pointer());
}

/// Writes the message, and tells how good what is written is.
pub(super) fn dns(out: &mut Vec<u8>, message: &DnsMessage<'_>) -> Quality {
    let dns = message.parse();
    match message.part() {
        DnsPart::Questions => {
            out.extend_from_slice(b"\"dns_questions\":{\"questions\":[");
            for (n, question) in dns.questions().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                dns_question(out, &question, ["query", "query_type", "query_class"]);
            }
            out.extend_from_slice(b"]}");
        }
        DnsPart::Answers => dns_responses(out, &dns),
        DnsPart::Whole => dns_whole(out, &dns),
    }
    dns.quality
}

fn dns_responses(out: &mut Vec<u8>, dns: &Dns<'_>) {
    // A message has one question in practice; its answers say nothing of which question they are for.
    out.extend_from_slice(b"\"dns_responses\":{\"responses\":[");
    for (n, question) in dns.questions().enumerate() {
        out.extend_from_slice(if n > 0 { b",{\"dns_query_data\":" } else { b"{\"dns_query_data\":" });
        dns_question(out, &question, ["query", "query_type", "query_class"]);
        out.extend_from_slice(b",\"dns_answer\":[");
        if n == 0 {
            dns_answers(out, dns);
        }
        out.extend_from_slice(b"]}");
    }
    if dns.questions().next().is_none() && dns.answers().next().is_some() {
        out.extend_from_slice(b"{\"dns_answer\":[");
        dns_answers(out, dns);
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
}

fn dns_question(out: &mut Vec<u8>, question: &Question<'_>, [query, ty, class]: [&str; 3]) {
    out.push(b'{');
    name(out, query);
    display(out, question.name);
    out.push(b',');
    name(out, ty);
    dns_type(out, question.ty);
    out.push(b',');
    name(out, class);
    dns_class(out, question.class);
    out.push(b'}');
}

fn dns_answers(out: &mut Vec<u8>, dns: &Dns<'_>) {
    for (n, answer) in dns.answers().enumerate() {
        out.extend_from_slice(if n > 0 { b",{\"type\":" } else { b"{\"type\":" });
        dns_type(out, answer.ty);
        put(out, ",\"ttl\":", answer.ttl);
        out.extend_from_slice(b",\"answer\":");
        display(out, answer.data);
        out.push(b'}');
    }
}

fn dns_whole(out: &mut Vec<u8>, dns: &Dns<'_>) {
    let flags = dns.flags();
    let bit = |n: u16| flags >> n & 1;
    put(out, "\"dns\":{\"id\":", dns.id());
    put(out, ",\"qr\":", bit(15));
    out.extend_from_slice(b",\"op_code\":");
    display(out, names::dns_operation((flags >> 11 & 15) as u8));
    put(out, ",\"aa\":", bit(10));
    put(out, ",\"tc\":", bit(9));
    put(out, ",\"rd\":", bit(8));
    put(out, ",\"ra\":", bit(7));
    put(out, ",\"z\":", flags >> 4 & 7);
    out.extend_from_slice(b",\"response_code\":");
    display(out, names::dns_response(dns.response_code()));
    for (key, count) in ["qd", "an", "ns", "ar"].into_iter().zip(dns.counts()) {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(key.as_bytes());
        put(out, "_count\":", count);
    }
    out.extend_from_slice(b",\"questions\":[");
    for (n, question) in dns.questions().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        dns_question(out, &question, ["name", "type", "class"]);
    }
    dns_section(out, "],\"answers\":[", dns.answers());
    dns_section(out, "],\"authorities\":[", dns.authorities());
    dns_section(out, "],\"additionals\":[", dns.additionals());
    out.extend_from_slice(b"]}");
}

fn dns_section<'a>(out: &mut Vec<u8>, begin: &str, records: impl Iterator<Item = Answer<'a>>) {
    out.extend_from_slice(begin.as_bytes());
    for (n, record) in records.enumerate() {
        out.extend_from_slice(if n > 0 { b",{\"name\":" } else { b"{\"name\":" });
        display(out, record.name);
        out.extend_from_slice(b",\"type\":");
        dns_type(out, record.ty);
        out.extend_from_slice(b",\"class\":");
        dns_class(out, record.class);
        put(out, ",\"ttl\":", record.ttl);
        out.push(b',');
        dns_data(out, record.ty, &record.data);
        out.push(b'}');
    }
}

fn dns_data(out: &mut Vec<u8>, ty: u16, data: &RecordData<'_>) {
    let mut keyed = |key: &str, value: &dyn std::fmt::Display| {
        name(out, key);
        display(out, value);
    };
    match data {
        RecordData::A(a) => keyed("ip", a),
        RecordData::Aaaa(a) => keyed("ip", a),
        RecordData::Name(target) => keyed(
            match ty {
                2 => "ns",
                5 => "cname",
                _ => "ptr",
            },
            target,
        ),
        RecordData::Mx { preference, exchange } => {
            put(out, "\"mx\":{\"preference\":", *preference);
            out.extend_from_slice(b",\"name\":");
            display(out, exchange);
            out.push(b'}');
        }
        RecordData::Txt(raw) => {
            out.extend_from_slice(b"\"txts\":[");
            for (n, text) in txt_strings(raw).enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                super::text::bytes(out, text, super::text::Encoding::of(text));
            }
            out.push(b']');
        }
        RecordData::Soa { mname, rname, numbers } => {
            out.extend_from_slice(b"\"soa\":{\"mname\":");
            display(out, mname);
            out.extend_from_slice(b",\"rname\":");
            display(out, rname);
            for (key, number) in ["serial", "refresh", "retry", "expire", "minimum"].into_iter().zip(numbers)
            {
                out.push(b',');
                name(out, key);
                put(out, "", *number);
            }
            out.push(b'}');
        }
        RecordData::Srv { priority, weight, port, target } => {
            put(out, "\"srv\":{\"priority\":", *priority);
            put(out, ",\"weight\":", *weight);
            put(out, ",\"port\":", *port);
            out.extend_from_slice(b",\"name\":");
            display(out, target);
            out.push(b'}');
        }
        RecordData::Other(raw) => {
            name(out, "data");
            base64(out, raw);
        }
    }
}

/// As RFC 3597 writes a type without a name.
fn dns_type(out: &mut Vec<u8>, ty: u16) {
    out.push(b'"');
    match names::dns_type(ty) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => put(out, "TYPE", ty),
    }
    out.push(b'"');
}

/// The same of a class.
fn dns_class(out: &mut Vec<u8>, class: u16) {
    out.push(b'"');
    match names::dns_class(class) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => put(out, "CLASS", class),
    }
    out.push(b'"');
}
