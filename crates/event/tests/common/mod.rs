//! Records to test with.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use catalogue::{EVENTS, Field, Lane, Quality, Type};
use event::build::RecordBuilder;
use event::{
    Capabilities, Cred, Direction, Encapsulation, Flags, Header, Origin, Packet, SockAddr, UnixName,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A question for example.com's address, and an answer by a compression pointer.
pub(crate) const DNS: &[u8] =
    b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x07example\x03com\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\x5d\xb8\xd8\x22";

/// Knows little.
pub(crate) struct Nobody;

impl event::json::Who for Nobody {
    fn host(&self) -> &str {
        "host"
    }

    fn boot_id(&self) -> &str {
        "0b1c"
    }

    fn wall_time(&self, boot_ns: u64) -> u64 {
        boot_ns.saturating_add(1_700_000_000_000_000_000)
    }

    fn unique_id(&self, start_time: u64, tid: u32) -> u64 {
        start_time.wrapping_mul(31) ^ u64::from(tid)
    }
}

/// Somebody.
pub(crate) fn header() -> Header {
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"bash");
    Header {
        seq: 7,
        probe: 3,
        slot: 1,
        origin: Origin::Current,
        cpu: 2,
        start_time: 1_000_000_001,
        leader_start_time: 1_000_000_000,
        parent_start_time: 500,
        cgroup: 4242,
        pid: 100,
        tid: 101,
        ppid: 1,
        ns_pid: 10,
        ns_tid: 11,
        ns_ppid: 0,
        uid: 1000,
        gid: 1001,
        euid: 0,
        egid: 1002,
        mnt_ns: 11,
        pid_ns: 12,
        net_ns: 13,
        uts_ns: 14,
        ipc_ns: 15,
        user_ns: 16,
        cgroup_ns: 17,
        comm,
        ..Header::unknown(5_000_000_123)
    }
}

pub(crate) fn cred() -> Cred {
    Cred {
        uid: 1,
        gid: 2,
        suid: 3,
        sgid: 4,
        euid: 5,
        egid: 6,
        fsuid: 7,
        fsgid: 8,
        user_ns: 9,
        securebits: 10,
        cap_inheritable: Capabilities(1 << 21),
        cap_permitted: Capabilities(1),
        cap_effective: Capabilities(1 << 63 | 1 << 40),
        cap_bounding: Capabilities((1 << 41) - 1),
        cap_ambient: Capabilities(0),
    }
}

pub(crate) fn packet() -> Packet {
    Packet {
        src: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        dst: IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
        src_port: 40000,
        dst_port: 53,
        protocol: 17,
        direction: Direction::Egress,
        length: 71,
        ifindex: 2,
        encapsulation: None,
    }
}

fn addr(address: &SockAddr<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    address.encode(&mut out);
    out
}

/// A header as it is in a packet.
fn protocol_header(ty: Type) -> &'static [u8] {
    match ty {
        // With an option of 4 bytes.
        Type::Ipv4 => b"\x46\x08\0\x24\x12\x34\x40\0\x40\x06\xab\xcd\x0a\0\0\x01\x01\x01\x01\x01\x01\x01\x01\0",
        Type::Ipv6 => {
            b"\x60\x01\x23\x45\0\x14\x3a\x40\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
        }
        Type::Tcp => b"\x9c\x40\0\x50\0\0\0\x07\0\0\0\x08\x50\x12\xff\xff\x12\x34\0\0",
        Type::Udp => b"\x9c\x40\0\x35\0\x14\xbe\xef",
        Type::Icmp => b"\x03\x03\xfc\xfc\0\0\0\0",
        _ => b"\x80\0\x12\x34\0\x01\0\x02",
    }
}

/// A plain payload of a type.
pub(crate) fn payload(ty: Type) -> Vec<u8> {
    match ty {
        Type::I32 => (-3i32).to_le_bytes().into(),
        Type::U32 => 577u32.to_le_bytes().into(),
        Type::I64 => (-3i64).to_le_bytes().into(),
        Type::U64 | Type::Pointer => 0xffff_ffff_0000_1234u64.to_le_bytes().into(),
        Type::Bool => 1u32.to_le_bytes().into(),
        Type::Time => 2_000_000_003u64.to_le_bytes().into(),
        Type::Str => b"name".into(),
        Type::Path => b"/usr/bin/x".into(),
        Type::StrArray => b"ls\0-l\0\0".into(),
        Type::Sockaddr => addr(&SockAddr::Inet { addr: Ipv4Addr::LOCALHOST, port: 80 }),
        Type::Ip => [127, 0, 0, 1].into(),
        Type::Cred => cred().encode().into(),
        Type::Packet => packet().encode().into(),
        Type::Dns | Type::DnsQuestions | Type::DnsAnswers => DNS.into(),
        Type::Ipv4 | Type::Ipv6 | Type::Tcp | Type::Udp | Type::Icmp | Type::Icmpv6 => {
            protocol_header(ty).into()
        }
        Type::Http | Type::HttpRequest => {
            b"GET /a?b HTTP/1.1\r\nhost: example.com\r\nx-a: 1\r\nX-A: \xff\r\n\r\n".into()
        }
        Type::HttpResponse => b"HTTP/1.0 404 Not Found\r\ncontent-length: 7\r\n\r\n".into(),
        Type::Bytes => vec![0, 255, 7, 8],
        // Two, of whatever layout up to 128 bytes.
        Type::Struct | Type::Structs => (0..=255).collect(),
    }
}

