//! Values of fields.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use catalogue::Quality;

use crate::sockaddr::{AF_INET, AF_INET6};
use crate::{DnsMessage, HttpHead, ProtocolHeader, SockAddr, Structures, bytes, names};

/// Size of `struct cred_record`.
pub const CRED_BYTES: usize = 80;

/// Size of `struct packet_record`.
pub const PACKET_BYTES: usize = 48;

/// A field: how sure its value is, and the value if there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldValue<'a> {
    /// How sure.
    pub quality: Quality,
    /// The value. There is none where the quality is unavailable, nor where it is faulted and no part could be read.
    pub value: Option<Value<'a>>,
}

impl FieldValue<'_> {
    /// A field that is not there.
    pub const UNAVAILABLE: FieldValue<'static> = FieldValue { quality: Quality::Unavailable, value: None };
}

/// A value, by its type in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Signed, 4 bytes.
    I32(i32),
    /// Unsigned, 4 bytes.
    U32(u32),
    /// Signed, 8 bytes.
    I64(i64),
    /// Unsigned, 8 bytes.
    U64(u64),
    /// A truth value.
    Bool(bool),
    /// An address in memory.
    Pointer(u64),
    /// A point in time: nanoseconds of the boot clock.
    Time(u64),
    /// A string: any bytes but NUL.
    Str(&'a [u8]),
    /// A path: any bytes but NUL.
    Path(&'a [u8]),
    /// Strings.
    StrArray(StrArray<'a>),
    /// A socket address.
    Sockaddr(SockAddr<'a>),
    /// An IP address.
    Ip(IpAddr),
    /// Credentials.
    Cred(Cred),
    /// Where a packet came from and went.
    Packet(Packet),
    /// The header of a protocol.
    Protocol(ProtocolHeader<'a>),
    /// A DNS message, to be parsed.
    Dns(DnsMessage<'a>),
    /// The head of an HTTP message.
    Http(HttpHead<'a>),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A structure.
    Struct(Structures<'a>),
    /// Structures, or numbers.
    Structs(Structures<'a>),
}

impl<'a> Value<'a> {
    /// The number, of a value that is one (addresses and times too); unsigned numbers above `i64::MAX` wrap.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Value::I32(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::I64(v) => Some(v),
            Value::U64(v) | Value::Pointer(v) | Value::Time(v) => Some(v.cast_signed()),
            Value::Bool(v) => Some(v.into()),
            _ => None,
        }
    }

    /// The number as [`Value::as_i64`], but negative ones wrap.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_i64().map(i64::cast_unsigned)
    }

    /// The bytes of a string, path or bytes.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Value::Str(v) | Value::Path(v) | Value::Bytes(v) => Some(v),
            _ => None,
        }
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(v) => Some(v),
            _ => None,
        }
    }
}

/// The IP address in these bytes, if they are as many as one has.
pub(crate) fn ip(raw: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(raw).ok().map(IpAddr::from);
    four().or_else(|| <[u8; 16]>::try_from(raw).ok().map(IpAddr::from))
}

/// Strings, each followed by a NUL in the record. Iterate to get them; a cut last one comes as far as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrArray<'a>(pub(crate) &'a [u8]);

impl<'a> StrArray<'a> {
    /// The strings as they stand in the record.
    pub const fn raw(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for StrArray<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memchr(0, self.0).unwrap_or(self.0.len());
        let (item, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(item)
    }
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Their numbers, in order.
    pub fn numbers(self) -> impl Iterator<Item = u8> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let n = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            u8::try_from(n).ok().filter(|&n| n < 64)
        })
    }

    /// Their names: `CAP_...`, or `None` for a number that has none yet.
    pub fn names(self) -> impl Iterator<Item = Option<&'static str>> {
        self.numbers().map(names::capability)
    }
}

/// `struct cred_record`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cred {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Saved user id.
    pub suid: u32,
    /// Saved group id.
    pub sgid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// User id for file access.
    pub fsuid: u32,
    /// Group id for file access.
    pub fsgid: u32,
    /// User namespace.
    pub user_ns: u32,
    /// Secure bits.
    pub securebits: u32,
    /// Inheritable capabilities.
    pub cap_inheritable: Capabilities,
    /// Permitted capabilities.
    pub cap_permitted: Capabilities,
    /// Effective capabilities.
    pub cap_effective: Capabilities,
    /// Bounding set.
    pub cap_bounding: Capabilities,
    /// Ambient capabilities.
    pub cap_ambient: Capabilities,
}

