//! Headers of IP, TCP, UDP and ICMP, as they stood in a packet.

use std::fmt;

use catalogue::Type;
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice, UdpHeaderSlice};

use crate::{bytes, names};

/// Bytes of an ICMP message that are its header: what follows depends on its type.
const ICMP_BYTES: usize = 8;

/// The header of a protocol, well-formed. `Display` gives it in short, as tcpdump does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolHeader<'a> {
    ty: Type,
    bytes: &'a [u8],
}

/// The same, taken apart.
#[derive(Debug, Clone)]
pub enum Parsed<'a> {
    /// IPv4.
    Ipv4(Ipv4HeaderSlice<'a>),
    /// IPv6.
    Ipv6(Ipv6HeaderSlice<'a>),
    /// TCP.
    Tcp(TcpHeaderSlice<'a>),
    /// UDP.
    Udp(UdpHeaderSlice<'a>),
    /// ICMP.
    Icmp(Icmp),
    /// ICMPv6.
    Icmpv6(Icmp),
}

/// The header of an ICMP or ICMPv6 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    /// Number of the type.
    pub ty: u8,
    /// What of that type.
    pub code: u8,
    /// Over the message.
    pub checksum: u16,
    /// Identifier, of messages that have one: echo and timestamp.
    pub id: u16,
    /// Sequence number, of the same.
    pub seq: u16,
}

impl Icmp {
    fn parse(raw: &[u8]) -> Option<Icmp> {
        let raw = raw.first_chunk::<ICMP_BYTES>()?;
        let word = |at| bytes::be16(raw, at);
        Some(Icmp { ty: raw[0], code: raw[1], checksum: word(2), id: word(4), seq: word(6) })
    }
}

impl<'a> ProtocolHeader<'a> {
    /// The header with which these bytes begin, if it is one of that type and whole.
    pub fn decode(ty: Type, bytes: &'a [u8]) -> Option<ProtocolHeader<'a>> {
        let length = match parse(ty, bytes)? {
            Parsed::Ipv4(h) => h.slice().len(),
            Parsed::Ipv6(h) => h.slice().len(),
            Parsed::Tcp(h) => h.slice().len(),
            Parsed::Udp(h) => h.slice().len(),
            Parsed::Icmp(_) | Parsed::Icmpv6(_) => ICMP_BYTES,
        };
        Some(ProtocolHeader { ty, bytes: bytes.get(..length)? })
    }

    /// Its bytes.
    pub const fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    /// The header taken apart. It was well-formed when decoded, so there is one.
    pub fn parse(&self) -> Option<Parsed<'a>> {
        parse(self.ty, self.bytes)
    }
}

fn parse(ty: Type, bytes: &[u8]) -> Option<Parsed<'_>> {
    Some(match ty {
        Type::Ipv4 => Parsed::Ipv4(Ipv4HeaderSlice::from_slice(bytes).ok()?),
        Type::Ipv6 => Parsed::Ipv6(Ipv6HeaderSlice::from_slice(bytes).ok()?),
        Type::Tcp => Parsed::Tcp(TcpHeaderSlice::from_slice(bytes).ok()?),
        Type::Udp => Parsed::Udp(UdpHeaderSlice::from_slice(bytes).ok()?),
        Type::Icmp => Parsed::Icmp(Icmp::parse(bytes)?),
        Type::Icmpv6 => Parsed::Icmpv6(Icmp::parse(bytes)?),
        _ => return None,
    })
}

/// The flags of a TCP segment that are set, one letter each as tcpdump has them.
fn tcp_flags(h: &TcpHeaderSlice<'_>) -> impl fmt::Display + use<> {
    let flags = [
        (h.fin(), 'F'),
        (h.syn(), 'S'),
        (h.rst(), 'R'),
        (h.psh(), 'P'),
        (h.ack(), '.'),
        (h.urg(), 'U'),
        (h.ece(), 'E'),
        (h.cwr(), 'W'),
    ];
    fmt::from_fn(move |f| {
        flags.iter().filter(|(set, _)| *set).try_for_each(|(_, letter)| write!(f, "{letter}"))
    })
}

impl fmt::Display for ProtocolHeader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parse() {
            None => Ok(()),
            Some(Parsed::Ipv4(h)) => {
                let protocol = names::ip_protocol(h.protocol().0);
                write!(f, "{protocol} ttl {} length {}", h.ttl(), h.total_len())
            }
            Some(Parsed::Ipv6(h)) => {
                let protocol = names::ip_protocol(h.next_header().0);
                write!(f, "{protocol} hlim {} length {}", h.hop_limit(), h.payload_length())
            }
            Some(Parsed::Tcp(h)) => {
                let (seq, ack, window) = (h.sequence_number(), h.acknowledgment_number(), h.window_size());
                write!(f, "[{}] seq {seq} ack {ack} win {window}", tcp_flags(&h))
            }
            Some(Parsed::Udp(h)) => write!(f, "length {}", h.length()),
            Some(Parsed::Icmp(h)) => names::icmp(h.ty, h.code).fmt(f),
            Some(Parsed::Icmpv6(h)) => names::icmpv6(h.ty, h.code).fmt(f),
        }
    }
}
