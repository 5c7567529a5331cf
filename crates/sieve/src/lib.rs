//! Sieves: what the kernel decides of an event before a record of it is built, or at the latest before it leaves.
//!
//! What policies and detectors want of an event is a number of [alternatives](Alternative): each says what columns (the user, the path, a
//! port ...) must be, one by one. A column's values are compared by their beginnings ([`Values`]): a text by its bytes or by those of its
//! reverse, a number and an address by their bits. So whatever is asked of it, by however many, is one look into a trie of prefixes, which
//! tells which alternatives may still be met: a bit for each.
//!
//! A sieve lets pass what may be wanted. User space judges again, and wholly; so what a sieve can not say costs a record, never an event.
//! [`Sieve::admits`] is the model of what `bpf/lib/sieve.h` does, by the same bytes of the record.

mod column;
mod rules;
mod values;

pub use column::{COLUMN_BYTES, Column, Head, Kind, LONG, SHORT, SUFFIX};
pub use rules::{Alternative, CLASSES, COLUMNS, Enforcement, FIELDS, HEADS, Sieve, Tested};
pub use values::{Prefix, Values};