/// Every field there and well.
pub(crate) fn full(event: &'static catalogue::Event, header: Header) -> Vec<u8> {
    with(event, header, |_, field| Some((Quality::Ok, payload(field.ty))))
}

/// A record whose fields are what `f` says; `None` leaves a field out.
pub(crate) fn with(
    event: &'static catalogue::Event,
    header: Header,
    f: impl Fn(u8, &Field) -> Option<(Quality, Vec<u8>)>,
) -> Vec<u8> {
    let mut builder = RecordBuilder::new(event, header);
    for (index, field) in (0u8..).zip(event.fields) {
        if let Some((quality, payload)) = f(index, field) {
            builder = builder.put(index, quality, &payload);
        }
    }
    builder.finish()
}

/// Any payload that a type may have.
fn any_payload(ty: Type) -> BoxedStrategy<Vec<u8>> {
    let text = || vec(1u8..=255, 0..60);
    match ty {
        Type::I32 | Type::U32 => any::<[u8; 4]>().prop_map(Vec::from).boxed(),
        Type::I64 | Type::U64 | Type::Pointer | Type::Time => any::<[u8; 8]>().prop_map(Vec::from).boxed(),
        Type::Bool => any::<bool>().prop_map(|b| u32::from(b).to_le_bytes().into()).boxed(),
        Type::Str | Type::Path => prop_oneof![text(), "\\PC{0,40}".prop_map(String::into_bytes)].boxed(),
        Type::StrArray => vec(text(), 0..5)
            .prop_map(|items| items.into_iter().flat_map(|i| i.into_iter().chain([0])).collect())
            .boxed(),
        Type::Sockaddr => any_address().boxed(),
        Type::Ip => any_ip()
            .prop_map(|ip| match ip {
                IpAddr::V4(a) => a.octets().into(),
                IpAddr::V6(a) => a.octets().into(),
            })
            .boxed(),
        Type::Cred => vec(any::<u8>(), 80).boxed(),
        Type::Packet => (any_ip(), any_ip(), any::<(u16, u16, u8, u32, u32)>())
            .prop_map(|(src, dst, (src_port, dst_port, protocol, length, ifindex))| {
                let dst = if src.is_ipv4() == dst.is_ipv4() { dst } else { src };
                let direction = if length % 2 == 0 { Direction::Ingress } else { Direction::Egress };
                let encapsulation = Encapsulation::ALL.into_iter().nth(usize::from(protocol) % 8);
                Packet { src, dst, src_port, dst_port, protocol, direction, length, ifindex, encapsulation }
                    .encode()
                    .into()
            })
            .boxed(),
        Type::Dns | Type::DnsQuestions | Type::DnsAnswers => any_dns().boxed(),
        // The header's length stands in it: what is changed is behind.
        Type::Ipv4 | Type::Ipv6 | Type::Tcp | Type::Udp | Type::Icmp | Type::Icmpv6 => {
            let good = protocol_header(ty);
            (13..good.len().max(14), any::<u8>())
                .prop_map(move |(at, byte)| {
                    let mut header = good.to_vec();
                    if let Some(b) = header.get_mut(at) {
                        *b = byte;
                    }
                    header
                })
                .boxed()
        }
        Type::Http | Type::HttpRequest => {
            "[A-Z]{1,9} /[a-z%/]{0,20} HTTP/1\\.[01]\r\n(a[b-]{0,9}: [ -~]{0,9}\r\n){0,5}\r\n"
                .prop_map(String::into_bytes)
                .boxed()
        }
        Type::HttpResponse => {
            "HTTP/1\\.[01] [1-5][0-9]{2} [A-Za-z ]{0,20}\r\n\r\n".prop_map(String::into_bytes).boxed()
        }
        Type::Bytes => vec(any::<u8>(), 0..60).boxed(),
        Type::Struct | Type::Structs => vec(any::<u8>(), 0..600).boxed(),
    }
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<Ipv4Addr>().prop_map(IpAddr::V4), any::<Ipv6Addr>().prop_map(IpAddr::V6)]
}

