//! Packets in packets.

use etherparse::{IpNumber, ip_number};
use event::Encapsulation;

const VXLAN_PORT: u16 = 4789;
const GENEVE_PORT: u16 = 6081;

/// Types of what a frame carries (IANA).
mod ethertype {
    pub(super) const IPV4: u16 = 0x800;
    pub(super) const IPV6: u16 = 0x86dd;
    /// A frame of Ethernet in GRE or Geneve.
    pub(super) const ETHERNET: u16 = 0x6558;
    pub(super) const VLANS: [u16; 2] = [0x8100, 0x88a8];
}

/// Tags of one frame that are looked through.
const TAGS: usize = 2;

/// The IP packet in what an IP packet carries, from its header on, and what carries it.
pub(crate) fn in_ip(protocol: IpNumber, bytes: &[u8]) -> Option<(Encapsulation, &[u8])> {
    match protocol {
        ip_number::IPV4 | ip_number::IPV6 => Some((Encapsulation::IpIp, bytes)),
        ip_number::GRE => Some((Encapsulation::Gre, in_gre(bytes)?)),
        _ => None,
    }
}

/// The same of a datagram to that port.
pub(crate) fn in_datagram(port: u16, payload: &[u8]) -> Option<(Encapsulation, &[u8])> {
    match port {
        // A flag says that the number of the network is valid, as it must be.
        VXLAN_PORT if payload.first()? & 8 != 0 => Some((Encapsulation::Vxlan, in_frame(payload.get(8..)?)?)),
        GENEVE_PORT => {
            let &[version, _, high, low] = payload.first_chunk::<4>()?;
            let options = usize::from(version & 0x3f) * 4;
            let inner = payload.get(8 + options..)?;
            let inner =
                if version >> 6 == 0 { of_type(u16::from_be_bytes([high, low]), inner) } else { None };
            Some((Encapsulation::Geneve, inner?))
        }
        _ => None,
    }
}

/// Not of version 1, which carries PPP (RFC 2637).
fn in_gre(bytes: &[u8]) -> Option<&[u8]> {
    let &[flags, version, high, low] = bytes.first_chunk::<4>()?;
    // Routing is from a time before RFC 2784, and long gone.
    if version & 7 != 0 || flags & 0x40 != 0 {
        return None;
    }
    // A checksum, a key, a sequence number.
    let optional = [0x80, 0x20, 0x10].into_iter().filter(|flag| flags & flag != 0).count() * 4;
    of_type(u16::from_be_bytes([high, low]), bytes.get(4 + optional..)?)
}

fn of_type(ty: u16, bytes: &[u8]) -> Option<&[u8]> {
    match ty {
        ethertype::IPV4 | ethertype::IPV6 => Some(bytes),
        ethertype::ETHERNET => in_frame(bytes),
        _ => None,
    }
}

/// Behind the addresses, and the tags of virtual networks.
fn in_frame(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(12..)?;
    for _ in 0..=TAGS {
        let (ty, after) = rest.split_first_chunk::<2>()?;
        let ty = u16::from_be_bytes(*ty);
        if !ethertype::VLANS.contains(&ty) {
            return [ethertype::IPV4, ethertype::IPV6].contains(&ty).then_some(after);
        }
        rest = after.get(2..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: &[u8] = b"\x45 and so on";

    #[test]
    fn what_is_carried() {
        let gre = |head: &[u8]| in_ip(ip_number::GRE, &[head, IP].concat()).map(|(e, ip)| (e, ip.to_vec()));
        let is = |e| Some((e, IP.to_vec()));
        assert_eq!(gre(&[0, 0, 8, 0]), is(Encapsulation::Gre));
        assert_eq!(gre(&[0xb0, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]), is(Encapsulation::Gre));
        assert_eq!(gre(&[0, 1, 0x88, 0x0b]), None);
        let tagged = [&[0; 12][..], &[0x81, 0, 0, 7, 8, 0], IP].concat();
        let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0], &tagged[..]].concat();
        assert_eq!(in_datagram(4789, &vxlan), Some((Encapsulation::Vxlan, IP)));
        assert_eq!(in_datagram(4790, &vxlan), None);
        let geneve = [&[1, 0, 0x65, 0x58, 0, 0, 7, 0, 9, 9, 9, 9], &tagged[..]].concat();
        assert_eq!(in_datagram(6081, &geneve), Some((Encapsulation::Geneve, IP)));
        assert_eq!(in_ip(ip_number::IPV4, IP), Some((Encapsulation::IpIp, IP)));
        assert_eq!(in_ip(ip_number::TCP, IP), None);
    }
}
