//! Records of what was found in packets.

use std::net::IpAddr;

use catalogue::{Quality, Type};
use event::build::RecordBuilder;
use event::{Header, Packet, ProtocolHeader};

/// A record under construction, by the catalogue's indices.
pub(crate) struct Maker(RecordBuilder);

impl Maker {
    pub(crate) fn new(definition: &'static catalogue::Event, header: Header) -> Maker {
        Maker(RecordBuilder::new(definition, header))
    }

    pub(crate) fn bytes(self, field: usize, value: &[u8], quality: Quality) -> Maker {
        // The catalogue has no event of more than 32 fields: a test there.
        Maker(self.0.put(u8::try_from(field).unwrap_or(u8::MAX), quality, value))
    }

    fn ip(self, field: usize, address: IpAddr) -> Maker {
        match address {
            IpAddr::V4(a) => self.bytes(field, &a.octets(), Quality::Ok),
            IpAddr::V6(a) => self.bytes(field, &a.octets(), Quality::Ok),
        }
    }

    /// Where from and where to.
    pub(crate) fn ends(self, [src, dst]: [usize; 2], packet: &Packet) -> Maker {
        self.ip(src, packet.src).ip(dst, packet.dst)
    }

    /// Ports where from and where to.
    pub(crate) fn ports(self, [src, dst]: [usize; 2], packet: &Packet) -> Maker {
        self.number(src, packet.src_port.into()).number(dst, packet.dst_port.into())
    }

    /// A `u32`, or a `bool`.
    pub(crate) fn number(self, field: usize, value: u32) -> Maker {
        self.bytes(field, &value.to_le_bytes(), Quality::Ok)
    }

    /// A `u64`.
    pub(crate) fn long(self, field: usize, value: u64) -> Maker {
        self.bytes(field, &value.to_le_bytes(), Quality::Ok)
    }

    /// Text of this program's.
    pub(crate) fn text(self, field: usize, value: &str) -> Maker {
        self.bytes(field, value.as_bytes(), Quality::Ok)
    }

    /// Text of a stranger's, if there is any; cut before a NUL, which no text has.
    pub(crate) fn found(self, field: usize, value: Option<&[u8]>) -> Maker {
        match value {
            None => self.bytes(field, &[], Quality::Unavailable),
            Some(value) => {
                let end = value.iter().position(|&b| b == 0);
                let quality = if end.is_some() { Quality::Truncated } else { Quality::Ok };
                self.bytes(field, value.get(..end.unwrap_or(value.len())).unwrap_or_default(), quality)
            }
        }
    }

    /// Texts, each as far as it has no NUL.
    pub(crate) fn texts<T: AsRef<[u8]>>(
        self,
        field: usize,
        values: impl IntoIterator<Item = T>,
        quality: Quality,
    ) -> Maker {
        let mut payload = Vec::new();
        for value in values {
            payload.extend(value.as_ref().split(|&b| b == 0).next().unwrap_or_default());
            payload.push(0);
        }
        self.bytes(field, &payload, quality)
    }

    pub(crate) fn packet(self, field: usize, packet: &Packet) -> Maker {
        self.bytes(field, &packet.encode(), Quality::Ok)
    }

    /// The header of that type with which these bytes begin; faulted where they do not.
    pub(crate) fn header(self, field: usize, ty: Type, bytes: &[u8]) -> Maker {
        match ProtocolHeader::decode(ty, bytes) {
            Some(header) => self.bytes(field, header.raw(), Quality::Ok),
            None => self.bytes(field, &[], Quality::Faulted),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.finish()
    }
}
