//! One event, decoded from its record.
//!
//! [`Event::decode`] is total: any bytes give an event or a [`DecodeError`] that says what is wrong and where. It copies
//! nothing but the header and allocates nothing: strings and arrays stay in the record. What passed is well-formed to the
//! last byte, so reading a field afterwards cannot fail.
//!
//! [`json`] writes an event as one line, [`names`] has the names behind its numbers, and [`build`] makes records: for
//! events that begin in user space, and for tests.

mod bytes;
mod decode;
mod dns;
mod error;
mod finding;
mod header;
mod http;
mod protocol;
mod sockaddr;
mod stack;
mod structure;
mod value;

pub mod build;
pub mod json;
pub mod names;

pub use decode::{Event, MAX_FIELDS};
pub use dns::{Answer, Dns, DnsMessage, DnsPart, Name, Question, RecordData};
pub use error::DecodeError;
pub use finding::{Correlated, Finding, Output, Severity, Threat};
pub use header::{Flags, HEADER_BYTES, Header, NO_PROBE, Origin};
pub use http::{HTTP_HEADERS, Http, HttpHead, HttpLine};
pub use protocol::{Icmp, Parsed, ProtocolHeader};
pub use sockaddr::{SockAddr, UnixName};
pub use stack::{FRAME_BYTES, Frame, Memory, Place, STACK_FRAMES, USER_STACK, UserStack};
pub use structure::{MemberValue, Structures};
pub use value::{
    CRED_BYTES, Capabilities, Cred, Direction, Encapsulation, FieldValue, PACKET_BYTES, Packet, StrArray,
    Value,
};
