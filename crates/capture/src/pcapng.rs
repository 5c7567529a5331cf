//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), as bytes. What they end up in is a section: a header, its interfaces, packets.

/// Packets begin with the header of IPv4 or IPv6.
const LINKTYPE_RAW: u16 = 101;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

/// Tells readers the order of bytes.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

// Options, by block.
const COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;

/// Which way a packet went: bits of `epb_flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    In = 1,
    Out = 2,
}

/// A packet as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    /// Place of its interface in the section.
    pub(crate) interface: u32,
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    /// What of it was captured.
    pub(crate) data: &'a [u8],
    /// Bytes that it had.
    pub(crate) length: u32,
    pub(crate) way: Way,
    pub(crate) comment: &'a str,
}

/// Appends a block of that type, with its length before and behind what `body` appends.
fn block(out: &mut Vec<u8>, ty: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(ty.to_ne_bytes());
    out.extend([0; 4]);
    body(out);
    pad(out, start);
    let length = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX).to_ne_bytes();
    out.extend(length);
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&length);
    }
}

/// To a multiple of 4 from `start`.
fn pad(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    out.resize(start + length.next_multiple_of(4), 0);
}

/// Appends an option; what is longer than an option can be is cut.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend(code.to_ne_bytes());
    out.extend(length.to_ne_bytes());
    let start = out.len();
    out.extend(value.iter().take(length.into()));
    pad(out, start);
}

fn end_of_options(out: &mut Vec<u8>) {
    out.extend([0; 4]);
}

/// Begins a section.
pub(crate) fn section(out: &mut Vec<u8>, application: &str) {
    block(out, SECTION_HEADER, |out| {
        out.extend(BYTE_ORDER.to_ne_bytes());
        out.extend(1u16.to_ne_bytes());
        out.extend(0u16.to_ne_bytes());
        // Its length is not known.
        out.extend(u64::MAX.to_ne_bytes());
        option(out, SHB_USERAPPL, application.as_bytes());
        end_of_options(out);
    });
}

/// Adds an interface to the section.
pub(crate) fn interface(out: &mut Vec<u8>, name: &str, description: &str) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend(LINKTYPE_RAW.to_ne_bytes());
        out.extend([0; 2]);
        // No limit that would be the same for all packets.
        out.extend(0u32.to_ne_bytes());
        option(out, IF_NAME, name.as_bytes());
        option(out, IF_DESCRIPTION, description.as_bytes());
        option(out, IF_TSRESOL, &[9]);
        end_of_options(out);
    });
}

/// Adds a packet.
pub(crate) fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
    block(out, ENHANCED_PACKET, |out| {
        out.extend(packet.interface.to_ne_bytes());
        // In two halves, the higher first.
        out.extend(((packet.time >> 32) as u32).to_ne_bytes());
        out.extend((packet.time as u32).to_ne_bytes());
        out.extend(captured.to_ne_bytes());
        out.extend(packet.length.max(captured).to_ne_bytes());
        let start = out.len();
        out.extend(packet.data);
        pad(out, start);
        option(out, COMMENT, packet.comment.as_bytes());
        option(out, EPB_FLAGS, &(packet.way as u32).to_ne_bytes());
        end_of_options(out);
    });
}

/// A reader for tests: the blocks' types and bodies.
#[cfg(test)]
pub(crate) fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |b: &[u8], at: usize| u32::from_ne_bytes(b[at..at + 4].try_into().unwrap());
    let mut blocks = vec![];
    while !bytes.is_empty() {
        let (ty, length) = (word(bytes, 0), word(bytes, 4) as usize);
        assert!(length % 4 == 0 && length >= 12 && length <= bytes.len(), "{length}");
        assert_eq!(word(bytes, length - 4) as usize, length);
        blocks.push((ty, bytes[8..length - 4].to_vec()));
        bytes = &bytes[length..];
    }
    blocks
}

/// The packets of a file: data, length, comment.
#[cfg(test)]
pub(crate) fn packets(bytes: &[u8]) -> Vec<(Vec<u8>, u32, String)> {
    let word = |b: &[u8], at: usize| u32::from_ne_bytes(b[at..at + 4].try_into().unwrap());
    let of = blocks(bytes).into_iter().filter(|(ty, _)| *ty == ENHANCED_PACKET);
    of.map(|(_, body)| {
        let captured = word(&body, 12) as usize;
        let options = &body[20 + captured.next_multiple_of(4)..];
        let length = u16::from_ne_bytes(options[2..4].try_into().unwrap()) as usize;
        let comment = String::from_utf8(options[4..4 + length].to_vec()).unwrap();
        (body[20..20 + captured].to_vec(), word(&body, 16), comment)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(data in proptest::collection::vec(any::<u8>(), 0..200), more in 0u32..99, comment: String) {
            let mut out = vec![];
            section(&mut out, "test");
            interface(&mut out, "lo", "one");
            let length = data.len() as u32 + more;
            let one = Packet { interface: 0, time: 1 << 40, data: &data, length, way: Way::In, comment: &comment };
            packet(&mut out, &one);
            packet(&mut out, &one);
            prop_assert_eq!(blocks(&out).len(), 4);
            prop_assert_eq!(packets(&out), vec![(data.clone(), length, comment.clone()), (data, length, comment)]);
        }
    }
}
