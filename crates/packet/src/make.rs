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
        let port = |m: Maker, field, port: u16| m.bytes(field, &u32::from(port).to_le_bytes(), Quality::Ok);
        port(port(self, src, packet.src_port), dst, packet.dst_port)
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
