//! From a record to an event.

use catalogue::{Choice, Field, Format, Quality, Type};

use crate::value::{self, CRED_BYTES, PACKET_BYTES};
use crate::{
    Cred, DecodeError, DnsMessage, DnsPart, FieldValue, HEADER_BYTES, Header, HttpHead, Packet,
    ProtocolHeader, SockAddr, StrArray, Structures, USER_STACK, UserStack, Value, bytes,
};

/// Most fields that an event can have; a test holds the catalogue to it.
pub const MAX_FIELDS: usize = 32;

/// Bytes of a field before its payload.
const FIELD_HEAD: usize = 4;

/// Where a field's payload stands in the record. The header is at 0, so there a payload cannot be: 0 is a field that is
/// not there.
#[derive(Debug, Clone, Copy)]
struct Slot {
    offset: u32,
    length: u16,
    quality: Quality,
}

impl Slot {
    const ABSENT: Slot = Slot { offset: 0, length: 0, quality: Quality::Unavailable };
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its entry in the catalogue.
    pub definition: &'static catalogue::Event,
    /// When, where and who.
    pub header: Header,
    record: &'a [u8],
    slots: [Slot; MAX_FIELDS],
    stack: Slot,
}

impl<'a> Event<'a> {
    /// The event in a record. Everything is checked here, so that the record is either wholly sound or an error.
    ///
    /// # Errors
    ///
    /// Whatever is not as `bpf/lib/record.h` and the catalogue say: see [`DecodeError`].
    pub fn decode(record: &'a [u8]) -> Result<Event<'a>, DecodeError> {
        let header = Header::decode(record)?;
        let Some(definition) = catalogue::event_by_id(header.event) else {
            return Err(DecodeError::UnknownEvent { event: header.event });
        };
        if definition.lane != header.lane {
            return Err(DecodeError::WrongLane {
                event: header.event,
                expected: definition.lane,
                found: header.lane,
            });
        }
        let mut slots = [Slot::ABSENT; MAX_FIELDS];
        let mut stack = Slot::ABSENT;
        let mut offset = HEADER_BYTES;
        while offset < record.len() {
            offset = decode_field(definition, record, offset, &mut slots, &mut stack)?;
        }
        Ok(Event { definition, header, record, slots, stack })
    }

    /// The user stack of the event's task; `None` if it was not asked for, or the event is not of a task that has one.
    pub fn user_stack(&self) -> Option<UserStack<'a>> {
        let start = self.stack.offset as usize;
        let payload = self.record.get(start..start + usize::from(self.stack.length))?;
        (start != 0).then(|| UserStack::new(self.stack.quality, payload))?
    }

