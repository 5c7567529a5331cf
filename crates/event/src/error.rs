//! What can be wrong with a record.

use catalogue::{Lane, Type};

/// Why bytes are not a record. Each error names what was found, and the offset where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than a header.
    #[error("a record of {length} bytes has no room for its header")]
    Short {
        /// Bytes that there are.
        length: usize,
    },
    /// The header states another length than the ring.
    #[error("the header states {stated} bytes, the record has {length}")]
    Length {
        /// What the header says.
        stated: u32,
        /// What is there.
        length: usize,
    },
    /// No such event in the catalogue.
    #[error("no event has the number {event}")]
    UnknownEvent {
        /// The number.
        event: u16,
    },
    /// No such lane.
    #[error("no lane has the number {lane}")]
    UnknownLane {
        /// The number.
        lane: u8,
    },
    /// The event belongs to another lane.
    #[error("event {event} belongs to lane {expected:?}, not {found:?}")]
    WrongLane {
        /// The event.
        event: u16,
        /// Its lane in the catalogue.
        expected: Lane,
        /// The lane in the header.
        found: Lane,
    },
    /// No such origin.
    #[error("no origin has the number {origin}")]
    UnknownOrigin {
        /// The number.
        origin: u8,
    },
    /// The record ends within a field's head.
    #[error("the record ends within the head of the field at offset {offset}")]
    FieldHead {
        /// Where the field begins.
        offset: usize,
    },
    /// The event has no field of that index.
    #[error("event {event} has no field {index} (at offset {offset})")]
    UnknownField {
        /// The event.
        event: u16,
        /// The index.
        index: u8,
        /// Where the field begins.
        offset: usize,
    },
    /// The field was there already.
    #[error("field {index} is there a second time at offset {offset}")]
    RepeatedField {
        /// The index.
        index: u8,
        /// Where the second begins.
        offset: usize,
    },
    /// No such quality.
    #[error("no quality has the number {quality} (field {index} at offset {offset})")]
    UnknownQuality {
        /// The number.
        quality: u8,
        /// The field.
        index: u8,
        /// Where the field begins.
        offset: usize,
    },
    /// The record ends within a field's payload or its padding.
    #[error(
        "field {index} at offset {offset} needs {length} bytes and its padding, more than the record has"
    )]
    PayloadCut {
        /// The field.
        index: u8,
        /// Where the field begins.
        offset: usize,
        /// Length of the payload that it states.
        length: u16,
    },
    /// The bytes after a payload are not zero.
    #[error("the padding after field {index} at offset {offset} is not zero")]
    Padding {
        /// The field.
        index: u8,
        /// Where the field begins.
        offset: usize,
    },
    /// A payload of another length than its type has.
    #[error("field {index} at offset {offset} is a {ty:?}, its payload of {length} bytes is not")]
    PayloadLength {
        /// The field.
        index: u8,
        /// Where the field begins.
        offset: usize,
        /// Its type in the catalogue.
        ty: Type,
        /// Length of the payload.
        length: u16,
    },
    /// A payload that its type cannot hold: a boolean of 2, a NUL in a string, a packet of no known family.
    #[error("field {index} at offset {offset} is not a {ty:?}")]
    PayloadValue {
        /// The field.
        index: u8,
        /// Where the field begins.
        offset: usize,
        /// Its type in the catalogue.
        ty: Type,
    },
    /// What should be frames of a user stack is none.
    #[error("the field at offset {offset} is no user stack")]
    Stack {
        /// Where the field begins.
        offset: usize,
    },
}

impl DecodeError {
    /// A short name, for counting.
    pub const fn kind(&self) -> &'static str {
        match self {
            DecodeError::Short { .. } => "short",
            DecodeError::Length { .. } => "length",
            DecodeError::UnknownEvent { .. } => "unknown_event",
            DecodeError::UnknownLane { .. } => "unknown_lane",
            DecodeError::WrongLane { .. } => "wrong_lane",
            DecodeError::UnknownOrigin { .. } => "unknown_origin",
            DecodeError::FieldHead { .. } => "field_head",
            DecodeError::UnknownField { .. } => "unknown_field",
            DecodeError::RepeatedField { .. } => "repeated_field",
            DecodeError::UnknownQuality { .. } => "unknown_quality",
            DecodeError::PayloadCut { .. } => "payload_cut",
            DecodeError::Padding { .. } => "padding",
            DecodeError::PayloadLength { .. } => "payload_length",
            DecodeError::PayloadValue { .. } => "payload_value",
            DecodeError::Stack { .. } => "stack",
        }
    }
}