impl Cred {
    pub(crate) fn decode(raw: &[u8; CRED_BYTES]) -> Cred {
        let id = |n: usize| bytes::u32(raw, 4 * n);
        let set = |n: usize| Capabilities(bytes::u64(raw, 40 + 8 * n));
        Cred {
            uid: id(0),
            gid: id(1),
            suid: id(2),
            sgid: id(3),
            euid: id(4),
            egid: id(5),
            fsuid: id(6),
            fsgid: id(7),
            user_ns: id(8),
            securebits: id(9),
            cap_inheritable: set(0),
            cap_permitted: set(1),
            cap_effective: set(2),
            cap_bounding: set(3),
            cap_ambient: set(4),
        }
    }

    /// As it stands in a record.
    pub fn encode(&self) -> [u8; CRED_BYTES] {
        #[rustfmt::skip]
        let ids: [u32; 10] = [
            self.uid, self.gid, self.suid, self.sgid, self.euid, self.egid, self.fsuid, self.fsgid,
            self.user_ns, self.securebits,
        ];
        let sets = [
            self.cap_inheritable,
            self.cap_permitted,
            self.cap_effective,
            self.cap_bounding,
            self.cap_ambient,
        ];
        let mut out = [0; CRED_BYTES];
        for (to, id) in out.chunks_exact_mut(4).zip(ids) {
            to.copy_from_slice(&id.to_le_bytes());
        }
        for (to, set) in out.chunks_exact_mut(8).skip(5).zip(sets) {
            to.copy_from_slice(&set.0.to_le_bytes());
        }
        out
    }
}

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Into the socket.
    Ingress = 1,
    /// Out of the socket.
    Egress = 3,
}

impl Direction {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Ingress => "INGRESS",
            Direction::Egress => "EGRESS",
        }
    }
}

/// What carries a packet in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// IP in IP, of either version.
    IpIp = 1,
    /// Generic routing encapsulation (RFC 2784).
    Gre = 2,
    /// VXLAN (RFC 7348).
    Vxlan = 3,
    /// Geneve (RFC 8926).
    Geneve = 4,
}

impl Encapsulation {
    /// All of them.
    pub const ALL: [Encapsulation; 4] =
        [Encapsulation::IpIp, Encapsulation::Gre, Encapsulation::Vxlan, Encapsulation::Geneve];

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Encapsulation::IpIp => "ipip",
            Encapsulation::Gre => "gre",
            Encapsulation::Vxlan => "vxlan",
            Encapsulation::Geneve => "geneve",
        }
    }
}

/// `struct packet_record`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Where from.
    pub src: IpAddr,
    /// Where to; of the same family as `src`.
    pub dst: IpAddr,
    /// Port where from.
    pub src_port: u16,
    /// Port where to.
    pub dst_port: u16,
    /// Number of the protocol over IP.
    pub protocol: u8,
    /// Which way.
    pub direction: Direction,
    /// Bytes from the IP header on.
    pub length: u32,
    /// The interface.
    pub ifindex: u32,
    /// In what this packet was carried, if it was found in another.
    pub encapsulation: Option<Encapsulation>,
}

impl Packet {
    /// `None` if the family or the direction is none that a program writes.
    #[inline]
    pub(crate) fn decode(raw: &[u8; PACKET_BYTES]) -> Option<Packet> {
        let addr = |at: usize| match u16::from(raw[0]) {
            AF_INET => Some(IpAddr::V4(Ipv4Addr::from(bytes::array::<4>(raw, at)))),
            AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(bytes::array::<16>(raw, at)))),
            _ => None,
        };
        Some(Packet {
            src: addr(16)?,
            dst: addr(32)?,
            src_port: bytes::u16(raw, 4),
            dst_port: bytes::u16(raw, 6),
            protocol: raw[1],
            direction: match raw[2] {
                1 => Direction::Ingress,
                3 => Direction::Egress,
                _ => return None,
            },
            length: bytes::u32(raw, 8),
            ifindex: bytes::u32(raw, 12),
            encapsulation: Encapsulation::ALL.into_iter().find(|e| *e as u8 == raw[3]),
        })
    }

    /// As it stands in a record.
    pub fn encode(&self) -> [u8; PACKET_BYTES] {
        let mut out = [0; PACKET_BYTES];
        out[0] = if self.src.is_ipv4() { AF_INET } else { AF_INET6 } as u8;
        out[1] = self.protocol;
        out[2] = self.direction as u8;
        out[3] = self.encapsulation.map_or(0, |e| e as u8);
        out[4..6].copy_from_slice(&self.src_port.to_le_bytes());
        out[6..8].copy_from_slice(&self.dst_port.to_le_bytes());
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..16].copy_from_slice(&self.ifindex.to_le_bytes());
        for (at, addr) in [(16, self.src), (32, self.dst)] {
            match addr {
                IpAddr::V4(a) => out[at..at + 4].copy_from_slice(&a.octets()),
                IpAddr::V6(a) => out[at..at + 16].copy_from_slice(&a.octets()),
            }
        }
        out
    }
}