    /// The record that this event was decoded from.
    pub const fn record(&self) -> &'a [u8] {
        self.record
    }

    /// The field of that index in the catalogue.
    #[inline]
    pub fn field(&self, index: usize) -> FieldValue<'a> {
        match (self.slots.get(index), self.definition.fields.get(index)) {
            (Some(&slot), Some(field)) if slot.offset != 0 => self.read(slot, field),
            _ => FieldValue::UNAVAILABLE,
        }
    }

    /// The field of that name; `None` if the event has no such field at all.
    pub fn field_by_name(&self, name: &str) -> Option<FieldValue<'a>> {
        let index = self.definition.fields.iter().position(|f| f.name == name)?;
        Some(self.field(index))
    }

    /// All fields in the order of the catalogue, those that are not there as unavailable; but none of those that are there on request, if
    /// they were not asked for.
    pub fn fields(&self) -> impl Iterator<Item = (&'static Field, FieldValue<'a>)> {
        let there = |index: usize| self.slots.get(index).is_some_and(|slot| slot.offset != 0);
        let fields = self.definition.fields.iter().enumerate();
        let asked = fields.clone().any(|(index, field)| field.on_request.is_some() && there(index));
        let fields = fields.filter(move |(_, field)| asked || field.on_request.is_none());
        fields.map(|(index, field)| (field, self.field(index)))
    }

    /// How the number of a field of this event is shown by name.
    #[inline]
    pub fn format(&self, field: &Field) -> Option<Format> {
        field.format.or_else(|| self.chosen(field.formats?).map(Format::Names))
    }

    /// What another field says.
    fn chosen<T>(&self, choice: &Choice<T>) -> Option<&'static T> {
        choice.get(self.field(choice.by).value?.as_u64()?)
    }

    #[inline]
    fn read(&self, slot: Slot, field: &Field) -> FieldValue<'a> {
        let ty = field.ty;
        let start = slot.offset as usize;
        let payload = self.record.get(start..start + usize::from(slot.length)).unwrap_or_default();
        let quality = slot.quality;
        let readable = match quality {
            Quality::Ok | Quality::Truncated | Quality::Unresolved => true,
            Quality::Faulted => !payload.is_empty() && fixed_size(ty).is_none(),
            Quality::Unavailable => false,
        };
        let layout = field.layout.or_else(|| self.chosen(field.layouts?));
        let value = match (readable, layout) {
            (false, _) => None,
            (true, None) => value(ty, payload, quality),
            (true, Some(layout)) => {
                let structures = Structures::new(
                    layout,
                    payload,
                    self.header.flags.compat() && self.header.syscall.is_none_or(|n| n < 403),
                );
                Some(if ty == Type::Struct { Value::Struct(structures) } else { Value::Structs(structures) })
            }
        };
        FieldValue { quality, value }
    }
}

/// The value of a payload that was checked.
#[inline]
fn value(ty: Type, payload: &[u8], quality: Quality) -> Option<Value<'_>> {
    Some(match ty {
        Type::I32 => Value::I32(bytes::u32(payload, 0).cast_signed()),
        Type::U32 => Value::U32(bytes::u32(payload, 0)),
        Type::I64 => Value::I64(bytes::u64(payload, 0).cast_signed()),
        Type::U64 => Value::U64(bytes::u64(payload, 0)),
        Type::Bool => Value::Bool(bytes::u32(payload, 0) != 0),
        Type::Pointer => Value::Pointer(bytes::u64(payload, 0)),
        Type::Time => Value::Time(bytes::u64(payload, 0)),
        Type::Str => Value::Str(payload),
        Type::Path => Value::Path(payload),
        Type::StrArray => Value::StrArray(StrArray(payload)),
        Type::Sockaddr => Value::Sockaddr(SockAddr::decode(payload)),
        Type::Ip => Value::Ip(value::ip(payload)?),
        Type::Cred => Value::Cred(Cred::decode(payload.first_chunk()?)),
        Type::Packet => Value::Packet(Packet::decode(payload.first_chunk()?)?),
        Type::Dns => Value::Dns(DnsMessage::new(payload, DnsPart::Whole, quality)),
        Type::DnsQuestions => Value::Dns(DnsMessage::new(payload, DnsPart::Questions, quality)),
        Type::DnsAnswers => Value::Dns(DnsMessage::new(payload, DnsPart::Answers, quality)),
        Type::Ipv4 | Type::Ipv6 | Type::Tcp | Type::Udp | Type::Icmp | Type::Icmpv6 => {
            Value::Protocol(ProtocolHeader::decode(ty, payload)?)
        }
        Type::Http | Type::HttpRequest | Type::HttpResponse => Value::Http(HttpHead::new(ty, payload)?),
        // Those of structures have a layout, but for one of a union that is not known.
        Type::Bytes | Type::Struct | Type::Structs => Value::Bytes(payload),
    })
}