fn any_address() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<(Ipv4Addr, u16)>().prop_map(|(a, port)| addr(&SockAddr::Inet { addr: a, port })),
        any::<(Ipv6Addr, u16, u32, u32)>().prop_map(|(a, port, flowinfo, scope_id)| addr(&SockAddr::Inet6 {
            addr: a,
            port,
            flowinfo,
            scope_id
        })),
        vec(1u8..=255, 1..20).prop_map(|p| addr(&SockAddr::Unix(UnixName::Path(&p)))),
        vec(any::<u8>(), 0..20).prop_map(|p| addr(&SockAddr::Unix(UnixName::Abstract(&p)))),
        Just(addr(&SockAddr::Unix(UnixName::Unnamed))),
        any::<(u32, u32)>().prop_map(|(cid, port)| addr(&SockAddr::Vsock { cid, port })),
        vec(any::<u8>(), 0..30),
    ]
}

/// Messages: good, cut, changed, and noise.
pub(crate) fn any_dns() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(DNS.to_vec()),
        (0..DNS.len()).prop_map(|n| DNS[..n].to_vec()),
        (0..DNS.len(), any::<u8>()).prop_map(|(n, b)| {
            let mut message = DNS.to_vec();
            message[n] = b;
            message
        }),
        vec(any::<u8>(), 0..80),
    ]
}

fn any_header() -> impl Strategy<Value = Header> {
    let numbers = vec(any::<u32>(), 18);
    (any::<[u64; 7]>(), numbers, any::<[u8; 16]>(), any::<(Option<u32>, Option<i64>, u8, u8)>()).prop_map(
        |(wide, n, comm, (syscall, ret, small, flags))| Header {
            time: wide[0],
            seq: wide[1],
            event: 0,
            probe: small.into(),
            lane: Lane::Life,
            slot: small,
            origin: Origin::from_number(small % 3).unwrap(),
            flags: Flags(
                flags & (Flags::COMPAT | Flags::KTHREAD | Flags::IN_TREE)
                    | if syscall.is_some() { Flags::SYSCALL } else { 0 }
                    | if ret.is_some() { Flags::RETURN } else { 0 },
            ),
            cpu: n[0],
            start_time: wide[2],
            leader_start_time: wide[3],
            parent_start_time: wide[4],
            cgroup: wide[5],
            pid: n[1],
            tid: n[2],
            ppid: n[3],
            ns_pid: n[4],
            ns_tid: n[5],
            ns_ppid: n[6],
            uid: n[7],
            gid: n[8],
            euid: n[9],
            egid: n[10],
            mnt_ns: n[11],
            pid_ns: n[12],
            net_ns: n[13],
            uts_ns: n[14],
            ipc_ns: n[15],
            user_ns: n[16],
            cgroup_ns: n[17],
            syscall,
            comm,
            exec_id: wide[6],
            ret,
        },
    )
}

/// What a record is made of: the fields in any order, some left out.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) event: &'static catalogue::Event,
    pub(crate) header: Header,
    pub(crate) fields: Vec<(u8, Quality, Vec<u8>)>,
}

impl Parts {
    pub(crate) fn record(&self) -> Vec<u8> {
        let builder = RecordBuilder::new(self.event, self.header);
        self.fields
            .iter()
            .fold(builder, |b, (index, quality, payload)| b.put(*index, *quality, payload))
            .finish()
    }
}

/// Any record that a program may write.
pub(crate) fn any_parts() -> impl Strategy<Value = Parts> {
    (0..EVENTS.len(), any_header()).prop_flat_map(|(n, header)| {
        let event = &EVENTS[n];
        let fields: Vec<_> = (0u8..)
            .zip(event.fields)
            .map(|(index, field)| {
                let quality = (0u8..5).prop_map(|n| Quality::from_number(n).unwrap());
                (Just(index), quality, any_payload(field.ty), 0..4u8)
            })
            .collect();
        fields
            .prop_map(|fields| {
                let kept = fields.into_iter().filter(|(.., dice)| *dice > 0);
                kept.map(|(index, quality, payload, dice)| {
                    // What could not be read has mostly no payload.
                    let lost = matches!(quality, Quality::Faulted | Quality::Unavailable) && dice > 1;
                    (index, quality, if lost { Vec::new() } else { payload })
                })
                .collect::<Vec<_>>()
            })
            .prop_shuffle()
            .prop_map(move |fields| Parts {
                event,
                header: Header { event: event.id, lane: event.lane, ..header },
                fields,
            })
    })
}
