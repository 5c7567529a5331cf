//! Making records: the other direction of [`Event::decode`](crate::Event::decode).

use catalogue::Quality;

use crate::{Cred, Event, HEADER_BYTES, Header, Packet, SockAddr};

/// A record under construction.
///
/// Whether an index has the type that is put there is not checked: `decode` does that.
#[derive(Debug, Clone)]
pub struct RecordBuilder {
    header: Header,
    bytes: Vec<u8>,
}

impl RecordBuilder {
    /// A record of this event; its number and lane are set in the header.
    pub fn new(definition: &'static catalogue::Event, header: Header) -> RecordBuilder {
        let header = Header { event: definition.id, lane: definition.lane, ..header };
        RecordBuilder { header, bytes: vec![0; HEADER_BYTES] }
    }

    /// The record of an event, to which fields are added that it has not.
    pub fn of(event: &Event<'_>) -> RecordBuilder {
        RecordBuilder { header: event.header, bytes: event.record().to_vec() }
    }

    /// A field by the bytes of its payload. What is longer than a field can be is cut, and marked so.
    #[must_use]
    pub fn put(mut self, index: u8, quality: Quality, payload: &[u8]) -> RecordBuilder {
        let (length, payload, quality) = match u16::try_from(payload.len()) {
            Ok(length) => (length, payload, quality),
            Err(_) => {
                (u16::MAX, payload.get(..usize::from(u16::MAX)).unwrap_or_default(), Quality::Truncated)
            }
        };
        self.bytes.extend([index, quality as u8]);
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// An `i32`.
    #[must_use]
    pub fn put_i32(self, index: u8, value: i32) -> RecordBuilder {
        self.put(index, Quality::Ok, &value.to_le_bytes())
    }

    /// A `u32`.
    #[must_use]
    pub fn put_u32(self, index: u8, value: u32) -> RecordBuilder {
        self.put(index, Quality::Ok, &value.to_le_bytes())
    }

    /// An `i64`.
    #[must_use]
    pub fn put_i64(self, index: u8, value: i64) -> RecordBuilder {
        self.put(index, Quality::Ok, &value.to_le_bytes())
    }

    /// A `u64`, `pointer` or `time`.
    #[must_use]
    pub fn put_u64(self, index: u8, value: u64) -> RecordBuilder {
        self.put(index, Quality::Ok, &value.to_le_bytes())
    }

    /// A `bool`.
    #[must_use]
    pub fn put_bool(self, index: u8, value: bool) -> RecordBuilder {
        self.put_u32(index, value.into())
    }

    /// A `str` or `path`; ends at the first NUL.
    #[must_use]
    pub fn put_str(self, index: u8, value: &[u8], quality: Quality) -> RecordBuilder {
        let value = value.split(|&b| b == 0).next().unwrap_or_default();
        self.put(index, quality, value)
    }

    /// A `str_array`.
    #[must_use]
    pub fn put_str_array(self, index: u8, values: &[&[u8]], quality: Quality) -> RecordBuilder {
        let mut payload = Vec::new();
        for value in values {
            payload.extend(*value);
            payload.push(0);
        }
        self.put(index, quality, &payload)
    }

    /// A `sockaddr`.
    #[must_use]
    pub fn put_sockaddr(self, index: u8, value: &SockAddr<'_>) -> RecordBuilder {
        let mut payload = Vec::new();
        value.encode(&mut payload);
        self.put(index, Quality::Ok, &payload)
    }

    /// A `cred`.
    #[must_use]
    pub fn put_cred(self, index: u8, value: &Cred) -> RecordBuilder {
        self.put(index, Quality::Ok, &value.encode())
    }

    /// A `packet`.
    #[must_use]
    pub fn put_packet(self, index: u8, value: &Packet) -> RecordBuilder {
        self.put(index, Quality::Ok, &value.encode())
    }

    /// `bytes`, or a DNS message.
    #[must_use]
    pub fn put_bytes(self, index: u8, value: &[u8], quality: Quality) -> RecordBuilder {
        self.put(index, quality, value)
    }

    /// The record.
    pub fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..HEADER_BYTES].copy_from_slice(&self.header.encode(length));
        self.bytes
    }
}