/// Bytes that a payload of this type has, where they are always as many.
const fn fixed_size(ty: Type) -> Option<usize> {
    match ty {
        Type::I32 | Type::U32 | Type::Bool => Some(4),
        Type::I64 | Type::U64 | Type::Pointer | Type::Time => Some(8),
        Type::Cred => Some(CRED_BYTES),
        Type::Packet => Some(PACKET_BYTES),
        Type::Str
        | Type::Path
        | Type::StrArray
        | Type::Sockaddr
        | Type::Ip
        | Type::Ipv4
        | Type::Ipv6
        | Type::Tcp
        | Type::Udp
        | Type::Icmp
        | Type::Icmpv6
        | Type::Dns
        | Type::DnsQuestions
        | Type::DnsAnswers
        | Type::Http
        | Type::HttpRequest
        | Type::HttpResponse
        | Type::Bytes
        | Type::Struct
        | Type::Structs => None,
    }
}

/// Checks the field at `offset` and notes where it is. Returns where the next one begins.
#[inline]
fn decode_field(
    definition: &'static catalogue::Event,
    record: &[u8],
    offset: usize,
    slots: &mut [Slot; MAX_FIELDS],
    stack: &mut Slot,
) -> Result<usize, DecodeError> {
    let Some((&[index, quality, low, high], _)) = record.get(offset..).and_then(<[u8]>::split_first_chunk)
    else {
        return Err(DecodeError::FieldHead { offset });
    };
    let length = u16::from_le_bytes([low, high]);
    // The stack has no type of the catalogue's.
    let (ty, slot) = if index == USER_STACK {
        (None, stack)
    } else {
        let field = definition.fields.get(usize::from(index));
        let (Some(field), Some(slot)) = (field, slots.get_mut(usize::from(index))) else {
            return Err(DecodeError::UnknownField { event: definition.id, index, offset });
        };
        (Some(field.ty), slot)
    };
    if slot.offset != 0 {
        return Err(DecodeError::RepeatedField { index, offset });
    }
    let Some(quality) = Quality::from_number(quality) else {
        return Err(DecodeError::UnknownQuality { quality, index, offset });
    };
    let start = offset + FIELD_HEAD;
    let end = start + usize::from(length);
    let next = end.next_multiple_of(4);
    let (Some(payload), Some(padding), Ok(at)) =
        (record.get(start..end), record.get(end..next), u32::try_from(start))
    else {
        return Err(DecodeError::PayloadCut { index, offset, length });
    };
    if padding.iter().any(|&b| b != 0) {
        return Err(DecodeError::Padding { index, offset });
    }
    // What could not be read at all has no payload.
    let missing = length == 0 && matches!(quality, Quality::Faulted | Quality::Unavailable);
    match ty {
        None if UserStack::new(quality, payload).is_some() => {}
        None => return Err(DecodeError::Stack { offset }),
        Some(_) if missing => {}
        Some(ty) if fixed_size(ty).is_some_and(|size| size != payload.len()) => {
            return Err(DecodeError::PayloadLength { index, offset, ty, length });
        }
        Some(ty) if !sound(ty, quality, payload) => {
            return Err(DecodeError::PayloadValue { index, offset, ty });
        }
        Some(_) => {}
    }
    *slot = Slot { offset: at, length, quality };
    Ok(next)
}

/// Whether a payload of the right length can be a value of its type.
#[inline]
fn sound(ty: Type, quality: Quality, payload: &[u8]) -> bool {
    let known = matches!(quality, Quality::Ok | Quality::Truncated | Quality::Unresolved);
    match ty {
        Type::Bool => bytes::u32(payload, 0) <= 1,
        Type::Str | Type::Path => memchr::memchr(0, payload).is_none(),
        Type::StrArray => quality != Quality::Ok || payload.last().is_none_or(|&b| b == 0),
        Type::Ip => !known || value::ip(payload).is_some(),
        Type::Ipv4 | Type::Ipv6 | Type::Tcp | Type::Udp | Type::Icmp | Type::Icmpv6 => {
            !known || ProtocolHeader::decode(ty, payload).is_some()
        }
        Type::Http | Type::HttpRequest | Type::HttpResponse => {
            !known || HttpHead::new(ty, payload).is_some_and(|h| h.parse().is_some())
        }
        Type::Packet => !known || payload.first_chunk().is_some_and(|p| Packet::decode(p).is_some()),
        _ => true,
    }
}
